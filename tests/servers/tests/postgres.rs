//! PostgreSQL as tests use it: it answers, comes back after a kill with what it had, and is gone after its drop.
#![cfg(test)]

use std::net::TcpStream;
use std::time::Duration;

use kluster_test_servers::{PostgresServer, require, shared_postgres};

#[tokio::test]
async fn postgres_keeps_its_data_through_kill_9_and_is_gone_after_drop() {
    require!(Postgres);
    let postgres = PostgresServer::start().await.unwrap();
    postgres.create_database("shop").await.unwrap();
    postgres.sql("shop", "create table t(a int, b text); insert into t values (1, null)").await.unwrap();

    postgres.kill9().await.unwrap();
    assert!(TcpStream::connect(("127.0.0.1", postgres.port())).is_err());

    postgres.restart().await.unwrap();
    assert_eq!(postgres.sql("shop", "select * from t").await.unwrap(), "1|NULL\n");

    let (files, address) = (postgres.log(), ("127.0.0.1", postgres.port()));
    drop(postgres);
    assert!(TcpStream::connect(address).is_err());
    assert!(files.is_none_or(|log| !log.parent().unwrap().exists()));
}

#[tokio::test]
async fn a_stopped_postgres_answers_when_it_goes_on() {
    require!(Postgres);
    let postgres = PostgresServer::start().await.unwrap();
    postgres.stop().await.unwrap();
    let mut answer = Box::pin(postgres.sql("postgres", "select 1"));
    tokio::time::timeout(Duration::from_millis(300), &mut answer).await.unwrap_err();
    postgres.cont().await.unwrap();
    assert_eq!(answer.await.unwrap(), "1\n");
}

#[tokio::test]
async fn killing_takes_the_sessions_along_and_leaves_no_files() {
    require!(Postgres);
    let postgres = PostgresServer::start().await.unwrap();
    let sleeper = postgres.sql("postgres", "select pg_sleep(600)");
    let killer = async {
        while postgres
            .sql("postgres", "select count(*) from pg_stat_activity where query like '%sleep(600)%'")
            .await
            .unwrap()
            != "2\n"
        {}
        postgres.kill9().await.unwrap();
    };
    let (slept, ()) = tokio::join!(sleeper, killer);
    slept.unwrap_err();

    let files = postgres.log();
    drop(postgres);
    assert!(files.is_none_or(|log| !log.parent().unwrap().exists()));
}

#[tokio::test]
async fn an_error_says_what_psql_said() {
    require!(Postgres);
    let error = shared_postgres().await.sql("postgres", "select nonsense").await.unwrap_err();
    assert!(error.to_string().contains("column \"nonsense\" does not exist"), "{error}");
}

#[tokio::test]
async fn databases_of_a_shared_server_have_names_of_their_own() {
    require!(Postgres);
    let postgres = shared_postgres().await;
    let (one, other) = (postgres.new_database("x").await.unwrap(), postgres.new_database("x").await.unwrap());
    assert_ne!(one, other);
    assert!(postgres.url(&one).starts_with("postgres://postgres:secret@127.0.0.1:"));
    assert_eq!(postgres.sql(&one, "select current_database()").await.unwrap().trim(), one);
}
