//! compare-load: loads a script of SQL through a cluster of three nodes by `kluster-admin load`, and once more by the DBMS's own tool past Kluster;
//! then compares every table of every node with it.
//!
//! `cargo run --release -p kluster-tests --bin compare-load -- postgres|mariadb|sqlite FILE [DATABASE]`; DATABASE is the one that the script itself creates
//! and changes to, if it does. Build the workspace's binaries in the same profile first.

use kluster_tests::cluster::{Cluster, Kind, load_past_kluster};
use std::process::Command;
use std::time::Instant;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (kind, file, own) = match &arguments[..] {
        [kind, file] => (kind, file, None),
        [kind, file, own] => (kind, file, Some(own.as_str())),
        _ => panic!("usage: compare-load postgres|mariadb|sqlite FILE [DATABASE]"),
    };
    let kind = match kind.as_str() {
        "postgres" => Kind::Postgres,
        "mariadb" => Kind::MariaDb,
        "sqlite" => Kind::Sqlite,
        other => panic!("{other:?} is no kind of database"),
    };
    let cluster = Cluster::start(kind, 3).await;
    let began = Instant::now();
    load(&cluster, file);
    cluster.caught_up().await;
    println!("loaded through the cluster in {:.1} s", began.elapsed().as_secs_f64());
    status(&cluster);
    let plain = load_past_kluster(kind, file.as_ref(), own).await;
    let rows: usize = plain.values().map(Vec::len).sum();
    for node in &cluster.nodes {
        let tables = node.database().tables().await;
        let differing: Vec<_> =
            plain.keys().chain(tables.keys()).filter(|name| plain.get(*name) != tables.get(*name)).collect();
        assert!(differing.is_empty(), "{} differs in {differing:?}", node.name());
    }
    println!(
        "{} tables, {rows} rows: equal on {} nodes and in a plain load by the DBMS's own tool",
        plain.len(),
        cluster.nodes.len()
    );
}

fn admin() -> Command {
    let here = std::env::current_exe().expect("a program knows its own file");
    Command::new(here.with_file_name("kluster-admin"))
}

fn load(cluster: &Cluster, file: &str) {
    let status = admin().args(["load", file]).args(cluster.flags()).status().expect("kluster-admin starts");
    assert!(status.success(), "the load failed: {status}");
}

fn status(cluster: &Cluster) {
    admin().arg("status").args(cluster.flags()).status().expect("kluster-admin starts");
}
