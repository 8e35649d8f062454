//! Surroundings against real clusters: a node that is unlike the others is refused by name before it applies anything, the others go on, and
//! kluster-admin doctor shows it.

use kluster_protocol::{SystemError, Topic, UNLIKE};
use kluster_test_servers::require;
use kluster_tests::cluster::{Cluster, Database, Kind, NodeProcess, binary};
use serde_json::Value;
use std::process::Stdio;

/// The exit code of a node that does not serve.
const STOPPED: i32 = 5;

async fn doctor(cluster: &Cluster, arguments: &[&str]) -> (Option<i32>, Value) {
    let mut command = tokio::process::Command::new(binary("kluster-admin"));
    command.arg("doctor").args(arguments).args(["--output", "json"]).args(cluster.flags()).stdin(Stdio::null());
    let output = command.output().await.expect("kluster-admin starts");
    let (said, trouble) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let said = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}\n{trouble}"));
    (output.status.code(), said)
}

/// The node ends, names the item and reports it; the others execute a request.
async fn is_refused(cluster: &mut Cluster, node: usize, item: &str) {
    let ended = cluster.nodes[node].ended().await;
    assert_eq!(ended.code(), Some(STOPPED), "{}", cluster.nodes[node].last_words());
    let words = cluster.nodes[node].words();
    assert!(words.contains("this node is not like the other members") && words.contains(item), "{words}");
    let name = cluster.nodes[node].name().to_owned();
    let range = cluster.log().range(Topic::Errors, 0).await.expect("ERRORS has a range");
    let mut reader = cluster.log().read(Topic::Errors, 0, range.start).await.expect("ERRORS can be read");
    loop {
        let record = reader.next().await.expect("ERRORS can be read");
        let error: SystemError = serde_json::from_slice(&record.value.unwrap_or_default()).expect("a report");
        if error.node_id.as_str() == name && error.code.as_deref() == Some(UNLIKE) {
            break;
        }
    }
    let client = cluster.client().await;
    client.execute("insert into t values (1)").nodes(2).await.expect("the others go on");
    client.execute("delete from t").nodes(2).await.expect("the others go on");
}

/// Adds a node that declares this.
async fn add(cluster: &mut Cluster, kind: Kind, declared: &str) {
    let (name, database) = (format!("n{}", cluster.nodes.len() + 1), Database::create(kind).await);
    let node = NodeProcess::start(&name, database, &cluster.flags(), &[("KLUSTER_DECLARE", declared)]);
    cluster.nodes.push(node);
}

pub async fn a_node_that_declares_something_else_is_refused(kind: Kind) {
    let mut cluster = Cluster::without_nodes().await;
    add(&mut cluster, kind, "image=a").await;
    add(&mut cluster, kind, "image=a").await;
    cluster.ready().await;
    cluster.client().await.execute("create table t(id integer primary key)").all().await.expect("a table");
    add(&mut cluster, kind, "image=b").await;
    is_refused(&mut cluster, 2, r#"declared image is "b" here and "a" on n1, n2"#).await;
    let (code, said) = doctor(&cluster, &[]).await;
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(said["refused"], serde_json::json!({"n3": ["declared image"]}), "{said}");
    // A member that comes back with something else, and one that is judged by what that member was admitted with.
    cluster.nodes[1].kill();
    cluster.nodes[1].restart(&[("KLUSTER_DECLARE", "image=c")]);
    let ended = cluster.nodes[1].ended().await;
    assert_eq!(ended.code(), Some(STOPPED), "{}", cluster.nodes[1].last_words());
    cluster.nodes[0].kill();
    cluster.nodes[0].restart(&[("KLUSTER_DECLARE", "image=a")]);
    cluster.client().await.execute("insert into t values (2)").first().await.expect("the first goes on");
    cluster.nodes[2].restart(&[("KLUSTER_DECLARE", "image=a")]);
    cluster.nodes[1].restart(&[("KLUSTER_DECLARE", "image=a")]);
    cluster.ready().await;
    let (code, said) = doctor(&cluster, &[]).await;
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_database_of_another_collation_is_refused() {
    require!(Kafka, Postgres);
    beside_two_others(Kind::Postgres, Database::create_on_postgres_of_another_collation().await, "database datcollate")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_of_other_settings_is_refused() {
    require!(Kafka, MariaDb);
    let other = Database::create_private(Kind::MariaDb, &[("max_allowed_packet", "128M")]).await;
    beside_two_others(Kind::MariaDb, other, "setting max_allowed_packet").await;
}

async fn beside_two_others(kind: Kind, database: Database, item: &str) {
    let mut cluster = Cluster::start(kind, 2).await;
    cluster.client().await.execute("create table t(id integer primary key)").all().await.expect("a table");
    let (code, said) = doctor(&cluster, &[]).await;
    assert_eq!((code, &said["refused"]), (Some(0), &serde_json::json!({})), "{said}");
    cluster.add(database);
    is_refused(&mut cluster, 2, item).await;
}
