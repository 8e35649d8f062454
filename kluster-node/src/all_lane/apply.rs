//! Applies one batch: plan, run behind the claim, settle, commit, and hand the answers on.

use super::{AHEAD_MS, AllLane, PRUNE_PART, answers_count, parse};
use crate::all_lane::long::Long;
use crate::answer::{Answers, Outgoing};
use crate::dbms::{Finish, OutcomeRow, Ran};
use crate::fault::{Cause, Fault};
use crate::outcome::{KeptByOffset, Outcome};
use crate::plan::{Plan, Settled};
use crate::start::{self, Held};
use kluster_log::Record;
use kluster_protocol::{ErrorClass, MAX_KEPT_BYTES, Offset};
use std::time::Duration;

/// A batch that is overruled is ended so often, until it has ended.
const INTERRUPT: Duration = Duration::from_millis(200);

impl AllLane {
    /// Applies the next batch of `records` in one transaction and hands its answers on. How many records it applied.
    pub(super) async fn apply(&mut self, held: &mut Held, records: &[Record], max: usize) -> Result<usize, Fault> {
        let max = if self.dbms.checks_late() { 1 } else { max };
        let decisions = self.decisions.now();
        let plan = Plan::cut(self.dbms.dialect(), &held.state, &held.window, &decisions, records, max)?;
        let predecessor = (!held.fresh).then_some(held.state.applied);
        self.checks.make_way(&plan.works);
        let at = plan.first();
        if let Some((first, _)) = at {
            self.check_decided(held, first)?;
        }
        let Some(ran) = self.execute_confirmed(predecessor, &plan).await? else { return Ok(0) };
        // The topic may have been asked for after the batch was executed.
        if plan.is_overruled(&self.decisions.now()) {
            self.open = true;
            return Ok(0);
        }
        let settled = self.with_effects(plan.settle(&held.state, ran));
        let finish = self.finish(predecessor, held, &settled)?;
        let settled = match self.dbms.commit(&finish).await? {
            None => settled,
            // COMMIT itself refused the one work: its refusal is the outcome, written in a transaction of its own.
            Some(refusal) => {
                self.dbms.run(predecessor, &[]).await?;
                let refused = self.with_effects(plan.settle(&held.state, vec![Err(refusal)]));
                let finish = self.finish(predecessor, held, &refused)?;
                self.dbms.commit(&finish).await?;
                refused
            }
        };
        self.sure = true;
        self.absorb(held, settled, plan.newest_ms()).await?;
        Ok(plan.len())
    }

    /// Executes the works of a plan. None: something was decided meanwhile, so the batch must be cut again; its transaction is still open.
    pub(super) async fn execute(
        &mut self,
        predecessor: Option<Offset>,
        plan: &Plan,
    ) -> Result<Option<Vec<Ran>>, Fault> {
        let mut long = Long::new(plan, &self.reporter);
        let bent = self.steps.bend(&plan.works);
        let works = bent.as_deref().unwrap_or(&plan.works);
        let mut ends = false;
        let Self { dbms, waiting, decisions, status, reporter, sure, interrupt, split, .. } = self;
        let ran = {
            let call = waiting.over(plan.first(), dbms.run(predecessor, works));
            tokio::pin!(call);
            loop {
                tokio::select! {
                    biased;
                    ran = &mut call => break ran,
                    () = decisions.changed() => {}
                    () = long.next() => match plan.lone_work() {
                        // The request does not execute: `waiting` says who holds the lock.
                        _ if status.waits_for_lock() => long.later(),
                        Some(_) => long.say(status, reporter).await,
                        None => *split = long.is_one_of_several(),
                    },
                    () = tokio::time::sleep(INTERRUPT), if ends => {}
                }
                let decided = decisions.now();
                if *sure {
                    status.obeys(decided.next());
                }
                ends = plan.is_overruled(&decided) || *split;
                if ends {
                    // Again and again: what was ended may have been one of several statements.
                    interrupt.send().await;
                }
            }
        };
        status.runs(None);
        if matches!(ran, Err(Fault::Lost(_))) {
            self.lost_at = plan.lone_work();
        }
        let ended = self.split && matches!(ran, Err(Fault::Transient(_)));
        if (ended || plan.is_overruled(&self.decisions.now()))
            && !matches!(ran, Err(Fault::Lost(_) | Fault::ClaimRaised(_) | Fault::Fatal(_)))
        {
            self.open = true;
            return Ok(None);
        }
        match self.steps.fail(&plan.works) {
            Some(fault) if ran.is_ok() => Err(fault),
            _ => ran.map(Some),
        }
    }

    /// Where effects are learnt later, the state holds what is known of them by now.
    fn with_effects(&self, mut settled: Settled) -> Settled {
        if !self.dbms.effects().means().is_synchronous() {
            settled.state.effects = self.status.effects().counted();
        }
        settled
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
        if self.dbms.effects().means().is_synchronous() {
            self.status.effects().through(held.state.applied, &settled.effects);
        }
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
