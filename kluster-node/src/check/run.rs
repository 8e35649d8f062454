//! Run: the task that sums a pinned snapshot in the background, says the sums on NODES, and narrows what differs while others do the same.
//!
//! Neighbours: the ALL lane hands over what it pinned ([`super::LaneChecks`]); the council knows what the others say.

use super::{Checks, ask, held, publish};
use crate::dbms::snapshot::{Object, Parts, Snapshot, SnapshotError, Table};
use crate::membership::control;
use crate::status::Status;
use kluster_log::Log;
use kluster_protocol::check::{MAX_ATTEMPTS, MAX_LISTED, Narrowed, SCHEMA, Step, Sum, Sums, prefix};
use kluster_protocol::{CheckMark, CheckReport, Progress, Role, Topic};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

/// While it sums, a node says how far it is about so often.
const SAY_EVERY: Duration = Duration::from_secs(1);
/// A snapshot is kept for narrowing at least so long after its sums are known, or twice as long as they took: others may be slower.
const KEEP: Duration = Duration::from_secs(60);
/// A check that was ended is asked for again after so long, and each time after twice as long, up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(500);
/// See [`FIRST`].
const LONGEST: Duration = Duration::from_secs(60);
/// A report names at most so many tables; further ones are summed up under one name.
const MAX_TABLES: usize = 2000;
/// The name of those.
const REST: &str = "(further tables)";

/// A check that begins.
#[derive(Debug)]
pub struct Begun {
    /// Which.
    pub check: CheckMark,
    /// The snapshot at its offset.
    pub pinned: Result<Snapshot, SnapshotError>,
    /// Cancelled: the snapshot must go.
    pub give_way: CancellationToken,
}

/// Does checks, one at a time; a newer one ends the one before.
#[derive(Debug)]
pub struct Checker {
    checks: Checks,
    next: mpsc::UnboundedReceiver<Begun>,
    log: Log,
    status: Status,
}

/// How the sums of a snapshot came to an end.
enum Summed {
    Done(Vec<Object>, Vec<Table>),
    GaveWay,
    Failed(SnapshotError),
}

impl Checker {
    pub(super) fn new(checks: Checks, next: mpsc::UnboundedReceiver<Begun>, log: Log, status: Status) -> Self {
        Self { checks, next, log, status }
    }

    /// Runs until dropped, or until the ALL lane has ended and its last check is done.
    pub async fn run(self) {
        let Self { checks, mut next, log, status } = self;
        let work = Work { checks, log, status };
        let mut begun = next.recv().await;
        while let Some(check) = begun {
            begun = tokio::select! {
                biased;
                Some(newer) = next.recv() => Some(newer),
                () = work.check(check) => {
                    work.checks.0.busy.send_replace(false);
                    next.recv().await
                }
            };
        }
    }
}

struct Work {
    checks: Checks,
    log: Log,
    status: Status,
}

impl Work {
    async fn check(&self, begun: Begun) {
        let Begun { check, pinned, give_way } = begun;
        held(&self.checks.0.council).begin(check.clone());
        let began = Instant::now();
        let mut snapshot = match pinned {
            Ok(snapshot) => snapshot,
            Err(error) => return self.ended(&check, Summed::Failed(error)).await,
        };
        tracing::info!(id = check.id, offset = %check.offset, number = check.number, "a check begins");
        let summed = tokio::select! {
            biased;
            () = give_way.cancelled() => Summed::GaveWay,
            summed = self.sum(&check, &mut snapshot) => match summed {
                Ok((objects, tables)) => Summed::Done(objects, tables),
                Err(error) => Summed::Failed(error),
            },
        };
        let Summed::Done(objects, tables) = summed else {
            drop(snapshot);
            return self.ended(&check, summed).await;
        };
        tracing::info!(id = check.id, offset = %check.offset, tables = tables.len(), took = ?began.elapsed(), "a check is done");
        let until = Instant::now() + KEEP.max(2 * began.elapsed());
        let narrowed = tokio::select! {
            biased;
            () = give_way.cancelled() => Err(SnapshotError("a change of the schema goes first".to_owned())),
            narrowed = self.narrow(&check, &mut snapshot, &objects, &tables, until) => narrowed,
        };
        match narrowed {
            Ok(()) => snapshot.end().await,
            Err(error) => tracing::debug!(%error, "what differs cannot be narrowed further"),
        }
    }

    /// Changes this node's report and says it.
    async fn say(&self, check: &CheckMark, change: impl FnOnce(&mut CheckReport)) {
        let report = held(&self.checks.0.council).update(check.number, change);
        let Some(report) = report else { return };
        while let Err(error) = publish(&self.log, &report).await {
            tracing::warn!(%error, "the report of a check was not taken by the log");
            sleep(SAY_EVERY).await;
        }
    }

    async fn sum(
        &self,
        check: &CheckMark,
        snapshot: &mut Snapshot,
    ) -> Result<(Vec<Object>, Vec<Table>), SnapshotError> {
        // Not awaited before the first look at the schema: whoever waits for the check sees that it has begun.
        self.say(check, |_| {}).await;
        let objects = snapshot.objects().await?;
        let tables = snapshot.tables().await?;
        let of = tables.len() as u64 + 1;
        let mut schema = Sum::default();
        objects.iter().for_each(|object| schema.add(object.row().hash as i64));
        let mut said = Instant::now();
        let mut report = CheckReport { progress: Progress::Running { done: 1, of }, ..self.own(check)? };
        report.tables.insert(SCHEMA.to_owned(), schema);
        for (number, table) in tables.iter().enumerate() {
            let total = match &table.skipped {
                Some(why) => Err(SnapshotError(why.clone())),
                None => snapshot.total(table).await,
            };
            match total {
                Ok(sum) if number < MAX_TABLES => drop(report.tables.insert(table.name.clone(), sum)),
                Ok(sum) => *report.tables.entry(REST.to_owned()).or_default() += sum,
                Err(error) => drop(report.skipped.insert(table.name.clone(), error.to_string())),
            }
            if said.elapsed() >= SAY_EVERY {
                said = Instant::now();
                let progress = Progress::Running { done: number as u64 + 2, of };
                self.say(check, |report| report.progress = progress).await;
            }
        }
        let (tables_known, skipped, form) = (report.tables, report.skipped, snapshot.form());
        self.say(check, |report| {
            (report.tables, report.skipped, report.form) = (tables_known, skipped, form);
            report.progress = Progress::Done;
        })
        .await;
        Ok((objects, tables))
    }

    fn own(&self, check: &CheckMark) -> Result<CheckReport, SnapshotError> {
        let council = held(&self.checks.0.council);
        let own = council.own().filter(|own| own.check.number == check.number).cloned();
        own.ok_or_else(|| SnapshotError("a newer check has begun".to_owned()))
    }

    /// Says what the others need in order to find the rows that differ, until every voter has what it needs.
    async fn narrow(
        &self,
        check: &CheckMark,
        snapshot: &mut Snapshot,
        objects: &[Object],
        tables: &[Table],
        until: Instant,
    ) -> Result<(), SnapshotError> {
        loop {
            let news = self.checks.0.news.notified();
            tokio::pin!(news);
            // What comes from here on is not missed.
            news.as_mut().enable();
            let step = held(&self.checks.0.council).next_step();
            if let Some(step) = step {
                let (table, narrowed) = answer(snapshot, objects, tables, step).await?;
                self.say(check, |report| merge(report.narrowed.entry(table).or_default(), narrowed)).await;
                continue;
            }
            let voters = self.status.now().membership.voters;
            if held(&self.checks.0.council).is_over(&voters) || timeout_at(until, news).await.is_err() {
                return Ok(());
            }
        }
    }

    /// The sums are not known and will not be: says so, and asks for the check again.
    async fn ended(&self, check: &CheckMark, why: Summed) {
        let (progress, repeats) = match why {
            Summed::GaveWay => (Progress::Superseded, true),
            Summed::Failed(error) => (Progress::Failed { reason: error.to_string() }, check.attempt + 1 < MAX_ATTEMPTS),
            Summed::Done(..) => return,
        };
        tracing::warn!(id = check.id, offset = %check.offset, ?progress, repeats, "a check is not done");
        self.say(check, |report| report.progress = progress).await;
        if !repeats {
            return;
        }
        sleep(FIRST.saturating_mul(1 << check.attempt.min(8)).min(LONGEST)).await;
        // An observer may have asked too much of its machine; the voters' sums are what counts.
        let now = self.status.now();
        let is_voter = held(&self.checks.0.council)
            .own()
            .is_some_and(|own| now.membership.role(&own.node_id) == Some(Role::Voter));
        if is_voter || now.membership.voters.is_empty() {
            let again = ask(check.id.clone(), Some(check.number), check.attempt + 1);
            while let Err(error) = self.log.append(Topic::All, None, control(&again)).await {
                tracing::warn!(%error, "a check could not be asked for again yet");
                sleep(LONGEST.min(Duration::from_secs(5))).await;
            }
        }
    }
}

/// What one step asks for.
async fn answer(
    snapshot: &mut Snapshot,
    objects: &[Object],
    tables: &[Table],
    step: Step,
) -> Result<(String, Narrowed), SnapshotError> {
    let mut narrowed = Narrowed::default();
    let (name, of, rows) = match step {
        Step::Sums { table, of } => (table, of, false),
        Step::Rows { table, of } => (table, of, true),
    };
    let parts = Parts::of(of.clone());
    let table = tables.iter().find(|table| table.name == name);
    match rows {
        false => {
            narrowed.summed = of;
            narrowed.sums = match table {
                Some(table) => snapshot.sums(table, &parts).await?,
                None => object_sums(objects, &parts),
            };
        }
        true => {
            narrowed.listed = of;
            narrowed.rows = match table {
                Some(table) => snapshot.rows(table, &parts, MAX_LISTED).await?,
                None => {
                    let rows = objects.iter().map(Object::row).filter(|row| parts.hold(row.hash as i64));
                    let mut rows: Vec<_> = rows.collect();
                    rows.sort_unstable();
                    rows.truncate(MAX_LISTED);
                    rows
                }
            };
            (narrowed.columns, narrowed.key) = match table {
                Some(table) => (table.columns.iter().map(|column| column.name.clone()).collect(), table.key.clone()),
                None => (vec!["object".to_owned(), "definition".to_owned()], vec![0]),
            };
            // Where the adapter shows a row as one text, its columns have one name.
            if narrowed.rows.first().is_some_and(|row| row.values.len() != narrowed.columns.len()) {
                (narrowed.columns, narrowed.key) = (vec!["row".to_owned()], Vec::new());
            }
        }
    }
    Ok((name, narrowed))
}

fn object_sums(objects: &[Object], parts: &Parts) -> Sums {
    let mut sums = Sums::new();
    for hash in objects.iter().map(|object| object.row().hash as i64).filter(|hash| parts.hold(*hash)) {
        sums.entry(prefix(hash, parts.depth + 1)).or_default().add(hash);
    }
    sums
}

fn merge(known: &mut Narrowed, more: Narrowed) {
    known.sums.extend(more.sums);
    known.summed.extend(more.summed);
    if !more.listed.is_empty() {
        known.listed.extend(more.listed);
        known.rows.extend(more.rows);
        known.rows.sort_unstable();
        known.rows.dedup_by(|one, other| one == other && known.listed.len() > 1);
        known.rows.truncate(MAX_LISTED);
        (known.columns, known.key) = (more.columns, more.key);
    }
}
