//! Announce: says at once, and in red, when nodes turn out to differ; and at a prompt, what holds everybody up.

use crate::error::KlusterError;
use kluster_admin::errors::executing;
use kluster_admin::nodes::Nodes;
use kluster_admin::output::{Tone, painted};
use kluster_client::{Alarm, Client, Log, NodeId, Offset};
use kluster_node::report::Clock;
use kluster_protocol::Heartbeat;
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

    /// Follows the heartbeats from now on, and says once of each offset that it has been executing for some time, or that a node waits there.
    pub fn follow(&self, log: Log, clock: Clock) {
        let heard = self.clone();
        tokio::spawn(async move {
            let Ok(mut nodes) = Nodes::read(&log, &clock).await else { return };
            let mut said = BTreeSet::new();
            while nodes.next().await.is_ok() {
                let live = nodes.heard().filter(|(node, _)| !nodes.is_silent(node));
                let lines: Vec<String> = live.flat_map(|(_, beat)| held_up(&beat.heartbeat, &mut said)).collect();
                lines.iter().for_each(|line| heard.print(line, Tone::Warning));
            }
        });
    }

    fn print(&self, line: &str, tone: Tone) {
        let line = painted(line, tone, self.0.colour);
        let mut printer = self.0.printer.lock().unwrap_or_else(PoisonError::into_inner);
        printer(format!("{line}\n"));
    }

    fn say(&self, alarm: &Alarm) {
        let tone = match alarm {
            Alarm::Diverged { one, other, .. } if self.is_new(&one.node_id, &other.node_id) => Tone::Bad,
            Alarm::Diverged { .. } => return,
            Alarm::AnswersMissed { .. } | Alarm::Lost(_) => Tone::Warning,
        };
        self.print(&text(alarm), tone);
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

/// What this node says that holds everybody up, unless it was said of that offset before.
fn held_up(beat: &Heartbeat, said: &mut BTreeSet<(Offset, bool)>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(running) = &beat.running
        && said.insert((running.offset, true))
    {
        // Both times are of the node's own clock.
        lines.push(format!("{} {}", beat.node_id, executing(running, beat.at_ms)));
    }
    if let Some(halt) = &beat.halt
        && said.insert((halt.offset, false))
    {
        let (node, offset, code) = (&beat.node_id, halt.offset, &halt.code);
        lines.push(format!("{node} waits for a decision at offset {offset} ({code}): kluster-admin errors"));
    }
    lines
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

    #[test]
    fn what_holds_everybody_up_is_said_once_of_each_offset() {
        let json = r#"{"nodeId":"n1","instanceId":"","state":{"is":"ready"},"applied":6,"chain":null,"membership":{"version":0,"voters":[],"observers":[]},
            "running":{"offset":7,"requestId":"m7","sinceMs":1000},"dbms":"SQLite","dbmsVersion":"","version":"","ruleSet":1,"atMs":7000}"#;
        let busy: Heartbeat = serde_json::from_str(json).unwrap();
        let mut said = BTreeSet::new();
        let lines = held_up(&busy, &mut said);
        assert_eq!(
            lines,
            ["n1 has been executing offset 7 (request m7) for 6s: kluster-admin cancel 7 ends it on all nodes"]
        );
        let other = Heartbeat { node_id: "n2".into(), ..busy };
        assert_eq!(held_up(&other, &mut said), Vec::<String>::new());
    }
}
