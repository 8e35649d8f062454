//! The same words on every DBMS: what is there, and how it is described.

use super::{data, say};
use kluster_test_servers::require;
use kluster_tests::cluster::{Cluster, Kind};

#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    require!(Kafka);
    tables_are_listed_and_described(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    require!(Kafka, Postgres);
    let cluster = tables_are_listed_and_described(Kind::Postgres).await;
    let wrong = say(&cluster, &["select *\nfrom persn"]);
    assert!(wrong.notes.contains("refused as undefined_table (SQLSTATE 42P01) by n"), "{wrong:?}");
    assert!(wrong.notes.contains("  line 2: from persn\n               ^"), "{wrong:?}");
    data(&cluster, &["-c", "create table \"Mixed Case\" (\"Id\" int primary key)"]);
    assert!(data(&cluster, &["-c", "\\d \"Mixed Case\""]).contains(" Id "), "quotes keep the case");
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb() {
    require!(Kafka, MariaDb);
    let cluster = tables_are_listed_and_described(Kind::MariaDb).await;
    assert!(data(&cluster, &["show tables"]).contains("person"));
    let refused = say(&cluster, &["begin; create table x (id int primary key); commit;"]);
    assert!(refused.code == Some(5) && refused.notes.contains("commits this statement by itself"), "{refused:?}");
}

async fn tables_are_listed_and_described(kind: Kind) -> Cluster {
    let cluster = Cluster::start(kind, 2).await;
    data(
        &cluster,
        &[
            "--ack",
            "all",
            "create table person (id integer not null primary key, name varchar(40) default 'nobody');
             create table pet (id integer not null primary key, owner integer, constraint owned foreign key (owner) references person (id));
             create index by_name on person (name);
             create view people as select id, name from person;
             insert into person values (1, 'Jan'); insert into person (id) values (2);",
        ],
    );
    let command = |line: &str| data(&cluster, &["-c", line]);
    let contains = |text: &str, words: &[&str]| {
        for word in words {
            assert!(text.contains(word), "{kind:?}: {word:?} is missing in\n{text}");
        }
        assert!(!text.contains("kluster_"), "{kind:?}: Kluster's own tables are left out\n{text}");
    };
    contains(&command("\\d"), &["person", "pet", "people", "table", "view"]);
    let tables = command("\\dt");
    contains(&tables, &["person", "pet"]);
    assert!(!tables.contains("people"), "{tables}");
    let views = command("\\dv");
    contains(&views, &["people"]);
    assert!(!views.contains("pet"), "{views}");
    contains(&command("\\di"), &["by_name"]);
    contains(&command("\\d person"), &[" id ", " name ", "not null", "nobody", "by_name"]);
    contains(&command("\\d pet;"), &["owner", "person"]);
    contains(&command("\\d people"), &[" id ", " name "]);
    let nodes = command("\\nodes");
    assert!(nodes.contains("n1") && nodes.contains("n2") && nodes.contains("2 voters, one chain at offset"), "{nodes}");
    let settings = data(&cluster, &["--ack", "all", "-c", "\\read strong", "-c", "\\settings"]);
    assert!(settings.contains("\\read       strong\n\\ack        all\n"), "{settings}");
    cluster.same_everywhere().await;
    cluster
}
