//! A node without a log: it applies records that it is given as the ALL lane does (admission, plan, one transaction behind the claim, state), and does
//! after a fault what the lane would do.
//!
//! Neighbours: `home` is its database; `fuzz` and `schedules` give one log to several nodes and compare them.

use kluster_log::Record;
use kluster_node::dbms::{Dbms, DbmsSettings, Finish, OutcomeRow, Read, ReadError, ReadEvent, WorkStatement};
use kluster_node::effects::{EffectsTrail, Run};
use kluster_node::fault::{Cause, Fault};
use kluster_node::outcome::{Outcome, Window};
use kluster_node::plan::{Plan, Settled};
use kluster_node::state::State;
use kluster_protocol::{Cells, Decisions, Effects, Offset};
use kluster_test_servers::until;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Longer than any statement of these tests takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A passing fault this often in a row does not pass.
const PASSING: u32 = 50;

/// What happened to a node, for a test that must not be empty.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Batches of at least two requests that were committed.
    pub batches: usize,
    /// Batches that were executed and rolled back.
    pub rollbacks: usize,
    /// Times the connection to the database was lost and made anew.
    pub recoveries: usize,
}

/// A database and who applies records to it.
pub struct Node {
    settings: DbmsSettings,
    /// The database.
    pub db: Dbms,
    /// What it holds.
    pub state: State,
    fresh: bool,
    window: Window,
    trail: EffectsTrail,
    follower: Option<JoinHandle<()>>,
    effects: BTreeMap<Offset, Effects>,
    /// What happened so far.
    pub counts: Counts,
}

impl Node {
    /// Opens the database and reads what it holds.
    pub async fn open(settings: DbmsSettings) -> Self {
        let db = Dbms::open(&settings).await.unwrap();
        let state = State::empty(settings.node_id.as_str().into(), "kafka".into(), "all".into());
        let mut node = Self {
            settings,
            db,
            state,
            fresh: true,
            window: Window::default(),
            trail: EffectsTrail::default(),
            follower: None,
            effects: BTreeMap::new(),
            counts: Counts::default(),
        };
        node.load().await.unwrap();
        node
    }

    /// Closes the database and opens it again.
    pub async fn restarted(mut self) -> Self {
        self.learn();
        let counts = self.counts;
        let effects = std::mem::take(&mut self.effects);
        let settings = self.close().await;
        Self { counts, effects, ..Self::open(settings).await }
    }

    /// Ends the node; its settings open it again.
    pub async fn close(mut self) -> DbmsSettings {
        if let Some(follower) = self.follower.take() {
            follower.abort();
        }
        self.db.close().await;
        self.settings
    }

    /// Takes what the database holds for what this node knows.
    async fn load(&mut self) -> Result<(), Fault> {
        let row = self.db.load().await?;
        self.fresh = row.is_none();
        if let Some(row) = &row {
            self.state = serde_json::from_str(&row.state).unwrap();
        }
        self.window = Window::default();
        for outcome in self.outcomes(Offset::ZERO).await?.values() {
            self.window.remember(outcome, 0);
        }
        let (by, applied) = (self.db.effects(), row.map(|row| row.applied));
        let counted = by.resume(self.state.effects.take(), applied);
        self.trail.holds(self.db.info().name, &by, counted.as_ref());
        self.state.effects = counted;
        if self.follower.is_none() {
            self.follower = self.db.effects_follower(self.trail.clone()).map(tokio::spawn);
        }
        Ok(())
    }

    /// The stored outcomes from an offset on.
    pub async fn outcomes(&mut self, from: Offset) -> Result<BTreeMap<Offset, Outcome>, Fault> {
        let rows = self.db.outcome_rows(from, usize::MAX >> 1).await?;
        let outcomes = rows.iter().flat_map(|row| serde_json::from_str::<Vec<Outcome>>(&row.outcomes).unwrap());
        // A row holds a batch, which may begin before it.
        Ok(outcomes.filter(|outcome| outcome.offset >= from).map(|outcome| (outcome.offset, outcome)).collect())
    }

    /// Applies all of these records, which follow the last that was applied, in batches as `limit` draws them.
    pub async fn apply(&mut self, records: &[Record], mut limit: impl FnMut() -> usize) -> Result<(), Fault> {
        let (mut alone, mut passing) = (0_usize, 0);
        loop {
            let rest = self.rest(records);
            if rest.is_empty() {
                return Ok(());
            }
            let max = if alone > 0 { 1 } else { limit() };
            let endless = || Err(Fault::Fatal(Cause::new("endless", "the batch does not end")));
            let batch = tokio::time::timeout(PATIENCE, self.batch(rest, max)).await;
            match batch.unwrap_or_else(|_| endless()) {
                Ok(applied) => {
                    passing = 0;
                    alone = alone.saturating_sub(applied);
                }
                Err(Fault::RunAlone(_) | Fault::Unknown(_)) if alone == 0 && max > 1 => alone = max,
                Err(Fault::Transient(_) | Fault::LockWait(_)) if passing < PASSING => passing += 1,
                Err(Fault::RunAlone(_)) if passing < PASSING => passing += 1,
                Err(Fault::Lost(_)) => self.recover().await,
                Err(Fault::ClaimRaised(_)) if passing < PASSING => {
                    passing += 1;
                    self.load().await?;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// What of these records is not applied yet.
    pub fn rest<'a>(&self, records: &'a [Record]) -> &'a [Record] {
        let next = if self.fresh { Offset::ZERO } else { self.state.applied.next() };
        &records[records.partition_point(|record| record.offset < next)..]
    }

    /// Connects until the database answers, and reads what it holds.
    pub async fn recover(&mut self) {
        self.counts.recoveries += 1;
        let again = async {
            loop {
                match self.db.recover().await {
                    Ok(()) if self.load().await.is_ok() => break,
                    Ok(()) | Err(Fault::Lost(_)) => {}
                    Err(fault) => panic!("{fault}"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, again).await.expect("the database answers again");
    }

    async fn batch(&mut self, records: &[Record], max: usize) -> Result<usize, Fault> {
        let max = if self.db.checks_late() { 1 } else { max };
        let plan = self.cut(records, max)?;
        let predecessor = (!self.fresh).then_some(self.state.applied);
        let ran = self.db.run(predecessor, &plan.works).await?;
        let settled = self.settled(plan.settle(&self.state, ran));
        let settled = match self.db.commit(&finish(predecessor, &settled)).await? {
            None => settled,
            Some(refusal) => {
                self.db.run(predecessor, &[]).await?;
                let refused = self.settled(plan.settle(&self.state, vec![Err(refusal)]));
                assert_eq!(self.db.commit(&finish(predecessor, &refused)).await?, None);
                refused
            }
        };
        self.counts.batches += usize::from(plan.works.len() > 1);
        self.absorb(settled);
        Ok(plan.len())
    }

    fn cut(&self, records: &[Record], max: usize) -> Result<Plan, Fault> {
        Plan::cut(self.db.dialect(), &self.state, &self.window, &Decisions::default(), records, max)
    }

    /// Executes a batch and gives it up.
    pub async fn roll_back(&mut self, records: &[Record], max: usize) {
        let max = if self.db.checks_late() { 1 } else { max };
        let plan = self.cut(self.rest(records), max).unwrap();
        let predecessor = (!self.fresh).then_some(self.state.applied);
        let batched = plan.works.iter().all(|work| work.how == kluster_node::dbms::How::Batched);
        // What commits by itself cannot be given up.
        if batched && !plan.works.is_empty() && self.db.run(predecessor, &plan.works).await.is_ok() {
            self.counts.rollbacks += 1;
        }
        while let Err(Fault::Lost(_)) = self.load().await {
            self.recover().await;
        }
    }

    /// Where effects are learnt later, the state holds what is known of them by now.
    fn settled(&self, mut settled: Settled) -> Settled {
        if !self.db.effects().means().is_synchronous() {
            settled.state.effects = self.trail.counted();
        }
        settled
    }

    fn absorb(&mut self, settled: Settled) {
        if self.db.effects().means().is_synchronous() {
            self.trail.through(settled.state.applied, &settled.effects);
            self.effects.extend(settled.effects);
        }
        let before = std::mem::replace(&mut self.state, settled.state);
        self.fresh = false;
        for (outcome, _) in settled.outcomes {
            self.window.remember(&outcome, 0);
            self.window.forget(before.floor(outcome.offset), u64::MAX);
        }
    }

    /// The effects of each offset behind `after` that had some.
    pub async fn effects(&mut self, after: Offset) -> BTreeMap<Offset, Effects> {
        if self.follower.is_some() {
            let applied = self.state.applied;
            until("the effects are known", async || self.trail.known_through() >= Some(applied)).await;
            self.learn();
        }
        self.effects.range(after.next()..).map(|(offset, effects)| (*offset, *effects)).collect()
    }

    /// Takes in what the follower knows by now; a restarted one begins behind what the state row holds.
    fn learn(&mut self) {
        let run = Run { node: self.settings.node_id.as_str().into(), instance_id: String::new() };
        if let Some(detail) = self.trail.detail(&run, None, self.state.applied) {
            self.effects.extend(detail.each);
        }
    }

    /// All rows of a table, in an order that hangs on nothing.
    pub async fn table(&self, table: &str) -> Vec<String> {
        loop {
            match self.read(table).await {
                (Ok(()), mut rows) => {
                    rows.sort();
                    return rows;
                }
                // A connection that was open when the server was killed.
                (Err(ReadError::Lost(_)), _) => {}
                (ended, _) => panic!("{table}: {ended:?}"),
            }
        }
    }

    async fn read(&self, table: &str) -> (Result<(), ReadError>, Vec<String>) {
        let sql = format!("select * from {table}");
        let statement = WorkStatement {
            sql,
            params: Vec::new(),
            expect_rows: None,
            cells: Cells::Typed,
            edits: Default::default(),
            wants: Vec::new(),
        };
        let read = Read { statements: vec![statement], timeout: PATIENCE };
        let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
        let reads = self.db.reads();
        let reading = async {
            let ended = reads.read(&read, &sender).await;
            drop(sender);
            ended
        };
        let collecting = async {
            let mut rows = Vec::new();
            while let Some(event) = receiver.recv().await {
                if let ReadEvent::Row(row) = event {
                    rows.push(row.get().to_owned());
                }
            }
            rows
        };
        tokio::join!(reading, collecting)
    }
}

fn finish(predecessor: Option<Offset>, settled: &Settled) -> Finish {
    let outcomes: Vec<&Outcome> = settled.outcomes.iter().map(|(outcome, _)| outcome).collect();
    let row = outcomes.first().zip(outcomes.last()).map(|(first, last)| OutcomeRow {
        first: first.offset,
        last: last.offset,
        outcomes: serde_json::to_string(&outcomes).unwrap(),
        rows: None,
    });
    Finish {
        predecessor,
        applied: settled.state.applied,
        state: serde_json::to_string(&settled.state).unwrap(),
        outcomes: row,
        prune_below: None,
        drop_rows_below: None,
    }
}
