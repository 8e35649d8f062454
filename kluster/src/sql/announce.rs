//! Announce: says at once, and in red, when nodes turn out to differ.

use crate::error::KlusterError;
use kluster_admin::output::{Tone, painted};
use kluster_client::{Alarm, Client};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Writes a line where a person reads it; given by the prompt, which has a line under way.
pub type Printer = Box<dyn FnMut(String) + Send>;

/// Listens to a client's alarms.
#[derive(Clone)]
pub struct Announcer(Arc<Shared>);

struct Shared {
    printer: Mutex<Printer>,
    colour: bool,
    differ: AtomicBool,
}

impl Announcer {
    /// Listens from now on, as long as the client lives.
    pub fn watch(client: &Client, colour: bool) -> Self {
        let printer: Printer = Box::new(|line| eprint!("{line}"));
        let announcer = Self(Arc::new(Shared { printer: Mutex::new(printer), colour, differ: AtomicBool::new(false) }));
        let (mut alarms, heard) = (client.alarms(), announcer.clone());
        tokio::spawn(async move {
            while let Some(alarm) = alarms.next().await {
                heard.say(&alarm);
            }
        });
        announcer
    }

    /// From now on lines are written by this.
    pub fn print_by(&self, printer: Printer) {
        *self.0.printer.lock().unwrap_or_else(PoisonError::into_inner) = printer;
    }

    fn say(&self, alarm: &Alarm) {
        let tone = match alarm {
            Alarm::Diverged { .. } => {
                self.0.differ.store(true, Ordering::Relaxed);
                Tone::Bad
            }
            Alarm::AnswersMissed { .. } | Alarm::Lost(_) => Tone::Warning,
        };
        let line = painted(&text(alarm), tone, self.0.colour);
        let mut printer = self.0.printer.lock().unwrap_or_else(PoisonError::into_inner);
        printer(format!("{line}\n"));
    }

    /// How it went: an error if nodes were seen to differ.
    pub fn verdict(&self) -> Result<(), KlusterError> {
        match self.0.differ.load(Ordering::Relaxed) {
            true => Err(KlusterError::Differ("nodes differ, see above".to_owned())),
            false => Ok(()),
        }
    }
}

fn text(alarm: &Alarm) -> String {
    match alarm {
        Alarm::Diverged { offset, one, other } => format!(
            "NODES DIFFER: {} and {} did not do the same up to offset {offset}. Stop writing, keep the databases as they are, and look: \\nodes, or \
             kluster-admin status",
            one.node_id, other.node_id
        ),
        Alarm::AnswersMissed { from, to } => {
            format!("answers were missed, from {from} to {to} of RESPONSES: what waits is asked again within a minute")
        }
        Alarm::Lost(count) => format!("{count} alarms were missed: look at the nodes with \\nodes"),
    }
}
