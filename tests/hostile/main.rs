//! Hostile and broken input on ALL and ONE: each has its one documented code, the same on all nodes, and the next request is served.
//!
//! The inputs and their codes are `table.rs`; `docs/hostile-input.md` is the same table for readers, written by `UPDATE=1`.

mod page;
mod table;

use kluster_log::{Log, NewRecord};
use kluster_protocol::{Request, Topic};
use kluster_test_servers::require;
use kluster_tests::cluster::{Cluster, Kind};
use kluster_tests::scripts::{Answer, Answers};
use std::collections::BTreeMap;
use table::{CASES, Case};

/// So many nodes answer what comes through ALL.
const NODES: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    require!(Kafka);
    every_input_has_its_code(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_mariadb() {
    require!(Kafka, MariaDb);
    every_input_has_its_code(Kind::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    require!(Kafka, Postgres);
    every_input_has_its_code(Kind::Postgres).await;
}

#[test]
fn the_page_says_what_is_tested() {
    page::is_current();
}

async fn every_input_has_its_code(kind: Kind) {
    let cluster = Cluster::start(kind, NODES).await;
    let mut bench =
        Bench { log: cluster.log().clone(), answers: Answers::from_now(cluster.log()).await, asked: 0, kind };
    for sql in table::schema(kind) {
        assert_eq!(bench.ask(Topic::All, table::request("setup", sql)).await.code, "OK", "{sql}");
    }
    let mut wrong = Vec::new();
    for case in CASES {
        wrong.extend(bench.try_out(case).await);
    }
    assert!(wrong.is_empty(), "{kind:?}:\n{}", wrong.join("\n"));
    cluster.same_everywhere().await;
}

/// Where inputs are tried out.
struct Bench {
    log: Log,
    answers: Answers,
    asked: u32,
    kind: Kind,
}

/// What came of an input.
#[derive(Debug)]
struct Outcome {
    /// The code, `OK` or a code of an error.
    code: String,
    /// How many rows came back.
    rows: usize,
}

impl Bench {
    /// Gives an input to both lanes, and says what is not as the table has it.
    async fn try_out(&mut self, case: &Case) -> Vec<String> {
        let mut wrong = Vec::new();
        for (topic, expected) in [(Topic::All, case.all), (Topic::One, case.one)] {
            let mut outcome = None;
            for record in case.records(self.kind, topic) {
                outcome = Some(self.ask(topic, record).await);
            }
            let outcome = outcome.expect("a case has a record");
            if outcome.code != expected.on(self.kind)
                || case.rows.is_some_and(|rows| outcome.code == "OK" && outcome.rows != rows)
            {
                wrong.push(format!("{} on {topic}: expected {}, came {outcome:?}", case.input, expected.on(self.kind)));
            }
            let next = self.ask(topic, table::request("next", "select 1 as one")).await;
            if (next.code.as_str(), next.rows) != ("OK", 1) {
                wrong.push(format!("{} on {topic}: the next request came to {next:?}", case.input));
            }
        }
        wrong
    }

    /// Appends a record and waits for its answers; those of ALL must be the same.
    async fn ask(&mut self, topic: Topic, record: NewRecord) -> Outcome {
        self.asked += 1;
        let partitions = self.log.partitions(topic).await.expect("the topic has partitions");
        let partition = self.asked % partitions;
        let value = record.value.clone();
        let record = NewRecord { value: value.map(|value| table::numbered(&value, self.asked)), ..record };
        let named = match Request::parse(record.value.as_deref()) {
            Ok(request) => Some(request.message_id),
            Err(bad) => bad.message_id,
        };
        let placed = self.log.append(topic, Some(partition), record).await.expect("the topic takes the record");
        let id = named.map_or_else(|| format!("@{}", placed.offset), |id| id.to_string());
        let answers = self.answers.of(&id, if topic == Topic::All { NODES } else { 1 }).await;
        self.answers.forget();
        outcome(&id, &answers)
    }
}

/// The one outcome that all nodes answered.
fn outcome(id: &str, answers: &BTreeMap<String, Vec<Answer>>) -> Outcome {
    let mut each = answers.values().map(|parts| said(parts));
    let first = each.next().expect("somebody answered");
    for other in each {
        assert!(first == other, "{id}: the nodes differ: {} and {}", short(&first), short(&other));
    }
    let parts = answers.values().next().expect("somebody answered");
    let rows = parts.iter().flat_map(|part| &part.result).map(Vec::len).sum();
    Outcome { code: parts[0].error.as_ref().map_or("OK".to_owned(), |error| error.code.to_string()), rows }
}

/// An answer without what is the node's own: its name, the answer's id, and the DBMS's words, in which the database's name may stand.
fn said(parts: &[Answer]) -> String {
    let part = |part: &Answer| {
        let mut part = Answer { message_id: "".into(), node_id: "".into(), result_code: String::new(), ..part.clone() };
        if let Some(error) = &mut part.error {
            error.message.clear();
        }
        serde_json::to_string(&part).expect("an answer can be written")
    };
    parts.iter().map(part).collect()
}

fn short(text: &str) -> &str {
    text.get(..1000).unwrap_or(text)
}
