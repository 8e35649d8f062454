//! Effects out of the server's binary log: the same rows are the same digests whatever the batches, the order of rows and the server's fate, and
//! other rows are others.

use crate::contract::*;
use crate::server::settings;
use kluster_node::dbms::{Dbms, DbmsSettings, How, Work};
use kluster_node::effects::{EffectsBy, EffectsTrail, Run};
use kluster_node::step::{Step, Steps, Watch};
use kluster_protocol::{Effects, EffectsMeans, Offset, RunningEffects};
use kluster_test_servers::{MariaDbOptions, MariaDbServer, shared_mariadb, shared_mariadb_with_binary_log, until};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A database and who follows its log.
struct Node {
    db: Dbms,
    /// What its state row holds of the effects.
    stored: Option<RunningEffects>,
    trail: EffectsTrail,
    follower: JoinHandle<()>,
}

impl Node {
    /// Opens the database; counting goes on from `stored`, as a state row holds it.
    async fn open(url: &str, stored: Option<RunningEffects>) -> Self {
        Self::open_by(&settings(url.to_owned()), stored).await
    }

    async fn open_by(settings: &DbmsSettings, stored: Option<RunningEffects>) -> Self {
        let mut db = Dbms::open(settings).await.unwrap();
        let by = db.effects();
        assert_eq!(by, EffectsBy::Means(EffectsMeans::Binlog));
        let applied = db.load().await.unwrap().map(|row| row.applied);
        let trail = EffectsTrail::default();
        trail.holds("MariaDB", &by, by.resume(stored, applied).as_ref());
        let follower = tokio::spawn(db.effects_follower(trail.clone()).unwrap());
        let stored = trail.counted();
        Self { db, stored, trail, follower }
    }

    async fn new(server: &MariaDbServer) -> (Self, String) {
        let database = server.new_database("e").await.unwrap();
        (Self::open(&server.url(&database), None).await, database)
    }

    /// Applies these works in batches of at most `size`; what must run alone does.
    async fn apply(&mut self, works: &[Work], size: usize) -> Vec<bool> {
        let mut done = Vec::new();
        let mut rest = works;
        while let Some(first) = rest.first() {
            let together = rest.iter().take(size).take_while(|work| work.how == How::Batched).count();
            let (batch, behind) = rest.split_at(if first.how == How::Batched { together } else { 1 });
            let predecessor = self.db.load().await.unwrap().map(|row| row.applied.get());
            let ran = self.db.run(predecessor.map(at), batch).await.unwrap();
            // As the lane does: between claim and commit.
            self.stored = self.trail.counted();
            let applied = batch.last().unwrap().offset.get();
            assert_eq!(self.db.commit(&finish(predecessor, applied)).await, Ok(None));
            done.extend(ran.iter().map(Result::is_ok));
            rest = behind;
        }
        done
    }

    /// The follower has read all up to this offset.
    async fn knows(&self, offset: u64) {
        until("the follower has read on", async || {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            self.trail.known_through() >= Some(at(offset))
        })
        .await;
    }

    /// The effects of each offset up to `last`.
    async fn each(&self, last: u64) -> Vec<(u64, Effects)> {
        self.knows(last).await;
        let detail = self.trail.detail(&run(), None, at(last)).unwrap();
        detail.each.iter().map(|(offset, effects)| (offset.get(), *effects)).collect()
    }

    /// Ends the node; the answer is what its state row holds of the effects.
    async fn close(self) -> Option<RunningEffects> {
        self.follower.abort();
        self.db.close().await;
        self.stored
    }
}

/// Works in offsets from 1 on; those that begin with a `!` change the schema.
fn works(db: &Dbms, sql: &[&str]) -> Vec<Work> {
    let work = |(n, sql): (usize, &&str)| match sql.strip_prefix('!') {
        Some(sql) => ddl(db, n as u64 + 1, sql),
        None => work(n as u64 + 1, sql),
    };
    sql.iter().enumerate().map(work).collect()
}

fn offsets(each: &[(u64, Effects)]) -> Vec<u64> {
    each.iter().map(|(offset, _)| *offset).collect()
}

/// Schema, rows, refusals, triggers, reads and what writes nothing.
const MIXED: &[&str] = &[
    "!create table t (id int primary key, a varchar(20), n int default 0)",
    "!create table log (what varchar(40))",
    "!create trigger told after insert on t for each row insert into log values (new.a)",
    "select count(*) from t",
    "insert into t (id, a) values (1, 'x'), (2, 'y')",
    "insert into t (id, a) values (3, 'z'), (1, 'x')",
    "select count(*) from log",
    "update t set n = n + 1",
    "insert into t (id, a) values (2, 'y') on duplicate key update a = 'q'",
    "insert into t (id, a) values (4, 'w')",
    "delete from t where id = 4",
    "replace into t (id, a) values (1, 'r')",
    "update t set n = n where id = 1",
    "!create table copy as select * from t",
    "!create table copy as select * from t",
    "insert into log select a from t",
    "!truncate table log",
    "delete from t where n = 77",
    "delete from t",
];

#[tokio::test(flavor = "multi_thread")]
async fn batches_and_restarts_leave_effects_as_they_are() {
    let server = shared_mariadb_with_binary_log().await;
    let (mut one, _) = Node::new(server).await;
    let all = works(&one.db, MIXED);
    let last = all.len() as u64;
    let done = one.apply(&all, 1).await;
    let expected = one.each(last).await;
    assert_eq!(offsets(&expected), [5, 8, 9, 10, 11, 12, 14, 16, 19], "refusals, reads and schemas change no rows");
    assert_eq!(done.iter().filter(|done| !**done).count(), 2);
    for size in [2, 3, 60] {
        let (mut other, database) = Node::new(server).await;
        for (n, part) in all.chunks(7).enumerate() {
            if n > 0 {
                let stored = other.close().await;
                other = Node::open(&server.url(&database), stored).await;
            }
            other.apply(part, size).await;
        }
        other.knows(last).await;
        assert_eq!(other.trail.counted(), one.trail.counted(), "batches of {size}");
        other.close().await;
    }
    one.close().await;
}

/// Equal changes, other answers: what is returned is read from a table that others wrote into.
const RETURNING: &[&str] = &[
    "!create table t (id int primary key)",
    "insert into t values (1), (2) returning id",
    "insert into t values (3) returning id, (select min(note) from notes) as note",
    "/* read */ select min(note) from notes",
    "delete from t where id = 3 returning id, (select min(note) from notes) as note",
    "insert into t values (1) returning (select min(note) from notes)",
];

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_write_returns_are_compared() {
    let server = shared_mariadb_with_binary_log().await;
    let mut nodes = Vec::new();
    for (note, size) in [("a", 1), ("a", 4), ("b", 4)] {
        let (mut node, database) = Node::new(server).await;
        let notes = format!("create table notes (note varchar(9)); insert into notes values ('{note}')");
        server.sql(&database, &notes).await.unwrap();
        let all = works(&node.db, RETURNING);
        let done = node.apply(&all, size).await;
        assert_eq!(done, [true, true, true, true, true, false]);
        nodes.push((node.each(6).await, node));
    }
    let [(one, _), (same, _), (other, _)] = &nodes[..] else { unreachable!("three were made") };
    assert_eq!(one, same, "whatever the batches");
    assert_eq!(offsets(one), [2, 3, 5]);
    let differ: Vec<bool> = one.iter().zip(other).map(|(one, other)| one != other).collect();
    assert_eq!((offsets(other), differ), (offsets(one), vec![false, true, true]));
    for (_, node) in nodes {
        node.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_comes_late_misses_nothing() {
    let server = shared_mariadb_with_binary_log().await;
    let (mut one, _) = Node::new(server).await;
    one.follower.abort();
    let all = works(&one.db, &["!create table t (a int)", "insert into t values (1)", "insert into t values (2)"]);
    one.apply(&all, 1).await;
    one.follower = tokio::spawn(one.db.effects_follower(one.trail.clone()).unwrap());
    assert_eq!(offsets(&one.each(3).await), [2, 3]);
    assert_eq!(one.trail.counted().unwrap().since, None);
    one.close().await;
}

/// Applies the same works to both, `size` at once, and waits until both know their effects.
async fn both(one: &mut Node, other: &mut Node, sql: &[&str], size: usize) -> u64 {
    let all = works(&one.db, sql);
    let last = all.len() as u64;
    assert_eq!(one.apply(&all, size).await, other.apply(&all, size).await);
    one.knows(last).await;
    other.knows(last).await;
    last
}

/// Every type of column, generated and hidden ones, and a table without a key.
const TYPES: &str = "create table t (
    id int, b bit(11), ti tinyint, si smallint unsigned, mi mediumint, bi bigint unsigned, de decimal(30, 11), fl float, db double,
    da date, ye year, ti0 time, ti6 time(6), dt0 datetime, dt3 datetime(3), ts timestamp null, ts6 timestamp(6) null,
    ch char(5), chl char(255), vc varchar(10), vcl varchar(2000), bn binary(3), vb varbinary(300),
    tb tinyblob, bl blob, lt longtext, js json, en enum('x', 'y'), se set('p', 'q', 'r'),
    ge geometry, uu uuid, ip inet6, l1 varchar(10) character set latin1,
    vk varchar(300) compressed, bk blob compressed,
    vi int generated always as (id + 1) virtual, st int generated always as (id + 2) stored, hi int invisible default 5)";

/// A row of it; the next ones change one value each.
const ROW: &[(&str, &str, &str)] = &[
    ("b", "b'10000000001'", "b'1'"),
    ("ti", "-3", "3"),
    ("si", "65535", "65534"),
    ("mi", "-8388608", "0"),
    ("bi", "18446744073709551615", "1"),
    ("de", "-1234567890123456789.12345678901", "-1234567890123456789.12345678902"),
    ("fl", "1.5", "1.25"),
    ("db", "1e300", "1e299"),
    ("da", "'2024-02-29'", "'2024-02-28'"),
    ("ye", "2024", "1999"),
    ("ti0", "'-838:59:59'", "'838:59:59'"),
    ("ti6", "'12:00:00.000001'", "'12:00:00.000002'"),
    ("dt0", "'9999-12-31 23:59:59'", "'1000-01-01'"),
    ("dt3", "'2024-01-01 00:00:00.001'", "'2024-01-01 00:00:00.002'"),
    ("ts", "'2024-01-01 00:00:00'", "'2024-01-01 00:00:01'"),
    ("ts6", "'2024-01-01 00:00:00.000001'", "'2024-01-01 00:00:00.000002'"),
    ("ch", "'a'", "'b'"),
    ("chl", "repeat('ä', 255)", "repeat('ä', 254)"),
    ("vc", "'a'", "'a '"),
    ("vcl", "repeat('x', 2000)", "repeat('x', 1999)"),
    ("bn", "0x000102", "0x000103"),
    ("vb", "repeat(0xff, 300)", "repeat(0xff, 299)"),
    ("tb", "'a'", "''"),
    ("bl", "repeat('b', 60000)", "repeat('b', 59999)"),
    ("lt", "repeat('l', 200000)", "repeat('l', 200001)"),
    ("js", "'{\"a\": [1, null]}'", "'{\"a\": [1, 0]}'"),
    ("en", "'x'", "'y'"),
    ("se", "'p,r'", "'p,q'"),
    ("ge", "st_geomfromtext('POINT(1 2)')", "st_geomfromtext('POINT(2 1)')"),
    ("uu", "'123e4567-e89b-12d3-a456-426655440000'", "'123e4567-e89b-12d3-a456-426655440001'"),
    ("ip", "'2001:db8::1'", "'::'"),
    ("l1", "'é'", "'e'"),
    ("vk", "repeat('k', 300)", "repeat('k', 299)"),
    ("bk", "repeat('k', 5000)", "repeat('k', 5001)"),
    ("hi", "1", "null"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_value_is_digested() {
    let names: Vec<_> = ROW.iter().map(|(name, ..)| *name).collect();
    let values: Vec<_> = ROW.iter().map(|(_, value, _)| *value).collect();
    let insert = |id: usize| format!("insert into t (id, {}) values ({id}, {})", names.join(", "), values.join(", "));
    let mut sql = vec![format!("!{TYPES}"), insert(0), insert(0), "insert into t () values ()".to_owned()];
    sql.push("delete from t where id = 0 limit 1".to_owned());
    let first = sql.len();
    for (n, (name, _, other)) in ROW.iter().enumerate() {
        sql.push(insert(n + 1));
        sql.push(format!("update t set {name} = {other} where id = {}", n + 1));
    }
    let sql: Vec<&str> = sql.iter().map(String::as_str).collect();
    let server = shared_mariadb_with_binary_log().await;
    let (mut one, _) = Node::new(server).await;
    // Another server, whose log is compressed, encrypted and as thrifty as can be.
    let thrifty = MariaDbServer::start_with(thrifty()).await.unwrap();
    let (mut other, _) = Node::new(&thrifty).await;
    let last = both(&mut one, &mut other, &sql, 7).await;
    let each = one.each(last).await;
    assert_eq!(each, other.each(last).await);
    assert_eq!(each.len() as u64, last - 1, "each of them changes rows");
    let of = |offset: usize| each.iter().find(|(at, _)| *at == offset as u64).unwrap().1;
    assert_eq!(of(2), of(3), "equal rows are equal");
    assert_eq!(of(2) + of(5), Effects::NONE, "what is deleted is what was inserted");
    let mut different: Vec<Effects> = (first + 1..=last as usize).map(of).collect();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 2 * ROW.len(), "no two changes are taken for one another");
    one.close().await;
    other.close().await;
}

/// What an operator may have set for reasons of their own.
fn thrifty() -> MariaDbOptions {
    let mut options = MariaDbOptions::with_binary_log();
    let settings = [
        ("binlog_format", "MIXED"),
        ("binlog_row_image", "MINIMAL"),
        ("binlog_annotate_row_events", "ON"),
        ("log_bin_compress", "ON"),
        ("log_bin_compress_min_len", "10"),
        ("binlog_checksum", "NONE"),
        ("max_binlog_size", "4096"),
        ("sync_binlog", "1"),
    ];
    options.settings.extend(settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
    options
}

fn run() -> Run {
    Run { node: "n1".into(), instance_id: "i".into() }
}

/// A job queue, and a trigger that keeps a total of it.
const QUEUE: &[&str] = &[
    "!create table total (n int, whole varchar(200))",
    "!create table copy (k int, v int)",
    "!create trigger counts after insert on copy for each row update total set n = n + new.v, whole = 'x'",
    "insert into total values (0, '')",
    "insert into copy select k, v from queue",
    "!create table place (v int, at int)",
    "insert into place select v, row_number() over (order by k) from queue",
    "update copy set v = v + 1",
    // With columns that the server computes: one that is stored, and a hidden one for the key over long texts.
    "!create table sums (k int primary key, n int, twice int as (n + n) stored, what text unique)",
    "insert into sums (k, n, what) select k, v, concat('row ', k) from queue on duplicate key update n = n + values(n)",
    "replace into sums (k, n, what) select k, 0, concat('row ', k) from queue",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_rows_matters_only_where_it_is_stored() {
    let server = shared_mariadb_with_binary_log().await;
    let mut nodes = Vec::new();
    for rows in ["(1, 1), (1, 2), (1, 3), (2, 4)", "(2, 4), (1, 3), (1, 2), (1, 1)"] {
        let (node, database) = Node::new(server).await;
        // What others write into the database is not the requests' effect.
        server
            .sql(&database, &format!("create table queue (k int, v int); insert into queue values {rows}"))
            .await
            .unwrap();
        nodes.push(node);
    }
    let [mut one, mut other] = <[Node; 2]>::try_from(nodes).ok().unwrap();
    let last = both(&mut one, &mut other, QUEUE, 3).await;
    let detail = |node: &Node| node.trail.detail(&run(), None, at(last)).unwrap();
    assert_eq!(offsets(&one.each(last).await), [4, 5, 7, 8, 10, 11]);
    assert_eq!(detail(&one).first_difference(&detail(&other)), Some(at(7)), "numbered over ties");
    let each = (one.each(last).await, other.each(last).await);
    assert_eq!((&each.0[..2], &each.0[3..]), (&each.1[..2], &each.1[3..]), "totals kept row by row");
    one.close().await;
    other.close().await;
}

/// Tables made of rows whose keys meet, with columns that the server computes. Where each row of a key is the same one, who comes last is
/// nothing; where not, it is what is stored.
const MADE: &[&str] = &[
    "!create table r (k int primary key, n int, twice int as (n + n) stored, next int as (n + 1) virtual, what text unique) \
        replace select k, 7 as n, concat('row ', k) as what from queue",
    "!create table i (k int primary key, n int, twice int as (n + n) stored, next int as (n + 1) virtual, what text unique) \
        ignore select k, 7 as n, concat('row ', k) as what from queue",
    "!create table rt (k int primary key, n int, twice int as (n + n) stored, next int as (n + 1) virtual, what text unique) \
        replace select k, v as n, concat('row ', k) as what from queue",
    "!create table it (k int primary key, n int, twice int as (n + n) stored, next int as (n + 1) virtual, what text unique) \
        ignore select k, v as n, concat('row ', k) as what from queue",
    "delete from r",
    "delete from i",
    "delete from rt",
    "delete from it",
];

#[tokio::test(flavor = "multi_thread")]
async fn tables_made_by_replace_and_by_ignore_are_compared_by_the_rows_that_stay() {
    let server = shared_mariadb_with_binary_log().await;
    let mut nodes = Vec::new();
    for rows in ["(1, 1), (1, 2), (1, 3), (2, 4)", "(2, 4), (1, 3), (1, 2), (1, 1)"] {
        let (node, database) = Node::new(server).await;
        server
            .sql(&database, &format!("create table queue (k int, v int); insert into queue values {rows}"))
            .await
            .unwrap();
        nodes.push(node);
    }
    let [mut one, mut other] = <[Node; 2]>::try_from(nodes).ok().unwrap();
    let last = both(&mut one, &mut other, MADE, 3).await;
    let (of_one, of_other) = (one.each(last).await, other.each(last).await);
    assert_eq!(offsets(&of_one), [1, 2, 3, 4, 5, 6, 7, 8]);
    let equal: Vec<bool> = of_one.iter().zip(&of_other).map(|(one, other)| one == other).collect();
    assert_eq!(equal, [true, true, false, false, true, true, false, false], "equal where the rows are");
    for each in [&of_one, &of_other] {
        for made in 0..4 {
            assert_eq!(each[made].1 + each[made + 4].1, Effects::NONE, "what is deleted is what {} made", MADE[made]);
        }
    }
    one.close().await;
    other.close().await;
}

/// Waits at a step until it may go on.
struct PauseAt {
    step: Step,
    came: Notify,
    goes_on: Notify,
}

impl Watch for PauseAt {
    fn reached(&self, step: Step) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if step == self.step {
                self.came.notify_one();
                self.goes_on.notified().await;
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_share_a_server_are_told_apart() {
    let server = shared_mariadb_with_binary_log().await;
    let (mut other, _) = Node::new(server).await;
    let pause = Arc::new(PauseAt { step: Step::Intended, came: Notify::new(), goes_on: Notify::new() });
    let database = server.new_database("e").await.unwrap();
    let steps = Steps::watched(pause.clone());
    let mut one = Node::open_by(&DbmsSettings { steps, ..settings(server.url(&database)) }, None).await;
    server.sql(&database, "create table source as select 1 as a union select 2").await.unwrap();
    let copy = works(&one.db, &["!create table copy as select * from source"]);
    let meanwhile = works(&other.db, &["!create table t (a int)", "insert into t values (1)"]);
    // Between what announces the statement and the statement, the log holds a schema change and a batch of the other node.
    let between = async {
        pause.came.notified().await;
        let done = other.apply(&meanwhile, 1).await;
        pause.goes_on.notify_one();
        done
    };
    assert_eq!(tokio::join!(one.apply(&copy, 1), between), (vec![true], vec![true, true]));
    assert_eq!(offsets(&one.each(1).await), [1]);
    assert_eq!(offsets(&other.each(2).await), [2]);
    one.close().await;
    other.close().await;
}

/// How much the running digest grew, behind what both count from.
fn growth(node: &Node, from: Offset, to: u64) -> Effects {
    node.trail.at(at(to)).unwrap() - node.trail.at(from).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_cut_or_made_anew_is_no_difference() {
    let undisturbed = shared_mariadb_with_binary_log().await;
    let server = MariaDbServer::start_with(MariaDbOptions::with_binary_log()).await.unwrap();
    let (mut one, _) = Node::new(undisturbed).await;
    let (mut other, database) = Node::new(&server).await;
    let schema = works(&one.db, &["!create table t (id int primary key, n int)"]);
    one.apply(&schema, 1).await;
    other.apply(&schema, 1).await;
    let mut last = 1;
    let url = server.url(&database);
    let sql = async |text: &str| server.sql("mysql", text).await.unwrap();
    for disturbance in [
        "rotated",
        "reset",
        "killed",
        "killed, node restarted",
        "reset, node restarted",
        "purged, node restarted",
        "ended",
    ] {
        for node in [&one, &other] {
            node.knows(last).await;
        }
        let whole = other.trail.counted().unwrap().since;
        match disturbance {
            "rotated" => drop(sql("flush binary logs").await),
            "reset" => drop(sql("reset master").await),
            "killed" => {
                server.kill9().await.unwrap();
                server.restart().await.unwrap();
                other.db.recover().await.unwrap();
            }
            "ended" => {
                server.end().await.unwrap();
                server.restart().await.unwrap();
                other.db.recover().await.unwrap();
            }
            _ => {
                let stored = other.close().await;
                match disturbance {
                    "killed, node restarted" => {
                        server.kill9().await.unwrap();
                        server.restart().await.unwrap();
                    }
                    "reset, node restarted" => drop(sql("reset master").await),
                    _ => {
                        sql("flush binary logs; flush binary logs; flush binary logs").await;
                        let files = sql("show binary logs").await;
                        let newest = files.lines().last().unwrap().split('\t').next().unwrap();
                        sql(&format!("purge binary logs to '{newest}'")).await;
                    }
                }
                other = Node::open(&url, stored).await;
            }
        }
        let from = last;
        let works: Vec<Work> =
            (1..=5).map(|n| work(from + n, &format!("insert into t values ({}, {n})", 100 * from + n))).collect();
        for node in [&mut one, &mut other] {
            node.apply(&works, 2).await;
        }
        last += 5;
        one.knows(last).await;
        other.knows(last).await;
        let since = other.trail.counted().unwrap().since;
        let kept = !disturbance.starts_with("reset") && !disturbance.starts_with("purged");
        assert_eq!(since == whole, kept, "{disturbance}: {since:?}");
        let from = other.trail.detail(&run(), None, at(last)).unwrap().after.unwrap_or(at(0));
        assert!(from < at(last - 3), "{disturbance}: {from}");
        assert!(!growth(&one, from, last).is_none(), "{disturbance}");
        assert_eq!(growth(&one, from, last), growth(&other, from, last), "{disturbance}");
    }
    one.close().await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_said() {
    let none = shared_mariadb().await;
    let database = none.new_database("e").await.unwrap();
    let db = Dbms::open(&settings(none.url(&database))).await.unwrap();
    let EffectsBy::Nothing(why) = db.effects() else { panic!("{:?}", db.effects()) };
    assert!(why.contains("log_bin = ON"), "{why}");
    assert!(db.effects_follower(EffectsTrail::default()).is_none());
    db.close().await;

    let mut options = MariaDbOptions::with_binary_log();
    options.settings.push(("binlog_ignore_db".to_owned(), "left_out".to_owned()));
    let server = MariaDbServer::start_with(options).await.unwrap();
    server.create_database("left_out").await.unwrap();
    let db = Dbms::open(&settings(server.url("left_out"))).await.unwrap();
    let EffectsBy::Nothing(why) = db.effects() else { panic!("{:?}", db.effects()) };
    assert!(why.contains("binlog_ignore_db"), "{why}");
    db.close().await;

    // A login of few rights: without the right to read the log, and with it but without the one to set what it holds.
    options = MariaDbOptions::with_binary_log();
    options.settings.push(("enforce_storage_engine".to_owned(), "InnoDB".to_owned()));
    let server = MariaDbServer::start_with(options).await.unwrap();
    let few = "create database few; create database kluster_state_few; create user few@'%' identified by 'few', \
        app@'%' identified by 'app', r@'%' identified by 'r'; grant all on few.* to few@'%'; \
        grant all on kluster_state_few.* to few@'%' with grant option; grant process on *.* to few@'%'; \
        grant all on few.* to app@'%'; grant select on few.* to r@'%'";
    server.sql("mysql", few).await.unwrap();
    let login = |who: &str| server.url("few").replace("root:secret", &format!("{who}:{who}"));
    let few = DbmsSettings { app_url: Some(login("app")), read_url: Some(login("r")), ..settings(login("few")) };
    for (grant, global, said) in [
        ("select 1", "FULL", Some("BINLOG MONITOR")),
        ("grant binlog monitor, replication slave on *.* to few@'%'", "MINIMAL", Some("binlog_row_image = FULL")),
        ("select 1", "FULL", None),
    ] {
        server.sql("mysql", &format!("{grant}; set global binlog_row_image = {global}")).await.unwrap();
        let db = Dbms::open(&few).await.unwrap();
        match (db.effects(), said) {
            (EffectsBy::Nothing(why), Some(said)) => assert!(why.contains(said), "{why}"),
            (by, said) => assert!(by.means() == EffectsMeans::Binlog && said.is_none(), "{by:?}"),
        }
        db.close().await;
    }
    let mut node = Node::open_by(&few, None).await;
    let all = works(&node.db, &["!create table t (id int primary key)", "insert into t values (1)"]);
    node.apply(&all, 1).await;
    assert_eq!(offsets(&node.each(2).await), [2]);
    node.close().await;
}
