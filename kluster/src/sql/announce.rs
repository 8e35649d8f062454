//! Announce: says at once, and in red, when nodes turn out to differ.

use crate::error::KlusterError;
use kluster_admin::output::{Tone, painted};
use kluster_client::{Alarm, Client, NodeId};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Writes a line where a person reads it; given by the prompt, which has a line under way.
pub type Printer = Box<dyn FnMut(String) + Send>;

/// Listens to a client's alarms.
#[derive(Clone)]
pub struct Announcer(Arc<Shared>);

struct Shared {
    printer: Mutex<Printer>,
    colour: bool,
    /// Pairs of nodes that differ. Every answer and heartbeat tells it anew, a person needs it once.
    differ: Mutex<BTreeSet<(NodeId, NodeId)>>,
}

impl Announcer {
    /// Listens from now on, as long as the client lives.
    pub fn watch(client: &Client, colour: bool) -> Self {
        let printer: Printer = Box::new(|line| eprint!("{line}"));
        let announcer = Self(Arc::new(Shared { printer: Mutex::new(printer), colour, differ: Mutex::default() }));
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
            Alarm::Diverged { one, other, .. } if self.is_new(&one.node_id, &other.node_id) => Tone::Bad,
            Alarm::Diverged { .. } => return,
            Alarm::AnswersMissed { .. } | Alarm::Lost(_) => Tone::Warning,
        };
        let line = painted(&text(alarm), tone, self.0.colour);
        let mut printer = self.0.printer.lock().unwrap_or_else(PoisonError::into_inner);
        printer(format!("{line}\n"));
    }

    fn is_new(&self, one: &NodeId, other: &NodeId) -> bool {
        let pair = if one < other { (one.clone(), other.clone()) } else { (other.clone(), one.clone()) };
        self.0.differ.lock().unwrap_or_else(PoisonError::into_inner).insert(pair)
    }

    /// Nodes were seen to differ.
    pub fn differ(&self) -> bool {
        !self.0.differ.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// How it went: an error if nodes were seen to differ.
    pub fn verdict(&self) -> Result<(), KlusterError> {
        match self.differ() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use kluster_client::{Answered, Offset};

    fn differ(one: &str, other: &str, offset: u64) -> Alarm {
        let answered = |node: &str, chain: &str| Answered {
            node_id: node.into(),
            offset: Some(Offset::new(offset)),
            chain: Some(chain.into()),
        };
        Alarm::Diverged { offset: Offset::new(offset), one: answered(one, "aa"), other: answered(other, "bb") }
    }

    #[test]
    fn a_difference_is_said_once_in_red_and_decides_how_it_went() {
        let (said, heard) = std::sync::mpsc::channel();
        let printer: Printer = Box::new(move |line| drop(said.send(line)));
        let announcer =
            Announcer(Arc::new(Shared { printer: Mutex::new(printer), colour: true, differ: Mutex::default() }));
        assert!(announcer.verdict().is_ok());
        for alarm in [differ("n1", "n2", 7), differ("n2", "n1", 8), differ("n1", "n3", 8)] {
            announcer.say(&alarm);
        }
        let lines: Vec<String> = heard.try_iter().collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("\x1b[31mNODES DIFFER: n1 and n2"), "{lines:?}");
        assert_eq!(announcer.verdict().unwrap_err().exit_code(), 3);
    }
}
