//! doctor: what surrounds each node, in what nodes are unlike, and what to do about it; and leave for a second version of a DBMS.
//!
//! Neighbours: nodes present themselves on NODES (`kluster_node::witness::entry`); `kluster_protocol::Fingerprints` is the rule by which they judge
//! themselves, and by which they are judged here.

mod advice;

use crate::error::AdminError;
use crate::nodes::Nodes;
use crate::output::{Output, Rows, Tone};
use crate::resolve::confirm;
use crate::show;
use kluster_log::Log;
use kluster_node::report::Clock;
use kluster_node::witness::entry;
use kluster_protocol::{Allowance, Fingerprint, NodeId, Topic, Weight};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The manual of the command.
pub const MANUAL: &str = "\
Show what surrounds each node, in what nodes are unlike, and what to do about it.

The same request must do the same on every node. What could make it do something else is in each node's fingerprint: kind and version of the DBMS, \
architecture, collations, time zones, settings, extensions, rights of the logins, rules over SQL. A node presents it at each start and serves only \
where it is like the other members. Shown are the items that are not equal everywhere, each node's as it presented itself last, and advice.

doctor allow VERSION --for 2d admits a second version of the DBMS until then, so that nodes can be upgraded one after the other. It is judged when a \
node starts; a node that runs goes on.

Exit codes: 0 all are admitted; 1 one is not, or a member was never heard to present itself; else those of kluster-admin.";

/// Who wrote a record.
const BY: &str = "kluster-admin";

/// What `doctor` is asked with.
#[derive(Debug, Clone, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Doctor {
    /// Show every item: equal ones, and notes, too
    #[arg(long)]
    pub all: bool,
    /// What else to do.
    #[command(subcommand)]
    pub what: Option<Treatment>,
}

/// What else to do.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Treatment {
    /// Admit a second version of the DBMS for a time
    Allow(Allow),
}

/// What `doctor allow` is asked with.
#[derive(Debug, Clone, clap::Args)]
pub struct Allow {
    /// The version, as the item `version` shows it: 16 (PostgreSQL), 11.4 (MariaDB), 3.50.4 (SQLite)
    #[arg(value_name = "VERSION")]
    pub version: String,
    /// For how long, such as 90m, 12h or 2d
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub time: Duration,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

impl Doctor {
    /// Reads NODES, and shows what it holds about fingerprints; or writes what is allowed.
    pub async fn run(&self, log: &Log, clock: &Clock, output: &mut Output<'_>) -> Result<(), AdminError> {
        if let Some(Treatment::Allow(allow)) = &self.what {
            return allow.run(log, output).await;
        }
        let nodes = Nodes::read(log, clock).await?;
        let picture = Picture::of(&nodes);
        match output.is_json() {
            true => output.json(&picture.json())?,
            false => picture.show(self.all, clock() as i64, output)?,
        }
        nodes.note(output)?;
        picture.result()
    }
}

impl Allow {
    async fn run(&self, log: &Log, output: &mut Output<'_>) -> Result<(), AdminError> {
        let length = humantime::format_duration(self.time);
        let what = format!("nodes of version {} are admitted beside others for {length}", self.version);
        confirm(&what, self.yes, output)?;
        let for_ms = u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX);
        let allowance = Allowance { version: self.version.clone(), for_ms, by: BY.into() };
        log.append(Topic::Nodes, None, entry::said(allowance.key(), &allowance)).await?;
        match output.is_json() {
            true => output.json(&allowance)?,
            false => output.line(&format!("allowed: {what}"), Tone::Good)?,
        }
        Ok(())
    }
}

/// What is known of fingerprints.
struct Picture {
    /// As they presented themselves last.
    nodes: BTreeMap<NodeId, Fingerprint>,
    /// Members that were never heard to present themselves.
    unheard: Vec<NodeId>,
    /// Items that are not equal everywhere, and what that means.
    differing: BTreeMap<String, Weight>,
    /// Until when versions are admitted, in milliseconds since 1970.
    allowed: BTreeMap<String, i64>,
    /// Nodes that would not be admitted as they presented themselves, and the items.
    refused: BTreeMap<NodeId, BTreeSet<String>>,
}

impl Picture {
    fn of(nodes: &Nodes) -> Self {
        let (heard, members) = (nodes.fingerprints(), nodes.membership());
        let now = |node: &NodeId| Some(heard.presented(node)?.fingerprint.clone());
        let fingerprints: BTreeMap<NodeId, Fingerprint> =
            heard.nodes().into_iter().filter_map(|node| Some((node.clone(), now(node)?))).collect();
        let unheard = members.voters.iter().chain(&members.observers).filter(|node| !fingerprints.contains_key(node));
        let mut differing = BTreeMap::new();
        for (first, second) in pairs(&fingerprints) {
            differing.extend(first.differences(second).into_iter().map(|found| (found.item, found.weight)));
        }
        let refused = fingerprints.keys().filter_map(|node| {
            let unlike = heard.unlike(node, &members, |other| nodes.is_live(other));
            let items: BTreeSet<String> =
                unlike.into_iter().flat_map(|unlike| unlike.differences).map(|found| found.item).collect();
            (!items.is_empty()).then(|| (node.clone(), items))
        });
        Self {
            unheard: unheard.cloned().collect(),
            differing,
            allowed: heard.allowed().map(|(version, until)| (version.to_owned(), until)).collect(),
            refused: refused.collect(),
            nodes: fingerprints,
        }
    }

    fn show(&self, all: bool, now_ms: i64, output: &mut Output<'_>) -> Result<(), AdminError> {
        let items: BTreeSet<&str> = self.nodes.values().flat_map(|of| of.items().map(|(name, _)| name)).collect();
        let differs = |item: &str| match self.differing.get(item) {
            Some(Weight::Note) => item == Fingerprint::FULL_VERSION,
            weight => weight.is_some(),
        };
        let shown: Vec<&str> = items.into_iter().filter(|item| all || differs(item)).collect();
        if !shown.is_empty() {
            output.table(self.table(&shown))?;
            output.line("", Tone::Plain)?;
        }
        for (node, items) in &self.refused {
            let items: Vec<&str> = items.iter().map(String::as_str).collect();
            output.line(&format!("{node} is not admitted: {}", items.join(", ")), Tone::Bad)?;
        }
        for node in &self.unheard {
            output.line(
                &format!("{node} is a member and was never heard to present itself: start it again"),
                Tone::Warning,
            )?;
        }
        for (version, until) in &self.allowed {
            let (word, tone) = if *until > now_ms { ("is", Tone::Good) } else { ("was", Tone::Faint) };
            let time = show::time(u64::try_from(*until).unwrap_or_default());
            output.line(&format!("version {version} {word} admitted until {time}"), tone)?;
        }
        for (advice, nodes) in self.advice() {
            let nodes: Vec<&str> = nodes.iter().map(|node| node.as_str()).collect();
            output.line(&format!("{}: {advice}", nodes.join(", ")), Tone::Warning)?;
        }
        if self.refused.is_empty() && self.unheard.is_empty() && !self.nodes.is_empty() {
            output.line(&format!("{}, all admitted", show::count(self.nodes.len(), "node")), Tone::Good)?;
        }
        Ok(())
    }

    fn table(&self, items: &[&str]) -> Rows {
        let names = self.nodes.keys().map(NodeId::as_str);
        let mut rows = Rows::new(&std::iter::once("item").chain(names).collect::<Vec<_>>(), &[]);
        for item in items {
            let tone = match self.differing.get(*item) {
                Some(Weight::MustEqual) => Tone::Bad,
                Some(Weight::Version) => Tone::Warning,
                Some(Weight::Note) => Tone::Faint,
                None => Tone::Plain,
            };
            let values = self.nodes.values().map(|of| (show::or_none(of.get(item)), tone));
            let values = values.map(|(value, tone)| (show::one_line(&value, 40), tone));
            rows.push(std::iter::once(((*item).to_owned(), Tone::Plain)).chain(values).collect());
        }
        rows
    }

    /// Each piece of advice, and the nodes it is for.
    fn advice(&self) -> BTreeMap<&'static str, Vec<&NodeId>> {
        let mut by_advice: BTreeMap<&'static str, Vec<&NodeId>> = BTreeMap::new();
        for (node, fingerprint) in &self.nodes {
            for advice in advice::on(fingerprint) {
                by_advice.entry(advice).or_default().push(node);
            }
        }
        by_advice
    }

    fn json(&self) -> Value {
        json!({
            "nodes": self.nodes,
            "differing": self.differing,
            "refused": self.refused,
            "unheard": self.unheard,
            "allowedUntilMs": self.allowed,
            "advice": self.advice().into_iter().map(|(advice, nodes)| json!({"nodes": nodes, "text": advice})).collect::<Vec<_>>(),
        })
    }

    fn result(&self) -> Result<(), AdminError> {
        match (self.refused.keys().next(), self.unheard.first()) {
            _ if self.nodes.is_empty() && self.unheard.is_empty() => {
                Err(AdminError::Finding("no node was ever heard of".to_owned()))
            }
            (Some(node), _) => Err(AdminError::Finding(format!("{node} is not like the other members"))),
            (None, Some(node)) => Err(AdminError::Finding(format!("{node} was never heard to present itself"))),
            (None, None) => Ok(()),
        }
    }
}

/// Each node with the one before it.
fn pairs(nodes: &BTreeMap<NodeId, Fingerprint>) -> impl Iterator<Item = (&Fingerprint, &Fingerprint)> {
    nodes.values().zip(nodes.values().skip(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Cluster, Written, node};
    use crate::output::Format;
    use kluster_protocol::{admitted_key, presented_key};

    fn fingerprint(items: &[(&str, &str)]) -> Fingerprint {
        items.iter().copied().collect()
    }

    /// It starts, and is admitted.
    async fn admitted(cluster: &Cluster, name: &str, of: &Fingerprint) {
        presented(cluster, name, of).await;
        cluster.append(Topic::Nodes, entry::said(admitted_key(&name.into()), of)).await;
    }

    async fn presented(cluster: &Cluster, name: &str, of: &Fingerprint) {
        cluster.append(Topic::Nodes, entry::said(presented_key(&name.into()), of)).await;
        cluster.beat(&node(name)).await;
    }

    async fn doctor(cluster: &Cluster, format: Format, what: Option<Treatment>) -> (Result<(), AdminError>, String) {
        let mut written = Written::default();
        let doctor = Doctor { all: false, what };
        let ended = doctor.run(&cluster.log, &cluster.clock, &mut written.output(format)).await;
        (ended, written.data())
    }

    fn allow(version: &str, time: &str) -> Option<Treatment> {
        let time = humantime::parse_duration(time).unwrap();
        Some(Treatment::Allow(Allow { version: version.into(), time, yes: true }))
    }

    #[tokio::test(start_paused = true)]
    async fn alike_nodes_are_well_and_a_member_that_is_unheard_is_not() {
        let cluster = Cluster::new();
        let of = fingerprint(&[("dbms", "SQLite")]);
        admitted(&cluster, "n1", &of).await;
        admitted(&cluster, "n2", &of).await;
        cluster.beat(&node("n3")).await;
        let (ended, written) = doctor(&cluster, Format::Table, None).await;
        assert_eq!(ended.unwrap_err().exit_code(), 1);
        assert!(written.contains("n3 is a member and was never heard"), "{written}");
        admitted(&cluster, "n3", &of).await;
        let (ended, written) = doctor(&cluster, Format::Table, None).await;
        ended.unwrap();
        assert!(written.contains("3 nodes, all admitted"), "{written}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_difference_is_named_and_a_version_can_be_allowed() {
        let cluster = Cluster::new();
        let old = fingerprint(&[("dbms", "PostgreSQL"), ("version", "15"), ("note: fsync", "off")]);
        let new = fingerprint(&[("dbms", "PostgreSQL"), ("version", "16"), ("note: fsync", "on")]);
        for name in ["n1", "n2", "n3"] {
            admitted(&cluster, name, &old).await;
        }
        presented(&cluster, "n3", &new).await;
        let (ended, written) = doctor(&cluster, Format::Table, None).await;
        assert!(ended.unwrap_err().to_string().contains("n3"), "{written}");
        assert!(written.contains("n3 is not admitted: version"), "{written}");
        assert!(written.contains("n1, n2: fsync is off"), "{written}");
        let (ended, written) = doctor(&cluster, Format::Table, allow("16", "2h")).await;
        ended.unwrap();
        assert!(written.contains("version 16 are admitted beside others for 2h"), "{written}");
        presented(&cluster, "n3", &new).await;
        let (ended, written) = doctor(&cluster, Format::Json, None).await;
        ended.unwrap();
        let json: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(json["differing"], json!({"note: fsync": "note", "version": "version"}));
        assert_eq!(json["nodes"]["n3"]["version"], "16");
        cluster.pass(3 * 3_600_000);
        presented(&cluster, "n3", &new).await;
        let (ended, written) = doctor(&cluster, Format::Table, None).await;
        assert!(ended.is_err() && written.contains("version 16 was admitted until"), "{written}");
    }
}
