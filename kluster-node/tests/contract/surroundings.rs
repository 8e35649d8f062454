//! Surroundings: what a node says of its DBMS before it is compared with others.

use super::*;
use kluster_protocol::Fingerprint;

/// A database that is empty and one that holds tables, of one server, are alike; and a second look finds the same.
pub async fn surroundings_are_those_of_the_server(place: &impl Place) {
    let mut db = open(place).await;
    let before = db.fingerprint().await.unwrap();
    let table = ddl(&db, 1, "create table more (id integer primary key, name varchar(20))");
    one(&mut db, table).await.unwrap();
    assert_eq!(db.fingerprint().await.unwrap().differences(&before), []);
    for item in [Fingerprint::DBMS, Fingerprint::VERSION, "architecture", "rules over SQL"] {
        assert!(before.get(item).is_some_and(|value| !value.is_empty()), "{item}: {before:?}");
    }
    db.close().await;
}
