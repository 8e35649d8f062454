//! Picture: one row for each node, as a table and as JSON.

use super::verdict::Verdict;
use crate::agreement::{self, Agreement, Comparison};
use crate::errors::executing;
use crate::nodes::Nodes;
use crate::output::{Output, Rows, Tone};
use crate::show;
use kluster_log::Range;
use kluster_protocol::{Heartbeat, Membership, NodeId, NodeState, Offset, Role};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// The cluster as its heartbeats show it.
#[derive(Debug)]
pub(super) struct Picture {
    database: String,
    all: Range,
    pub(super) members: Membership,
    pub(super) nodes: Vec<Drawn>,
    pub(super) comparison: Comparison,
}

/// One node.
#[derive(Debug)]
pub(super) struct Drawn {
    pub(super) name: NodeId,
    pub(super) role: Option<Role>,
    pub(super) heartbeat: Option<Heartbeat>,
    /// For how long it was not heard of; None: it never was.
    pub(super) silence: Option<Duration>,
    /// Its heartbeat is gone.
    pub(super) gone: bool,
    pub(super) agreement: Agreement,
}

impl Picture {
    pub(super) fn of(nodes: &Nodes, all: Range, database: &str) -> Self {
        let (members, expected) = (nodes.membership(), nodes.expected());
        let present = |node: &NodeId| expected.contains(node) || nodes.is_live(node);
        let chains: BTreeMap<_, _> = nodes
            .heard()
            .filter(|(node, _)| present(node))
            .map(|(node, heard)| (node.clone(), heard.heartbeat.chains()))
            .collect();
        let comparison = agreement::compare(&chains);
        let mut names: Vec<NodeId> =
            nodes.heard().map(|(node, _)| node.clone()).chain(expected.iter().cloned()).collect();
        names.sort();
        names.dedup();
        let drawn = names.into_iter().map(|name| Drawn {
            role: members.role(&name),
            heartbeat: nodes.of(&name).map(|heard| heard.heartbeat.clone()),
            silence: nodes.silence(&name),
            gone: nodes.is_silent(&name),
            agreement: comparison.nodes.get(&name).copied().unwrap_or(Agreement::Unknown),
            name,
        });
        Self { database: database.to_owned(), all, nodes: drawn.collect(), members, comparison }
    }

    /// Every live member has applied all there was, and nobody's agreement is unknown.
    pub(super) fn is_settled(&self) -> bool {
        let settled = |node: &Drawn| match node.role {
            _ if node.gone || !node.is_live() => true,
            Some(_) => self.lag(node) == Some(0) && node.agreement != Agreement::Unknown,
            None => true,
        };
        self.comparison.nodes.len() < 2 || self.nodes.iter().all(settled)
    }

    pub(super) fn show(&self, verdict: &Verdict, output: &mut Output) -> io::Result<()> {
        let mut rows = Rows::new(
            &["node", "role", "dbms", "state", "applied", "lag", "chain", "agreement", "heard", "instance"],
            &["applied", "lag"],
        );
        for node in &self.nodes {
            rows.push(node.row(self.lag(node)));
        }
        if !self.nodes.is_empty() {
            output.table(rows)?;
            output.line("", Tone::Plain)?;
        }
        output.line(&verdict.text, verdict.tone())?;
        verdict.troubles.iter().try_for_each(|trouble| output.line(trouble, Tone::Warning))?;
        self.effects().try_for_each(|(line, tone)| output.line(&line, tone))?;
        self.running().try_for_each(|line| output.line(&line, Tone::Warning))
    }

    /// How effects are compared, and by whom.
    fn effects(&self) -> impl Iterator<Item = (String, Tone)> {
        let mut by: BTreeMap<(bool, String), Vec<&str>> = BTreeMap::new();
        for node in self.nodes.iter().filter(|node| !node.gone) {
            if let Some(report) = node.heartbeat.as_ref().and_then(|beat| beat.effects.as_ref()) {
                by.entry((!report.means.compares(), report.how())).or_default().push(node.name.as_str());
            }
        }
        by.into_iter().map(|((open, how), names)| match open {
            false => (format!("effects are compared {how}: {}", names.join(", ")), Tone::Plain),
            true => (format!("{}: effects {how}", names.join(", ")), Tone::Warning),
        })
    }

    /// What nodes have been executing for some time.
    fn running(&self) -> impl Iterator<Item = String> {
        let live = self.nodes.iter().filter(|node| !node.gone);
        let beats = live.filter_map(|node| node.heartbeat.as_ref());
        // Both times are of the node's own clock.
        beats.filter_map(|beat| Some(format!("{} {}", beat.node_id, executing(beat.running.as_ref()?, beat.at_ms))))
    }

    pub(super) fn json(&self, verdict: &Verdict) -> Value {
        json!({
            "database": self.database,
            "end": self.all.end,
            "verdict": verdict.word(),
            "text": verdict.text,
            "troubles": verdict.troubles,
            "membership": self.members,
            "nodes": self.nodes.iter().map(|node| node.json(self.lag(node))).collect::<Vec<_>>(),
        })
    }

    /// How many records of ALL the node has before it. Markers of foreign transactions count, though nobody applies them.
    fn lag(&self, node: &Drawn) -> Option<u64> {
        let heartbeat = node.heartbeat.as_ref()?;
        let next = heartbeat.applied.map_or(self.all.start, Offset::next);
        Some(self.all.end.get().saturating_sub(next.get()))
    }
}

impl Drawn {
    fn is_live(&self) -> bool {
        self.heartbeat.as_ref().is_some_and(|beat| beat.state.is_live())
    }

    fn row(&self, lag: Option<u64>) -> Vec<(String, Tone)> {
        let heartbeat = self.heartbeat.as_ref();
        let plain = |text: String| (text, Tone::Plain);
        vec![
            plain(self.name.to_string()),
            plain(show::role(self.role).to_owned()),
            plain(show::or_none(heartbeat.map(|beat| format!("{} {}", beat.dbms, beat.dbms_version)))),
            self.state(),
            plain(show::or_none(heartbeat.and_then(|beat| beat.applied))),
            plain(show::or_none(lag)),
            plain(show::or_none(heartbeat.and_then(|beat| beat.chain))),
            self.agreement(),
            (self.heard(), if self.gone { Tone::Bad } else { Tone::Plain }),
            (show::or_none(heartbeat.map(|beat| show::first(&beat.instance_id, 8))), Tone::Faint),
        ]
    }

    fn state(&self) -> (String, Tone) {
        let Some(beat) = &self.heartbeat else { return ("never heard of".to_owned(), Tone::Bad) };
        let text = show::doing(beat);
        if self.gone {
            return (format!("gone, was {text}"), Tone::Bad);
        }
        let tone = match beat.state {
            NodeState::Ready => Tone::Good,
            NodeState::Starting | NodeState::CatchingUp | NodeState::Leaving => Tone::Warning,
            NodeState::Retrying { .. } | NodeState::Stopped { .. } => Tone::Bad,
        };
        (text, tone)
    }

    fn agreement(&self) -> (String, Tone) {
        match self.agreement {
            Agreement::Unknown => (show::NONE.to_owned(), Tone::Plain),
            Agreement::Agrees { at } => (format!("same at {at}"), Tone::Good),
            Agreement::Differs { after: Some(after), at } => (format!("differs, {after} to {at}"), Tone::Bad),
            Agreement::Differs { after: None, at } => (format!("differs, by {at}"), Tone::Bad),
        }
    }

    pub(super) fn heard(&self) -> String {
        self.silence.map_or_else(|| "never".to_owned(), |silence| format!("{} ago", show::length(silence)))
    }

    fn json(&self, lag: Option<u64>) -> Value {
        let heartbeat = self.heartbeat.as_ref();
        let agreement = match self.agreement {
            Agreement::Unknown => json!({"is": "unknown"}),
            Agreement::Agrees { at } => json!({"is": "same", "at": at}),
            Agreement::Differs { after, at } => json!({"is": "differs", "after": after, "at": at}),
        };
        json!({
            "nodeId": self.name,
            "role": self.role,
            "gone": self.gone,
            "heardMsAgo": self.silence.map(|silence| silence.as_millis() as u64),
            "state": heartbeat.map(|beat| &beat.state),
            "halt": heartbeat.and_then(|beat| beat.halt.as_ref()),
            "running": heartbeat.and_then(|beat| beat.running.as_ref()),
            "applied": heartbeat.and_then(|beat| beat.applied),
            "lag": lag,
            "chain": heartbeat.and_then(|beat| beat.chain),
            "agreement": agreement,
            "effects": heartbeat.and_then(|beat| beat.effects.as_ref()).map(|effects| json!({
                "means": effects.means,
                "how": effects.how(),
                "since": effects.since,
                "at": effects.at,
                "running": effects.running,
                "differsAt": effects.differs_at,
            })),
            "dbms": heartbeat.map(|beat| &beat.dbms),
            "dbmsVersion": heartbeat.map(|beat| &beat.dbms_version),
            "version": heartbeat.map(|beat| &beat.version),
            "window": heartbeat.and_then(|beat| beat.window),
            "ruleSet": heartbeat.map(|beat| beat.rule_set),
            "http": heartbeat.and_then(|beat| beat.http.as_ref()),
            "instanceId": heartbeat.map(|beat| &beat.instance_id),
        })
    }
}
