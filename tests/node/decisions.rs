//! Where nodes cannot execute a request: what all meet alike is the request's outcome, what only some meet stops these, and people decide the rest.

use crate::running::*;
use kluster_log::{Log, MemoryLog};
use kluster_node::clerk;
use kluster_node::fault::{Cause, Fault};
use kluster_node::step::{Step, Steps, Watch};
use kluster_protocol::{Decision, ErrorClass, NodeState, Offset, Ruling, Topic};
use serde_json::Value;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// What a node's database does with a request whose text says `bad`.
#[derive(Default)]
struct Ill {
    fault: Mutex<Option<Fault>>,
    executed: AtomicU32,
    /// Closed: what was executed stays so, not yet committed, until it is opened.
    gate: watch::Sender<bool>,
}

impl Watch for Ill {
    fn reached(&self, step: Step) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if step == Step::Executed {
                let _ = self.gate.subscribe().wait_for(|closed| !closed).await;
            }
        })
    }

    fn fails(&self, texts: &[&str]) -> Option<Fault> {
        if !texts.iter().any(|text| text.contains("bad")) {
            return None;
        }
        self.executed.fetch_add(1, Ordering::Relaxed);
        self.fault.lock().unwrap().clone()
    }
}

impl Ill {
    fn with(fault: Option<Fault>) -> Arc<Self> {
        Arc::new(Self { fault: Mutex::new(fault), ..Self::default() })
    }

    fn heals(&self) {
        *self.fault.lock().unwrap() = None;
    }

    fn gate(&self, closed: bool) {
        self.gate.send_replace(closed);
    }

    fn executed(&self) -> u32 {
        self.executed.load(Ordering::Relaxed)
    }
}

fn unknown(code: &str) -> Option<Fault> {
    Some(Fault::Unknown(Cause::new(code, "an error that no table knows")))
}

/// Three voters, each with its own trouble.
struct Three {
    memory: MemoryLog,
    homes: Vec<Home>,
    ills: Vec<Arc<Ill>>,
    nodes: Vec<Running>,
}

const NAMES: [&str; 3] = ["n1", "n2", "n3"];

impl Three {
    async fn ready(faults: [Option<Fault>; 3]) -> Self {
        let homes: Vec<Home> = NAMES.iter().map(|_| Home::new()).collect();
        let ills: Vec<_> = faults.into_iter().map(Ill::with).collect();
        let mut three = Self { memory: memory(), homes, ills, nodes: Vec::new() };
        for n in 0..3 {
            let node = three.start(n).await;
            three.nodes.push(node);
        }
        for node in &three.nodes {
            node.until(|now| now.state == NodeState::Ready && now.membership.voters.len() == 3).await;
        }
        let at = write(&three.memory, "schema", "create table t(id integer, note text)").await;
        three.all_applied(at).await;
        three
    }

    async fn start(&self, n: usize) -> Running {
        let steps = Steps::watched(self.ills[n].clone());
        Running::start(&self.memory, self.homes[n].settings(NAMES[n], steps)).await
    }

    /// Ends a node, and starts it again on the same database.
    async fn restart(&mut self, n: usize) {
        let node = self.nodes.remove(n);
        let _ = node.end().await;
        let node = self.start(n).await;
        self.nodes.insert(n, node);
    }

    async fn bad(&self) -> Offset {
        write(&self.memory, "bad", "insert into t values (1, 'bad')").await
    }

    async fn all_applied(&self, at: Offset) {
        for node in &self.nodes {
            node.applied(at).await;
        }
    }

    async fn stopped_at(&self, n: usize, at: Offset, round: u32) {
        let node = &self.nodes[n];
        node.until(|now| now.halt.as_ref().is_some_and(|halt| halt.offset == at && halt.round == round)).await;
        let state = node.status.now().state;
        assert!(
            matches!(state, NodeState::Stopped { offset, round: r, .. } if offset == at && r == round),
            "{state:?}"
        );
    }

    async fn decide(&self, offset: Offset, round: u32, ruling: Ruling) {
        let decision =
            Decision { offset, round, ruling, code: None, by: "test".into(), members: vec![], without: vec![] };
        clerk::write(&Log::memory(self.memory.user("operator")), &decision).await.unwrap();
    }

    /// Every node obeys all that is decided by now.
    async fn all_obey(&self) {
        let decided = Offset::new(self.decisions().len() as u64);
        for node in &self.nodes {
            node.until(|now| now.obeys >= Some(decided)).await;
        }
    }

    fn decisions(&self) -> Vec<Value> {
        all(&self.memory, Topic::Decisions)
    }

    /// Every node answers a request alike, and has the same chain behind it.
    async fn agree(&self, id: &str, code: &str) {
        let at = write(&self.memory, "behind", "select count(*) as n from t").await;
        self.all_applied(at).await;
        let chains: Vec<_> = self.nodes.iter().map(|node| node.status.now().chain).collect();
        assert!(chains.iter().all(|chain| *chain == chains[0]), "{chains:?}");
        for name in NAMES {
            let said = answer_of(&self.memory, id, name).await;
            assert_eq!(said["error"]["code"], code, "{said}");
        }
        for name in NAMES {
            assert_eq!(answer_of(&self.memory, "behind", name).await["result"][0]["n"], 0);
        }
    }

    async fn end(self) {
        for node in self.nodes {
            node.end().await.unwrap();
        }
    }
}

async fn answer_of(memory: &MemoryLog, id: &str, node: &str) -> Value {
    found(memory, Topic::Responses, |response| response["requestId"] == id && response["nodeId"] == node).await
}

#[tokio::test(start_paused = true)]
async fn an_error_that_all_voters_meet_alike_is_the_outcome() {
    let three = Three::ready([unknown("54000"), unknown("54000"), unknown("54000")]).await;
    let at = three.bad().await;
    three.all_applied(at).await;
    let said = report(&three.memory, |error| error.class == ErrorClass::Unknown).await;
    assert_eq!((said.offset, said.request_id.as_deref(), said.code.as_deref()), (Some(at), Some("bad"), Some("54000")));
    let decision: Decision = serde_json::from_value(three.decisions().remove(0)).unwrap();
    assert_eq!((decision.offset, decision.round, decision.ruling), (at, 0, Ruling::Error));
    assert_eq!(decision.code.as_deref(), Some("54000"));
    assert_eq!(decision.members, NAMES.map(Into::into));
    three.agree("bad", "decided").await;
    assert!(answer(&three.memory, "bad").await["error"]["message"].as_str().unwrap().contains("54000"));
    three.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_fails_alone_stays_stopped_and_does_not_try_again_until_it_is_decided() {
    let mut three = Three::ready([None, unknown("XX001"), None]).await;
    let at = three.bad().await;
    three.nodes[0].applied(at).await;
    three.nodes[2].applied(at).await;
    three.stopped_at(1, at, 0).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(three.decisions().len(), 0);
    assert_eq!(answer(&three.memory, "bad").await["resultCode"], "OK");
    let executed = three.ills[1].executed();
    three.restart(1).await;
    three.stopped_at(1, at, 0).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!((three.ills[1].executed(), three.decisions().len()), (executed, 0));
    // Decided to try again, it meets the error again, and waits in the next round.
    three.decide(at, 0, Ruling::Retry).await;
    three.stopped_at(1, at, 1).await;
    assert!(three.ills[1].executed() > executed);
    three.ills[1].heals();
    three.decide(at, 1, Ruling::Retry).await;
    three.nodes[1].applied(at).await;
    three.end().await;
}

#[tokio::test(start_paused = true)]
async fn unlike_errors_are_for_a_person_who_decides_once() {
    let mut three = Three::ready([unknown("a"), unknown("b"), unknown("a")]).await;
    let at = three.bad().await;
    for n in 0..3 {
        three.stopped_at(n, at, 0).await;
    }
    three.restart(0).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(three.decisions().len(), 0);
    three.decide(at, 0, Ruling::Error).await;
    // Of a round the first decision holds.
    three.decide(at, 0, Ruling::Retry).await;
    three.all_applied(at).await;
    three.agree("bad", "decided").await;
    three.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_from_empty_knows_the_decision_before_it_comes_to_the_offset() {
    let mut three = Three::ready([unknown("54000"), unknown("54000"), unknown("54000")]).await;
    let at = three.bad().await;
    three.all_applied(at).await;
    let node = three.nodes.remove(2);
    node.end().await.unwrap();
    // A new database, on which the request would pass.
    three.homes[2] = Home::new();
    three.ills[2] = Ill::with(None);
    let node = three.start(2).await;
    three.nodes.push(node);
    three.all_applied(at).await;
    assert_eq!(three.ills[2].executed(), 0);
    three.agree("bad", "decided").await;
    three.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_has_committed_is_cancelled_on_all_nodes_alike() {
    let mut three = Three::ready([None, None, None]).await;
    three.ills.iter().for_each(|ill| ill.gate(true));
    let at = three.bad().await;
    for node in &three.nodes {
        node.until(|now| now.running.as_ref().is_some_and(|running| running.offset == at)).await;
    }
    let said = report(&three.memory, |error| error.code.as_deref() == Some("long_running")).await;
    assert_eq!((said.class, said.offset, said.request_id.as_deref()), (ErrorClass::Alarm, Some(at), Some("bad")));
    three.decide(at, 0, Ruling::Hold).await;
    three.all_obey().await;
    three.ills.iter().for_each(|ill| ill.gate(false));
    three.all_applied(at).await;
    let cancelled: Decision = serde_json::from_value(three.decisions()[1].clone()).unwrap();
    assert_eq!((cancelled.ruling, cancelled.code.as_deref()), (Ruling::Error, Some("cancelled")));
    three.agree("bad", "cancelled").await;
    // A replay obeys it.
    let node = three.nodes.remove(1);
    node.end().await.unwrap();
    three.homes[1] = Home::new();
    let node = three.start(1).await;
    three.nodes.push(node);
    three.all_applied(at).await;
    three.agree("bad", "cancelled").await;
    three.end().await;
}

#[tokio::test(start_paused = true)]
async fn where_one_node_was_quicker_than_the_hold_its_outcome_holds() {
    let mut three = Three::ready([None, None, None]).await;
    three.ills[1].gate(true);
    three.ills[2].gate(true);
    let at = three.bad().await;
    three.nodes[0].applied(at).await;
    three.decide(at, 0, Ruling::Hold).await;
    three.restart(0).await;
    three.ills[1].gate(false);
    three.ills[2].gate(false);
    three.all_applied(at).await;
    let rulings: Vec<_> = three.decisions().iter().map(|decision| decision["as"].clone()).collect();
    assert!(rulings.contains(&"retry".into()) && !rulings.contains(&"error".into()), "{rulings:?}");
    for name in NAMES {
        assert_eq!(answer_of(&three.memory, "bad", name).await["resultCode"], "OK");
    }
    three.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_voter_that_is_gone_keeps_an_offset_held_until_a_person_lets_it_go() {
    let mut three = Three::ready([None, None, None]).await;
    let node = three.nodes.remove(2);
    node.end().await.unwrap();
    three.ills.iter().for_each(|ill| ill.gate(true));
    let at = three.bad().await;
    three.decide(at, 0, Ruling::Hold).await;
    three.all_obey().await;
    three.ills.iter().for_each(|ill| ill.gate(false));
    for n in 0..2 {
        three.stopped_at(n, at, 0).await;
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(three.decisions().len(), 1);
    three.decide(at, 0, Ruling::Retry).await;
    three.all_applied(at).await;
    assert_eq!(answer(&three.memory, "bad").await["resultCode"], "OK");
    three.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_comes_back_with_another_error_than_was_agreed_on_without_it_stays_stopped() {
    let mut three = Three::ready([unknown("a"), unknown("a"), unknown("b")]).await;
    three.ills[0].gate(true);
    let at = three.bad().await;
    three.stopped_at(2, at, 0).await;
    let node = three.nodes.remove(2);
    assert!(node.end().await.is_err(), "it ends as a node that has stopped");
    tokio::time::sleep(Duration::from_secs(20)).await;
    three.ills[0].gate(false);
    three.all_applied(at).await;
    let node = three.start(2).await;
    assert_eq!(node.stopped().await, "diverged");
    assert!(node.end().await.is_err());
    three.end().await;
}
