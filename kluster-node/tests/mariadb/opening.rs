//! Opening: what is refused, and what a login of few rights needs.

use crate::contract::*;
use crate::{settings, shared};
use kluster_node::dbms::{Dbms, DbmsSettings, OpenError};
use kluster_test_servers::MariaDbServer;

async fn refused(settings: DbmsSettings) -> String {
    match Dbms::open(&settings).await {
        Err(OpenError::Unusable(why)) => why,
        Err(OpenError::Unreachable(why)) => panic!("unreachable: {why}"),
        Ok(_) => panic!("opened"),
    }
}

#[tokio::test]
async fn says_what_is_wrong_and_what_to_do() {
    let place = shared().await;
    let url = place.settings().url;
    let wrong = refused(settings(url.replace("secret", "wrong"))).await;
    assert!(wrong.contains("check user and password") && !wrong.contains("wrong"), "{wrong}");
    assert!(refused(settings(url.replace(&place.database, "mysql"))).await.contains("server's own"));
    let nobody = Dbms::open(&settings("mysql://root@127.0.0.1:1/shop".to_owned())).await;
    assert!(matches!(nobody, Err(OpenError::Unreachable(_))), "{nobody:?}");
    open(&place).await.close().await;
    let other = refused(DbmsSettings { node_id: "n2".to_owned(), ..place.settings() }).await;
    assert!(other.contains("belongs to node \"n1\""), "{other}");
}

#[tokio::test]
async fn a_login_of_few_rights_says_what_an_administrator_runs_and_then_works() {
    // Its own server: the printed SQL sets a global variable.
    let server = MariaDbServer::start().await.unwrap();
    server.sql("mysql", "create user few@'%' identified by 'few'").await.unwrap();
    let few = DbmsSettings { ..settings(server.url("my_shop").replace("root:secret", "few:few")) };
    let printed = refused(few.clone()).await;
    let sql = &printed[printed.find("CREATE DATABASE").unwrap_or_else(|| panic!("{printed}"))..];
    server.sql("mysql", sql).await.unwrap();
    let login =
        |user: &str, password: &str| server.url("my_shop").replace("root:secret", &format!("{user}:{password}"));
    let given = DbmsSettings {
        app_url: Some(login("kluster_app_my_shop", "app-password")),
        read_url: Some(login("kluster_read_my_shop", "read-password")),
        ..few
    };
    let mut db = Dbms::open(&given).await.unwrap();
    let create = ddl(&db, 0, "create table t (id int primary key) engine = MyISAM");
    one(&mut db, create).await.unwrap();
    one(&mut db, work(1, "insert into t values (1)")).await.unwrap();
    let (_, ended) = read(&db.reads(), &read_of("select * from t")).await;
    assert_eq!(ended, Ok(()));
    let engine = "select engine from information_schema.tables where table_name = 't'";
    assert_eq!(server.sql("my_shop", engine).await.unwrap().trim_end(), "InnoDB");
    db.recover().await.unwrap();
    one(&mut db, work(2, "insert into t values (2)")).await.unwrap();
    db.close().await;
}

#[tokio::test]
async fn names_with_signs_are_quoted() {
    let server = kluster_test_servers::shared_mariadb().await;
    for database in ["a-b$c_1", "x234567890123456789012345678901234567890123456789012345678901234"] {
        server.create_database(database).await.unwrap();
        let mut db = Dbms::open(&settings(server.url(database))).await.unwrap();
        let create = ddl(&db, 0, "create table t (id int primary key)");
        one(&mut db, create).await.unwrap();
        let again = ddl(&db, 1, "create table t (id int primary key)");
        assert!(one(&mut db, again).await.is_err());
        db.close().await;
    }
}

#[tokio::test]
async fn tables_that_cannot_be_rolled_back_are_refused() {
    let place = shared().await;
    place.sql("create table kept (id int auto_increment primary key, at timestamp default current_timestamp) engine = MyISAM").await;
    let why = refused(place.settings()).await;
    assert!(why.contains("ALTER TABLE") && why.contains("`kept` ENGINE = InnoDB"), "{why}");
    place.sql("alter table kept engine = InnoDB").await;
    open(&place).await.close().await;
}

#[tokio::test]
async fn a_state_database_without_its_routines_is_made_whole() {
    let place = shared().await;
    open(&place).await.close().await;
    place.sql(&format!("drop procedure kluster_state_{}.claim", place.database)).await;
    let mut db = Dbms::open(&place.settings()).await.unwrap();
    one(&mut db, work(1, "insert into t values (1, 'a')")).await.unwrap();
    db.close().await;
}
