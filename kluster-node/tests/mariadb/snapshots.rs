//! What the hash of a row tells apart, type by type, and that a table's sum is that of its rows however it is divided.

use crate::contract::*;
use crate::settings;
use kluster_node::dbms::Dbms;
use kluster_node::dbms::snapshot::{Parts, Snapshot, Table};
use kluster_protocol::check::{MAX_LISTED, Sum};
use kluster_test_servers::shared_mariadb;
use std::collections::BTreeSet;

/// Types, and values of each that are unlike one another; NULL is one more.
const VALUES: &[(&str, &[&str])] = &[
    ("int", &["0", "1", "-1", "2147483647", "-2147483648"]),
    ("int unsigned", &["0", "4294967295"]),
    ("bigint", &["0", "-1", "9007199254740992", "9007199254740993", "9223372036854775807", "-9223372036854775808"]),
    ("bigint unsigned", &["0", "18446744073709551615", "18446744073709551614"]),
    ("double", &["0e0", "0.3e0", "0.30000000000000004e0", "-0.3e0", "1.7976931348623157e308", "5e-324"]),
    ("float", &["0", "1.3", "1.3000001", "16777215", "16777216"]),
    ("decimal(40,10)", &["0", "1", "-1", "12345678901234567890.0000000001", "12345678901234567890.0000000002"]),
    ("date", &["'2001-02-03'", "'2001-02-04'"]),
    ("datetime(6)", &["'2001-02-03 04:05:06'", "'2001-02-03 04:05:06.000001'"]),
    ("timestamp(3) null", &["'2001-02-03 04:05:06'", "'2001-02-03 04:05:06.001'"]),
    ("time(6)", &["'00:00:00'", "'-838:59:59'", "'00:00:00.000001'", "'-00:00:00.000001'"]),
    ("year", &["0", "2001"]),
    ("bit(64)", &["0", "1", "9007199254740992", "9007199254740993", "18446744073709551615"]),
    ("varchar(20) character set latin1", &["''", "'-'", "'#'", "'é'", "'e'"]),
    ("longtext", &["''", "'-'", "'a'", "'A'"]),
    ("blob", &["x''", "x'00'", "x'0000'", "x'ff'"]),
    ("enum('a', 'b')", &["'a'", "'b'"]),
    ("set('a', 'b')", &["''", "'a'", "'a,b'"]),
    ("json", &["'{}'", "'[]'"]),
    ("uuid", &["'01890af0-0000-7000-8000-000000000001'", "'01890af0-0000-7000-8000-000000000002'"]),
    ("inet6", &["'::1'", "'::2'"]),
    ("point", &["point(1, 2)", "point(2, 1)"]),
];

/// Rows whose columns read alike when they are taken together.
const ADJACENT: &[(&str, &[&str])] = &[
    ("a decimal(9,2), b decimal(9,2)", &["1, 23", "12, 3", "null, 1", "1, null", "null, null"]),
    ("a time, b decimal(9,0)", &["'00:00:01', 2", "'00:00:12', null", "null, -1", "null, 1"]),
    ("a date, b varchar(20)", &["null, '2001-02-03'", "'2001-02-03', null", "'2001-02-03', ''", "null, '-'"]),
    ("a double, b double", &["null, 0", "0, null", "0, 0", "null, null"]),
    ("a int, b varchar(9), c blob", &["1, 'ab', 'c'", "1, 'a', 'bc'", "1, '', 'abc'", "1, null, 'abc'"]),
];

async fn opened() -> Dbms {
    let server = shared_mariadb().await;
    let database = server.new_database("snapshots").await.unwrap();
    Dbms::open(&settings(server.url(&database))).await.unwrap()
}

/// Executes each for itself.
async fn all(db: &mut Dbms, statements: &[String]) -> u64 {
    for (offset, sql) in (0..).zip(statements) {
        let works = if sql.starts_with("create") { ddl(db, offset, sql) } else { work(offset, sql) };
        one(db, works).await.unwrap();
    }
    statements.len() as u64 - 1
}

async fn total(snapshot: &mut Snapshot, table: &Table) -> Sum {
    let total = snapshot.total(table).await.unwrap();
    let mut whole = Sum::default();
    snapshot.sums(table, &Parts::whole()).await.unwrap().into_values().for_each(|sum| whole += sum);
    assert_eq!(total, whole, "{}: the whole is its parts", table.name);
    total
}

#[tokio::test(flavor = "multi_thread")]
async fn unlike_values_have_unlike_hashes() {
    let mut db = opened().await;
    let mut statements = Vec::new();
    let mut tables = Vec::new();
    for (number, (of, values)) in VALUES.iter().enumerate() {
        tables.push((format!("v{number:02}"), format!("v {of}"), values.len() + 1));
        let rows: Vec<String> = values.iter().map(|value| format!("({value})")).collect();
        statements.push(format!("create table v{number:02} (v {of})"));
        statements.push(format!("insert into v{number:02} values (null), {}", rows.join(", ")));
    }
    for (number, (columns, rows)) in ADJACENT.iter().enumerate() {
        tables.push((format!("w{number:02}"), (*columns).to_owned(), rows.len()));
        let rows: Vec<String> = rows.iter().map(|row| format!("({row})")).collect();
        statements.push(format!("create table w{number:02} ({columns})"));
        statements.push(format!("insert into w{number:02} values {}", rows.join(", ")));
    }
    let end = all(&mut db, &statements).await;
    let mut snapshot = db.snapshots().pin(at(end)).await.unwrap();
    for table in snapshot.tables().await.unwrap() {
        let (_, columns, count) = tables.iter().find(|(name, ..)| *name == table.name).unwrap();
        let rows = snapshot.rows(&table, &Parts::whole(), MAX_LISTED).await.unwrap();
        let hashes: BTreeSet<u64> = rows.iter().map(|row| row.hash).collect();
        assert_eq!((rows.len(), hashes.len()), (*count, *count), "{columns}: {rows:?}");
        assert_eq!(total(&mut snapshot, &table).await.rows, *count as u64, "{columns}");
    }
    snapshot.end().await;
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_has_one_sum_however_it_is_divided() {
    let mut db = opened().await;
    let numbers = numbers(&db, 3000);
    let columns: String = (0..300).map(|n| format!(", c{n} varchar(3) default 'c'")).collect();
    let end = all(
        &mut db,
        &[
            // Keys below zero, and far apart from each other.
            "create table one (id bigint primary key, name varchar(20))".to_owned(),
            format!("insert into one select pow(cast(i as signed) - 1500, 3), concat('n', i) from ({numbers}) s"),
            // The same rows in another order, under another key that cannot divide them.
            "create table other (id bigint, name varchar(20), primary key (name))".to_owned(),
            "insert into other select id, name from one order by name desc".to_owned(),
            // More columns than one code takes.
            format!("create table wide (id int primary key{columns})"),
            "insert into wide (id) values (1), (2), (5000)".to_owned(),
            "create table bare (word varchar(20))".to_owned(),
            // A row longer than any text that the server makes.
            "create table huge (id int primary key, a longtext, b longtext, c longtext)".to_owned(),
            "insert into huge values (1, repeat('a', 6000000), repeat('b', 6000000), repeat('c', 6000000))".to_owned(),
        ],
    )
    .await;
    let mut snapshot = db.snapshots().pin(at(end)).await.unwrap();
    let mut sums = std::collections::BTreeMap::new();
    for table in snapshot.tables().await.unwrap() {
        sums.insert(table.name.clone(), total(&mut snapshot, &table).await);
    }
    assert_eq!(sums["one"], sums["other"]);
    let rows = |name: &str| sums[name].rows;
    assert_eq!([rows("one"), rows("wide"), rows("bare"), rows("huge")], [3000, 3, 0, 1]);
    snapshot.end().await;
    // One value of the last columns.
    one(&mut db, work(end + 1, "update wide set c299 = 'd' where id = 5000")).await.unwrap();
    one(&mut db, work(end + 2, "update huge set c = concat(left(c, 5999999), 'd')")).await.unwrap();
    let mut snapshot = db.snapshots().pin(at(end + 2)).await.unwrap();
    for table in snapshot.tables().await.unwrap() {
        let is_changed = ["wide", "huge"].contains(&table.name.as_str());
        assert_eq!(total(&mut snapshot, &table).await != sums[&table.name], is_changed, "{}", table.name);
    }
    snapshot.end().await;
    db.close().await;
}
