//! Which nodes `kluster up` runs, when others are asked for than before, and when one of them stops.

use super::kluster::{start, tables, up};
use kluster_test_servers::{require, shared_mariadb, shared_postgres};

const TABLE: &str = "create table person(id integer primary key, name varchar(40))";

#[tokio::test(flavor = "multi_thread")]
async fn more_nodes_join_by_replaying_and_fewer_must_be_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let running = up(dir.path(), 0, &["--nodes", "2"]).await;
    running.client().await.execute(TABLE).all().await.unwrap();
    running.drained().await;

    let running = up(dir.path(), 0, &["--nodes", "3"]).await;
    let client = running.client().await;
    let done = client.execute("insert into person values (1, 'Jan')").all().await.unwrap();
    assert_eq!(done.answered.len(), 3);
    client.close();
    running.drained().await;
    assert_eq!(tables(dir.path(), "n3"), tables(dir.path(), "n1"));

    let (code, words) = start(dir.path(), 0, &["--nodes", "2"]).fails().await;
    assert_eq!(code, 13, "{words}");
    assert!(words.contains("kluster up --nodes 2 --without n3"), "{words}");
    let running = up(dir.path(), 0, &["--nodes", "2", "--without", "n3"]).await;
    let client = running.client().await;
    let done = client.execute("insert into person values (2, 'Eva')").all().await.unwrap();
    assert_eq!(done.answered.len(), 2);
    client.close();
    running.drained().await;

    let running = up(dir.path(), 0, &[]).await;
    assert_eq!(running.nodes, 2, "it is remembered that n3 has left");
    running.drained().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_of_ones_own_are_of_one_kind_and_stay_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| format!("sqlite:{}", dir.path().join(name).display());
    let (a, b) = (file("a.db"), file("b.db"));
    let data = dir.path().join("data");
    let (code, words) = start(&data, 0, &["--node", &a, "--node", "postgres://localhost/x"]).fails().await;
    assert_eq!(code, 2, "{words}");
    let running = up(&data, 0, &["--node", &a, "--node", &b]).await;
    assert_eq!(running.nodes, 2);
    running.client().await.execute(TABLE).all().await.unwrap();
    running.drained().await;
    for (flags, part) in [
        (&[][..], "name them again by --node"),
        (&["--node", "postgres://localhost/x", "--node", "postgres://localhost/y"], "n1 is beside SQLite"),
    ] {
        let (code, words) = start(&data, 0, flags).fails().await;
        assert!(code == 13 && words.contains(part), "{code} {words}");
    }
    // The files of the two nodes, changed over.
    let (code, words) = start(&data, 0, &["--node", &b, "--node", &a]).fails().await;
    assert!(code == 12 && words.contains("belongs to node \"n"), "{code} {words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_leaves_the_others_alone() {
    let dir = tempfile::tempdir().unwrap();
    let running = up(dir.path(), 0, &[]).await;
    let client = running.client().await;
    client.execute(TABLE).all().await.unwrap();
    let file = rusqlite::Connection::open(dir.path().join("databases/main/n2.db")).unwrap();
    file.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    file.execute("update kluster_state set applied = applied + 1000", []).unwrap();
    client.execute("insert into person values (1, 'Jan')").nodes(2).await.unwrap();
    running.says("n2 stopped at offset").await;
    running.says("the others go on").await;
    client.execute("insert into person values (2, 'Eva')").nodes(2).await.unwrap();
    running.signal("TERM");
    let (status, _, words) = running.ended().await;
    assert_eq!(status.code(), Some(12), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_beside_postgres() {
    require!(Postgres);
    let server = shared_postgres().await;
    let database = async || server.url(&server.new_database("up").await.unwrap());
    beside([database().await, database().await]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_beside_mariadb() {
    require!(MariaDb);
    let server = shared_mariadb().await;
    let database = async || server.url(&server.new_database("up").await.unwrap());
    beside([database().await, database().await]).await;
}

/// Starts, writes, comes back, and never tells a password.
async fn beside(urls: [String; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--node", &urls[0], "--node", &urls[1]];
    let running = up(dir.path(), 0, &flags).await;
    running.client().await.execute(TABLE).all().await.unwrap();
    running.drained().await;
    let running = up(dir.path(), 0, &flags).await;
    let client = running.client().await;
    let done = client.execute("insert into person values (1, 'Jan')").all().await.unwrap();
    assert_eq!(done.answered.len(), 2);
    client.close();
    let described = std::fs::read_to_string(dir.path().join("databases/main/cluster.json")).unwrap();
    for url in &urls {
        let password = url.split('@').next().unwrap().rsplit(':').next().unwrap();
        for told in [&described, &running.words()] {
            assert!(password.starts_with("//") || !told.contains(password), "a password is told: {told}");
        }
    }
    running.drained().await;
}
