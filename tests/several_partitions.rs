//! Why ALL has one partition: what comes back with several, every producer pinned to one of them for its whole run. The counter-example of
//! the chapter "Why one write partition" in ARCHITECTURE.md.
//!
//! The log is the one in memory; its topic ONE, which has several partitions, stands in for an ALL that had them. A replica here is SQLite and nothing
//! else: it executes each statement as it arrives. Kafka orders records within a partition and promises nothing between partitions, so an *arrival* is
//! any interleaving that keeps each partition's own order. Every one of them is legal, and each replica may meet another.
#![cfg(test)]

use kluster_log::{Log, MemoryLog, NewRecord};
use kluster_protocol::{Offset, Topic};
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};

/// Which partition the next record comes from, record by record.
type Arrival = Vec<u32>;

const SCHEMA: &str = "create table register(name text primary key, value int not null);
    insert into register values ('x', 0), ('y', 0);
    create table doctor(name text primary key, on_call int not null);
    insert into doctor values ('alice', 1), ('bob', 1);
    create table parent(id int primary key);
    create table child(id int primary key, parent int not null references parent(id));
    create table entry(n integer primary key, text text not null);";

/// What a replica holds, and what it answered to each statement: rows matched, or its refusal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Replica {
    tables: Vec<String>,
    answers: BTreeMap<String, Result<usize, String>>,
}

/// Two producers write; producer 0 to partition 0 and producer 1 to `partition_of_second` (0: both to one partition), taking turns.
async fn written(first: &[&str], second: &[&str], partition_of_second: u32) -> MemoryLog {
    let log = MemoryLog::new();
    let producers = [(0, first, log.user("first")), (partition_of_second, second, log.user("second"))];
    for turn in 0..first.len().max(second.len()) {
        for (partition, statements, producer) in &producers {
            let Some(statement) = statements.get(turn) else { continue };
            let record = NewRecord::of((*statement).to_owned());
            Log::memory(producer.clone()).append(Topic::One, Some(*partition), record).await.unwrap();
        }
    }
    log
}

/// Every interleaving of partitions with these many records.
fn arrivals(left: &mut Vec<usize>) -> Vec<Arrival> {
    if left.iter().all(|count| *count == 0) {
        return vec![Vec::new()];
    }
    let mut found = Vec::new();
    for partition in 0..left.len() {
        if left[partition] == 0 {
            continue;
        }
        left[partition] -= 1;
        for mut rest in arrivals(left) {
            rest.insert(0, partition as u32);
            found.push(rest);
        }
        left[partition] += 1;
    }
    found
}

/// All arrivals that the log allows.
fn legal(log: &MemoryLog) -> Vec<Arrival> {
    arrivals(&mut vec![log.records(Topic::One, 0).len(), log.records(Topic::One, 1).len()])
}

/// A replica that met the first `count` records of this arrival.
async fn replica_after(log: &MemoryLog, arrival: &[u32], count: usize) -> Replica {
    let log = Log::memory(log.clone());
    let mut readers = BTreeMap::new();
    for partition in [0, 1] {
        readers.insert(partition, log.read(Topic::One, partition, Offset::ZERO).await.unwrap());
    }
    let database = Connection::open_in_memory().unwrap();
    database.execute_batch(&format!("pragma foreign_keys = on; {SCHEMA}")).unwrap();
    let mut answers = BTreeMap::new();
    for partition in &arrival[..count] {
        let record = readers.get_mut(partition).unwrap().next().await.unwrap();
        let statement = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
        let answer = database.execute(&statement, []).map_err(|refusal| refusal.to_string());
        answers.insert(statement, answer);
    }
    Replica {
        tables: ["register", "doctor", "parent", "child", "entry"].map(|table| rows(&database, table)).to_vec(),
        answers,
    }
}

async fn replica(log: &MemoryLog, arrival: &[u32]) -> Replica {
    replica_after(log, arrival, arrival.len()).await
}

/// Every replica that the log allows.
async fn replicas(log: &MemoryLog) -> BTreeSet<Replica> {
    let mut found = BTreeSet::new();
    for arrival in legal(log) {
        found.insert(replica(log, &arrival).await);
    }
    found
}

fn rows(database: &Connection, table: &str) -> String {
    let mut statement = database.prepare(&format!("select * from {table} order by 1")).unwrap();
    let width = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        (0..width).map(|n| row.get::<_, rusqlite::types::Value>(n)).collect::<Result<Vec<_>, _>>()
    };
    let rows: Vec<_> = statement.query_map([], row).unwrap().map(Result::unwrap).collect();
    format!("{table}: {rows:?}")
}

/// Writes that do not commute: the replicas hold different data, for ever.
#[tokio::test]
async fn replicas_differ() {
    let (first, second) =
        (["update register set value = 1 where name = 'x'"], ["update register set value = 2 where name = 'x'"]);
    let several = written(&first, &second, 1).await;
    let (one, other) = (replica(&several, &[0, 1]).await, replica(&several, &[1, 0]).await);
    assert!(one.tables[0].contains("Integer(2)") && other.tables[0].contains("Integer(1)"));
    assert_ne!(one.tables, other.tables);

    let single = written(&first, &second, 0).await;
    assert_eq!(replicas(&single).await.len(), 1, "one partition has one arrival");
}

/// A compare-and-set that two clients win: each by the replica that answered it first.
#[tokio::test]
async fn both_win_a_compare_and_set() {
    let first = ["update register set value = 1 where name = 'x' and value = 0"];
    let second = ["update register set value = 2 where name = 'x' and value = 0"];
    let several = written(&first, &second, 1).await;
    let (one, other) = (replica(&several, &[0, 1]).await, replica(&several, &[1, 0]).await);
    assert_eq!((&one.answers[first[0]], &one.answers[second[0]]), (&Ok(1), &Ok(0)));
    assert_eq!((&other.answers[first[0]], &other.answers[second[0]]), (&Ok(0), &Ok(1)));

    let single = written(&first, &second, 0).await;
    let only = replicas(&single).await.into_iter().next().unwrap();
    assert_eq!(
        only.answers.values().filter(|answer| **answer == Ok(1)).count(),
        1,
        "one wins, and everywhere the same one"
    );
}

/// Write skew: each goes off call because another stays on. Each replica keeps the rule, and yet both are told that they may go.
#[tokio::test]
async fn both_doctors_leave() {
    let leave = |name: &str| {
        format!("update doctor set on_call = 0 where name = '{name}' and (select sum(on_call) from doctor) > 1")
    };
    let (alice, bob) = (leave("alice"), leave("bob"));
    let several = written(&[&alice], &[&bob], 1).await;
    let (one, other) = (replica(&several, &[0, 1]).await, replica(&several, &[1, 0]).await);
    assert_eq!((&one.answers[&alice], &other.answers[&bob]), (&Ok(1), &Ok(1)));
    assert_ne!(one.tables[1], other.tables[1], "and nobody knows who has left");

    let single = replicas(&written(&[&alice], &[&bob], 0).await).await;
    assert!(single.iter().all(|replica| replica.answers[&alice] == Ok(1) && replica.answers[&bob] == Ok(0)));
}

/// The second producer was told of the first one's write and builds on it. One replica executes it, another refuses it.
#[tokio::test]
async fn an_effect_arrives_before_its_cause() {
    let (first, second) = (["insert into parent values (1)"], ["insert into child values (1, 1)"]);
    let several = written(&first, &second, 1).await;
    let (one, other) = (replica(&several, &[0, 1]).await, replica(&several, &[1, 0]).await);
    assert_eq!(one.answers[second[0]], Ok(1));
    assert!(other.answers[second[0]].as_ref().unwrap_err().contains("FOREIGN KEY"));

    let single = replicas(&written(&first, &second, 0).await).await;
    assert!(single.iter().all(|replica| replica.answers[second[0]] == Ok(1)));
}

/// No read point is shared: of two readers each sees a write that the other does not see, so no order of the two explains both.
#[tokio::test]
async fn reads_fork() {
    let (first, second) =
        (["update register set value = 1 where name = 'x'"], ["update register set value = 1 where name = 'y'"]);
    let several = written(&first, &second, 1).await;
    let (one, other) = (replica_after(&several, &[0, 1], 1).await, replica_after(&several, &[1, 0], 1).await);
    assert!(one.answers.contains_key(first[0]) && !one.answers.contains_key(second[0]));
    assert!(other.answers.contains_key(second[0]) && !other.answers.contains_key(first[0]));

    // With one partition what is seen is a prefix, and of two prefixes one holds the other.
    let single = written(&first, &second, 0).await;
    let early = replica_after(&single, &[0, 0], 1).await;
    let late = replica_after(&single, &[0, 0], 2).await;
    assert!(early.answers.keys().all(|statement| late.answers.contains_key(statement)));
}

/// What pinning does keep: each producer's own order, on every replica. And only that: together, six arrivals leave several states.
#[tokio::test]
async fn each_producer_keeps_its_own_order() {
    let entry = |text: &str| format!("insert into entry(text) values ('{text}')");
    let (first, second) = (["a1", "a2"].map(entry), ["b1", "b2"].map(entry));
    let several = written(&first.each_ref().map(String::as_str), &second.each_ref().map(String::as_str), 1).await;
    assert_eq!(legal(&several).len(), 6);
    let found = replicas(&several).await;
    assert_eq!(found.len(), 6, "every arrival leaves another table");
    for replica in &found {
        let place = |text: &str| replica.tables[4].find(text).unwrap();
        assert!(place("a1") < place("a2") && place("b1") < place("b2"));
    }
}

/// What would be safe with several partitions: writes that commute and tell nobody what they met. That is a counter, not a database.
#[tokio::test]
async fn writes_that_commute_agree() {
    let add = |count: u32| format!("update register set value = value + {count} where name = 'x'");
    let (first, second) = ([add(1), add(10)], [add(100), add(1000)]);
    let several = written(&first.each_ref().map(String::as_str), &second.each_ref().map(String::as_str), 1).await;
    assert_eq!(replicas(&several).await.len(), 1);
}

/// What remains possible: one log for each database. Here each partition is one database's log: no statement touches tables of the other, so
/// the order between them decides nothing, although within each it decides much.
#[tokio::test]
async fn one_log_for_each_database() {
    let shop =
        ["update register set value = 1 where name = 'x'", "update register set value = value * 5 where name = 'x'"];
    let staff = ["update doctor set on_call = 0 where name = 'bob'", "delete from doctor where on_call = 0"];
    let both = written(&shop, &staff, 1).await;
    assert_eq!(legal(&both).len(), 6);
    assert_eq!(replicas(&both).await.len(), 1);
}
