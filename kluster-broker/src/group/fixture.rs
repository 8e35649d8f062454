//! A group on a stage: tests say who does what, time passes on command, answers are kept under their tokens and none may come twice.

use super::*;
use bytes::Bytes;

pub(super) const SESSION: Duration = Duration::from_secs(10);
pub(super) const REBALANCE: Duration = Duration::from_secs(60);

pub(super) const LIMITS: Limits = Limits { members: 5, member_bytes: 1000, initial_delay: Duration::ZERO };

pub(super) struct Stage {
    pub(super) group: Group,
    pub(super) now: Instant,
    tokens: u64,
    pub(super) joins: BTreeMap<Token, JoinAnswer>,
    pub(super) syncs: BTreeMap<Token, SyncAnswer>,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::with(LIMITS)
    }

    pub(super) fn with(limits: Limits) -> Self {
        let now = Instant::now();
        let group = Group::new(limits, now);
        Self { group, now, tokens: 0, joins: BTreeMap::new(), syncs: BTreeMap::new() }
    }

    /// The token of the join; a fresh id is `<client>-<token>`.
    pub(super) fn join(&mut self, join: Join) -> Token {
        let token = self.token();
        let fresh = format!("{}-{}", join.client_id, token.0);
        self.group.join(self.now, token, join, &fresh);
        self.collect();
        token
    }

    pub(super) fn sync(&mut self, id: &str, generation: i32, assignments: &[(&str, &str)]) -> Token {
        let assignments =
            assignments.iter().map(|(id, what)| ((*id).to_owned(), Bytes::copy_from_slice(what.as_bytes())));
        let (who, assignments) = (Identity::member(id), assignments.collect());
        self.sync_as(Sync { who, generation, protocol_type: None, protocol: None, assignments })
    }

    pub(super) fn sync_as(&mut self, sync: Sync) -> Token {
        let token = self.token();
        self.group.sync(self.now, token, sync);
        self.collect();
        token
    }

    pub(super) fn heartbeat(&mut self, id: &str, generation: i32) -> Result<(), ResponseError> {
        let result = self.group.heartbeat(self.now, &Identity::member(id), generation);
        self.collect();
        result
    }

    pub(super) fn leave(&mut self, leaving: &[Identity]) -> Vec<Result<(), ResponseError>> {
        let results = self.group.leave(self.now, leaving).expect("the group is not drained");
        self.collect();
        results
    }

    pub(super) fn drain(&mut self) {
        self.group.drain();
        self.collect();
    }

    /// Time passes, and the group is woken whenever it asked for that.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..10_000 {
            let Some(due) = self.group.next_deadline().filter(|due| *due <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(due);
            self.group.tick(self.now);
            self.collect();
        }
        panic!("the group asks to be woken for ever: {:?}", self.group);
    }

    /// The answer to a join that succeeded.
    pub(super) fn joined(&self, token: Token) -> Joined {
        self.joins.get(&token).expect("the join is answered").clone().expect("the join succeeded")
    }

    /// The error of a join that was refused.
    pub(super) fn refused(&self, token: Token) -> ResponseError {
        self.joins.get(&token).expect("the join is answered").clone().expect_err("the join was refused").error
    }

    pub(super) fn waits_to_join(&self, token: Token) -> bool {
        !self.joins.contains_key(&token)
    }

    pub(super) fn waits_to_sync(&self, token: Token) -> bool {
        !self.syncs.contains_key(&token)
    }

    pub(super) fn assignment(&self, token: Token) -> Result<String, ResponseError> {
        let answer = self.syncs.get(&token).expect("the sync is answered").clone();
        answer.map(|synced| String::from_utf8(synced.assignment.to_vec()).expect("text"))
    }

    /// A stable group of dynamic members `a…`, joined in this order, the first leads; their ids and the generation.
    pub(super) fn stable(&mut self, clients: &[&str]) -> (Vec<String>, i32) {
        let joins = clients.iter().map(|client| dynamic(client)).collect();
        self.stable_of(joins)
    }

    /// As above, of any members.
    pub(super) fn stable_of(&mut self, joins: Vec<Join>) -> (Vec<String>, i32) {
        let mut members: Vec<Join> = Vec::new();
        for join in joins {
            let mut tokens = vec![self.join(join.clone())];
            tokens.splice(0..0, members.iter().map(|earlier| self.join(earlier.clone())).collect::<Vec<_>>());
            members.push(join);
            for (member, token) in members.iter_mut().zip(tokens) {
                member.who.member_id = self.joined(token).member_id;
            }
        }
        let ids: Vec<String> = members.iter().map(|member| member.who.member_id.clone()).collect();
        let generation = self.group.generation();
        let assignments: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "mine")).collect();
        for id in &ids {
            self.sync(id, generation, &assignments);
        }
        assert_eq!(self.group.state(), "Stable");
        (ids, generation)
    }

    fn token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    pub(super) fn collect(&mut self) {
        let Replies { joins, syncs } = self.group.take_replies();
        for (token, answer) in joins {
            assert!(self.joins.insert(token, answer).is_none(), "a join was answered twice");
        }
        for (token, answer) in syncs {
            assert!(self.syncs.insert(token, answer).is_none(), "a sync was answered twice");
        }
    }
}

/// The first join of a member without an instance id, as before version 4: it gets its id with the answer.
pub(super) fn dynamic(client: &str) -> Join {
    Join {
        who: Identity::default(),
        client_id: client.to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        protocol_type: CONSUMER.to_owned(),
        protocols: protocols(&["range", "roundrobin"]),
        id_first: false,
        may_skip_assignment: false,
    }
}

/// The first join of a static member.
pub(super) fn fixed(instance: &str) -> Join {
    Join {
        who: Identity { member_id: String::new(), instance_id: Some(instance.to_owned()) },
        may_skip_assignment: true,
        ..dynamic(instance)
    }
}

/// The same member again.
pub(super) fn again(join: Join, id: &str) -> Join {
    Join { who: Identity { member_id: id.to_owned(), instance_id: join.who.instance_id.clone() }, ..join }
}

pub(super) fn protocols(names: &[&str]) -> Vec<Protocol> {
    let protocol = |name: &&str| Protocol { name: (*name).to_owned(), metadata: Bytes::from(format!("about {name}")) };
    names.iter().map(protocol).collect()
}
