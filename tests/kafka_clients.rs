//! `docs/kafka-clients.md` says what comes of clients and of Kafka's own tools, on Apache Kafka and on the embedded broker. What its tables say is
//! done here, on the one of the two that is tested.
//!
//! Neighbours: `tests/clients` has the clients' programs, which `scripts/setup` builds; `foreign_clients.rs` looks closer at what tools print.

use kluster_test_servers::{LogServer, record_beyond_setup, record_skip, require, shared_kafka};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A tool or a client that takes longer hangs.
const PATIENCE_SECONDS: &str = "90";
/// In a cell: all that is asked for is done.
const WORKS: &str = "works";
/// In a cell: the client has no such thing.
const NONE: &str = "–";

fn page() -> String {
    std::fs::read_to_string(root().join("docs/kafka-clients.md")).expect("the page is there")
}

/// The rows of a section's table, cell by cell, without backticks.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let page = page();
    let (_, section) =
        page.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading:?}"));
    let lines = section.split("\n## ").next().unwrap_or_default().lines();
    let rows = lines.filter(|line| line.starts_with("| ") && !line.starts_with("| ---")).skip(1);
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`').to_owned()).collect())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn kafkas_tools_end_as_documented() {
    require!(Kafka, KafkaTools);
    let server = shared_kafka().await.bootstrap();
    let name = new_name("tools");
    let path = format!("{}:{}", root().join("scripts/kafka/bin").display(), std::env::var("PATH").expect("a PATH"));
    let rows = rows("Kafka's own tools");
    let alike = rows.iter().filter(|row| row[1] == row[2]).count();
    let counted = format!("{alike} of the {} command lines end alike", rows.len());
    assert!(page().contains(&counted), "docs/kafka-clients.md does not say: {counted}");
    let mut wrong = Vec::new();
    for row in &rows {
        let [line, apache, broker] = &row[..] else { panic!("three cells: {row:?}") };
        let wanted = if LogServer::chosen() == LogServer::Broker { broker } else { apache };
        let mut command = Command::new("timeout");
        command.args([PATIENCE_SECONDS, "bash", "-c", line]).stdin(Stdio::null());
        command.env("PATH", &path).env("S", server).env("B", format!("--bootstrap-server {server}"));
        let output = command.env("T", &name).env("G", format!("{name}-group")).output().expect("bash starts");
        if let Err(found) = ended(&output, wanted) {
            wrong.push(format!("{line}\n  wanted: {wanted}\n  found: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} end otherwise:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// Whether a tool ended as a cell says; else what it said.
fn ended(output: &Output, wanted: &str) -> Result<(), String> {
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    // Some tools end with 0 whatever happened.
    let trouble = ["Exception", "Error", "ERROR"].iter().any(|word| said.contains(word));
    let as_wanted = match wanted {
        WORKS => output.status.success() && !trouble,
        words => said.contains(words),
    };
    if as_wanted { Ok(()) } else { Err(format!("{}, {}", output.status, said.trim())) }
}

/// A program in `tests/clients`: how it is started, and the file that pins its library's version.
struct Program {
    /// As the table names it.
    client: &'static str,
    command: &'static [&'static str],
    pinned_in: &'static str,
}

impl Program {
    const fn python(client: &'static str, command: &'static [&'static str]) -> Self {
        Self { client, command, pinned_in: "scripts/requirements.txt" }
    }

    const fn node(client: &'static str, command: &'static [&'static str]) -> Self {
        Self { client, command, pinned_in: "tests/clients/node/package.json" }
    }

    /// Runs it. It ends well, says of many things that they worked, and of the others what the table says.
    async fn ends_as_documented(&self) {
        require!(Kafka);
        let Some(row) = rows("Clients").into_iter().find(|row| row[0] == self.client) else {
            panic!("docs/kafka-clients.md has no row for {}", self.client)
        };
        let [_, version, _, newer, transactions] = &row[..] else { panic!("five cells: {row:?}") };
        let pins = std::fs::read_to_string(root().join(self.pinned_in)).expect("the pins are there");
        assert!(pins.contains(version.as_str()), "{}: {version} is not the version in {}", self.client, self.pinned_in);
        if let Some(gone) = self.command.iter().find(|part| part.starts_with(".cache") && !root().join(part).exists()) {
            let why = format!("there is no {gone}: run scripts/setup (make setup)");
            let by_setup = self.pinned_in.starts_with("scripts") || self.client == "rskafka";
            return if by_setup { record_skip(&why) } else { record_beyond_setup(&why) };
        }
        let server = shared_kafka().await.bootstrap();
        let mut command = Command::new("timeout");
        command.arg(PATIENCE_SECONDS).args(self.command).args([server, &new_name("client")]).current_dir(root());
        let output = command.output().expect("the program starts");
        let (said, trouble) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}\n{trouble}");
        assert!(said.lines().filter(|line| line.starts_with("worked: ")).count() >= 8, "{said}");
        for (what, wanted) in [("newer protocol: ", newer), ("transactions: ", transactions)] {
            let found = said.lines().find_map(|line| line.strip_prefix(what));
            match (found, wanted.as_str()) {
                (found, NONE) => assert_eq!(found, None, "{what}"),
                (Some(found), words) if LogServer::chosen() == LogServer::Broker => {
                    assert!(found.contains(words), "{what}{found:?} instead of {words:?}");
                }
                (found, _) => assert!(matches!(found, Some("works" | "work")), "{what}{found:?}"),
            }
        }
    }
}

macro_rules! clients {
    ($($test:ident: $program:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            $program.ends_as_documented().await;
        }
    )*};
}

const PYTHON: &str = ".cache/venv/bin/python";

clients! {
    confluent_kafka: Program::python("confluent-kafka-python", &[PYTHON, "tests/clients/confluent.py"]);
    kafka_python: Program::python("kafka-python", &[PYTHON, "tests/clients/kafka_python.py"]);
    aiokafka: Program::python("aiokafka", &[PYTHON, "tests/clients/aio.py"]);
    kafkajs: Program::node("kafkajs", &["node", ".cache/clients/node/kafkajs.js"]);
    platformatic: Program::node("@platformatic/kafka", &["node", ".cache/clients/node/platformatic.mjs"]);
    franz_go: Program { client: "franz-go", command: &[".cache/clients/franz"], pinned_in: "tests/clients/franz/go.mod" };
    sarama: Program { client: "sarama", command: &[".cache/clients/sarama"], pinned_in: "tests/clients/sarama/go.mod" };
    rskafka: Program {
        client: "rskafka",
        command: &[".cache/clients/rskafka"],
        pinned_in: "tests/clients/rskafka/Cargo.toml",
    };
    segmentio: Program {
        client: "segmentio/kafka-go",
        command: &[".cache/clients/segmentio"],
        pinned_in: "tests/clients/segmentio/go.mod",
    };
}

fn new_name(test: &str) -> String {
    format!("{test}-{}", uuid::Uuid::new_v4().simple())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace").to_owned()
}
