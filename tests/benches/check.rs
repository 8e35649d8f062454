//! How long a check takes to sum a table of many rows, beside the fastest of the DBMS's own ways to read and sum it whole. Rounds of the two alternate
//! on one machine, in one run; medians are printed beside the target.
//!
//! | | of the DBMS's own |
//! | --- | --- |
//! | MariaDB | `CHECKSUM TABLE` |
//! | PostgreSQL | it has no checksum of a table: `sum(hashtextextended(t::text, 0))`, the fastest query by which it hashes all values of all rows |
//! | SQLite | it has no checksum and no hash function: `max` of each column, the fastest query that takes every value; `PRAGMA quick_check` takes half that time, for it looks at pages and at no value |
//!
//! `make bench`, or `cargo bench -p kluster-tests --bench check`.

use kluster_node::dbms::{Dbms, DbmsSettings};
use kluster_protocol::Offset;
use kluster_test_servers::{MariaDbServer, PostgresServer};
use kluster_tests::rounds::{self, ROUNDS, median};
use kluster_tests::target::{Measured, Target};
use std::time::{Duration, Instant};

const ROWS: u64 = 1_000_000;
/// Of the time of the DBMS's own.
const RATIO: Target = Target::AtMost(1.5);

#[tokio::main]
async fn main() {
    postgres().await;
    mariadb().await;
    sqlite().await;
}

/// A database in which offset 0 has been applied; the rows of `wide` come from beside Kluster.
async fn opened(url: String) -> Dbms {
    let mut db = Dbms::open(&DbmsSettings::at(url, "n1")).await.expect("the database opens");
    rounds::begin(&mut db).await;
    db
}

/// Sums the table `wide` as a check does, snapshot and all.
async fn check(db: &Dbms) -> Duration {
    let began = Instant::now();
    let mut snapshot = db.snapshots().pin(Offset::new(0)).await.expect("a snapshot can be pinned");
    let tables = snapshot.tables().await.expect("there are tables");
    let table = tables.iter().find(|table| table.name.ends_with("wide")).expect("it is one of them");
    let sum = snapshot.total(table).await.expect("it can be summed");
    let took = began.elapsed();
    assert_eq!(sum.rows, ROWS);
    snapshot.end().await;
    took
}

/// Prints both and their ratio.
async fn beside(db: Dbms, name: &str, own: &str, mut measure: impl AsyncFnMut() -> Duration) {
    // What is read first may come from the disk.
    check(&db).await;
    measure().await;
    let (mut ours, mut theirs) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        theirs.push(measure().await);
        ours.push(check(&db).await);
    }
    let (ours, theirs) = (median(ours).as_secs_f64(), median(theirs).as_secs_f64());
    let ratio = Measured { figure: ours / theirs, unit: "of its time", target: RATIO };
    println!("{name}, {ROWS} rows: a check {ours:.2} s, {own} {theirs:.2} s, {ratio}");
    db.close().await;
}

async fn postgres() {
    let server = PostgresServer::start().await.expect("PostgreSQL starts");
    let database = server.new_database("bench").await.expect("a database can be created");
    let db = opened(server.url(&database)).await;
    let fill = format!(
        "create table public.wide (id bigint primary key, name varchar(40), note text, weight double precision, amount numeric(12,3), born date, \
         at timestamp, photo bytea);
         insert into public.wide select i, 'name ' || i, 'a note of some words, ' || i, i / 7.0::float8, i / 8.0, date '2001-02-03' + i % 9000, \
         timestamp '2026-01-01 00:00:00.5' + i * interval '1 s', decode(md5(i::text), 'hex') from generate_series(1, {ROWS}) i;
         vacuum analyze public.wide"
    );
    for sql in fill.split(";\n") {
        server.sql(&database, sql).await.expect("the table is filled");
    }
    let own = "select sum(hashtextextended(t::text, 0)) from public.wide t";
    beside(db, "postgres", "sum(hashtextextended(t::text, 0))", async || timed(server.sql(&database, own)).await).await;
}

async fn mariadb() {
    let server = MariaDbServer::start().await.expect("MariaDB starts");
    let database = server.new_database("bench").await.expect("a database can be created");
    let db = opened(server.url(&database)).await;
    let fill = format!(
        "create table wide (id bigint primary key, name varchar(40), note text, weight double, amount decimal(12,3), born date, at datetime(6), \
         photo blob);
         insert into wide select seq, concat('name ', seq), concat('a note of some words, ', seq), seq / 7e0, seq / 8, \
         '2001-02-03' + interval seq % 9000 day, '2026-01-01 00:00:00.5' + interval seq second, unhex(md5(seq)) from seq_1_to_{ROWS};
         analyze table wide"
    );
    server.sql(&database, &fill).await.expect("the table is filled");
    beside(db, "mariadb", "CHECKSUM TABLE", async || timed(server.sql(&database, "checksum table wide")).await).await;
}

/// By the server's own client, whose start is a few milliseconds of it.
async fn timed<T, E: std::fmt::Debug>(asked: impl Future<Output = Result<T, E>>) -> Duration {
    let began = Instant::now();
    asked.await.expect("the server answers");
    began.elapsed()
}

async fn sqlite() {
    let directory = tempfile::tempdir().expect("a directory can be created");
    let file = directory.path().join("n1.db");
    let db = opened(format!("sqlite:{}", file.display())).await;
    let connection = rusqlite::Connection::open(&file).expect("the file can be opened");
    let fill = format!(
        "create table wide (id integer primary key, name varchar(40), note text, weight double, amount decimal(12,3), born date, at text, photo blob);
         with recursive n (i) as (select 1 union all select i + 1 from n where i < {ROWS})
         insert into wide select i, 'name ' || i, 'a note of some words, ' || i, i / 7.0, i / 8.0, date('2001-02-03', (i % 9000) || ' days'),
         datetime('2026-01-01', i || ' seconds'), randomblob(16) from n"
    );
    connection.execute_batch(&fill).expect("the table is filled");
    let columns = ["id", "name", "note", "weight", "amount", "born", "at", "photo"].map(|name| format!("max({name})"));
    // Of a single one SQLite would take the last key.
    let largest = format!("select {} from wide", columns.join(", "));
    let once = |sql: &str| {
        let began = Instant::now();
        connection.query_row(sql, [], |_| Ok(())).expect("the file can be read");
        began.elapsed()
    };
    beside(db, "sqlite", "max(…) of each column", async || once(&largest)).await;
}
