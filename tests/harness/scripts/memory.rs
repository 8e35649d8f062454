//! Memory: nodes in this process, on SQLite and a log in memory. A crash drops the node wherever it is.

use crate::cluster::{Database, Kind, PATIENCE};
use crate::inline;
use kluster_log::{Log, MemoryLog};
use kluster_node::node::Node;
use kluster_node::step::{Step, Steps, Watch};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A log in memory, whose clock is Tokio's.
pub fn log() -> MemoryLog {
    let epoch = Instant::now();
    MemoryLog::with_clock(Arc::new(move || epoch.elapsed().as_millis() as i64))
}

/// A node in this process, or the place of one that ended.
pub struct MemoryNode {
    name: String,
    database: Database,
    life: Option<JoinHandle<()>>,
    trap: Arc<Trap>,
}

/// Ends the node when it comes to a step.
#[derive(Default)]
struct Trap {
    at: Mutex<Option<Step>>,
    sprung: Notify,
}

impl MemoryNode {
    /// Starts one beside an empty database.
    pub async fn start(name: &str, log: &MemoryLog) -> Self {
        let database = Database::create(Kind::Sqlite).await;
        let mut node = Self { name: name.to_owned(), database, life: None, trap: Arc::default() };
        node.restart(log).await;
        node
    }

    /// Starts it again on the same database.
    pub async fn restart(&mut self, log: &MemoryLog) {
        let trap = Arc::new(Trap::default());
        let settings = inline(&self.name, self.database.url(), Steps::watched(trap.clone()));
        let log = Log::memory(log.user(&self.name));
        self.trap = trap.clone();
        self.life = Some(tokio::spawn(async move {
            let life = async {
                let node = Node::start(settings, log).await.expect("the node can start");
                node.run(CancellationToken::new()).await.expect("nobody ends it in order");
            };
            tokio::select! {
                biased;
                () = trap.sprung.notified() => {}
                () = life => {}
            }
        }));
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Puts another database in the place of its own, while it does not run.
    pub fn empty(&mut self, database: Database) {
        assert!(self.life.is_none(), "{} runs", self.name);
        self.database = database;
    }

    /// It was started, and not crashed or seen to end since.
    pub fn runs(&self) -> bool {
        self.life.is_some()
    }

    /// Ends it wherever it is.
    pub async fn crash(&mut self) {
        if let Some(life) = self.life.take() {
            life.abort();
            let _ = life.await; // cancelled, as was asked for
        }
    }

    /// Ends it when it next comes to this step.
    pub fn crash_at(&self, step: Step) {
        *self.trap.at.lock().expect("never poisoned") = Some(step);
    }

    /// Waits until it has ended at its step.
    pub async fn crashed(&mut self) {
        let life = self.life.take().expect("the node runs");
        let ended = tokio::time::timeout(PATIENCE, life).await;
        ended.unwrap_or_else(|_| panic!("{} did not come to its step", self.name)).expect("the node does not panic");
    }
}

impl Watch for Trap {
    fn reached(&self, step: Step) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if self.at.lock().expect("never poisoned").take_if(|at| *at == step).is_some() {
                self.sprung.notify_one();
                std::future::pending::<()>().await;
            }
        })
    }
}
