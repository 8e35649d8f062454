//! resolve: a person decides what becomes of an offset at which nodes wait.

use crate::error::AdminError;
use crate::output::{Output, Tone};
use crate::pending::{BY, Pending};
use kluster_log::Log;
use kluster_node::council::Wish;
use kluster_node::report::Clock;
use kluster_protocol::{NodeId, Offset, Ruling};
use std::io::{BufRead, IsTerminal};

/// The manual of the command.
pub const MANUAL: &str = "\
Decide what becomes of an offset at which nodes wait; `errors` shows them.

--as error: the request is refused on every node, and has no effect, now and in every replay. Final. Every voter must wait at the offset; one that \
is down must be named by --without, and a voter that was ever heard of at the offset or beyond forbids the decision. A voter named so is compared \
when it comes back: it stops where it holds another outcome.

--as retry: the nodes that wait there execute the request again; the next round begins. Safe at any time; mend what failed first. It also lifts what \
`cancel` holds back.

Of two decisions on one round the first holds. The command asks before it writes; --yes answers, as scripts must.";

/// How to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum As {
    /// Refuse the request on every node
    Error,
    /// Execute it again where nodes wait
    Retry,
}

/// What `resolve` is asked with.
#[derive(Debug, Clone, clap::Args)]
pub struct Resolve {
    /// The offset of ALL, as `errors` shows it
    #[arg(value_name = "OFFSET")]
    pub offset: u64,
    /// How to decide
    #[arg(long = "as", value_enum, value_name = "HOW")]
    pub ruling: As,
    /// A voter that is down and need not be waited for; repeatable
    #[arg(long, value_name = "NODE")]
    pub without: Vec<String>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

impl Resolve {
    /// Checks that the decision is safe, asks, and writes it.
    pub async fn run(&self, log: &Log, clock: &Clock, output: &mut Output<'_>) -> Result<(), AdminError> {
        let mut pending = Pending::read(log, clock).await?;
        let ruling = match self.ruling {
            As::Error => Ruling::Error,
            As::Retry => Ruling::Retry,
        };
        let without = self.without.iter().map(|name| NodeId::new(name.clone())).collect();
        let wish = Wish { offset: Offset::new(self.offset), ruling, without, by: BY.into() };
        let decision = pending.council().resolve(&pending.decisions, wish).map_err(AdminError::Refused)?;
        let what = match self.ruling {
            As::Error => format!("the request at offset {} is refused on every node, for ever", self.offset),
            As::Retry => format!("the request at offset {} is executed again where nodes wait", self.offset),
        };
        confirm(&what, self.yes, output)?;
        pending.write(log, &decision).await?;
        match output.is_json() {
            true => output.json(&decision)?,
            false => output.line(&format!("decided: {what}"), Tone::Good)?,
        }
        Ok(())
    }
}

/// Asks a person whether to go on; a script says so by `--yes`.
pub(crate) fn confirm(what: &str, yes: bool, output: &mut Output<'_>) -> Result<(), AdminError> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(AdminError::Refused(format!("nothing was written; --yes decides it: {what}")));
    }
    output.note(&format!("{what}. Type yes to decide it:"))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "yes" => Ok(()),
        _ => Err(AdminError::Refused("nothing was written".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Cluster, Node, START_MS, Written, node};
    use crate::output::Format;
    use kluster_protocol::{Halt, Topic};

    fn waiting(name: &str, code: &str) -> Node {
        let (message, request_id) = (String::new(), "m7".into());
        let mut beat = node(name).applied(6);
        let halt =
            Halt { offset: Offset::new(7), round: 0, code: code.into(), message, request_id, since_ms: START_MS };
        beat.0.halt = Some(halt);
        beat
    }

    async fn resolve(cluster: &Cluster, ruling: As, without: &[&str]) -> Result<String, String> {
        let mut written = Written::default();
        let without = without.iter().map(|name| (*name).to_owned()).collect();
        let resolve = Resolve { offset: 7, ruling, without, yes: true };
        let ended = resolve.run(&cluster.log, &cluster.clock, &mut written.output(Format::Table)).await;
        ended.map(|()| written.data()).map_err(|error| {
            assert_eq!(error.exit_code(), 5, "{error}");
            error.to_string()
        })
    }

    fn decided(cluster: &Cluster) -> Vec<String> {
        let records = cluster.memory.records(Topic::Decisions, 0).into_iter();
        records.map(|record| String::from_utf8(record.value.unwrap().to_vec()).unwrap()).collect()
    }

    /// n1 and n2 met unlike errors.
    async fn cluster(third: Option<Node>) -> Cluster {
        let cluster = Cluster::new();
        if let Some(third) = third {
            cluster.beat(&third).await;
            cluster.pass(10_000);
        }
        cluster.beat(&waiting("n1", "a")).await;
        cluster.beat(&waiting("n2", "b")).await;
        cluster
    }

    #[tokio::test(start_paused = true)]
    async fn a_voter_that_is_down_must_be_named_and_never_be_seen_beyond() {
        let down = cluster(Some(node("n3").applied(5))).await;
        let refused = resolve(&down, As::Error, &[]).await.unwrap_err();
        assert!(refused.contains("--without n3"), "{refused}");
        let refused = resolve(&down, As::Error, &["n9"]).await.unwrap_err();
        assert!(refused.contains("n9, named by --without, is no member"), "{refused}");
        resolve(&down, As::Error, &["n3"]).await.unwrap();
        assert_eq!(
            decided(&down),
            [r#"{"offset":7,"round":0,"as":"error","by":"kluster-admin","members":["n1","n2"],"without":["n3"]}"#]
        );
        let refused = resolve(&down, As::Retry, &[]).await.unwrap_err();
        assert!(refused.contains("is decided: error"), "{refused}");
        let beyond = cluster(Some(node("n3").applied(7))).await;
        let refused = resolve(&beyond, As::Error, &["n3"]).await.unwrap_err();
        assert!(refused.contains("n3 applied offset 7"), "{refused}");
        assert_eq!(decided(&beyond).len(), 0);
        resolve(&beyond, As::Retry, &[]).await.unwrap();
        assert_eq!(decided(&beyond).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_live_voter_that_does_not_wait_and_an_offset_where_nobody_waits_are_refused() {
        let cluster = cluster(None).await;
        cluster.beat(&node("n3").applied(6)).await;
        let refused = resolve(&cluster, As::Error, &["n3"]).await.unwrap_err();
        assert!(refused.contains("n3 is up and does not wait at offset 7"), "{refused}");
        let healthy = Cluster::new();
        healthy.beat(&node("n1").applied(6)).await;
        let refused = resolve(&healthy, As::Retry, &[]).await.unwrap_err();
        assert!(refused.contains("no node waits at offset 7"), "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_yes_nothing_is_written() {
        let cluster = cluster(Some(waiting("n3", "a"))).await;
        cluster.beat(&waiting("n3", "a")).await;
        let mut written = Written::default();
        let resolve = Resolve { offset: 7, ruling: As::Error, without: vec![], yes: false };
        // Tests have no terminal on stdin, or none that anybody types into.
        if !std::io::stdin().is_terminal() {
            let ended = resolve.run(&cluster.log, &cluster.clock, &mut written.output(Format::Table)).await;
            assert!(ended.unwrap_err().to_string().contains("--yes"));
            assert_eq!(decided(&cluster).len(), 0);
        }
    }
}
