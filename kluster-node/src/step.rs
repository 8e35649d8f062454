//! Steps: the places at which a test may stop, kill or crash a node. In production nobody watches and a step costs nothing.
//!
//! Neighbours: both lanes and the DBMS adapters reach steps; the simulation and the fault tests watch them.

#[cfg(feature = "test-steps")]
mod process;

use crate::fault::Fault;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A place in the life of a batch, in the order in which they are passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Records were read from ALL.
    Fetched,
    /// The batch's transaction is open.
    Begun,
    /// The claim has replied: the state row is locked and as expected.
    Claimed,
    /// The first statement is about to be sent.
    Executing,
    /// Every statement has replied.
    Executed,
    /// State and outcomes are written, not yet committed.
    Stored,
    /// COMMIT is about to be sent.
    Committing,
    /// COMMIT has replied.
    Committed,
    /// The first response is about to be sent.
    Responding,
    /// Every response is acknowledged by the log.
    Responded,
    /// The group offset is committed.
    Hinted,
    /// MariaDB: the intent of a statement that commits by itself is durable.
    Intended,
    /// MariaDB: that statement has replied, its outcome is not yet written.
    SelfCommitted,
}

impl Step {
    /// Every step.
    pub const EACH: [Self; 13] = [
        Self::Fetched,
        Self::Begun,
        Self::Claimed,
        Self::Executing,
        Self::Executed,
        Self::Stored,
        Self::Committing,
        Self::Committed,
        Self::Responding,
        Self::Responded,
        Self::Hinted,
        Self::Intended,
        Self::SelfCommitted,
    ];
}

/// Watches the steps of a node.
pub trait Watch: Send + Sync {
    /// Called at each step; the node goes on when the future ends. It may end the process or never end.
    fn reached(&self, step: Step) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Called when the ALL lane meets a fault.
    fn met(&self, _fault: &Fault) {}

    /// Called when the ALL lane is about to execute a batch, with the text of each of its statements; a text given here is executed in its place, so
    /// that a node does something else than it was told, and does not know it.
    fn bends(&self, _text: &str) -> Option<String> {
        None
    }

    /// Called when the ALL lane has executed a batch, with the text of each of its statements; a fault given here takes the place of what they
    /// came to.
    fn fails(&self, _texts: &[&str]) -> Option<Fault> {
        None
    }
}

/// Who watches, if anyone.
#[derive(Clone, Default)]
pub struct Steps(Option<Arc<dyn Watch>>);

impl Steps {
    /// Steps watched by `watch`.
    pub fn watched(watch: Arc<dyn Watch>) -> Self {
        Self(Some(watch))
    }

    /// The node has come to `step`.
    pub async fn reach(&self, step: Step) {
        if let Some(watch) = &self.0 {
            watch.reached(step).await;
        }
    }

    /// The works that a test wants in the place of these; none: these.
    pub fn bend(&self, works: &[crate::dbms::Work]) -> Option<Vec<crate::dbms::Work>> {
        let watch = self.0.as_ref()?;
        let mut bent = None;
        for (work, statement) in
            works.iter().enumerate().flat_map(|(n, work)| (0..work.statements.len()).map(move |s| (n, s)))
        {
            if let Some(text) = watch.bends(&works[work].statements[statement].sql) {
                bent.get_or_insert_with(|| works.to_vec())[work].statements[statement].sql = text;
            }
        }
        bent
    }

    /// What a test wants these works to fail by.
    pub fn fail(&self, works: &[crate::dbms::Work]) -> Option<Fault> {
        let watch = self.0.as_ref()?;
        let texts: Vec<&str> = works.iter().flat_map(|work| &work.statements).map(|sql| sql.sql.as_str()).collect();
        watch.fails(&texts)
    }

    /// The ALL lane has met a fault.
    pub fn meet(&self, fault: &Fault) {
        if let Some(watch) = &self.0 {
            watch.met(fault);
        }
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Steps(watched)" } else { "Steps" })
    }
}
