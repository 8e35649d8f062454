//! The SQLite adapter: the contract of every adapter, on a thread of its own and inline, and what only SQLite has.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "contract/builtins.rs"]
mod builtins;
#[path = "sqlite/builtins.rs"]
mod changing_functions;
mod contract;
#[path = "sqlite/effects.rs"]
mod effects;
#[path = "sqlite/numbers.rs"]
mod numbers;

use contract::*;
use kluster_node::dbms::sqlite::Orphan;
use kluster_node::dbms::{Dbms, DbmsSettings, How, OpenError, ReadError, Work, WorkStatement};
use kluster_node::fault::Fault;
use kluster_node::step::{Step, Steps, Watch};
use kluster_protocol::{Cells, ErrorCode};
use serde_json::{Value, json};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

struct File {
    dir: tempfile::TempDir,
    inline: bool,
}

impl Place for File {
    fn settings(&self) -> DbmsSettings {
        let url = format!("sqlite:{}", self.dir.path().join("n1.db").display());
        DbmsSettings { max_reads: 3, inline: self.inline, ..DbmsSettings::at(url, "n1") }
    }
}

async fn threaded() -> File {
    File { dir: tempfile::tempdir().unwrap(), inline: false }
}

async fn inline() -> File {
    File { dir: tempfile::tempdir().unwrap(), inline: true }
}

mod on_its_own_thread {
    use super::contract;
    crate::cases!(super::threaded);
}

mod on_the_calling_thread {
    use super::contract;
    // Left out: what a reader must be read beside, for inline it runs to its end before it says anything.
    crate::cases!(super::inline:
        remembers_state_and_outcomes,
        claim_raises_on_another_predecessor,
        a_second_node_is_kept_away,
        a_refused_work_leaves_its_neighbours,
        statements_of_one_work_stand_and_fall_together,
        large_results_spool_and_too_large_ones_are_refused,
        an_abandoned_batch_is_rolled_back,
        schema_changes_are_seen_at_once,
        reads_see_one_snapshot_and_say_its_offset,
        reads_do_not_write,
        reads_end_in_time,
        recovered_sessions_go_on,
    );
}

/// Stops a node for ever at one step.
struct StopAt(Step);

impl Watch for StopAt {
    fn reached(&self, step: Step) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if step == self.0 {
                std::future::pending().await
            }
        })
    }
}

/// A node is killed at each step of a batch; its session lives on and then commits or ends. The restarted node applies the batch once.
#[tokio::test]
async fn orphans_never_apply_twice() {
    for (step, commits) in [
        (Step::Claimed, false),
        (Step::Executed, false),
        (Step::Stored, true),
        (Step::Stored, false),
        (Step::Committing, true),
        (Step::Committed, true),
    ] {
        let place = inline().await;
        open(&place).await.close().await;
        let works = [work(1, "insert into t values (1, 'a')")];
        let settings = DbmsSettings { steps: Steps::watched(Arc::new(StopAt(step))), ..place.settings() };
        let Dbms::Sqlite(mut killed) = Dbms::open(&settings).await.unwrap() else { unreachable!() };
        let orphan = killed.orphan();
        let batch = async {
            killed.run(Some(at(0)), &works).await.unwrap();
            killed.commit(&finish(Some(0), 1)).await
        };
        assert!(futures_util::FutureExt::now_or_never(batch).is_none());
        drop(killed);

        let mut db = Dbms::open(&place.settings()).await.unwrap();
        let applied = db.load().await.unwrap().unwrap().applied;
        if orphan.is_open() {
            assert_eq!(applied, at(0));
            assert!(matches!(db.run(Some(applied), &works).await, Err(Fault::LockWait(_))));
            match commits {
                true => assert!(orphan.commit()),
                false => orphan.rollback(),
            }
        }
        let ran = db.run(Some(applied), &works).await;
        match commits && applied == at(0) {
            true => assert!(matches!(ran, Err(Fault::ClaimRaised(_))), "{step:?}"),
            false if applied == at(0) => drop(db.commit(&finish(Some(0), 1)).await.unwrap()),
            false => {}
        }
        assert_eq!(query(&mut db, 2, "select count(*) as n from t").await, [json!({"n": 1})], "{step:?}");
        db.close().await;
    }
}

/// Cuts the connection when COMMIT is sent, which has taken effect by then or never will.
struct Cuts {
    session: Mutex<Option<Orphan>>,
    commits: bool,
}

impl Watch for Cuts {
    fn reached(&self, step: Step) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let session = self.session.lock().unwrap().take_if(|_| step == Step::Committing);
        match session {
            Some(session) if self.commits => assert!(session.commit()),
            Some(session) => session.rollback(),
            None => {}
        }
        Box::pin(std::future::ready(()))
    }
}

/// A connection is lost with COMMIT on its way; whether it took effect is read from the state row.
#[tokio::test]
async fn a_lost_connection_leaves_the_outcome_open() {
    for commits in [true, false] {
        let place = inline().await;
        open(&place).await.close().await;
        let cuts = Arc::new(Cuts { session: Mutex::default(), commits });
        let settings = DbmsSettings { steps: Steps::watched(cuts.clone()), ..place.settings() };
        let mut db = Dbms::open(&settings).await.unwrap();
        let Dbms::Sqlite(sqlite) = &db else { unreachable!() };
        *cuts.session.lock().unwrap() = Some(sqlite.orphan());
        db.run(Some(at(0)), &[work(1, "insert into t values (1, 'a')")]).await.unwrap();
        assert!(matches!(db.commit(&finish(Some(0), 1)).await, Err(Fault::Lost(_))));
        assert!(matches!(db.load().await, Err(Fault::Lost(_))));
        db.recover().await.unwrap();
        let applied = u64::from(commits);
        assert_eq!(db.load().await.unwrap().map(|row| row.applied), Some(at(applied)));
        assert_eq!(query(&mut db, 2, "select count(*) as n from t").await, [json!({"n": applied})]);
        db.close().await;
    }
}

/// User SQL reaches neither Kluster's tables nor the transaction, the session or the server.
#[tokio::test]
async fn user_sql_is_fenced() {
    let place = threaded().await;
    let mut db = open(&place).await;
    let setup = [
        ddl(&db, 1, "create view v as select * from kluster_state"),
        ddl(&db, 2, "create table w (id integer)"),
        ddl(&db, 3, "create trigger tr after insert on w begin update kluster_state set applied = 99; end"),
        ddl(
            &db,
            4,
            "create table d (id integer primary key, r integer default (random()), s text default (sqlite_version()))",
        ),
    ];
    for work in setup {
        one(&mut db, work).await.unwrap();
    }
    use ErrorCode::*;
    for (n, (sql, expected)) in [
        ("select * from kluster_state", KlusterSchema),
        ("select 1 from KLUSTER_STATE", KlusterSchema),
        ("select count(*) from \"Kluster_Outcomes\"", KlusterSchema),
        ("update kluster_state set applied = 7", KlusterSchema),
        ("delete from kluster_outcomes", KlusterSchema),
        ("insert into kluster_schema values (2, 1, 'x')", KlusterSchema),
        ("drop table kluster_state", KlusterSchema),
        ("drop index kluster_outcomes_last", KlusterSchema),
        ("alter table kluster_state rename to mine", KlusterSchema),
        ("alter table kluster_state add column x", KlusterSchema),
        ("alter table t rename to kluster_mine", KlusterSchema),
        ("create table kluster_x (id integer)", KlusterSchema),
        ("create index i on kluster_state (applied)", KlusterSchema),
        ("create index kluster_i on t (name)", KlusterSchema),
        ("create trigger x after update on kluster_state begin select 1; end", KlusterSchema),
        ("create table f (a integer references kluster_state (applied))", KlusterSchema),
        ("create table f (a integer, b text references Kluster_State)", KlusterSchema),
        ("select * from v", KlusterSchema),
        ("insert into w values (1)", KlusterSchema),
        ("begin", TransactionControl),
        ("commit", TransactionControl),
        ("rollback", TransactionControl),
        ("savepoint s", TransactionControl),
        ("release s", TransactionControl),
        ("attach 'x.db' as x", Administration),
        ("detach main", Administration),
        ("pragma foreign_keys = off", SessionState),
        ("pragma foreign_keys", SessionState),
        ("pragma writable_schema = on", SessionState),
        ("pragma data_version", SessionState),
        ("select * from pragma_table_info('t')", SessionState),
        ("select * from pragma_data_version", Environment),
        ("select * from dbstat", Environment),
        ("create virtual table s using dbstat(main)", Environment),
        ("create temp table x (id integer)", SessionState),
        ("create temp view x as select 1", SessionState),
        ("select load_extension('x')", PrivilegeViolation),
        ("insert into t values (abs(random()), 'a')", Randomness),
        ("insert into t values (1, hex(randomblob(4)))", Randomness),
        ("select id from t order by random()", Randomness),
        ("select last_insert_rowid()", SessionState),
        ("select changes()", SessionState),
        ("select sqlite_version()", Environment),
        ("insert into d (id, s) values (1, 'x')", Randomness),
        ("insert into d (id, r) values (1, 1)", Environment),
        ("insert into sqlite_schema values ('table', 'x', 'x', 1, '')", PrivilegeViolation),
        ("select 1; select 2", SeveralStatements),
        ("-- nothing", BadRequest),
        ("vacuum", NotTransactional),
    ]
    .into_iter()
    .enumerate()
    {
        let fenced = Work { how: How::Alone, ..work(10 + n as u64, sql) };
        let ran = one(&mut db, fenced).await;
        // An empty table calls nothing and returns nothing, on every node alike.
        if sql.contains("order by random()") && ran.is_ok() {
            continue;
        }
        assert_eq!(code(&ran), Some(expected), "{sql}: {ran:?}");
    }
    one(&mut db, work(99, "insert into t values (1, 'a')")).await.unwrap();
    db.close().await;
}

/// The same text as one of Kluster's own statements finds nothing prepared for Kluster.
#[tokio::test]
async fn own_statements_are_not_lent() {
    let place = threaded().await;
    let mut db = open(&place).await;
    for (offset, sql) in [
        (1, "SELECT applied FROM kluster_state WHERE id = 1"),
        (2, "UPDATE kluster_state SET applied = ?1, state = ?2 WHERE id = 1"),
        (3, "SELECT applied FROM kluster_state WHERE id = 1"),
    ] {
        let ran = one(&mut db, work(offset, sql)).await;
        assert_eq!(code(&ran), Some(ErrorCode::KlusterSchema), "{ran:?}");
    }
    db.close().await;
}

/// OR ROLLBACK and RAISE(ROLLBACK) take the whole transaction, so they run alone; OR FAIL leaves no rows behind.
#[tokio::test]
async fn conflicts_that_roll_back_refuse_only_their_own_work() {
    let place = threaded().await;
    let mut db = open(&place).await;
    let raise = "create trigger tr before insert on t when new.id = 7 begin select raise(rollback, 'no sevens'); end";
    let trigger = ddl(&db, 1, raise);
    one(&mut db, trigger).await.unwrap();
    one(&mut db, work(2, "insert into t values (1, 'a')")).await.unwrap();
    for (offset, sql, expected) in [
        (4, "insert or rollback into t values (2, 'b'), (1, 'b')", ErrorCode::UniqueViolation),
        (6, "insert into t values (7, 'b')", ErrorCode::Raised),
    ] {
        let batch = [work(offset - 1, "insert into t values (5, 'e')"), work(offset, sql)];
        let ran = db.run(Some(at(offset - 2)), &batch).await;
        assert!(matches!(ran, Err(Fault::RunAlone(_))), "{ran:?}");
        let [first, second] = batch;
        one(&mut db, first).await.ok();
        assert_eq!(code(&one(&mut db, second).await), Some(expected), "{sql}");
    }
    let ran = one(&mut db, work(7, "insert or fail into t values (8, 'h'), (1, 'b')")).await;
    assert_eq!(code(&ran), Some(ErrorCode::UniqueViolation));
    let ids = query(&mut db, 8, "select id from t order by id").await;
    assert_eq!(ids, [json!({"id": 1}), json!({"id": 5})]);
    db.close().await;
}

/// A deferred foreign key is checked at the end of each work, not of the batch.
#[tokio::test]
async fn deferred_keys_are_each_works_own() {
    let place = threaded().await;
    let mut db = open(&place).await;
    let child =
        ddl(&db, 1, "create table c (id integer primary key, t integer references t deferrable initially deferred)");
    one(&mut db, child).await.unwrap();
    assert!(!db.checks_late());
    let repaired =
        work_of(4, vec![statement("insert into c values (2, 3)"), statement("insert into t values (3, 'later')")]);
    let ran = apply(
        &mut db,
        &[
            work(2, "insert into c values (1, 1)"),
            work(3, "insert into t values (1, 'a')"),
            repaired,
            work(5, "delete from t where id = 3"),
            work(6, "insert into t values (6, 'f')"),
        ],
    )
    .await;
    let key = Some(ErrorCode::ForeignKeyViolation);
    assert_eq!(ran.iter().map(code).collect::<Vec<_>>(), [key, None, None, key, None]);
    assert_eq!(query(&mut db, 7, "select count(*) as n from c").await, [json!({"n": 1})]);
    db.close().await;
}

/// Every cell of the value table that SQLite has.
#[tokio::test]
async fn values_have_their_published_form() {
    let place = threaded().await;
    let mut db = open(&place).await;
    let create = "create table k (n integer, big integer, r double, txt text, bin blob, yes BOOLEAN, day date, dec decimal(5,2))";
    let create = ddl(&db, 1, create);
    one(&mut db, create).await.unwrap();
    let insert = "insert into k values (42, 9007199254740993, 0.1, 'é\"\n', x'00ff', true, '2024-02-29', 12.50), \
                  (null, -9007199254740992, 9e999, '', x'', false, null, '1e400')";
    one(&mut db, work(2, insert)).await.unwrap();
    let mut results = one(&mut db, work(3, "select *, 1 + 1 as sum, -9e999 as low, 2.0 as two from k")).await.unwrap();
    let types: Vec<_> = results[0].columns.iter().map(|column| column.type_name.as_str()).collect();
    assert_eq!(types[..8], ["integer", "integer", "double", "text", "blob", "boolean", "date", "decimal(5,2)"]);
    assert_eq!(types[8..], ["any", "any", "any"]);
    let found = rows(results.remove(0));
    let first = json!({"n": 42, "big": "9007199254740993", "r": 0.1, "txt": "é\"\n", "bin": "AP8=", "yes": 1,
        "day": "2024-02-29", "dec": 12.5, "sum": 2, "low": "-Infinity", "two": 2.0});
    let second = json!({"n": null, "big": "-9007199254740992", "r": "Infinity", "txt": "", "bin": "", "yes": 0,
        "day": null, "dec": "Infinity", "sum": 2, "low": "-Infinity", "two": 2.0});
    assert_eq!(found, [first, second]);
    let bool_param =
        one(&mut db, bound(4, "select $1 as a, $2 as b, typeof($3) as c", json!([true, [1, {}], 1.0]))).await;
    assert_eq!(rows(bool_param.unwrap().remove(0)), [json!({"a": 1, "b": "[1,{}]", "c": "real"})]);
    db.close().await;
}

/// Wherever the time is asked for, at whatever depth, in ALL it is refused; in ONE it is the node's own.
#[tokio::test]
async fn the_clock_is_closed_in_all() {
    let place = threaded().await;
    let mut db = open(&place).await;
    for (offset, sql) in [
        (1, "create table k (id integer primary key, at text default (datetime('now')), n text)"),
        (2, "create table l (id integer primary key, at text default current_timestamp)"),
        (3, "create trigger tr after insert on t when new.id = 9 begin update t set name = date() where id = 9; end"),
        (4, "create view v as select unixepoch() as at"),
    ] {
        let create = ddl(&db, offset, sql);
        one(&mut db, create).await.unwrap();
    }
    let asked = [
        work(10, "insert into t values (1, current_timestamp)"),
        work(11, "insert into t values (1, datetime('n' || 'ow'))"),
        bound(12, "insert into t values (1, strftime('%s', $1))", json!(["now"])),
        work(13, "insert into k (id) values (1)"),
        work(14, "insert into l (id) values (1)"),
        work(15, "insert into t values (9, 'a')"),
        work(16, "insert into t select 1, at from v"),
        work(17, "select julianday()"),
        work(18, "insert into t values (2, date('now', '-1 day'))"),
    ];
    for work in asked {
        let sql = work.statements[0].sql.clone();
        let ran = one(&mut db, work).await;
        assert_eq!(code(&ran), Some(ErrorCode::Clock), "{sql}: {ran:?}");
    }
    one(&mut db, work(20, "insert into l values (1, datetime('2024-02-29', '+1 day'))")).await.unwrap();
    assert_eq!(query(&mut db, 21, "select at from l").await, [json!({"at": "2024-03-01 00:00:00"})]);
    for modifier in ["localtime", "utc"] {
        let local = bound(22, "select datetime('2024-02-29', $1)", json!([modifier]));
        assert_eq!(code(&one(&mut db, local).await), Some(ErrorCode::Environment), "{modifier}");
    }
    let (events, ended) = read(&db.reads(), &read_of("select current_timestamp as at")).await;
    assert_eq!((events.len(), ended), (4, Ok(())));
    db.close().await;
}

/// Full-text tables work under the authorizer.
#[tokio::test]
async fn full_text_tables_work() {
    let place = threaded().await;
    let mut db = open(&place).await;
    let create = ddl(&db, 1, "create virtual table ft using fts5(body)");
    one(&mut db, create).await.unwrap();
    let ran = one(&mut db, work(2, "insert into ft values ('the quick fox'), ('a lazy dog')")).await.unwrap();
    assert_eq!(ran[0].affected, 2);
    let found = query(&mut db, 3, "select body from ft where ft match 'fox'").await;
    assert_eq!(found, [json!({"body": "the quick fox"})]);
    assert_eq!(read(&db.reads(), &read_of("select body from ft where ft match 'dog'")).await.1, Ok(()));
    let create = ddl(&db, 3, "create virtual table area using rtree(id, low, high)");
    one(&mut db, create).await.unwrap();
    one(&mut db, work(3, "insert into area values (1, 0.0, 2.0)")).await.unwrap();
    db.close().await;
    let mut db = Dbms::open(&place.settings()).await.unwrap();
    assert_eq!(query(&mut db, 4, "select id from area where low < 1.0").await, [json!({"id": 1})]);
    one(&mut db, work(4, "delete from ft where ft match 'fox'")).await.unwrap();
    assert_eq!(query(&mut db, 5, "select count(*) as n from ft").await, [json!({"n": 1})]);
    db.close().await;
}

/// Reads may ask for the schema, but neither for Kluster's tables nor for settings.
#[tokio::test]
async fn reads_are_fenced_too() {
    let place = threaded().await;
    let db = open(&place).await;
    assert_eq!(read(&db.reads(), &read_of("select name from pragma_table_info('t')")).await.1, Ok(()));
    assert_eq!(read(&db.reads(), &read_of("select random(), datetime('now')")).await.1, Ok(()));
    for (sql, expected) in [
        ("select * from kluster_state", ErrorCode::KlusterSchema),
        ("pragma query_only = off", ErrorCode::SessionState),
        ("attach ':memory:' as x", ErrorCode::Administration),
        ("begin", ErrorCode::TransactionControl),
    ] {
        let (_, ended) = read(&db.reads(), &read_of(sql)).await;
        assert!(matches!(&ended, Err(ReadError::Refused(refusal)) if refusal.code == expected), "{sql}: {ended:?}");
    }
    db.close().await;
}

/// What cannot be opened says why, and a file belongs to one node.
#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let place = threaded().await;
    open(&place).await.close().await;
    let other = DbmsSettings { node_id: "n2".into(), ..place.settings() };
    let nowhere = DbmsSettings { url: "sqlite:/no/such/directory/n1.db".into(), ..place.settings() };
    let file = place.dir.path().join("text.db");
    std::fs::write(&file, "this is no database".repeat(100)).unwrap();
    let text = DbmsSettings { url: format!("sqlite:{}", file.display()), ..place.settings() };
    let file = place.dir.path().join("utf16.db");
    let made = rusqlite::Connection::open(&file).unwrap();
    made.execute_batch("pragma encoding = 'UTF-16le'; create table t(x); drop table t").unwrap();
    drop(made);
    let utf16 = DbmsSettings { url: format!("sqlite:{}", file.display()), ..place.settings() };
    for (settings, part) in [
        (other, "belongs to node \"n1\""),
        (nowhere, "create it first"),
        (text, "not a database"),
        (utf16, "is in UTF-16le"),
    ] {
        let said = Dbms::open(&settings).await.unwrap_err();
        assert!(matches!(&said, OpenError::Unusable(said) if said.contains(part)), "{said}");
    }
}

/// Readers do not hold up the writer, nor the writer them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_and_writes_go_on_side_by_side() {
    let place = threaded().await;
    let mut db = open(&place).await;
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let (reads, many) = (db.reads(), read_of(&numbers(&db, 100_000)));
    let reading = tokio::spawn(async move { reads.read(&many, &sender).await });
    receiver.recv().await.unwrap();
    for offset in 1..50 {
        one(&mut db, bound(offset, "insert into t values ($1, 'a')", json!([offset]))).await.unwrap();
        let found: Value = read(&db.reads(), &read_of("select count(*) as n from t")).await.0.len().into();
        assert_eq!(found, json!(4));
    }
    while receiver.recv().await.is_some() {}
    assert_eq!(reading.await.unwrap(), Ok(()));
    db.close().await;
}

/// A value of SQLite has a type of its own. Plain cells lose it where the column says nothing; typed ones keep it.
#[tokio::test]
async fn values_that_look_alike_are_told_apart() {
    let place = threaded().await;
    let mut db = open(&place).await;
    let create = ddl(&db, 1, "create table u (id integer primary key, v)");
    assert!(one(&mut db, create).await.is_ok());
    let insert = "insert into u (v) values (x'00ff'), ('AP8='), (9007199254740993), ('9007199254740993'), \
                  (1e999), ('Infinity')";
    one(&mut db, work(2, insert)).await.unwrap();
    let typed = WorkStatement { cells: Cells::Typed, ..statement("select v from u order by id") };
    let cells = |kind: &str, value: &str| json!({"v": {"type": kind, "value": value}});
    let ran = one(&mut db, work_of(3, vec![typed])).await.unwrap().remove(0);
    assert_eq!(
        rows(ran),
        [
            cells("blob", "AP8="),
            cells("text", "AP8="),
            cells("integer", "9007199254740993"),
            cells("text", "9007199254740993"),
            cells("real", "Infinity"),
            cells("text", "Infinity"),
        ]
    );
    db.close().await;
}

/// Two texts that are not UTF-8 never come back as one: the plain form names row and column, the typed form has the bytes.
#[tokio::test]
async fn text_that_is_not_utf8_is_refused_or_given_as_bytes() {
    let place = threaded().await;
    let mut db = open(&place).await;
    one(&mut db, work(1, "insert into t values (1, 'a'), (2, cast(x'ff41' as text)), (3, cast(x'fe41' as text))"))
        .await
        .unwrap();
    let sql = "select id, name from t order by id";
    let refusal = one(&mut db, work(2, sql)).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::InvalidValue);
    assert!(refusal.message.contains("row 2, column \"name\""), "{}", refusal.message);
    let (_, ended) = read(&db.reads(), &read_of(sql)).await;
    assert_eq!(refused_read(&ended), Some(ErrorCode::InvalidValue));
    let typed = WorkStatement { cells: Cells::Typed, ..statement("select name from t where id > 1 order by id") };
    let ran = one(&mut db, work_of(3, vec![typed])).await.unwrap().remove(0);
    let bytes = |base64: &str| json!({"name": {"type": "text", "bytes": base64}});
    assert_eq!(rows(ran), [bytes("/0E="), bytes("/kE=")]);
    // What returns it is refused whole.
    let refused = one(&mut db, work(4, "update t set id = id + 10 where id = 2 returning name")).await;
    assert_eq!(code(&refused), Some(ErrorCode::InvalidValue));
    assert_eq!(query(&mut db, 5, "select count(*) as n from t where id = 2").await, [json!({"n": 1})]);
    db.close().await;
}
