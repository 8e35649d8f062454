use kluster_node::dbms::postgres::address::Address;
use kluster_node::dbms::postgres::connection::Connection;
use kluster_node::dbms::postgres::error::Error;

use super::server::{LOGINS, server};
use super::{connect, one};

#[tokio::test]
async fn every_way_of_authentication_is_spoken() {
    for (user, password) in LOGINS {
        let mut connection = Connection::connect(&server().login(user, Some(password))).await.unwrap();
        assert_eq!(one(&mut connection, "select current_user").await, user);
        connection.close().await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_the_servers_refusal() {
    for (user, _) in LOGINS {
        match Connection::connect(&server().login(user, Some("wrong"))).await.unwrap_err() {
            Error::SessionEnded(error) => assert_eq!(error.sqlstate, "28P01", "{user}"),
            other => panic!("{user}: {other}"),
        }
    }
}

#[tokio::test]
async fn a_missing_password_is_named() {
    let error = Connection::connect(&server().login("scram", None)).await.unwrap_err();
    assert!(matches!(error, Error::Login { .. }), "{error}");
    assert!(error.to_string().contains("asks for a password"), "{error}");
}

#[tokio::test]
async fn an_unknown_database_is_the_servers_refusal() {
    let mut address = server().superuser();
    address.database = "nowhere".into();
    match Connection::connect(&address).await.unwrap_err() {
        Error::SessionEnded(error) => assert_eq!(error.sqlstate, "3D000"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn nobody_listening_names_the_place() {
    let address = Address::parse("postgres://a@/b?host=/nowhere&port=1").unwrap();
    let error = Connection::connect(&address).await.unwrap_err();
    assert!(error.is_connection_lost());
    assert!(error.to_string().contains("/nowhere/.s.PGSQL.1"), "{error}");
}

#[tokio::test]
async fn settings_hold_from_the_start_and_reports_are_kept() {
    let address =
        server().superuser().with_parameter("IntervalStyle", "iso_8601").with_parameter("TimeZone", "Asia/Tokyo");
    let mut connection = Connection::connect(&address).await.unwrap();
    assert_eq!(connection.reported("IntervalStyle"), Some("iso_8601"));
    assert_eq!(connection.reported("TimeZone"), Some("Asia/Tokyo"));
    assert!(connection.reported("server_version").unwrap().starts_with("15"));
    assert_eq!(one(&mut connection, "show application_name").await, "kluster");
    connection.execute_script("set timezone = 'UTC'").await.unwrap();
    assert_eq!(connection.reported("TimeZone"), Some("UTC"));
}

#[tokio::test]
async fn the_process_id_is_the_servers() {
    let mut connection = connect().await;
    assert_eq!(one(&mut connection, "select pg_backend_pid()").await, connection.process_id().to_string());
}
