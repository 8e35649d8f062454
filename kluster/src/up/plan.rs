//! plan: which nodes are to run, from what is asked and what the directory holds. No I/O.
//!
//! Neighbours: `directory` describes the last start; `nodes` starts what is planned here.

use super::directory::{Described, Home};
use crate::error::KlusterError;
use kluster_protocol::NodeId;
use std::collections::BTreeSet;
use url::Url;

/// Nodes of a new directory: the fewest of which one may be lost while a majority stays.
const FIRST_NODES: usize = 3;

/// What is asked on the command line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// `--nodes`.
    pub(crate) nodes: Option<u16>,
    /// `--node`, in their order.
    pub(crate) urls: &'a [String],
    /// `--without`.
    pub(crate) without: &'a [String],
}

/// A node to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlannedNode {
    /// What is remembered of it.
    pub(crate) described: Described,
    /// The address of its database.
    pub(crate) url: String,
}

/// The nodes to run, and those that are not run any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// To run.
    pub(crate) nodes: Vec<PlannedNode>,
    /// Of an earlier start, and not of this one.
    pub(crate) absent: Vec<NodeId>,
    /// Of the absent ones, those that may be taken out of the members.
    pub(crate) without: BTreeSet<NodeId>,
}

impl Plan {
    /// Compares what is asked with what lies there.
    pub(crate) fn make(asked: &Asked<'_>, home: &Home) -> Result<Self, KlusterError> {
        let nodes = match asked.urls {
            [] => files(asked.nodes, home)?,
            urls => databases(urls)?,
        };
        for node in &nodes {
            same_dbms(node, home.nodes())?;
        }
        let runs = |id: &NodeId| nodes.iter().any(|node| node.described.id == *id);
        let absent: Vec<NodeId> = home.nodes().iter().map(|node| node.id.clone()).filter(|id| !runs(id)).collect();
        let without: BTreeSet<NodeId> = asked.without.iter().map(|name| NodeId::new(name.clone())).collect();
        if let Some(node) = without.iter().find(|node| !absent.contains(node)) {
            return Err(KlusterError::Settings(match runs(node) {
                true => format!(
                    "--without {node}: {node} is to be started and would join again; ask for fewer with --nodes"
                ),
                false => format!("--without {node}: this directory knows no node {node}"),
            }));
        }
        Ok(Self { nodes, absent, without })
    }
}

fn name(index: usize) -> NodeId {
    NodeId::new(format!("n{}", index + 1))
}

/// Nodes on files of the directory.
fn files(asked: Option<u16>, home: &Home) -> Result<Vec<PlannedNode>, KlusterError> {
    let described = home.nodes();
    if let Some(node) = described.iter().find(|node| !node.own_file) {
        return Err(KlusterError::OtherCluster(format!(
            "the nodes of this directory are beside databases of their own ({} beside {}): name them again by --node, in the same order",
            node.id, node.at
        )));
    }
    let count = match asked {
        Some(count) => usize::from(count),
        None if described.is_empty() => FIRST_NODES,
        None => described.len(),
    };
    let node = |index| {
        let id = name(index);
        let file = home.file(&id).display().to_string();
        let url = format!("sqlite:{file}");
        PlannedNode { described: Described { id, dbms: "SQLite".to_owned(), at: file, own_file: true }, url }
    };
    Ok((0..count).map(node).collect())
}

/// Nodes beside databases that are there.
fn databases(urls: &[String]) -> Result<Vec<PlannedNode>, KlusterError> {
    let mut nodes: Vec<PlannedNode> = Vec::new();
    for (index, url) in urls.iter().enumerate() {
        let (dbms, at) = (dbms_of(url)?.to_owned(), without_password(url));
        if let Some(other) = nodes.iter().find(|node| node.described.dbms != dbms) {
            return Err(KlusterError::Settings(format!(
                "--node {at}: {dbms}, but {} is beside {}: all nodes of one cluster execute the same SQL, so they have one kind of database",
                other.described.id, other.described.dbms
            )));
        }
        if let Some(other) = nodes.iter().find(|node| node.described.at == at) {
            return Err(KlusterError::Settings(format!(
                "--node {at}: {} has this database already; each node has one of its own",
                other.described.id
            )));
        }
        let described = Described { id: name(index), dbms, at, own_file: false };
        nodes.push(PlannedNode { described, url: url.clone() });
    }
    Ok(nodes)
}

fn dbms_of(url: &str) -> Result<&'static str, KlusterError> {
    match url.split(':').next().unwrap_or_default() {
        "postgres" | "postgresql" => Ok("PostgreSQL"),
        "mysql" | "mariadb" => Ok("MariaDB"),
        "sqlite" => Ok("SQLite"),
        _ => Err(KlusterError::Settings(format!(
            "--node {}: no known kind of database; write postgres://user:password@host/database, mariadb://… or sqlite:FILE",
            without_password(url)
        ))),
    }
}

/// An address as people may see it.
fn without_password(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => match parsed.set_password(None) {
            Ok(()) => parsed.to_string(),
            Err(()) => parsed.scheme().to_owned(),
        },
        _ => url.to_owned(),
    }
}

/// A node that comes back beside another kind of database would hold nothing of what it had.
fn same_dbms(node: &PlannedNode, described: &[Described]) -> Result<(), KlusterError> {
    let node = &node.described;
    match described.iter().find(|known| known.id == node.id && known.dbms != node.dbms) {
        None => Ok(()),
        Some(known) => Err(KlusterError::OtherCluster(format!(
            "{} is beside {} in this directory ({}), and asked for beside {} ({}): ask for what it was, or choose another directory with --dir",
            node.id, known.dbms, known.at, node.dbms, node.at
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::directory::Directory;
    use super::*;
    use kluster_protocol::DatabaseName;

    fn home(nodes: &[(&str, &str, bool)]) -> (tempfile::TempDir, Home) {
        let root = tempfile::tempdir().unwrap();
        let mut home = Directory::open(root.path()).unwrap().of_database(&DatabaseName::default()).unwrap();
        for (id, dbms, own_file) in nodes {
            let node =
                Described { id: (*id).into(), dbms: (*dbms).into(), at: "somewhere".into(), own_file: *own_file };
            home.remember(&node).unwrap();
        }
        (root, home)
    }

    fn plan(
        home: &Home,
        nodes: Option<u16>,
        urls: &[&str],
        without: &[&str],
    ) -> Result<(String, String), (u8, String)> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let (urls, without) = (owned(urls), owned(without));
        let plan = Plan::make(&Asked { nodes, urls: &urls, without: &without }, home);
        let plan = plan.map_err(|error| (error.exit_code(), error.to_string()))?;
        let absent: Vec<_> = plan.absent.iter().map(ToString::to_string).collect();
        let running: Vec<_> = plan.nodes.iter().map(|node| node.described.id.to_string()).collect();
        Ok((running.join(" "), absent.join(" ")))
    }

    fn names(running: &str, absent: &str) -> Result<(String, String), (u8, String)> {
        Ok((running.into(), absent.into()))
    }

    #[test]
    fn a_new_directory_has_three_nodes_and_an_old_one_as_many_as_it_had() {
        let (_root, new) = home(&[]);
        assert_eq!(plan(&new, None, &[], &[]), names("n1 n2 n3", ""));
        assert_eq!(plan(&new, Some(1), &[], &[]), names("n1", ""));
        let (_root, old) = home(&[("n1", "SQLite", true), ("n2", "SQLite", true)]);
        assert_eq!(plan(&old, None, &[], &[]), names("n1 n2", ""));
        assert_eq!(plan(&old, Some(3), &[], &[]), names("n1 n2 n3", ""));
        assert_eq!(plan(&old, Some(1), &[], &["n2"]), names("n1", "n2"));
    }

    #[test]
    fn databases_are_named_in_order_and_their_passwords_not_at_all() {
        let (_root, new) = home(&[]);
        let urls = ["postgres://me:geheim@a/x", "postgres://me:geheim@b/x"];
        assert_eq!(plan(&new, None, &urls, &[]), names("n1 n2", ""));
        let (code, text) = plan(&new, None, &[urls[0], "postgres://me:geheim@a/x"], &[]).unwrap_err();
        assert!(code == 2 && text.contains("postgres://me@a/x") && !text.contains("geheim"), "{text}");
    }

    #[test]
    fn another_cluster_is_refused() {
        let (_root, old) = home(&[("n1", "PostgreSQL", false)]);
        for (urls, code, words) in [
            (&[][..], 13, "name them again by --node"),
            (&["mariadb://a/x"], 13, "n1 is beside PostgreSQL in this directory"),
            (&["postgres://a/x", "sqlite:x.db"], 2, "one kind of database"),
            (&["oracle://a/x"], 2, "no known kind of database"),
        ] {
            let (found, text) = plan(&old, None, urls, &[]).unwrap_err();
            assert!(found == code && text.contains(words), "{found} {text}");
        }
        assert_eq!(plan(&old, None, &["postgres://elsewhere/x"], &[]), names("n1", ""));
    }

    #[test]
    fn only_who_is_not_started_can_be_taken_out() {
        let (_root, old) = home(&[("n1", "SQLite", true), ("n2", "SQLite", true)]);
        for (name, words) in [("n1", "would join again"), ("n9", "knows no node n9")] {
            let (code, text) = plan(&old, Some(1), &[], &[name]).unwrap_err();
            assert!(code == 2 && text.contains(words), "{text}");
        }
    }
}
