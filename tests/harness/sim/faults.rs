//! Faults: what the simulated world does to its inhabitants, drawn from the seed.

use super::counts::Counts;
use super::operator::Ills;
use kluster_log::{AppendContext, AppendFault, AppendHook, ReadContext, ReadFault, ReadHook};
use kluster_node::fault::Fault;
use kluster_node::step::{Step, Watch};
use kluster_protocol::Topic;
use rand::RngExt;
use rand::rngs::StdRng;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

/// The source of chance, shared by all that happens in one world.
#[derive(Clone)]
pub struct Chance {
    rng: Arc<Mutex<StdRng>>,
    calm: Arc<AtomicBool>,
}

impl Chance {
    pub fn new(rng: StdRng) -> Self {
        Self { rng: Arc::new(Mutex::new(rng)), calm: Arc::default() }
    }

    /// Draws with the one generator of this world.
    pub fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.rng.lock().expect("drawing never panics"))
    }

    /// True with this probability, and never once the world is calm.
    pub fn strikes(&self, probability: f64) -> bool {
        !self.calm.load(Ordering::Relaxed) && self.draw(|rng| rng.random_bool(probability))
    }

    /// No more faults: what is open settles.
    pub fn calm(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }
}

/// What the log does with what is appended: it loses, doubles, delays, and forgets to say so. And who appends may die of it.
pub fn of_the_log(chance: Chance, counts: Counts, mortals: Mortals) -> AppendHook {
    Arc::new(move |context: &AppendContext| {
        let topic = context.topic;
        if mortals.dies(&context.user, 0.002, &chance) {
            counts.met(format!("crash while it appends to {topic}"));
            // Whether the log has it or not: nobody is there to hear.
            return if chance.strikes(0.5) { AppendFault::Lose } else { AppendFault::HoldAck(Duration::from_secs(1)) };
        }
        if matches!(topic, Topic::Nodes | Topic::Errors) || !chance.strikes(0.12) {
            return AppendFault::None;
        }
        let ms = chance.draw(|rng| rng.random_range(1..400));
        let (what, fault) = match chance.draw(|rng| rng.random_range(0..5)) {
            0 => ("lost", AppendFault::Lose),
            1 => ("ack lost", AppendFault::LoseAck),
            2 => ("doubled", AppendFault::Duplicate),
            3 => ("delayed", AppendFault::Delay(Duration::from_millis(ms))),
            _ => ("ack held", AppendFault::HoldAck(Duration::from_millis(ms))),
        };
        counts.met(format!("log: {what} on {topic}"));
        fault
    })
}

/// What the log does with what is read: it comes late. And who reads may die of it.
pub fn of_reading(chance: Chance, counts: Counts, mortals: Mortals) -> ReadHook {
    Arc::new(move |context: &ReadContext| {
        let topic = context.topic;
        if mortals.dies(&context.user, 0.0005, &chance) {
            counts.met(format!("crash while it reads {topic}"));
        }
        if !chance.strikes(0.01) {
            return ReadFault::None;
        }
        counts.met(format!("log: read late from {topic}"));
        ReadFault::Delay(Duration::from_millis(chance.draw(|rng| rng.random_range(1..400))))
    })
}

/// The nodes that live now, by the name by which the log knows them.
#[derive(Clone, Default)]
pub struct Mortals(Arc<Mutex<HashMap<String, mpsc::UnboundedSender<Death>>>>);

impl Mortals {
    /// From now on the node of this name can die.
    pub fn is_born(&self, name: &str, deaths: mpsc::UnboundedSender<Death>) {
        self.0.lock().expect("never poisoned").insert(name.to_owned(), deaths);
    }

    /// Kills a node with this probability, before it does anything more.
    fn dies(&self, name: &str, probability: f64, chance: &Chance) -> bool {
        let mortals = self.0.lock().expect("never poisoned");
        mortals.get(name).is_some_and(|deaths| chance.strikes(probability) && deaths.send(Death::Plain).is_ok())
    }
}

/// How a node dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Its process ends, and its session with it.
    Plain,
    /// Its session outlives it and commits later, if it had come that far.
    OrphanCommits,
    /// Its session outlives it and is rolled back later.
    OrphanRollsBack,
}

/// A text, and what a node executes in its place, once somebody says so.
pub type Bent = Arc<Mutex<Option<(&'static str, &'static str)>>>;

/// Kills a node at its steps.
pub struct Killer {
    pub node: String,
    pub ills: Ills,
    pub bent: Bent,
    pub chance: Chance,
    pub counts: Counts,
    pub deaths: mpsc::UnboundedSender<Death>,
}

impl Watch for Killer {
    fn reached(&self, step: Step) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            if !self.chance.strikes(0.004) {
                return;
            }
            self.counts.met(format!("crash at {step:?}"));
            let holds_transaction =
                matches!(step, Step::Claimed | Step::Executing | Step::Executed | Step::Stored | Step::Committing);
            let death = match self.chance.draw(|rng| rng.random_range(0..3)) {
                // COMMIT is only ever in the pipe once the node has sent it.
                1 if step == Step::Committing => Death::OrphanCommits,
                2 if holds_transaction => Death::OrphanRollsBack,
                _ => Death::Plain,
            };
            self.counts.met(format!("death: {death:?}"));
            let _ = self.deaths.send(death);
            std::future::pending::<()>().await;
        })
    }

    fn bends(&self, text: &str) -> Option<String> {
        let (told, done) = (*self.bent.lock().expect("never poisoned"))?;
        (text == told).then(|| {
            self.counts.met("executed something else");
            done.to_owned()
        })
    }

    fn fails(&self, texts: &[&str]) -> Option<Fault> {
        self.ills.fault(&self.node, texts)
    }

    fn met(&self, fault: &Fault) {
        let class = match fault {
            Fault::Transient(_) => "transient",
            Fault::LockWait(_) => "lock wait",
            Fault::Lost(_) => "lost",
            Fault::ClaimRaised(_) => "claim raised",
            Fault::RunAlone(_) => "run alone",
            Fault::DiskFull(_) => "disk full",
            Fault::Fatal(_) => "fatal",
            Fault::Unknown(_) => "unknown",
        };
        self.counts.met(format!("fault: {class}"));
    }
}
