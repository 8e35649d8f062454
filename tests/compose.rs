//! The cluster in containers, as `compose/` describes it: it comes up, answers this machine, outlives its parts, and keeps its data.
//! The image is built by compose/Dockerfile, which takes long the first time; KLUSTER_TEST_IMAGE names a built one to take instead.

#![cfg(test)]

use kluster_client::{Client, Execute};
use kluster_test_servers::{Parting, free_ports, require};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Longer than any healthy start takes, on a machine with more to do.
const START_SECONDS: &str = "300";
/// An attempt ends after 5 s at the earliest, when all nodes are silent; the longest time without a leader is the session of a broker (3 s).
const ATTEMPTS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn with_sqlite() {
    require!(Compose);
    outlives_its_parts(&Compose::new("sqlite.yaml", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_mariadb() {
    require!(Compose);
    outlives_its_parts(&Compose::new("mariadb.yaml", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_postgres_and_three_brokers() {
    require!(Compose);
    outlives_its_parts(&Compose::new("postgres.yaml", 3)).await;
}

/// Up; a node killed, and a broker where there are more; back; down; up again with all data.
async fn outlives_its_parts(compose: &Compose) {
    compose.up();
    compose.is_healthy();
    let client = compose.client().await;
    client.execute("create table person(id integer primary key, name varchar(40))").all().await.unwrap();
    let written = client.execute("insert into person values ($1, $2)").bind(1).bind("Jan").all().await.unwrap();
    assert_eq!(written.answered.len(), 3);

    compose.kill("n2");
    let written = client.execute("insert into person values ($1, $2)").bind(2).bind("Eva").quorum().await.unwrap();
    assert!(written.answered.iter().all(|node| node.node_id.as_str() != "n2"), "{:?}", written.answered);
    if compose.brokers == 3 {
        compose.kill("kafka2");
    }
    once(client.execute("insert into person values ($1, $2)").bind(3).bind("Isa")).await;

    compose.up();
    compose.is_healthy();
    let before = people(&client).await;
    assert_eq!(before.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2, 3]);
    drop(client);

    compose.run(&["down"]);
    compose.up();
    compose.is_healthy();
    assert_eq!(people(&compose.client().await).await, before);
}

/// Executes while a broker is being replaced: an attempt whose outcome is open is made again with its ticket, and takes effect once.
async fn once(insert: Execute) {
    let mut attempt = insert.clone().quorum().await;
    for _ in 0..ATTEMPTS {
        let Err(error) = &attempt else { return };
        let ticket = error.ticket().unwrap_or_else(|| panic!("{error}")).clone();
        attempt = insert.clone().retry(ticket).quorum().await;
    }
    panic!("{attempt:?}");
}

/// What the whole cluster holds: read through ALL, and the same by every node, else the read fails.
async fn people(client: &Client) -> Vec<(i64, String)> {
    client.query("select id, name from person order by id").ordered().fetch().await.unwrap()
}

/// A cluster under a project name of its own, gone with its volumes when this is dropped or the tests end.
struct Compose {
    project: String,
    files: String,
    brokers: u16,
    port: u16,
    _end: Parting,
}

impl Compose {
    fn new(dbms: &str, brokers: u16) -> Self {
        // Not in the middle of a test that counts time.
        LazyLock::force(&IMAGE);
        let port = free_ports(3).expect("there are free ports");
        let project = format!("kluster-test-{}-{port}", std::process::id());
        let three = if brokers == 3 { ":three-brokers.yaml" } else { "" };
        let files = format!("compose.yaml:{dbms}{three}");
        let end = format!("docker compose --project-name {project} down --volumes --timeout 0");
        Self { project, files, brokers, port, _end: Parting::command(&end).expect("a shell starts") }
    }

    /// Starts what does not run, and returns when all of it is healthy.
    fn up(&self) {
        self.run(&["up", "--detach", "--no-build", "--wait", "--wait-timeout", START_SECONDS]);
    }

    fn kill(&self, service: &str) {
        self.run(&["kill", service]);
    }

    /// Three voters with one chain, and topics as they must be.
    fn is_healthy(&self) {
        let status = self.run(&["exec", "-T", "n1", "kluster-admin", "status", "--output", "json"]);
        let status: serde_json::Value = serde_json::from_str(&status).expect("status is JSON");
        assert_eq!(status["verdict"], "healthy", "{status:#}");
        assert_eq!(status["membership"]["voters"].as_array().map(Vec::len), Some(3), "{status:#}");
        self.run(&["exec", "-T", "n1", "kluster-admin", "topics", "check"]);
    }

    /// A client on this machine: Kafka must tell it an address that this machine can reach.
    async fn client(&self) -> Client {
        let brokers: Vec<_> = (0..self.brokers).map(|broker| format!("localhost:{}", self.port + broker)).collect();
        Client::connect(&format!("kafka://{}", brokers.join(","))).await.expect("a client can connect")
    }

    fn run(&self, arguments: &[&str]) -> String {
        let mut command = compose();
        command.args(arguments).env("COMPOSE_PROJECT_NAME", &self.project).env("COMPOSE_FILE", &self.files);
        for (name, step) in [("KAFKA_PORT", 0), ("KAFKA_PORT_2", 1), ("KAFKA_PORT_3", 2)] {
            command.env(name, (self.port + step).to_string());
        }
        output(command.env("KLUSTER_IMAGE", IMAGE.as_str()))
    }
}

/// The image of the nodes, built once.
static IMAGE: LazyLock<String> = LazyLock::new(|| {
    if let Some(image) = std::env::var("KLUSTER_TEST_IMAGE").ok().filter(|image| !image.is_empty()) {
        return image;
    }
    let image = "kluster:test";
    output(compose().args(["build", "--quiet"]).env("COMPOSE_FILE", "compose.yaml").env("KLUSTER_IMAGE", image));
    image.to_owned()
});

fn compose() -> Command {
    let mut command = Command::new("docker");
    command.arg("compose").current_dir(directory());
    command
}

/// What a command says; it must succeed.
fn output(command: &mut Command) -> String {
    let output = command.output().expect("docker starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../compose")
}
