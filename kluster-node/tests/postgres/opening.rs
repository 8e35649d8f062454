//! Opening: what is refused, and what a login of few rights needs.

use crate::contract::*;
use crate::{alone, settings, shared};
use kluster_node::dbms::{Dbms, DbmsSettings, OpenError};
use kluster_test_servers::PostgresServer;
use serde_json::json;

async fn refused(settings: &DbmsSettings) -> String {
    match Dbms::open(settings).await {
        Err(OpenError::Unusable(why)) => why,
        Err(OpenError::Unreachable(why)) => panic!("unreachable: {why}"),
        Ok(_) => panic!("opened"),
    }
}

#[tokio::test]
async fn says_what_is_wrong_and_what_to_do() {
    let place = shared().await;
    let url = place.settings().url;
    let wrong = refused(&settings(url.replace("secret", "wrong"))).await;
    assert!(wrong.contains("28P01") && !wrong.contains("wrong"), "{wrong}");
    assert!(refused(&settings(url.replace(&place.database, "nowhere"))).await.contains("3D000"));
    let nobody = Dbms::open(&settings("postgres://postgres@127.0.0.1:1/shop".to_owned())).await;
    assert!(matches!(nobody, Err(OpenError::Unreachable(_))), "{nobody:?}");
    place
        .server
        .sql("postgres", "create database latin encoding 'LATIN1' locale 'C' template template0")
        .await
        .unwrap();
    assert!(refused(&settings(place.server.url("latin"))).await.contains("UTF8"));
    let by_hand = DbmsSettings { app_url: Some(url.clone()), read_url: Some(url.clone()), ..place.settings() };
    assert!(refused(&by_hand).await.contains("holds a password"));
    open(&place).await.close().await;
    place.sql("update kluster_state.about set value = '2' where key = 'schema_version'").await;
    assert!(refused(&place.settings()).await.contains("newer"));
}

#[tokio::test]
async fn an_owner_that_may_create_roles_needs_no_superuser() {
    let server = PostgresServer::start().await.unwrap();
    server
        .sql("postgres", "create role few login createrole password 'few'; create database shop owner few")
        .await
        .unwrap();
    let few = settings(server.url("shop").replace("postgres:secret", "few:few"));
    for _ in 0..2 {
        let mut db = Dbms::open(&few).await.unwrap();
        let offset = db.load().await.unwrap().map_or(0, |row| row.applied.get() + 1);
        one(&mut db, alone(offset, &format!("create table t{offset} (id int primary key)"))).await.unwrap();
        one(&mut db, work(offset + 1, &format!("insert into t{offset} values (1)"))).await.unwrap();
        db.recover().await.unwrap();
        let (_, ended) = read(&db.reads(), &read_of(&format!("select * from t{offset}"))).await;
        assert_eq!(ended, Ok(()));
        let ran = one(&mut db, alone(offset + 2, "select * from kluster_state.state")).await;
        assert!(ran.is_err());
        db.close().await;
    }
}

#[tokio::test]
async fn a_login_of_few_rights_says_what_an_administrator_runs_and_then_works() {
    let server = PostgresServer::start().await.unwrap();
    server.sql("postgres", "create role few login password 'few'; create database shop").await.unwrap();
    let few = settings(server.url("shop").replace("postgres:secret", "few:few"));
    let printed = refused(&few).await;
    let begin = printed.find("create role").unwrap_or_else(|| panic!("{printed}"));
    let end = printed.find("let both log in").unwrap();
    server.sql("shop", &printed[begin..end]).await.unwrap();
    // The administrator lets them log in without a password; `few` keeps its own.
    let hba = "copy (select * from unnest(array['host all kluster_app_shop,kluster_read_shop all trust', \
               'host all all all scram-sha-256'])) to '";
    let file = server.sql("shop", "show hba_file").await.unwrap();
    server.sql("shop", &format!("{hba}{}'", file.trim_end())).await.unwrap();
    server.sql("shop", "select pg_reload_conf()").await.unwrap();
    let given = DbmsSettings {
        app_url: Some(server.url("shop").replace("postgres:secret", "kluster_app_shop")),
        read_url: Some(server.url("shop").replace("postgres:secret", "kluster_read_shop")),
        ..few
    };
    let opened = async {
        loop {
            // The server reads the file a moment later.
            match Dbms::open(&given).await {
                Err(OpenError::Unusable(why)) if why.contains("password") => {}
                opened => break opened.unwrap(),
            }
        }
    };
    let opened = tokio::time::timeout(std::time::Duration::from_secs(60), opened).await;
    let mut db = opened.expect("the server reads its new file");
    one(&mut db, alone(0, "create table t (id int primary key)")).await.unwrap();
    one(&mut db, work(1, "insert into t values (1)")).await.unwrap();
    let (_, ended) = read(&db.reads(), &read_of("select * from t")).await;
    assert_eq!(ended, Ok(()));
    let ran = one(&mut db, work(2, "select pg_terminate_backend(1)")).await;
    assert!(ran.is_err());
    db.recover().await.unwrap();
    one(&mut db, work(3, "insert into t values (2)")).await.unwrap();
    db.close().await;
}

#[tokio::test]
async fn tables_that_were_there_before_can_be_used() {
    let place = shared().await;
    place
        .sql("create table old (id serial primary key, name text); insert into old (name) values ('a'); create schema shop; create table shop.goods (id int)")
        .await;
    let mut db = Dbms::open(&place.settings()).await.unwrap();
    one(&mut db, work(0, "insert into old (name) values ('b')")).await.unwrap();
    one(&mut db, work(1, "insert into shop.goods values (1)")).await.unwrap();
    assert_eq!(
        query(&mut db, 2, "select name from old order by id").await,
        [json!({"name": "a"}), json!({"name": "b"})]
    );
    for sql in ["select * from old", "select * from shop.goods", "select last_value from old_id_seq"] {
        let (_, ended) = read(&db.reads(), &read_of(sql)).await;
        assert_eq!(ended, Ok(()), "{sql}");
    }
    db.close().await;
}

#[tokio::test]
async fn names_with_signs_are_quoted() {
    let server = kluster_test_servers::shared_postgres().await;
    let name = "My \"shop\" é, with a name that is far too long to be part of it";
    let name: String = name.chars().take(59).collect();
    server.create_database(&name).await.unwrap();
    let url = server.url("x").replace(
        "/x",
        "/My%20%22shop%22%20%C3%A9,%20with%20a%20name%20that%20is%20far%20too%20long%20to%20be%20part%20of",
    );
    let mut db = Dbms::open(&settings(url)).await.unwrap();
    one(&mut db, alone(0, "create table t (id int primary key)")).await.unwrap();
    let (_, ended) = read(&db.reads(), &read_of("select * from t")).await;
    assert_eq!(ended, Ok(()));
    db.close().await;
}
