//! errors: where nodes wait for a decision, what each of them met there, and what has been executing for some time.

use crate::error::AdminError;
use crate::output::{Output, Rows, Tone};
use crate::pending::{BY, Pending};
use crate::show;
use kluster_log::Log;
use kluster_node::council::{Council, Finding, names};
use kluster_node::report::Clock;
use kluster_protocol::{Decisions, Heartbeat, Offset};
use serde_json::{Value, json};
use std::time::Duration;

/// The manual of the command.
pub const MANUAL: &str = "\
Show where nodes wait for a decision, and what each met there.

A node that meets an error that it does not know stops at that offset and waits; its reads go on. Where every live voter meets the same error, and \
these are a majority, the nodes decide by themselves: the request is refused as `decided`. All else is listed here: unlike errors, an error of one \
node alone, a voter that is gone, a request that lost its database server again and again. Also listed: offsets that `cancel` holds back, and \
requests that have been executing for more than 5 s.

Exit code 1: nodes wait.";

/// What `errors` is asked with.
#[derive(Debug, Clone, clap::Args)]
pub struct Errors {}

impl Errors {
    /// Reads NODES and DECISIONS, and shows who waits.
    pub async fn run(&self, log: &Log, clock: &Clock, output: &mut Output<'_>) -> Result<(), AdminError> {
        let pending = Pending::read(log, clock).await?;
        let (council, decisions) = (pending.council(), &pending.decisions);
        let waits: Vec<Wait> =
            council.offsets(decisions).into_iter().map(|offset| Wait::at(offset, &council, decisions)).collect();
        match output.is_json() {
            true => output.json(&json!({
                "waits": waits.iter().map(|wait| wait.json(&council)).collect::<Vec<_>>(),
                "running": running(&council).map(|(node, beat)| json!({"nodeId": node, "running": beat.running})).collect::<Vec<_>>(),
            }))?,
            false => show_all(&waits, &council, clock, output)?,
        }
        pending.nodes.note(output)?;
        match waits.first() {
            None => Ok(()),
            Some(wait) => Err(AdminError::Finding(format!("nodes wait at offset {}", wait.offset))),
        }
    }
}

/// An offset at which nodes wait.
struct Wait {
    offset: Offset,
    round: u32,
    held: bool,
    finding: Finding,
}

impl Wait {
    fn at(offset: Offset, council: &Council, decisions: &Decisions) -> Self {
        let finding = council.judge(offset, decisions, BY);
        Self { offset, round: decisions.round(offset), held: decisions.hold(offset).is_some(), finding }
    }

    /// What follows, in words.
    fn words(&self) -> String {
        let Self { offset, .. } = self;
        let resolve = format!(
            "kluster-admin resolve {offset} --as error refuses the request on every node, --as retry executes it again"
        );
        match &self.finding {
            Finding::Decide(_) => format!("offset {offset}: the nodes are about to decide this by themselves"),
            Finding::Nothing => format!("offset {offset}: nobody waits there in the open round; look again"),
            Finding::Awaits(nodes) => format!("offset {offset}: {} has not come there yet", names(nodes)),
            Finding::Person(why) => format!("offset {offset}: {why}. {resolve}"),
        }
    }

    fn json(&self, council: &Council) -> Value {
        let nodes = here(council, self.offset).map(|(node, beat)| json!({"nodeId": node, "halt": beat.halt}));
        json!({
            "offset": self.offset,
            "round": self.round,
            "held": self.held,
            "text": self.words(),
            "nodes": nodes.collect::<Vec<_>>(),
        })
    }
}

type Beats<'a> = Box<dyn Iterator<Item = (&'a kluster_protocol::NodeId, &'a Heartbeat)> + 'a>;

fn here(council: &Council, offset: Offset) -> Beats<'_> {
    let beats = council.voices.iter().map(|(node, voice)| (node, &voice.heartbeat));
    Box::new(beats.filter(move |(_, beat)| beat.halt.as_ref().is_some_and(|halt| halt.offset == offset)))
}

fn running(council: &Council) -> Beats<'_> {
    let live = council.voices.iter().filter(|(_, voice)| !voice.gone && voice.heartbeat.running.is_some());
    Box::new(live.map(|(node, voice)| (node, &voice.heartbeat)))
}

fn show_all(waits: &[Wait], council: &Council, clock: &Clock, output: &mut Output<'_>) -> Result<(), AdminError> {
    let mut rows = Rows::new(&["node", "offset", "round", "code", "since", "request", "message"], &["offset", "round"]);
    for wait in waits {
        for (node, halt) in here(council, wait.offset).filter_map(|(node, beat)| Some((node, beat.halt.as_ref()?))) {
            let plain = |text: String| (text, Tone::Plain);
            rows.push(vec![
                plain(node.to_string()),
                plain(halt.offset.to_string()),
                plain(halt.round.to_string()),
                (halt.code.clone(), Tone::Bad),
                plain(show::time(halt.since_ms)),
                plain(show::one_line(&halt.request_id, 40)),
                plain(show::one_line(&halt.message, 100)),
            ]);
        }
    }
    if waits.iter().any(|wait| here(council, wait.offset).next().is_some()) {
        output.table(rows)?;
        output.line("", Tone::Plain)?;
    }
    if waits.is_empty() {
        output.line("no node waits for a decision", Tone::Good)?;
    }
    for wait in waits {
        output.line(&wait.words(), Tone::Warning)?;
    }
    for (node, running) in running(council).filter_map(|(node, beat)| Some((node, beat.running.as_ref()?))) {
        output.line(&format!("{node} {}", executing(running, clock())), Tone::Warning)?;
    }
    Ok(())
}

/// A request that has been executing for some time, in words behind the node's name.
pub fn executing(running: &kluster_protocol::Running, now_ms: u64) -> String {
    let age = show::length(Duration::from_millis(now_ms.saturating_sub(running.since_ms)));
    let (offset, request) = (running.offset, show::one_line(&running.request_id, 40));
    format!(
        "has been executing offset {offset} (request {request}) for {age}: kluster-admin cancel {offset} ends it on all nodes"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Cluster, START_MS, Written, node};
    use crate::output::Format;
    use kluster_protocol::{Halt, Running};

    fn halt(code: &str) -> Halt {
        let (message, request_id) = ("could not\nbe done".into(), "m7".into());
        Halt { offset: Offset::new(7), round: 0, code: code.into(), message, request_id, since_ms: START_MS }
    }

    #[tokio::test(start_paused = true)]
    async fn each_nodes_view_and_what_follows() {
        let cluster = Cluster::new();
        for (name, code) in [("n1", "a"), ("n2", "b")] {
            let mut beat = node(name).applied(6);
            beat.0.halt = Some(halt(code));
            cluster.beat(&beat).await;
        }
        let mut busy = node("n3").applied(6);
        let running = Running { offset: Offset::new(7), request_id: "m7".into(), since_ms: START_MS - 65_000 };
        busy.0.running = Some(running);
        cluster.beat(&busy).await;
        let mut written = Written::default();
        let ended = Errors {}.run(&cluster.log, &cluster.clock, &mut written.output(Format::Table)).await;
        assert_eq!(ended.unwrap_err().exit_code(), 1);
        let expected = "\
NODE  OFFSET  ROUND  CODE  SINCE                 REQUEST  MESSAGE
n1         7      0  a     2026-03-04T05:06:07Z  m7       could not be done
n2         7      0  b     2026-03-04T05:06:07Z  m7       could not be done

offset 7: the voters met unlike errors. kluster-admin resolve 7 --as error refuses the request on every node, --as retry executes it again
n3 has been executing offset 7 (request m7) for 1m 5s: kluster-admin cancel 7 ends it on all nodes
";
        assert_eq!(written.data(), expected);
        let mut written = Written::default();
        let ended = Errors {}.run(&cluster.log, &cluster.clock, &mut written.output(Format::Json)).await;
        assert_eq!(ended.unwrap_err().exit_code(), 1);
        let json = written.json();
        assert_eq!(json["waits"][0]["nodes"][1]["halt"]["code"], "b");
        assert_eq!(json["running"][0]["running"]["requestId"], "m7");
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_waits_all_is_well() {
        let cluster = Cluster::new();
        for name in ["n1", "n2", "n3"] {
            cluster.beat(&node(name).applied(6)).await;
        }
        let mut written = Written::default();
        Errors {}.run(&cluster.log, &cluster.clock, &mut written.output(Format::Table)).await.unwrap();
        assert_eq!(written.data(), "no node waits for a decision\n");
    }
}
