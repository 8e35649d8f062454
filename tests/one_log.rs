//! The whole way on real parts: Apache Kafka, three nodes as processes, three databases of each kind.

#![cfg(test)]

use kluster_test_servers::require;
use kluster_tests::cluster::{Cluster, Kind};

async fn a_request_takes_effect_on_every_node(kind: Kind) {
    let cluster = Cluster::start(kind, 3).await;
    let client = cluster.client().await;
    client.execute("create table person(id integer primary key, name varchar(40))").all().await.unwrap();
    for id in 1..=20 {
        let done =
            client.execute("insert into person values ($1, $2)").bind(id).bind(format!("p{id}")).all().await.unwrap();
        assert_eq!(done.answered.len(), 3);
    }
    let names: Vec<(i64, String)> =
        client.query("select id, name from person where id = $1").bind(7).session().fetch().await.unwrap();
    assert_eq!(names, [(7, "p7".to_owned())]);
    let tables = cluster.same_everywhere().await;
    assert_eq!(tables["person"].len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    require!(Kafka);
    a_request_takes_effect_on_every_node(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_mariadb() {
    require!(Kafka, MariaDb);
    a_request_takes_effect_on_every_node(Kind::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    require!(Kafka, Postgres);
    a_request_takes_effect_on_every_node(Kind::Postgres).await;
}

/// PostgreSQL reads the text `now` as the present wherever a time is expected; each node would read another one.
#[tokio::test(flavor = "multi_thread")]
async fn the_present_is_not_read_from_a_value_on_postgres() {
    require!(Kafka, Postgres);
    let cluster = Cluster::start(Kind::Postgres, 2).await;
    let client = cluster.client().await;
    client.execute("create table track(id integer primary key, name varchar(40), at timestamptz)").all().await.unwrap();
    client.execute("insert into track(id, name) values (1, 'Yesterday')").all().await.unwrap();
    client.execute("insert into track(id, name) values ($1, $2)").bind(2).bind("Tomorrow").all().await.unwrap();
    for refused in [
        client.execute("insert into track(id, at) values (3, 'now')").all().await,
        client.execute("insert into track(id, at) values (4, $1)").bind("now").all().await,
    ] {
        let error = refused.unwrap_err();
        assert!(
            matches!(&error, kluster_client::ClientError::Refused { error, .. } if error.code.as_str() == "type_mismatch"),
            "{error}"
        );
    }
    assert_eq!(cluster.same_everywhere().await["track"].len(), 2);
}
