//! A node whose request had a wrong effect, with every answer as it should be.

use kluster_protocol::{ErrorClass, Heartbeat, NodeState, Offset, SystemError, Topic, header};
use kluster_test_servers::require;
use kluster_tests::cluster::{Cluster, Database, Kind, NodeProcess, PATIENCE};
use std::collections::BTreeMap;

const NAMES: [&str; 3] = ["n1", "n2", "n3"];

/// An empty database that knows what its requests change.
async fn database(kind: Kind) -> Database {
    match kind {
        Kind::MariaDb => Database::create_on_mariadb_with_binary_log().await,
        Kind::Postgres | Kind::Sqlite => Database::create(kind).await,
    }
}

fn diverged(beat: &Heartbeat) -> bool {
    matches!(&beat.state, NodeState::Stopped { code, .. } if code == "diverged")
}

/// The node's effects are known up to this offset.
fn counts(beat: &Heartbeat, at: Offset) -> bool {
    beat.effects.as_ref().is_some_and(|effects| effects.at >= Some(at))
}

/// Every heartbeat so far, in order.
async fn beats(cluster: &Cluster) -> Vec<Heartbeat> {
    let range = cluster.log().range(Topic::Nodes, 0).await.expect("NODES has a range");
    let mut reader = cluster.log().read(Topic::Nodes, 0, range.start).await.expect("NODES can be read");
    let (mut beats, mut next) = (Vec::new(), range.start);
    while next < range.end {
        let record = reader.next().await.expect("NODES can be read");
        next = record.offset.next();
        if record.header(header::KIND).is_none() {
            beats.extend(record.value.map(|value| serde_json::from_slice(&value).expect("a heartbeat")));
        }
    }
    beats
}

/// Follows ERRORS until each of these nodes has named this offset as `diverged`, by an error of its class and with these words. Who goes on says
/// at once that nodes differ, and says it again when it knows the first offset.
async fn named_by(cluster: &Cluster, nodes: &[(&str, ErrorClass)], at: Offset, words: &str) {
    let start = cluster.log().range(Topic::Errors, 0).await.expect("ERRORS has a range").start;
    let mut reader = cluster.log().read(Topic::Errors, 0, start).await.expect("ERRORS can be read");
    let mut named: BTreeMap<String, SystemError> = BTreeMap::new();
    let following = async {
        while !nodes.iter().all(|(node, _)| named.contains_key(*node)) {
            let record = reader.next().await.expect("ERRORS can be read");
            let error: SystemError = serde_json::from_slice(&record.value.unwrap_or_default()).expect("a report");
            let is_awaited = nodes.contains(&(error.node_id.as_str(), error.class));
            let names = error.offset == Some(at) && error.message.contains(words);
            if is_awaited && error.code.as_deref() == Some("diverged") && names {
                named.insert(error.node_id.to_string(), error);
            }
        }
    };
    let found = tokio::time::timeout(PATIENCE, following).await;
    assert!(found.is_ok(), "not everybody named offset {at}: {named:#?}");
}

pub async fn a_wrong_effect_is_found_within_one_heartbeat_and_named(kind: Kind) {
    let mut cluster = Cluster::without_nodes().await;
    for name in NAMES {
        let wrong: &[_] = if name == "n3" { &[("KLUSTER_TEST_EFFECT", "n + 1 where=>n + 2 where")] } else { &[] };
        cluster.nodes.push(NodeProcess::start(name, database(kind).await, &cluster.flags(), wrong));
    }
    cluster.ready().await;
    let client = cluster.client().await;
    client.execute("create table t(id integer primary key, n integer)").all().await.expect("a table");
    client.execute("insert into t values (1, 0), (2, 0)").all().await.expect("rows");
    // The wrong one is neither the first nor the last between two heartbeats.
    let mut at = None;
    for n in 0..24 {
        let (id, by) = (1 + n % 2, if n == 9 { 1 } else { 10 });
        let request = client.execute(format!("update t set n = n + {by} where id = {id}"));
        let answer = request.first().await.expect("every node answers alike");
        at = if n == 9 { answer.offset } else { at };
    }
    let at = at.expect("its offset");
    n3_is_found_and_named(&mut cluster, at).await;
    client.execute("update t set n = n + 10").quorum().await.expect("two of three are a quorum");

    // Its database holds it back, even where nobody remembers what it said.
    let forgotten = kluster_log::NewRecord::default().keyed("n3");
    cluster.log().append(Topic::Nodes, None, forgotten).await.expect("NODES can be written");
    cluster.nodes[2].restart(&[]);
    assert!(!cluster.nodes[2].ended().await.success());
    cluster.nodes[2].says(&format!("its requests from offset {at} on had changed other rows")).await;
    let again = cluster.heartbeats_until(|beats| beats.get("n3").is_some_and(diverged)).await;
    assert_eq!(again["n3"].effects.as_ref().and_then(|effects| effects.differs_at), Some(at), "{again:#?}");

    // Emptied, it fills from the log, and is one of them.
    cluster.nodes[2].empty(database(kind).await);
    cluster.nodes[2].restart(&[]);
    cluster.ready().await;
    cluster.same_everywhere().await;
}

/// What no statement returns: the rows that a trigger writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_effect_of_a_trigger_is_found_where_postgres_decodes_its_log() {
    require!(Kafka, Postgres);
    let mut cluster = Cluster::without_nodes().await;
    for name in NAMES {
        let wrong: &[_] = if name == "n3" { &[("KLUSTER_TEST_EFFECT", "new.n * 10=>new.n * 11")] } else { &[] };
        let decodes = [("wal_level", "logical"), ("kluster.effects", "decoded")];
        let database = Database::create_private(Kind::Postgres, &decodes).await;
        cluster.nodes.push(NodeProcess::start(name, database, &cluster.flags(), wrong));
    }
    cluster.ready().await;
    let client = cluster.client().await;
    for sql in [
        "create table t(id integer primary key, n integer)",
        "create table noted(id integer, n integer)",
        "create function note() returns trigger language plpgsql as $$
           begin insert into noted values (new.id, new.n * 10); return new; end $$",
        "create trigger note after insert on t for each row execute function note()",
    ] {
        client.execute(sql).all().await.expect(sql);
    }
    let answer = client.execute("insert into t values (1, 1), (2, 2)").first().await.expect("every node answers alike");
    let at = answer.offset.expect("its offset");
    n3_is_found_and_named(&mut cluster, at).await;
    client.execute("insert into t values (3, 3)").quorum().await.expect("two of three are a quorum");
}

/// The third node stops within a heartbeat, and everybody names this offset.
async fn n3_is_found_and_named(cluster: &mut Cluster, at: Offset) {
    // Digests that were said, then at most one more heartbeat of the node before it has stopped.
    let stopped = cluster.heartbeats_until(|beats| beats.get("n3").is_some_and(diverged)).await;
    assert_eq!(stopped["n3"].effects.as_ref().and_then(|effects| effects.differs_at), Some(at), "{stopped:#?}");
    let all = beats(cluster).await;
    let said = |name: &&str| all.iter().position(|beat| beat.node_id.as_str() == *name && counts(beat, at));
    let said = NAMES.iter().filter_map(said).max().expect("everybody said its digest");
    let later = all[said + 1..].iter().filter(|beat| beat.node_id.as_str() == "n3" && beat.state.is_live()).count();
    assert!(later <= 1, "{later} heartbeats of n3 after everybody had said its digest: {all:#?}");

    // Who differs and who goes on name the offset of the request, everywhere.
    let classes = [ErrorClass::Alarm, ErrorClass::Alarm, ErrorClass::Fatal];
    let words = format!("the first request that changed other rows is the one at offset {at}");
    named_by(cluster, &NAMES.into_iter().zip(classes).collect::<Vec<_>>(), at, &words).await;
    let ended = cluster.nodes[2].ended().await;
    assert!(!ended.success() && cluster.nodes[2].last_words().contains(&words), "{}", cluster.nodes[2].last_words());
}
