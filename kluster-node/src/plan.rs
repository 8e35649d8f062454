//! Plan: the next batch, cut from what was read. Where it is cut depends on what was in the buffer, so nothing that is decided here may
//! depend on the cut.
//!
//! Neighbours: the ALL lane plans, runs the plan's works in one transaction, and settles the plan with what they came to.

use crate::admit::{Ask, Asked, Sender, admit};
use crate::dbms::{How, Ran, Work};
use crate::fault::Fault;
use crate::fault::Refusal;
use crate::outcome::{KeptByOffset, KeptRows, Key, Outcome, Seen, Window};
use crate::rows::Rows;
use crate::state::State;
use kluster_log::Record;
use kluster_protocol::{
    CANCELLED, Came, Control, Decision, Decisions, Effects, ErrorCode, MAX_BATCH, MAX_KEPT_ROWS_BYTES, Members, Offset,
    RecordHash, ResponseError, Role,
};
use kluster_sql::Dialect;
use std::collections::HashMap;

/// Records that are applied in one transaction.
#[derive(Debug)]
pub struct Plan {
    entries: Vec<Entry>,
    /// What the database is asked to execute, in the order of the log.
    pub works: Vec<Work>,
}

#[derive(Debug)]
struct Entry {
    record: Record,
    step: Decided,
}

/// What becomes of one record.
#[derive(Debug)]
enum Decided {
    /// A work of the plan, in their order.
    Execute(Ask),
    /// Refused without asking the database; with a key to remember, or none.
    Refuse(Sender, Option<Key>, Refusal),
    /// Executed before: the outcome at that offset is the answer.
    Repeat(Sender, Offset),
    Control(Control),
}

/// What a settled plan leaves behind.
#[derive(Debug)]
pub struct Settled {
    /// The state after it.
    pub state: State,
    /// Every outcome, in order, with the rows that its answer carries.
    pub outcomes: Vec<(Outcome, Answer)>,
    /// Rows to be kept for retries.
    pub kept: KeptByOffset,
    /// The bytes of each record's kept rows.
    pub kept_bytes: HashMap<Offset, u64>,
    /// The effects of each record that had some, where they are known by now.
    pub effects: Vec<(Offset, Effects)>,
}

/// What an outcome's answer carries.
#[derive(Debug)]
pub enum Answer {
    /// What the statements returned just now.
    Fresh(Vec<Rows>),
    /// What is stored: of this outcome, or of the one that it repeats.
    Stored,
}

impl Plan {
    /// Plans the next batch from the front of `records`: at most `max` works, one where it must run alone.
    pub fn cut(
        dialect: Dialect,
        state: &State,
        window: &Window,
        decisions: &Decisions,
        records: &[Record],
        max: usize,
    ) -> Result<Self, Fault> {
        let mut plan = Self { entries: Vec::new(), works: Vec::new() };
        let mut planned: HashMap<(String, String), (Offset, String)> = HashMap::new();
        let mut time_ms = state.clock_ms;
        for record in records {
            time_ms = time_ms.max(record.timestamp_ms);
            let decided = decisions.error(record.offset);
            // A decided offset is a batch of its own: a database that had begun it must be able to say so.
            if decided.is_some() && !plan.entries.is_empty() {
                break;
            }
            let asked = match admit(dialect, record) {
                // What stands before it is applied first; the fault comes up again as the next plan's first record.
                Err(_) if !plan.entries.is_empty() => break,
                asked => asked?,
            };
            let step = match asked {
                Asked::Control(control) => Decided::Control(control),
                Asked::NoRequest(sender, refusal) => Decided::Refuse(sender, None, refusal),
                Asked::Execute(ask, work) => match judge(&ask, record.offset, state, window, &planned) {
                    Some(step) => step,
                    None if decided.is_some() => {
                        let refusal = decided.map(refused).expect("it was just looked at");
                        Decided::Refuse(ask.sender, Some(ask.key), refusal)
                    }
                    None if plan.fits(&work, max) => {
                        planned.insert(name(&ask.key), (record.offset, ask.key.body.clone()));
                        plan.works.push(Work { time_ms, ..work });
                        Decided::Execute(ask)
                    }
                    None => break,
                },
                Asked::Refused(ask, refusal) => match judge(&ask, record.offset, state, window, &planned) {
                    Some(decided) => decided,
                    None => {
                        planned.insert(name(&ask.key), (record.offset, ask.key.body.clone()));
                        Decided::Refuse(ask.sender, Some(ask.key), refusal)
                    }
                },
            };
            plan.entries.push(Entry { record: record.clone(), step });
            if plan.is_full(max) || decided.is_some() {
                break;
            }
        }
        Ok(plan)
    }

    fn fits(&self, work: &Work, max: usize) -> bool {
        match work.how {
            How::Batched => self.works.len() < max.min(MAX_BATCH),
            How::Alone | How::SelfCommitting => self.entries.is_empty(),
        }
    }

    fn is_full(&self, max: usize) -> bool {
        self.works.len() >= max.min(MAX_BATCH)
            || self.entries.len() >= 10 * MAX_BATCH
            || self.works.first().is_some_and(|work| work.how != How::Batched)
            // What is checked is the state behind this very record.
            || matches!(self.entries.last(), Some(Entry { step: Decided::Control(Control::Check { .. }), .. }))
    }

    /// How many records the plan applies.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Nothing was planned, because nothing was read.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The first record's place and what its sender calls it.
    pub fn first(&self) -> Option<(Offset, String)> {
        self.entries.first().map(|entry| (entry.record.offset, entry.step.request_id()))
    }

    /// The works of this plan: their offset and what their senders call them.
    fn executes(&self) -> impl Iterator<Item = (Offset, &str)> {
        self.entries.iter().filter_map(|entry| match &entry.step {
            Decided::Execute(ask) => Some((entry.record.offset, ask.sender.request_id.as_str())),
            Decided::Refuse(..) | Decided::Repeat(..) | Decided::Control(_) => None,
        })
    }

    /// The first request that is executed, and what its sender calls it.
    pub fn first_work(&self) -> Option<(Offset, String)> {
        self.executes().next().map(|(offset, id)| (offset, id.to_owned()))
    }

    /// The request that is executed, where there is one alone.
    pub fn lone_work(&self) -> Option<Offset> {
        self.executes().next().map(|(offset, _)| offset).filter(|_| self.works.len() == 1)
    }

    /// The plan may not be committed any more: one of its offsets is held back, or one that it executes is refused.
    pub fn is_overruled(&self, decisions: &Decisions) -> bool {
        let held = |entry: &Entry| decisions.hold(entry.record.offset).is_some();
        self.executes().any(|(offset, _)| decisions.error(offset).is_some()) || self.entries.iter().any(held)
    }

    /// The newest record's own time, in milliseconds since 1970.
    pub fn newest_ms(&self) -> i64 {
        self.entries.iter().map(|entry| entry.record.timestamp_ms).max().unwrap_or_default()
    }

    /// Moves the state on over every record, given what the works came to, in their order.
    pub fn settle(&self, before: &State, ran: Vec<Ran>) -> Settled {
        let mut settled = Settled {
            state: before.clone(),
            outcomes: Vec::new(),
            kept: KeptByOffset::new(),
            kept_bytes: HashMap::new(),
            effects: Vec::new(),
        };
        let mut ran = ran.into_iter();
        for entry in &self.entries {
            settled.entry(entry, &mut ran);
        }
        settled
    }
}

impl Decided {
    fn request_id(&self) -> String {
        match self {
            Self::Execute(ask) => ask.sender.request_id.clone(),
            Self::Refuse(sender, ..) | Self::Repeat(sender, _) => sender.request_id.clone(),
            Self::Control(_) => "control record".to_owned(),
        }
    }
}

/// The outcome of an offset that was given up: the same words on every node.
fn refused(decision: &Decision) -> Refusal {
    match decision.code.as_deref() {
        Some(CANCELLED) => {
            let message = "an operator ended this request while it was executed; it had no effect";
            ResponseError::new(ErrorCode::Cancelled, message)
        }
        Some(code) => ResponseError::new(
            ErrorCode::Decided,
            format!("every voter met the same error here, {code}, so the request is refused; it had no effect"),
        ),
        None => {
            let message =
                "the nodes met unlike errors here, and an operator decided to refuse the request; it had no effect";
            ResponseError::new(ErrorCode::Decided, message)
        }
    }
}

fn name(key: &Key) -> (String, String) {
    (key.client_id.as_str().to_owned(), key.message_id.as_str().to_owned())
}

/// Dedupe at `offset`: what becomes of a request without executing it, if anything.
fn judge(
    ask: &Ask,
    offset: Offset,
    state: &State,
    window: &Window,
    planned: &HashMap<(String, String), (Offset, String)>,
) -> Option<Decided> {
    let refuse = |refusal| Some(Decided::Refuse(ask.sender.clone(), None, refusal));
    let floor = state.floor(offset);
    if let Some(refusal) = ask.since.and_then(|since| untimely(since, offset, floor)) {
        return refuse(refusal);
    }
    // What this batch executes is remembered as what was executed before it: down to the floor.
    let seen = match planned.get(&name(&ask.key)).filter(|(first, _)| *first >= floor) {
        Some((first, body)) if *body == ask.key.body => Seen::Same(*first),
        Some((first, _)) => Seen::Other(*first),
        None => window.look(&ask.key, floor),
    };
    match seen {
        Seen::New => None,
        Seen::Same(first) => Some(Decided::Repeat(ask.sender.clone(), first)),
        Seen::Other(first) => refuse(ResponseError::new(
            ErrorCode::MessageIdReuse,
            format!(
                "another request with this messageId was executed at offset {first}; use a new messageId for each request"
            ),
        )),
    }
}

/// Why a request at `offset` that names `since` as below all its attempts cannot be judged, where outcomes are remembered from `floor` on.
fn untimely(since: Offset, offset: Offset, floor: Offset) -> Option<Refusal> {
    if since >= offset {
        let message = format!(
            "sinceOffset {since} is not below the request's own offset {offset}; send an offset known before the first attempt"
        );
        return Some(ResponseError::new(ErrorCode::BadSince, message));
    }
    let message = format!(
        "sinceOffset {since} lies before offset {floor}, where memory of outcomes begins; whether it was executed before cannot be told"
    );
    (since.next() < floor).then(|| ResponseError::new(ErrorCode::Expired, message))
}

impl Settled {
    fn entry(&mut self, entry: &Entry, ran: &mut impl Iterator<Item = Ran>) {
        let hash = entry.record.hash();
        match &entry.step {
            Decided::Control(control) => {
                self.advance(&entry.record, hash, Came::PASSED, Effects::NONE);
                self.state.control(control);
            }
            Decided::Refuse(sender, key, refusal) => {
                self.advance(&entry.record, hash, Came::Ruled(refusal.code), Effects::NONE);
                let outcome = Outcome { key: key.clone(), error: Some(refusal.clone()), ..self.outcome(sender) };
                self.outcomes.push((outcome, Answer::Fresh(Vec::new())));
            }
            Decided::Repeat(sender, first) => {
                // What it repeats is in the chain already; that it is a repeat, and of what, is what nodes must agree on here.
                self.advance(&entry.record, hash, Came::Repeated(*first), Effects::NONE);
                let outcome = Outcome { repeats: Some(*first), ..self.outcome(sender) };
                self.outcomes.push((outcome, Answer::Stored));
            }
            Decided::Execute(ask) => {
                let result = ran.next().expect("every work of a plan was run");
                self.executed(&entry.record, hash, ask, result);
            }
        }
    }

    fn executed(&mut self, record: &Record, hash: RecordHash, ask: &Ask, result: Ran) {
        let (error, rows) = match result {
            Ok(rows) => (None, rows),
            Err(refusal) => (Some(refusal), Vec::new()),
        };
        let counts: Vec<u64> = rows.iter().map(|rows| rows.affected).collect();
        let effects: Effects = rows.iter().map(|rows| rows.effects).sum();
        let in_chain = self.state.effects.as_ref().is_some_and(|counted| counted.means.is_in_chain());
        let came = match error {
            None => Came::Done { rows: &counts, effects: in_chain.then_some(effects) },
            Some(_) => Came::Refused,
        };
        self.advance(record, hash, came, effects);
        if !ask.reads {
            self.keep(record.offset, &rows);
        }
        let returned = rows.iter().any(|rows| !rows.columns.is_empty());
        let (key, list) = (Some(ask.key.clone()), ask.list);
        let outcome = Outcome { key, error, list, counts, returned, ..self.outcome(&ask.sender) };
        self.outcomes.push((outcome, Answer::Fresh(rows)));
    }

    /// Moves the state on over a record. Effects that are not known by now are counted when they are.
    fn advance(&mut self, record: &Record, hash: RecordHash, came: Came<'_>, effects: Effects) {
        self.state.advance(record, hash, came);
        let Some(counted) = self.state.effects.as_mut().filter(|counted| counted.means.is_synchronous()) else {
            return;
        };
        counted.advance(record.offset, effects);
        if !effects.is_none() {
            self.effects.push((record.offset, effects));
        }
    }

    /// Keeps what a writing request returned, if it is small, so that a retry gets it again.
    fn keep(&mut self, offset: Offset, rows: &[Rows]) {
        let bytes: u64 = rows.iter().map(Rows::bytes).sum();
        let returned = rows.iter().any(|rows| !rows.columns.is_empty());
        if !returned || bytes > MAX_KEPT_ROWS_BYTES as u64 {
            return;
        }
        let kept = rows.iter().map(|rows| {
            let columns = rows.columns.clone();
            rows.in_memory().map(|rows| KeptRows { columns, rows: rows.to_vec() })
        });
        if let Some(kept) = kept.collect::<Option<Vec<_>>>() {
            self.kept.insert(offset, kept);
            // An empty result is kept too; it counts as a byte, so that the window knows it.
            self.kept_bytes.insert(offset, bytes.max(1));
        }
    }

    /// An outcome as of the state just reached.
    fn outcome(&self, sender: &Sender) -> Outcome {
        Outcome {
            offset: self.state.applied,
            key: None,
            repeats: None,
            request_id: sender.request_id.clone(),
            reply_partition: sender.reply_partition,
            reply_key: sender.reply_key.clone(),
            members: members(&self.state),
            chain: self.state.chain.short(),
            error: None,
            list: false,
            counts: Vec::new(),
            returned: false,
        }
    }
}

/// This node's place in the cluster as of `state`.
pub fn members(state: &State) -> Members {
    Members {
        version: state.membership.version,
        voter: state.membership.role(&state.node_id) == Some(Role::Voter),
        voters: state.membership.voters.len() as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(offset: u64, timestamp_ms: i64) -> Record {
        let offset = Offset::new(offset);
        let request = format!(r#"{{"messageId":"m{offset}","clientId":"c","sqlString":"insert into t values (1)"}}"#);
        Record { partition: 0, offset, timestamp_ms, key: None, headers: vec![], value: Some(request.into()) }
    }

    #[test]
    fn a_work_has_the_logs_time_wherever_the_batch_before_it_ended() {
        let records = [insert(1, 30), insert(2, 20), insert(3, 50), insert(4, 10)];
        for max in [1, 2, 60] {
            let mut state = State::empty("n1".into(), "k".into(), "t".into());
            let mut times = Vec::new();
            while let Some(first) = records.iter().position(|record| record.offset > state.applied) {
                let (window, decisions) = (Window::default(), Decisions::default());
                let plan = Plan::cut(Dialect::MariaDb, &state, &window, &decisions, &records[first..], max).unwrap();
                times.extend(plan.works.iter().map(|work| work.time_ms));
                let refused = || Err(Refusal::new(ErrorCode::UniqueViolation, "there is one"));
                state = plan.settle(&state, plan.works.iter().map(|_| refused()).collect()).state;
            }
            assert_eq!(times, [30, 30, 50, 50], "batches of {max}");
        }
    }
}
