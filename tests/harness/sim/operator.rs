//! Operator: requests that no node, or not every node, can execute; and the person who decides what becomes of them, and who ends requests that
//! are under way.
//!
//! The operator sees what a person sees: heartbeats on NODES and decisions on DECISIONS.

use super::counts::Counts;
use super::faults::Chance;
use kluster_log::{Log, MemoryLog};
use kluster_node::clerk;
use kluster_node::council::{Council, Finding, Voice, Wish};
use kluster_node::fault::{Cause, Fault};
use kluster_protocol::{Decisions, Heartbeat, NodeId, Offset, Ruling, Topic};
use rand::RngExt;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// Which requests cannot be executed where.
#[derive(Clone)]
pub struct Ills {
    chance: Chance,
    /// By node and text: whether it fails there. None any more once healed.
    flaky: Arc<Mutex<HashMap<(String, String), bool>>>,
}

impl Ills {
    pub fn new(chance: Chance) -> Self {
        Self { chance, flaky: Arc::default() }
    }

    /// How these statements fail on `node`: what is doomed everywhere alike and for ever, what is flaky on some nodes until they are healed.
    pub fn fault(&self, node: &str, texts: &[&str]) -> Option<Fault> {
        if texts.iter().any(|text| text.contains("'doomed'")) {
            return Some(Fault::Unknown(Cause::new("doomed", "no database can do this")));
        }
        let text = texts.iter().find(|text| text.contains("'flaky'"))?;
        let mut flaky = self.flaky.lock().expect("never poisoned");
        let key = (node.to_owned(), (*text).to_owned());
        let fails = *flaky.entry(key).or_insert_with(|| self.chance.strikes(0.5));
        fails.then(|| Fault::Unknown(Cause::new(format!("flaky on {node}"), "this database cannot do this now")))
    }

    fn heal(&self) {
        self.flaky.lock().expect("never poisoned").values_mut().for_each(|fails| *fails = false);
    }
}

/// Decides for ever what the nodes do not decide themselves.
pub async fn operate(log: MemoryLog, chance: Chance, counts: Counts, ills: Ills, epoch: Instant) {
    let handle = Log::memory(log.user("operator"));
    loop {
        let pause = chance.draw(|rng| rng.random_range(200..1500));
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let (council, decisions) = (council(&log, epoch), decisions(&log));
        for offset in council.offsets(&decisions) {
            if !matches!(council.judge(offset, &decisions, "operator"), Finding::Person(_)) {
                continue;
            }
            let refuses = chance.draw(|rng| rng.random_bool(0.5));
            let wish = |ruling| Wish { offset, ruling, without: Vec::new(), by: "operator".into() };
            let error = council.resolve(&decisions, wish(Ruling::Error)).ok().filter(|_| refuses);
            let decision = match error {
                Some(decision) => Some(decision),
                None => {
                    ills.heal();
                    council.resolve(&decisions, wish(Ruling::Retry)).ok()
                }
            };
            if let Some(decision) = decision {
                let _ = clerk::write(&handle, &decision).await; // whether the log took it is seen at the next look
            }
        }
        if chance.strikes(0.12) {
            cancel(&log, &handle, &chance, &council, &decisions).await;
            counts.met("operator: cancels");
        }
    }
}

/// Holds back what may be under way, or may be done already.
async fn cancel(log: &MemoryLog, handle: &Log, chance: &Chance, council: &Council, decisions: &Decisions) {
    let Some(last) = log.records(Topic::All, 0).last().map(|record| record.offset) else { return };
    let offset = last.back(chance.draw(|rng| rng.random_range(0..3)));
    let wish = Wish { offset, ruling: Ruling::Hold, without: Vec::new(), by: "operator".into() };
    if let Ok(decision) = council.resolve(decisions, wish) {
        let _ = clerk::write(handle, &decision).await;
    }
}

fn council(log: &MemoryLog, epoch: Instant) -> Council {
    let now_ms = epoch.elapsed().as_millis() as i64;
    let mut voices: BTreeMap<NodeId, Voice> = BTreeMap::new();
    for record in log.records(Topic::Nodes, 0) {
        let Some(Ok(heartbeat)) = record.value.as_deref().map(serde_json::from_slice::<Heartbeat>) else { continue };
        let gone = now_ms - record.timestamp_ms >= 5000;
        voices.insert(heartbeat.node_id.clone(), Voice { heartbeat, gone });
    }
    let memberships = voices.values().map(|voice| &voice.heartbeat.membership);
    let membership = memberships.max_by_key(|membership| membership.version).cloned().unwrap_or_default();
    Council { membership, voices }
}

fn decisions(log: &MemoryLog) -> Decisions {
    let mut decisions = Decisions::default();
    for record in log.records(Topic::Decisions, 0) {
        if let Some(Ok(decision)) = record.value.as_deref().map(serde_json::from_slice) {
            decisions.take(record.offset, decision);
        }
    }
    decisions
}

/// What the records of DECISIONS amount to, read by the words of the protocol alone: the code of each offset that is refused.
pub fn refused(log: &MemoryLog, counts: &Counts) -> BTreeMap<u64, &'static str> {
    let mut rounds: BTreeMap<u64, (u64, bool)> = BTreeMap::new();
    let mut refused = BTreeMap::new();
    for record in log.records(Topic::Decisions, 0) {
        let value: serde_json::Value =
            serde_json::from_slice(record.value.as_deref().unwrap_or_default()).unwrap_or_default();
        let (Some(offset), Some(round)) = (value["offset"].as_u64(), value["round"].as_u64()) else { continue };
        let (open, held) = rounds.entry(offset).or_default();
        if refused.contains_key(&offset) || round != *open {
            counts.met("decision: came too late");
            continue;
        }
        match value["as"].as_str() {
            Some("error") if value["code"] == "cancelled" => {
                counts.met("decision: cancelled");
                refused.insert(offset, "cancelled");
            }
            Some("error") => {
                let by = if value["by"] == "operator" { "by the operator" } else { "agreed" };
                counts.met(format!("decision: error, {by}"));
                refused.insert(offset, "decided");
            }
            Some("retry") => {
                counts.met(if *held { "decision: let go" } else { "decision: retry" });
                (*open, *held) = (*open + 1, false);
            }
            Some("hold") => *held = true,
            other => panic!("a decision as {other:?}"),
        }
    }
    refused
}

/// Where nodes were heard to wait.
pub fn count_waits(log: &MemoryLog, counts: &Counts) {
    let mut before: BTreeMap<NodeId, Option<(Offset, String)>> = BTreeMap::new();
    for record in log.records(Topic::Nodes, 0) {
        let Some(Ok(beat)) = record.value.as_deref().map(serde_json::from_slice::<Heartbeat>) else { continue };
        let waits = beat.halt.as_ref().map(|halt| (halt.offset, halt.code.clone()));
        let last = before.entry(beat.node_id.clone()).or_default();
        if *last != waits {
            if let Some((_, code)) = &waits {
                counts.met(format!("node waits: {}", code.split(' ').next().unwrap_or_default()));
            }
            *last = waits;
        }
    }
}
