//! Applies one batch: plan, run behind the claim, settle, commit, and hand the answers on.

use super::{AHEAD_MS, AllLane, PRUNE_PART, answers_count, parse};
use crate::answer::{Answers, Outgoing};
use crate::dbms::{Finish, OutcomeRow};
use crate::fault::{Cause, Fault};
use crate::outcome::{KeptByOffset, Outcome};
use crate::plan::{Plan, Settled};
use crate::start::{self, Held};
use kluster_log::Record;
use kluster_protocol::{ErrorClass, MAX_KEPT_BYTES, Offset};

impl AllLane {
    /// Applies the next batch of `records` in one transaction and hands its answers on. How many records it applied.
    pub(super) async fn apply(&mut self, held: &mut Held, records: &[Record], max: usize) -> Result<usize, Fault> {
        let max = if self.dbms.checks_late() { 1 } else { max };
        let plan = Plan::cut(self.dbms.dialect(), &held.state, &held.window, records, max)?;
        let predecessor = (!held.fresh).then_some(held.state.applied);
        let at = plan.first();
        let ran = self.waiting.over(at, self.dbms.run(predecessor, &plan.works)).await?;
        let settled = plan.settle(&held.state, ran);
        let finish = self.finish(predecessor, held, &settled)?;
        let settled = match self.dbms.commit(&finish).await? {
            None => settled,
            // COMMIT itself refused the one work: its refusal is the outcome, written in a transaction of its own.
            Some(refusal) => {
                self.dbms.run(predecessor, &[]).await?;
                let refused = plan.settle(&held.state, vec![Err(refusal)]);
                let finish = self.finish(predecessor, held, &refused)?;
                self.dbms.commit(&finish).await?;
                refused
            }
        };
        self.absorb(held, settled, plan.newest_ms()).await?;
        Ok(plan.len())
    }

    /// What is written with the effects.
    pub(super) fn finish(&self, predecessor: Option<Offset>, held: &Held, settled: &Settled) -> Result<Finish, Fault> {
        let json = |error: serde_json::Error| Fault::Fatal(Cause::new("state_unwritable", error.to_string()));
        let outcomes: Vec<&Outcome> = settled.outcomes.iter().map(|(outcome, _)| outcome).collect();
        let row = match (outcomes.first(), outcomes.last()) {
            (Some(first), Some(last)) => Some(OutcomeRow {
                first: first.offset,
                last: last.offset,
                outcomes: serde_json::to_string(&outcomes).map_err(json)?,
                rows: kept(&settled.kept).map_err(json)?,
            }),
            _ => None,
        };
        let prune = self.prunes(held, settled);
        Ok(Finish {
            predecessor,
            applied: settled.state.applied,
            state: serde_json::to_string(&settled.state).map_err(json)?,
            outcomes: row,
            prune_below: prune,
            drop_rows_below: prune.and(held.window.oldest_kept()),
        })
    }

    /// Below which outcome rows may go, now and then. What a record of this batch may repeat lies above the low water before it, and what a
    /// record that is not answered yet may repeat lies within the window before that record.
    pub(super) fn prunes(&self, held: &Held, settled: &Settled) -> Option<Offset> {
        let (before, after) = (held.state.low_water, settled.state.low_water);
        let every = (settled.state.window / PRUNE_PART).max(1);
        let answered = self.status.now().answered?.back(settled.state.window);
        (after.get() / every > before.get() / every).then_some(before.min(answered))
    }

    /// What was committed becomes what is held, and its answers go out.
    pub(super) async fn absorb(&mut self, held: &mut Held, settled: Settled, newest_ms: i64) -> Result<(), Fault> {
        let ahead = newest_ms - self.reporter.now_ms() as i64;
        if ahead > AHEAD_MS {
            let cause = Cause::new(
                "clock_ahead",
                format!(
                    "a record's time lies {} s ahead of this node's clock; check the brokers' clocks",
                    ahead / 1000
                ),
            );
            self.reporter.say(ErrorClass::Alarm, None, &cause, None).await;
        }
        let before = std::mem::replace(&mut held.state, settled.state);
        held.fresh = false;
        self.status.applied(&held.state);
        let mut outgoing = Vec::with_capacity(settled.outcomes.len());
        for (outcome, answer) in settled.outcomes {
            let answered = match (outcome.repeats, answer) {
                (Some(first), _) => self.repeat(first, &outcome, held.window.keeps_rows(first)).await?,
                (None, answer) => Some(Outgoing::fresh(&self.node, &outcome, answer)),
            };
            if answers_count(&outcome) {
                outgoing.extend(answered);
            }
            held.window.remember(&outcome, settled.kept_bytes.get(&outcome.offset).copied().unwrap_or_default());
            // The floor of this very record, not of the batch's last: where a batch ends decides nothing.
            held.window.forget(before.floor(outcome.offset), MAX_KEPT_BYTES as u64);
        }
        let answers = Answers { outgoing, next: held.state.applied.next() };
        // The receiver ends only with the node.
        let _ = self.answers.send(answers).await;
        Ok(())
    }

    /// The stored outcome at `first`, addressed to who asked again.
    pub(super) async fn repeat(
        &mut self,
        first: Offset,
        asked: &Outcome,
        rows_kept: bool,
    ) -> Result<Option<Outgoing>, Fault> {
        let Some(row) = self.dbms.outcome_row(first).await? else { return Ok(None) };
        let outcomes: Vec<Outcome> = parse(&row)?;
        let Some(stored) = outcomes.into_iter().find(|outcome| outcome.offset == first) else { return Ok(None) };
        let kept = match rows_kept {
            true => start::kept_rows(row.rows.as_deref())?.remove(&first),
            false => None,
        };
        Ok(Some(Outgoing::stored(&self.node, &stored, kept, asked)))
    }
}

fn kept(kept: &KeptByOffset) -> Result<Option<String>, serde_json::Error> {
    match kept.is_empty() {
        true => Ok(None),
        false => serde_json::to_string(kept).map(Some),
    }
}
