//! Nodes: keeps one simulated node running: starts it, lets it die, buries or keeps its session, and starts it again.

use super::counts::Counts;
use super::faults::{Bent, Chance, Death, Killer, Mortals};
use super::operator::Ills;
use crate::inline;
use kluster_log::{Log, MemoryLog};
use kluster_node::all_lane::BatchLimit;
use kluster_node::check::CheckEvery;
use kluster_node::dbms::Dbms;
use kluster_node::node::{Node, NodeSettings};
use kluster_node::status::{Now, Status};
use kluster_node::step::Steps;
use kluster_protocol::{MAX_BATCH, NodeState, UNLIKE};
use rand::RngExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// One place in the cluster, whatever process fills it.
#[derive(Clone)]
pub struct Seat {
    pub name: String,
    pub file: PathBuf,
    pub window: u64,
    pub log: MemoryLog,
    pub chance: Chance,
    pub counts: Counts,
    pub mortals: Mortals,
    pub ills: Ills,
    pub epoch: Instant,
    /// The status of the process that runs now, if any.
    pub status: Arc<Mutex<Option<Status>>>,
    /// What stopped the node for good: a finding, unless its data were altered.
    pub stopped: Arc<Mutex<Option<String>>>,
    /// SQL that somebody runs on its database past Kluster, once; and ends the node for it.
    pub altered: Arc<(Mutex<Option<&'static str>>, Notify)>,
    /// A text that the node executes in the place of another one.
    pub bent: Bent,
    /// It has seen all three nodes as voters.
    pub joined: Arc<AtomicBool>,
}

/// What a life declares that is not like the others.
const FOREIGN: (&str, &str) = ("surroundings", "foreign");

impl Seat {
    /// Keeps a node running for ever.
    pub async fn keep(self) {
        loop {
            self.live().await;
            let status = self.status.lock().expect("never poisoned").clone();
            if status.is_some_and(|status| status.now().membership.voters.len() == 3) {
                self.joined.store(true, Ordering::Relaxed);
            }
            *self.status.lock().expect("never poisoned") = None;
            self.be_altered().await;
            self.be_emptied();
            let pause = self.chance.draw(|rng| rng.random_range(1..2000));
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Has the node's data altered while it is down.
    pub fn alter(&self, sql: &'static str) {
        *self.altered.0.lock().expect("never poisoned") = Some(sql);
        self.altered.1.notify_one();
    }

    /// Now and then a database is lost as a whole, and filled again from the log.
    fn be_emptied(&self) {
        if !self.chance.strikes(0.04) {
            return;
        }
        for end in ["", "-wal", "-shm"] {
            let file = PathBuf::from(format!("{}{end}", self.file.display()));
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{}: {error}", file.display()),
                _ => {}
            }
        }
        self.counts.met("database lost as a whole");
    }

    async fn be_altered(&self) {
        let Some(sql) = self.altered.0.lock().expect("never poisoned").take() else { return };
        let alter = || rusqlite::Connection::open(&self.file)?.execute_batch(sql);
        // A session that outlived the node may hold the lock for a while.
        while alter().is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.counts.met("data altered");
    }

    /// One life of the node's process.
    async fn live(&self) {
        let (deaths, mut died) = mpsc::unbounded_channel();
        self.mortals.is_born(&self.name, deaths.clone());
        let (node, ills) = (self.name.clone(), self.ills.clone());
        let bent = self.bent.clone();
        let killer = Killer { node, ills, bent, chance: self.chance.clone(), counts: self.counts.clone(), deaths };
        let log = Log::memory(self.log.user(&self.name));
        // Now and then somebody starts it elsewhere. The others must be there: a node alone may be anything.
        let foreign = self.joined.load(Ordering::Relaxed) && self.chance.strikes(0.05);
        let declared = if foreign { vec![(FOREIGN.0.to_owned(), FOREIGN.1.to_owned())] } else { Vec::new() };
        let settings = NodeSettings { declared, ..self.settings(Steps::watched(Arc::new(killer))) };
        let node = tokio::select! {
            biased;
            _ = died.recv() => return,
            node = Node::start(settings, log) => match node {
                Ok(node) => node,
                Err(error) => return self.stop(format!("cannot start: {error}")),
            }
        };
        *self.status.lock().expect("never poisoned") = Some(node.status());
        let orphan = match node.dbms() {
            Dbms::Sqlite(db) => db.orphan(),
            _ => unreachable!("simulated nodes run on SQLite"),
        };
        let status = node.status();
        let drain = CancellationToken::new();
        // Now and then a node dies between steps, at whichever await it has come to; or is told to end in order.
        let sudden = self.chance.draw(|rng| rng.random_range(500..20_000));
        let orderly = self.chance.draw(|rng| rng.random_bool(0.3));
        let life = node.run(drain.clone());
        tokio::pin!(life);
        let death = loop {
            let ended = tokio::select! {
                biased;
                Some(death) = died.recv() => {
                    // In the next moment: Tokio wakes those who watch one status in an order of its own, so who else does something in this one
                    // must not depend on it.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    Some(death)
                }
                _ = &mut life => Some(Death::Plain),
                () = tokio::time::sleep(Duration::from_millis(sudden)), if !drain.is_cancelled() => None,
                () = self.altered.1.notified() => Some(Death::Plain),
                () = stops(&status) => {
                    // It lives on for a while, and says so.
                    let _ = tokio::time::timeout(Duration::from_secs(2), &mut life).await;
                    if foreign && matches!(&status.now().state, NodeState::Stopped { code, .. } if code == UNLIKE) {
                        return self.counts.met("refused for its surroundings");
                    }
                    return self.stop(format!("stopped: {:?}", status.now().state));
                }
            };
            match ended {
                Some(death) => break death,
                None if !self.chance.strikes(0.7) => {}
                None if orderly => {
                    self.counts.met("drained");
                    drain.cancel();
                }
                None => {
                    self.counts.met("crash between steps");
                    break Death::Plain;
                }
            }
        };
        match death {
            Death::Plain => {}
            Death::OrphanCommits | Death::OrphanRollsBack => {
                let (counts, chance) = (self.counts.clone(), self.chance.clone());
                tokio::spawn(async move {
                    let later = chance.draw(|rng| rng.random_range(1..3000));
                    tokio::time::sleep(Duration::from_millis(later)).await;
                    if death == Death::OrphanRollsBack {
                        orphan.rollback();
                        counts.met("orphan rolled back");
                    } else if orphan.commit() {
                        counts.met("orphan committed");
                    }
                });
            }
        }
    }

    fn stop(&self, why: String) {
        *self.stopped.lock().expect("never poisoned") = Some(format!("{} {why}", self.name));
    }

    fn settings(&self, steps: Steps) -> NodeSettings {
        let (chance, epoch) = (self.chance.clone(), self.epoch);
        NodeSettings {
            clock: Arc::new(move || epoch.elapsed().as_millis() as u64),
            window: self.window,
            check_every: CheckEvery { offsets: Some(25), seconds: Some(0) },
            max_batch: BatchLimit(Arc::new(move || chance.draw(|rng| rng.random_range(1..=MAX_BATCH)))),
            ..inline(&self.name, format!("sqlite:{}", self.file.display()), steps)
        }
    }
}

/// It has stopped, and not to wait for a decision.
async fn stops(status: &Status) {
    let mut watch = status.watch();
    let _ = watch.wait_for(Now::has_stopped).await;
}
