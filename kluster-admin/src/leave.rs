//! leave: takes a node out of the members by a control record in ALL, and waits until a node has applied it.

use crate::error::AdminError;
use crate::nodes::Nodes;
use crate::output::{Output, Tone};
use crate::show;
use kluster_log::Log;
use kluster_node::{membership, report::Clock};
use kluster_protocol::{Control, EffectsMeans, NodeId, NodeState, Offset, Topic};
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long a live node may take to apply the record.
const WAIT: Duration = Duration::from_secs(30);

/// The manual of the command.
pub const MANUAL: &str = "\
Take a node out of the members, so that nobody waits for it any more.

Stop the node first: one that runs asks to be counted again. The change is a record in ALL; the command ends when a live node has applied it. The \
node's database stays as it is: started again, it catches up and joins by itself.";

/// What `leave` is asked with.
#[derive(Debug, Clone, clap::Args)]
pub struct Leave {
    /// The node's name, as `status` shows it
    #[arg(value_name = "NODE")]
    pub node: String,
    /// Take it out although its heartbeat is there
    #[arg(long)]
    pub force: bool,
}

impl Leave {
    /// Writes the record and waits until a live node has applied it.
    pub async fn run(&self, log: &Log, clock: &Clock, output: &mut Output<'_>) -> Result<(), AdminError> {
        let node = NodeId::new(self.node.clone());
        let mut nodes = Nodes::read(log, clock).await?;
        nodes.listen().await?;
        nodes.note(output)?;
        self.check(&nodes, &node)?;
        let version = nodes.membership().version;
        let control = Control::Leave { node_id: node.clone(), replaces: version };
        let offset = log.append(Topic::All, None, membership::control(&control)).await?.offset;
        self.confirm(&mut nodes, &node, offset).await?;
        let members = nodes.membership();
        let mend = keeps_slot(&nodes, &node).then_some(DROP_SLOT);
        match output.is_json() {
            true => output.json(&json!({"left": node, "offset": offset, "membership": members, "mend": mend}))?,
            false => {
                let voters: Vec<&str> = members.voters.iter().map(NodeId::as_str).collect();
                let voters = if voters.is_empty() { show::NONE.to_owned() } else { voters.join(", ") };
                let text = format!(
                    "{node} has left at offset {offset}: membership version {}, voters {voters}",
                    members.version
                );
                output.line(&text, Tone::Good)?;
                if let Some(mend) = mend {
                    output.line(&format!("{node} read its PostgreSQL's log by a replication slot, for which the server keeps that log without end. Unless {node} comes back, drop the slot in its database:\n  {mend}"), Tone::Warning)?;
                }
            }
        }
        Ok(())
    }

    fn check(&self, nodes: &Nodes, node: &NodeId) -> Result<(), AdminError> {
        let members = nodes.membership();
        if members.role(node).is_none() {
            let names: Vec<&str> = members.voters.iter().chain(&members.observers).map(NodeId::as_str).collect();
            return Err(AdminError::Refused(match names.is_empty() {
                true => format!("{node} is no member: the cluster has none yet"),
                false => format!("{node} is no member: the members are {}", names.join(", ")),
            }));
        }
        let ended = nodes.of(node).is_some_and(|heard| heard.heartbeat.state == NodeState::Leaving);
        if !self.force && !ended && !nodes.is_silent(node) {
            return Err(AdminError::Refused(format!(
                "{node} still runs and would join again at once: stop it, wait until its heartbeat is gone (5 s), and ask again; --force takes it out all the same"
            )));
        }
        Ok(())
    }

    /// Listens until a node says that it has applied the record, and what came of it.
    async fn confirm(&self, nodes: &mut Nodes, node: &NodeId, offset: Offset) -> Result<(), AdminError> {
        let deadline = Instant::now() + WAIT;
        loop {
            let applied =
                nodes.heard().filter(|(_, heard)| heard.heartbeat.applied.is_some_and(|applied| applied >= offset));
            let newest = applied.map(|(_, heard)| &heard.heartbeat.membership).max_by_key(|members| members.version);
            match newest {
                Some(members) if members.role(node).is_none() => return Ok(()),
                Some(_) => {
                    return Err(AdminError::Refused(format!(
                        "{node} is still a member: another change of members came first, or it has joined again; look at kluster-admin status and ask again"
                    )));
                }
                None => {}
            }
            match timeout_at(deadline, nodes.next()).await {
                Ok(heard) => heard?,
                Err(_) => {
                    return Err(AdminError::Open(format!(
                        "written at offset {offset}, but no node has applied it within {} s: it takes effect when one does; kluster-admin status shows it",
                        WAIT.as_secs()
                    )));
                }
            }
        }
    }
}

/// Run in the database of the node, drops its slot.
const DROP_SLOT: &str = "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name like 'kluster\\_%' and database = current_database()";

/// Whether the node, when it was last heard, learnt its effects by a replication slot.
fn keeps_slot(nodes: &Nodes, node: &NodeId) -> bool {
    let effects = nodes.of(node).and_then(|heard| heard.heartbeat.effects.as_ref());
    effects.is_some_and(|effects| effects.means == EffectsMeans::Decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Cluster, Written, members, node};
    use crate::output::Format;
    use kluster_protocol::{EffectsReport, RunningEffects, header};

    fn leave(node: &str) -> Leave {
        Leave { node: node.into(), force: false }
    }

    /// A cluster whose n3 is gone.
    async fn cluster() -> Cluster {
        let cluster = Cluster::new();
        cluster.fill(2).await;
        cluster.beat(&node("n3").applied(1)).await;
        cluster.pass(10_000);
        cluster.beat(&node("n1").applied(1)).await;
        cluster.beat(&node("n2").applied(1)).await;
        cluster
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_node_is_taken_out_at_the_current_version() {
        let cluster = cluster().await;
        let mut written = Written::default();
        let leave = leave("n3");
        let mut output = written.output(Format::Table);
        let (ended, ()) = tokio::join!(leave.run(&cluster.log, &cluster.clock, &mut output), async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            let applied = node("n1").applied(2).members(members(4, &["n1", "n2"]));
            cluster.beat(&applied).await;
        });
        ended.unwrap();
        let record = &cluster.memory.records(Topic::All, 0)[2];
        assert_eq!(record.header(header::KIND), Some(b"control".as_slice()));
        assert_eq!(record.value.as_deref(), Some(br#"{"control":"leave","nodeId":"n3","replaces":3}"#.as_slice()));
        assert_eq!(written.data(), "n3 has left at offset 2: membership version 4, voters n1, n2\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_that_is_left_behind_is_named() {
        let cluster = cluster().await;
        let effects = EffectsReport::of(&RunningEffects::begin(EffectsMeans::Decoded, None));
        cluster.beat(&node("n3").applied(1).effects(effects)).await;
        cluster.pass(10_000);
        cluster.beat(&node("n1").applied(1)).await;
        let mut written = Written::default();
        let leave = leave("n3");
        let mut output = written.output(Format::Table);
        let (ended, ()) = tokio::join!(leave.run(&cluster.log, &cluster.clock, &mut output), async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            cluster.beat(&node("n1").applied(2).members(members(4, &["n1", "n2"]))).await;
        });
        ended.unwrap();
        assert!(
            written.data().ends_with(&format!("drop the slot in its database:\n  {DROP_SLOT}\n")),
            "{}",
            written.data()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_running_node_and_a_stranger_are_refused_and_nothing_is_written() {
        let cluster = cluster().await;
        for (name, why) in [("n1", "n1 still runs"), ("n9", "the members are n1, n2, n3")] {
            let mut written = Written::default();
            let ended = leave(name).run(&cluster.log, &cluster.clock, &mut written.output(Format::Table)).await;
            let error = ended.unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(error.exit_code(), 5);
        }
        assert_eq!(cluster.memory.records(Topic::All, 0).len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_live_node_the_outcome_is_open() {
        let cluster = cluster().await;
        let mut written = Written::default();
        let ended = leave("n3").run(&cluster.log, &cluster.clock, &mut written.output(Format::Table)).await;
        let error = ended.unwrap_err();
        assert!(error.to_string().contains("written at offset 2"), "{error}");
        assert_eq!(error.exit_code(), 6);
    }
}
