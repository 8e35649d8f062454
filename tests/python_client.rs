//! docs/protocol.md is enough to write a client in another language: the one in `examples/python`, written from it, works on every kind of database.

use kluster_test_servers::{record_skip, require};
use kluster_tests::cluster::{Cluster, Kind};
use std::path::{Path, PathBuf};
use std::process::Command;

async fn hello_is_said_and_answered(kind: Kind) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let Some(python) = python(&root) else { return };
    let cluster = Cluster::start(kind, 3).await;
    let mut hello = Command::new(python);
    hello.arg(root.join("examples/python/hello.py"));
    hello.args(["--bootstrap", cluster.kafka().bootstrap(), "--prefix", cluster.prefix(), "--timeout", "60"]);
    let output = hello.output().expect("python starts");
    let (said, trouble) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{trouble}");
    cluster.same_everywhere().await;
}

/// The Python that `scripts/setup` makes, with its Kafka client; without it the test counts as skipped, and fails in CI.
fn python(root: &Path) -> Option<PathBuf> {
    let python = root.join(".cache/venv/bin/python");
    if python.is_file() {
        return Some(python);
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must have {}", python.display());
    record_skip("there is no .cache/venv: run scripts/setup (make setup)");
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    require!(Kafka);
    hello_is_said_and_answered(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_mariadb() {
    require!(Kafka, MariaDb);
    hello_is_said_and_answered(Kind::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    require!(Kafka, Postgres);
    hello_is_said_and_answered(Kind::Postgres).await;
}
