//! MariaDB as tests use it: it answers, comes back after a kill with what it had, and is gone after its drop.
#![cfg(test)]

use std::net::TcpStream;
use std::time::Duration;

use kluster_test_servers::{MariaDbServer, require, shared_mariadb};

#[tokio::test]
async fn mariadb_keeps_its_data_through_kill_9_and_is_gone_after_drop() {
    require!(MariaDb);
    let mariadb = MariaDbServer::start().await.unwrap();
    mariadb.create_database("shop").await.unwrap();
    mariadb.sql("shop", "create table t(a int, b text); insert into t values (1, null)").await.unwrap();

    mariadb.kill9().await.unwrap();
    assert!(TcpStream::connect(("127.0.0.1", mariadb.port())).is_err());

    mariadb.restart().await.unwrap();
    assert_eq!(mariadb.sql("shop", "select * from t").await.unwrap(), "1\tNULL\n");

    let (files, address) = (mariadb.log(), ("127.0.0.1", mariadb.port()));
    drop(mariadb);
    assert!(TcpStream::connect(address).is_err());
    assert!(files.is_none_or(|log| !log.parent().unwrap().exists()));
}

#[tokio::test]
async fn a_stopped_mariadb_answers_when_it_goes_on() {
    require!(MariaDb);
    let mariadb = MariaDbServer::start().await.unwrap();
    mariadb.stop().await.unwrap();
    let mut answer = Box::pin(mariadb.sql("mysql", "select 1"));
    tokio::time::timeout(Duration::from_millis(300), &mut answer).await.unwrap_err();
    mariadb.cont().await.unwrap();
    assert_eq!(answer.await.unwrap(), "1\n");
}

#[tokio::test]
async fn an_error_says_what_the_client_said() {
    require!(MariaDb);
    let error = shared_mariadb().await.sql("mysql", "select nonsense").await.unwrap_err();
    assert!(error.to_string().contains("Unknown column 'nonsense'"), "{error}");
}

#[tokio::test]
async fn databases_of_a_shared_server_have_names_of_their_own() {
    require!(MariaDb);
    let mariadb = shared_mariadb().await;
    let (one, other) = (mariadb.new_database("x").await.unwrap(), mariadb.new_database("x").await.unwrap());
    assert_ne!(one, other);
    assert!(mariadb.url(&one).starts_with("mysql://root:secret@127.0.0.1:"));
    assert_eq!(mariadb.sql(&one, "select database()").await.unwrap().trim(), one);
}
