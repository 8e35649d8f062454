//! cancel: ends a request that is executing, on all nodes alike.

use crate::error::AdminError;
use crate::output::{Output, Tone};
use crate::pending::{BY, Pending};
use crate::resolve::confirm;
use kluster_log::Log;
use kluster_node::council::{Finding, Wish, names};
use kluster_node::report::Clock;
use kluster_protocol::{NodeId, Offset, Ruling, Topic};
use serde_json::json;
use std::time::Duration;

/// The nodes decide within this time, or what is held back is let go.
const WAIT: Duration = Duration::from_secs(30);

/// The manual of the command.
pub const MANUAL: &str = "\
End a request that is executing, on all nodes alike; `status` and `errors` show requests that have been executing for more than 5 s.

The command first holds the offset back: a node that executes it ends the statement and rolls it back. Once every voter has said that it has not \
committed the offset and will not, the nodes decide that the request is refused as `cancelled`, now and in every replay. Where one node was quicker \
and has committed it, its outcome holds, and the others execute the request after all.

A voter that is down must be named by --without; it is compared when it comes back, and stops where it holds another outcome. Where the nodes do not \
decide within 30 s, the command lets the offset go.

Exit code 0: cancelled. 5: the request's own outcome holds, or the offset was let go. 6: not known yet.";

/// What `cancel` is asked with.
#[derive(Debug, Clone, clap::Args)]
pub struct Cancel {
    /// The offset of ALL, as `status` and `errors` show it
    #[arg(value_name = "OFFSET")]
    pub offset: u64,
    /// A voter that is down and need not be waited for; repeatable
    #[arg(long, value_name = "NODE")]
    pub without: Vec<String>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

impl Cancel {
    /// Holds the offset back, and waits until the nodes have decided.
    pub async fn run(&self, log: &Log, clock: &Clock, output: &mut Output<'_>) -> Result<(), AdminError> {
        let offset = Offset::new(self.offset);
        if log.range(Topic::All, 0).await?.end <= offset {
            return Err(AdminError::Refused(format!("nothing was written at offset {offset} yet")));
        }
        let mut pending = Pending::read(log, clock).await?;
        let without = self.without.iter().map(|name| NodeId::new(name.clone())).collect();
        let wish = Wish { offset, ruling: Ruling::Hold, without, by: BY.into() };
        let hold = pending.council().resolve(&pending.decisions, wish).map_err(AdminError::Refused)?;
        confirm(
            &format!("the request at offset {offset} is ended on every node, and has no effect"),
            self.yes,
            output,
        )?;
        if pending.decisions.hold(offset).is_none() {
            pending.write(log, &hold).await?;
        }
        let is_decided = |pending: &Pending| pending.decisions.hold(offset).is_none();
        if !pending.until(WAIT, is_decided).await? {
            let why = why(&pending, offset);
            let retry =
                kluster_protocol::Decision { ruling: Ruling::Retry, round: pending.decisions.round(offset), ..hold };
            // Another decision that was first is as good.
            if !matches!(pending.write(log, &retry).await, Ok(()) | Err(AdminError::Refused(_))) {
                return Err(AdminError::Open(format!(
                    "{why}, and whether offset {offset} is let go is not known: kluster-admin errors shows it"
                )));
            }
            if pending.decisions.error(offset).is_none() {
                return Err(AdminError::Refused(format!("not cancelled, and the offset was let go: {why}")));
            }
        }
        match pending.decisions.error(offset) {
            Some(decision) if output.is_json() => output.json(decision)?,
            Some(_) => output.line(&format!("cancelled: the request at offset {offset} has no effect"), Tone::Good)?,
            None => {
                let passed =
                    pending.council().passed(offset, &pending.nodes.expected().into_iter().collect::<Vec<_>>());
                let message = format!(
                    "not cancelled: {} had applied offset {offset} before, so its outcome holds",
                    names(&passed)
                );
                if output.is_json() {
                    output.json(&json!({"offset": offset, "cancelled": false, "appliedBy": passed}))?;
                }
                return Err(AdminError::Refused(message));
            }
        }
        Ok(())
    }
}

fn why(pending: &Pending, offset: Offset) -> String {
    match pending.council().judge(offset, &pending.decisions, BY) {
        Finding::Awaits(nodes) => format!("{} has not answered within {} s", names(&nodes), WAIT.as_secs()),
        Finding::Person(why) => why.to_string(),
        Finding::Decide(_) | Finding::Nothing => format!("no node has decided within {} s", WAIT.as_secs()),
    }
}
