//! Random histories: several clients join, sync, beat, leave, restart, forget and fall silent in any order while time passes. After every step
//! all invariants of the module hold; when everybody falls silent the group ends empty.

use super::fixture::{LIMITS, Stage, again, dynamic, fixed, protocols};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const CLIENTS: usize = 6; // one more than the group takes

#[derive(Debug, Clone)]
enum Step {
    /// Joins with the id it knows, if it knows one. The number says which protocols it likes.
    Join(usize, u8),
    /// Syncs so many generations before the one it knows; a leader names everybody it was told of.
    Sync(usize, i32),
    /// In a generation likewise.
    Heartbeat(usize, i32),
    Leave(usize),
    /// Forgets its id: it restarted.
    Forget(usize),
    /// Milliseconds.
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    prop_oneof![
        6 => (client.clone(), 0..4_u8).prop_map(|(client, likes)| Step::Join(client, likes)),
        6 => (client.clone(), lag()).prop_map(|(client, lag)| Step::Sync(client, lag)),
        3 => (client.clone(), lag()).prop_map(|(client, lag)| Step::Heartbeat(client, lag)),
        1 => client.clone().prop_map(Step::Leave),
        1 => client.prop_map(Step::Forget),
        3 => prop_oneof![1..2_000_u64, 1..30_000_u64].prop_map(Step::Pass),
    ]
}

fn lag() -> impl Strategy<Value = i32> {
    prop_oneof![4 => Just(0), 1 => Just(1)]
}

/// What a client knows of itself.
#[derive(Debug, Default, Clone)]
struct Client {
    id: String,
    generation: i32,
    leads: Vec<String>,
    /// Joins not answered when it looked last.
    asked: Vec<Token>,
}

struct History {
    stage: Stage,
    clients: Vec<Client>,
    tokens: BTreeSet<Token>,
    /// Who asked for an assignment, and of which generation.
    syncs: BTreeMap<Token, (String, i32)>,
    generation: i32,
    /// Members of earlier moments that are members no more.
    removed: BTreeSet<String>,
    present: BTreeSet<String>,
}

impl History {
    fn new(initial_delay: Duration) -> Self {
        Self {
            stage: Stage::with(Limits { initial_delay, ..LIMITS }),
            clients: vec![Client::default(); CLIENTS],
            tokens: BTreeSet::new(),
            syncs: BTreeMap::new(),
            generation: 0,
            removed: BTreeSet::new(),
            present: BTreeSet::new(),
        }
    }

    /// Clients 0 to 3 are dynamic, of which two get their id first; 4 and 5 are static.
    fn ask(client: usize, likes: u8) -> Join {
        let names: &[&str] =
            [&["range", "roundrobin"][..], &["roundrobin", "range"], &["roundrobin"], &["sticky"]][usize::from(likes)];
        let name = format!("c{client}");
        let join = if client < 4 { dynamic(&name) } else { fixed(&name) };
        Join { protocols: protocols(names), id_first: client.is_multiple_of(2), ..join }
    }

    fn step(&mut self, step: &Step) {
        let joins: BTreeSet<Token> = self.stage.joins.keys().copied().collect();
        let syncs: BTreeSet<Token> = self.stage.syncs.keys().copied().collect();
        let known = |history: &Self, client: &usize| history.clients[*client].clone();
        match step {
            Step::Join(client, likes) => {
                let token = self.stage.join(again(Self::ask(*client, *likes), &known(self, client).id));
                self.clients[*client].asked.push(token);
                self.tokens.insert(token);
            }
            Step::Sync(client, lag) => {
                let Client { id, generation, leads, .. } = known(self, client);
                let (generation, of) = (generation - lag, format!("of {generation}"));
                let assignments: Vec<(&str, &str)> = leads.iter().map(|id| (id.as_str(), of.as_str())).collect();
                let token = self.stage.sync(&id, generation, &assignments);
                self.tokens.insert(token);
                self.syncs.insert(token, (id, generation));
            }
            Step::Heartbeat(client, lag) => {
                let Client { id, generation, .. } = known(self, client);
                let generation = generation - lag;
                let alive = self.stage.heartbeat(&id, generation);
                assert!(alive.is_err() || !self.removed.contains(&id), "5: a removed member is told that it lives");
                assert!(alive.is_err() || generation == self.stage.group.generation);
            }
            Step::Leave(client) => {
                let id = known(self, client).id;
                let left = self.stage.leave(&[Identity::member(&id)]);
                assert!(left[0].is_err() || !self.removed.contains(&id));
            }
            Step::Forget(client) => self.clients[*client] = Client::default(),
            Step::Pass(milliseconds) => self.stage.pass(Duration::from_millis(*milliseconds)),
        }
        self.check_answers(&joins, &syncs, matches!(step, Step::Pass(_)));
        self.learn();
        self.check();
    }

    /// Of the answers that came in this step: OK is for members, in the generation that stands.
    fn check_answers(&self, joins: &BTreeSet<Token>, syncs: &BTreeSet<Token>, time_passed: bool) {
        let group = &self.stage.group;
        for (token, answer) in self.stage.joins.iter().filter(|(token, _)| !joins.contains(token)) {
            let Ok(joined) = answer else { continue };
            assert!(!self.removed.contains(&joined.member_id), "5: {token:?} is OK for a removed member");
            assert!(time_passed || group.members.contains_key(&joined.member_id), "5: OK for no member");
            assert!(time_passed || joined.generation == group.generation, "1: OK for an old generation");
        }
        for (token, answer) in self.stage.syncs.iter().filter(|(token, _)| !syncs.contains(token)) {
            if let Ok(synced) = answer {
                let (id, generation) = &self.syncs[token];
                let of = format!("of {generation}");
                assert!(synced.assignment.is_empty() || synced.assignment == of, "2: an assignment of another leader");
                assert!(matches!(group.state, State::Stable { .. }), "2: an assignment in {}", group.state());
                assert!(group.members.contains_key(id), "5: an assignment for no member");
                assert_eq!(*generation, group.generation, "2: an assignment of another generation");
            }
        }
    }

    /// Clients read their answers.
    fn learn(&mut self) {
        for client in &mut self.clients {
            for token in std::mem::take(&mut client.asked) {
                match self.stage.joins.get(&token) {
                    None => client.asked.push(token),
                    Some(Ok(joined)) => {
                        client.id.clone_from(&joined.member_id);
                        client.generation = joined.generation;
                        client.leads = joined.members.iter().map(|member| member.member_id.clone()).collect();
                    }
                    Some(Err(refused)) => match refused.error {
                        ResponseError::MemberIdRequired => client.id.clone_from(&refused.member_id),
                        ResponseError::UnknownMemberId | ResponseError::FencedInstanceId => client.id.clear(),
                        _ => {}
                    },
                }
            }
        }
    }

    fn check(&mut self) {
        let group = &self.stage.group;
        assert!(group.generation >= self.generation, "1: the generation fell");
        self.generation = group.generation;

        if let State::Stable { .. } = group.state {
            let of = format!("of {}", group.generation);
            let whole = |member: &Member| member.assignment.is_empty() || member.assignment == of;
            assert!(group.members.values().all(whole), "2: an assignment of another generation");
        }

        let waiting: Vec<Token> =
            group.members.values().flat_map(|member| [member.joining, member.syncing]).flatten().collect();
        let answered = self.stage.joins.len() + self.stage.syncs.len();
        assert_eq!(waiting.len() + answered, self.tokens.len(), "3: a request is lost, or waits though answered");
        assert!(
            waiting.iter().all(|token| !self.stage.joins.contains_key(token) && !self.stage.syncs.contains_key(token))
        );

        assert!(waiting.is_empty() || group.next_deadline().is_some(), "4: somebody waits for ever");
        let may_wait_for = |member: &Member| match group.state {
            State::PreparingRebalance { .. } => member.syncing.is_none(),
            State::CompletingRebalance { .. } => member.joining.is_none(),
            _ => member.joining.is_none() && member.syncing.is_none(),
        };
        assert!(group.members.values().all(may_wait_for), "4: somebody waits for what does not come in this state");

        let present: BTreeSet<String> = group.members.keys().cloned().collect();
        self.removed.extend(self.present.difference(&present).cloned());
        assert!(self.removed.is_disjoint(&present), "5: a removed member is back under its id");
        self.present = present;

        if matches!(group.state, State::CompletingRebalance { .. } | State::Stable { .. }) {
            let leader = group.leader.as_ref().expect("6: a leader");
            let protocol = group.protocol.as_ref().expect("6: a protocol");
            assert!(group.members.contains_key(leader), "6: the leader is gone");
            assert!(group.members.values().all(|member| member.knows(protocol)), "6: a protocol that not all know");
        }
        assert_eq!(group.members.is_empty(), group.is_empty(), "Empty, and nothing else, is without members");

        assert!(group.members.len() + group.pending.len() <= LIMITS.members, "7: too many");

        let instances: Vec<&String> = group.members.values().filter_map(|member| member.instance_id.as_ref()).collect();
        assert_eq!(instances.iter().collect::<BTreeSet<_>>().len(), instances.len(), "8: two members of one name");
    }

    /// Everybody is silent from now on.
    fn end(&mut self) {
        self.step(&Step::Pass(3_600_000));
        assert_eq!(
            (self.stage.group.state(), self.stage.group.next_deadline()),
            ("Empty", None),
            "4: it does not settle"
        );
        assert_eq!(
            self.stage.joins.len() + self.stage.syncs.len(),
            self.tokens.len(),
            "3: a request is never answered"
        );
    }

    /// Clients that do what clients do reach a stable generation of all who are there.
    fn settle(&mut self) {
        for _ in 0..4 {
            for client in 0..4 {
                self.step(&Step::Heartbeat(client, 0));
                if self.clients[client].asked.is_empty() {
                    self.step(&Step::Join(client, 0));
                }
            }
            for client in 0..4 {
                self.step(&Step::Sync(client, 0));
            }
            self.step(&Step::Pass(1000));
        }
        for _ in 0..15 {
            for client in 0..4 {
                self.step(&Step::Heartbeat(client, 0));
            }
            self.step(&Step::Pass(1000));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_history_keeps_the_promises(steps in prop::collection::vec(step(), 1..120), delay in 0..4_u64) {
        let mut history = History::new(Duration::from_secs(delay));
        for step in &steps {
            history.step(step);
        }
        history.end();
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn after_any_history_clients_that_behave_reach_a_stable_group(steps in prop::collection::vec(step(), 1..60)) {
        let mut history = History::new(Duration::ZERO);
        for step in &steps {
            history.step(step);
        }
        history.stage.pass(Duration::from_secs(400)); // what is broken is over
        for client in &mut history.clients {
            *client = Client::default();
        }
        history.settle();
        let group = &history.stage.group;
        prop_assert_eq!(group.state(), "Stable");
        prop_assert_eq!(group.members.len(), 4);
    }
}
