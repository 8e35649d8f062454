//! The contract of the DBMS adapters, as cases that every adapter passes: what the ALL lane and the ONE lane rely on.
//!
//! A test file of one DBMS implements [`Place`] for its server and calls [`cases!`]; what only one DBMS has stays in its own file.

use kluster_node::dbms::{
    Dbms, DbmsSettings, Finish, How, OutcomeRow, Ran, Read, ReadError, ReadEvent, Reads, StateRow, Work, WorkStatement,
};
use kluster_node::fault::Fault;
use kluster_node::rows::Rows;
use kluster_protocol::{ErrorCode, Offset};
use kluster_sql::Dialect;
use serde_json::{Value, json};
use std::time::Duration;

/// A DBMS with one empty database of its own.
pub trait Place {
    /// How to reach it; every call names the same database.
    fn settings(&self) -> DbmsSettings;
}

/// Makes one test of each case; `$start` is an async function that returns a [`Place`].
#[macro_export]
macro_rules! cases {
    ($start:path) => {
        $crate::cases!($start:
            remembers_state_and_outcomes,
            prunes_outcomes_and_kept_rows,
            claim_raises_on_another_predecessor,
            a_second_node_is_kept_away,
            a_refused_work_leaves_its_neighbours,
            mistakes_have_the_same_codes_everywhere,
            statements_of_one_work_stand_and_fall_together,
            rows_matched_are_counted,
            params_of_every_json_kind_arrive,
            returned_rows_come_in_column_order,
            large_results_spool_and_too_large_ones_are_refused,
            an_abandoned_batch_is_rolled_back,
            an_empty_batch_advances,
            schema_changes_are_seen_at_once,
            reads_see_one_snapshot_and_say_its_offset,
            reads_do_not_write,
            reads_stream_a_million_rows,
            reads_end_in_time,
            reads_end_when_nobody_waits,
            recovered_sessions_go_on,
        );
    };
    ($start:path: $($case:ident,)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let place = $start().await;
            contract::$case(&place).await;
        })+
    };
}

// What the cases are said in.

/// The offset with this number.
pub fn at(offset: u64) -> Offset {
    Offset::new(offset)
}

/// A statement without params.
pub fn statement(sql: &str) -> WorkStatement {
    WorkStatement {
        sql: sql.into(),
        params: Vec::new(),
        expect_rows: None,
    }
}

/// A work of one statement that may share its transaction.
pub fn work(offset: u64, sql: &str) -> Work {
    work_of(offset, vec![statement(sql)])
}

/// A work of one statement with params.
pub fn bound(offset: u64, sql: &str, params: Value) -> Work {
    let params = params.as_array().unwrap().clone();
    work_of(
        offset,
        vec![WorkStatement {
            params,
            ..statement(sql)
        }],
    )
}

/// A work of these statements.
pub fn work_of(offset: u64, statements: Vec<WorkStatement>) -> Work {
    Work {
        offset: at(offset),
        how: How::Batched,
        statements,
        max_result_bytes: 1 << 30,
    }
}

/// A work that changes the schema.
pub fn ddl(db: &Dbms, offset: u64, sql: &str) -> Work {
    let how = match db.dialect() {
        Dialect::MariaDb => How::SelfCommitting,
        Dialect::Postgres | Dialect::Sqlite => How::Alone,
    };
    Work {
        how,
        ..work(offset, sql)
    }
}

/// What a batch that ends at `applied` writes, without outcomes.
pub fn finish(predecessor: Option<u64>, applied: u64) -> Finish {
    Finish {
        predecessor: predecessor.map(at),
        applied: at(applied),
        state: json!({"applied": applied}).to_string(),
        outcomes: None,
        prune_below: None,
        drop_rows_below: None,
    }
}

/// Runs and commits a batch behind whatever is applied.
pub async fn apply(db: &mut Dbms, works: &[Work]) -> Vec<Ran> {
    let predecessor = db.load().await.unwrap().map(|row| row.applied.get());
    let ran = db.run(predecessor.map(at), works).await.unwrap();
    let applied = works
        .last()
        .map_or(predecessor.unwrap_or_default() + 1, |work| work.offset.get());
    assert_eq!(db.commit(&finish(predecessor, applied)).await, Ok(None));
    ran
}

/// Opens the place with one table `t (id, name)`, at offset 0.
pub async fn open(place: &impl Place) -> Dbms {
    let mut db = Dbms::open(&place.settings()).await.unwrap();
    let create = ddl(&db, 0, "create table t (id integer primary key, name varchar(200))");
    assert!(apply(&mut db, &[create]).await[0].is_ok());
    db
}

/// Runs one work in a batch of its own.
pub async fn one(db: &mut Dbms, work: Work) -> Ran {
    apply(db, &[work]).await.remove(0)
}

/// The rows of a result.
pub fn rows(rows: Rows) -> Vec<Value> {
    rows.into_rows()
        .unwrap()
        .map(|row| serde_json::from_str(row.unwrap().get()).unwrap())
        .collect()
}

/// The rows that a statement returns.
pub async fn query(db: &mut Dbms, offset: u64, sql: &str) -> Vec<Value> {
    rows(one(db, work(offset, sql)).await.unwrap().remove(0))
}

/// The code that a work was refused with.
pub fn code(ran: &Ran) -> Option<ErrorCode> {
    ran.as_ref().err().map(|refusal| refusal.code)
}

/// A read of one statement.
pub fn read_of(sql: &str) -> Read {
    Read {
        statements: vec![statement(sql)],
        timeout: Duration::from_secs(60),
    }
}

/// Everything a read says, and how it ended.
pub async fn read(reads: &Reads, read: &Read) -> (Vec<ReadEvent>, Result<(), ReadError>) {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(16);
    let said = async {
        let mut events = Vec::new();
        while let Some(event) = receiver.recv().await {
            events.push(event);
        }
        events
    };
    let ended = async {
        let ended = reads.read(read, &sender).await;
        drop(sender);
        ended
    };
    tokio::join!(said, ended)
}

fn refused_read(ended: &Result<(), ReadError>) -> Option<ErrorCode> {
    match ended {
        Err(ReadError::Refused(refusal)) => Some(refusal.code),
        _ => None,
    }
}

/// SQL that returns the integers from 1 to `count` as `i`.
pub fn numbers(db: &Dbms, count: u64) -> String {
    match db.dialect() {
        Dialect::Postgres => format!("select i from generate_series(1, {count}) as s(i)"),
        Dialect::MariaDb => format!("select seq as i from seq_1_to_{count}"),
        Dialect::Sqlite => {
            format!("with recursive s(i) as (select 1 union all select i + 1 from s where i < {count}) select i from s")
        }
    }
}

// The cases.

/// An empty database has applied nothing; what was committed is there after a restart.
pub async fn remembers_state_and_outcomes(place: &impl Place) {
    let mut db = Dbms::open(&place.settings()).await.unwrap();
    assert_eq!(db.load().await, Ok(None));
    assert_eq!(db.outcome_rows(at(0), 10).await, Ok(Vec::new()));
    let row = |first, last, rows: Option<&str>| OutcomeRow {
        first: at(first),
        last: at(last),
        outcomes: format!("[{first}]"),
        rows: rows.map(str::to_owned),
    };
    for (predecessor, kept) in [
        (None, row(3, 5, Some("[{\"a\":\"é\"}]"))),
        (Some(5), row(6, 6, None)),
        (Some(6), row(9, 12, None)),
    ] {
        assert!(db.run(predecessor.map(at), &[]).await.unwrap().is_empty());
        let finish = Finish {
            outcomes: Some(kept.clone()),
            ..finish(predecessor, kept.last.get())
        };
        assert_eq!(db.commit(&finish).await, Ok(None));
    }
    db.close().await;
    let mut db = Dbms::open(&place.settings()).await.unwrap();
    assert_eq!(
        db.load().await,
        Ok(Some(StateRow {
            applied: at(12),
            state: "{\"applied\":12}".into()
        }))
    );
    let found = db.outcome_rows(at(5), 10).await.unwrap();
    assert_eq!(found.iter().map(|row| row.first.get()).collect::<Vec<_>>(), [3, 6, 9]);
    assert_eq!(found[0], row(3, 5, Some("[{\"a\":\"é\"}]")));
    assert_eq!(db.outcome_rows(at(6), 1).await.unwrap(), [row(6, 6, None)]);
    assert_eq!(db.outcome_row(at(10)).await.unwrap(), Some(row(9, 12, None)));
    assert_eq!(db.outcome_row(at(8)).await.unwrap(), None);
    assert_eq!(db.outcome_row(at(13)).await.unwrap(), None);
    db.close().await;
}

/// Rows are dropped, then outcomes, by their last offset.
pub async fn prunes_outcomes_and_kept_rows(place: &impl Place) {
    let mut db = Dbms::open(&place.settings()).await.unwrap();
    for last in [2, 4, 6] {
        let predecessor = (last > 2).then_some(last - 2);
        db.run(predecessor.map(at), &[]).await.unwrap();
        let outcomes = OutcomeRow {
            first: at(last - 1),
            last: at(last),
            outcomes: "[]".into(),
            rows: Some("[]".into()),
        };
        let finish = Finish {
            outcomes: Some(outcomes),
            prune_below: (last == 6).then_some(at(4)),
            drop_rows_below: (last == 6).then_some(at(6)),
            ..finish(predecessor, last)
        };
        db.commit(&finish).await.unwrap();
    }
    let left = db.outcome_rows(at(0), 10).await.unwrap();
    let left: Vec<_> = left.iter().map(|row| (row.last.get(), row.rows.is_some())).collect();
    assert_eq!(left, [(4, false), (6, true)]);
    db.close().await;
}

/// Nothing is executed behind a claim that raised, and the session can go on at once.
pub async fn claim_raises_on_another_predecessor(place: &impl Place) {
    let mut db = open(place).await;
    for wrong in [None, Some(at(1)), Some(at(u64::from(u32::MAX)))] {
        let ran = db.run(wrong, &[work(1, "insert into t values (1, 'a')")]).await;
        assert!(matches!(ran, Err(Fault::ClaimRaised(_))), "{ran:?}");
    }
    assert_eq!(query(&mut db, 1, "select id from t").await, [] as [Value; 0]);
    db.close().await;
}

/// The session lock holds as long as the node lives, and is given back.
pub async fn a_second_node_is_kept_away(place: &impl Place) {
    let db = open(place).await;
    assert!(Dbms::open(&place.settings()).await.is_err());
    db.close().await;
    Dbms::open(&place.settings()).await.unwrap().close().await;
}

/// A refusal is the outcome of its own work only, wherever it stands in the batch.
pub async fn a_refused_work_leaves_its_neighbours(place: &impl Place) {
    let mut db = open(place).await;
    let ran = apply(
        &mut db,
        &[
            work(1, "insert into t values (1, 'a')"),
            work(2, "insert into t values (2, 'b'), (1, 'again')"),
            work(3, "insert into t values (3, 'c')"),
            work(4, "insert into nowhere values (1)"),
            work(5, "insert into t values (2, 'd')"),
        ],
    )
    .await;
    let codes: Vec<_> = ran.iter().map(code).collect();
    assert_eq!(
        codes,
        [
            None,
            Some(ErrorCode::UniqueViolation),
            None,
            Some(ErrorCode::UndefinedTable),
            None
        ]
    );
    let left = query(&mut db, 6, "select id, name from t order by id").await;
    assert_eq!(
        left,
        [
            json!({"id": 1, "name": "a"}),
            json!({"id": 2, "name": "d"}),
            json!({"id": 3, "name": "c"})
        ]
    );
    db.close().await;
}

/// The chain covers the code, so unlike DBMS must agree on it.
pub async fn mistakes_have_the_same_codes_everywhere(place: &impl Place) {
    let mut db = open(place).await;
    let child = ddl(
        &db,
        1,
        "create table child (id integer primary key, t integer not null, n integer check (n > 0), \
         constraint to_t foreign key (t) references t (id))",
    );
    assert!(one(&mut db, child).await.is_ok());
    one(&mut db, work(2, "insert into t values (1, 'a'), (2, 'b')"))
        .await
        .unwrap();
    one(&mut db, work(3, "insert into child values (1, 1, 1)"))
        .await
        .unwrap();
    for (n, (sql, expected)) in [
        ("insert into t values (1, 'a')", ErrorCode::UniqueViolation),
        ("insert into child values (2, null, 1)", ErrorCode::NotNullViolation),
        ("insert into child values (2, 9, 1)", ErrorCode::ForeignKeyViolation),
        ("delete from t where id = 1", ErrorCode::ForeignKeyViolation),
        ("insert into child values (2, 1, -1)", ErrorCode::CheckViolation),
        ("select * from nowhere", ErrorCode::UndefinedTable),
        ("select nothing from t", ErrorCode::UndefinedColumn),
        (
            "insert into t (id, nothing) values (5, 'a')",
            ErrorCode::UndefinedColumn,
        ),
        ("select no_such_thing(1)", ErrorCode::UndefinedFunction),
        ("selec 1", ErrorCode::SyntaxError),
    ]
    .into_iter()
    .enumerate()
    {
        let ran = one(&mut db, work(4 + n as u64, sql)).await;
        assert_eq!(code(&ran), Some(expected), "{sql}: {ran:?}");
    }
    let again = ddl(&db, 50, "create table t (id integer primary key)");
    assert_eq!(code(&one(&mut db, again).await), Some(ErrorCode::DuplicateObject));
    db.close().await;
}

/// The first statement that fails refuses all, and is named.
pub async fn statements_of_one_work_stand_and_fall_together(place: &impl Place) {
    let mut db = open(place).await;
    let expecting = |sql: &str, rows| WorkStatement {
        expect_rows: Some(rows),
        ..statement(sql)
    };
    let insert = "insert into t values (1, 'a')";
    let fails = work_of(
        1,
        vec![
            statement(insert),
            expecting("update t set name = 'b' where id = 2", 1),
            statement("nonsense"),
        ],
    );
    let refusal = one(&mut db, fails).await.unwrap_err();
    assert_eq!(
        (refusal.code, refusal.statement_index),
        (ErrorCode::ExpectRows, Some(1))
    );
    let fails = work_of(2, vec![statement(insert), statement(insert)]);
    let refusal = one(&mut db, fails).await.unwrap_err();
    assert_eq!(
        (refusal.code, refusal.statement_index),
        (ErrorCode::UniqueViolation, Some(1))
    );
    let refusal = one(&mut db, work_of(3, vec![expecting("select * from t", 1)]))
        .await
        .unwrap_err();
    assert_eq!((refusal.code, refusal.statement_index), (ErrorCode::ExpectRows, None));
    let goes = work_of(
        4,
        vec![
            statement(insert),
            expecting("select * from t", 1),
            expecting("delete from t", 1),
        ],
    );
    let results = one(&mut db, goes).await.unwrap();
    assert_eq!(results.iter().map(|rows| rows.affected).collect::<Vec<_>>(), [1, 1, 1]);
    db.close().await;
}

/// Rows matched count, changed or not; DDL counts none.
pub async fn rows_matched_are_counted(place: &impl Place) {
    let mut db = open(place).await;
    let create = ddl(&db, 1, "create table u (id integer primary key)");
    for (work, expected) in [
        (work(2, "insert into t values (1, 'a'), (2, 'a'), (3, 'b')"), 3),
        (work(3, "update t set name = 'a' where name = 'a'"), 2),
        (work(4, "select id from t"), 3),
        (create, 0),
        (work(6, "delete from t where id = 9"), 0),
        (work(7, "delete from t"), 3),
    ] {
        let sql = work.statements[0].sql.clone();
        let results = one(&mut db, work).await.unwrap();
        assert_eq!(results[0].affected, expected, "{sql}");
    }
    db.close().await;
}

/// Params are values, never text.
pub async fn params_of_every_json_kind_arrive(place: &impl Place) {
    let mut db = open(place).await;
    let create = ddl(
        &db,
        1,
        "create table p (id integer primary key, i bigint, d double precision, s varchar(200), f integer, j varchar(200))",
    );
    assert!(one(&mut db, create).await.is_ok());
    let insert = "insert into p (id, i, d, s, j) values ($1, $2, $3, $4, $5)";
    let tricky = "it's \"quoted\" \\ $1 ; -- é\n😀";
    let params = json!([1, 9007199254740993_i64, 0.1, tricky, {"a": [1, null]}]);
    one(&mut db, bound(2, insert, params)).await.unwrap();
    one(&mut db, bound(3, insert, json!([2, null, null, null, null])))
        .await
        .unwrap();
    // Out of order and twice.
    one(
        &mut db,
        bound(4, "insert into p (id, s, j) values ($2, $1, $1)", json!(["x", 3])),
    )
    .await
    .unwrap();
    let found = query(&mut db, 5, "select id, i, d, s, j from p order by id").await;
    assert_eq!(found[0]["i"], json!("9007199254740993"));
    assert_eq!(found[0]["d"], json!(0.1));
    assert_eq!(found[0]["s"], json!(tricky));
    let document: Value = serde_json::from_str(found[0]["j"].as_str().unwrap()).unwrap();
    assert_eq!(document, json!({"a": [1, null]}));
    assert_eq!(found[1], json!({"id": 2, "i": null, "d": null, "s": null, "j": null}));
    assert_eq!((&found[2]["s"], &found[2]["j"]), (&json!("x"), &json!("x")));
    for (offset, params) in [(6, json!([9])), (7, json!([9, "a", "b"]))] {
        let ran = one(
            &mut db,
            bound(offset, "insert into t (id, name) values ($1, $2)", params),
        )
        .await;
        assert_eq!(code(&ran), Some(ErrorCode::WrongParams), "{ran:?}");
    }
    db.close().await;
}

/// RETURNING and queries give the query's columns in order, repeated names numbered.
pub async fn returned_rows_come_in_column_order(place: &impl Place) {
    let mut db = open(place).await;
    let mut results = one(
        &mut db,
        work(1, "insert into t values (2, 'b'), (1, 'a') returning name, id, name"),
    )
    .await
    .unwrap();
    let result = results.remove(0);
    let names: Vec<_> = result.columns.iter().map(|column| column.name.clone()).collect();
    assert_eq!(
        (names, result.affected),
        (vec!["name".to_owned(), "id".into(), "name#2".into()], 2)
    );
    let first = result.in_memory().unwrap()[0].get().to_owned();
    assert_eq!(first, r#"{"name":"b","id":2,"name#2":"b"}"#);
    let mut none = one(&mut db, work(2, "select id from t where id = 9")).await.unwrap();
    let none = none.remove(0);
    assert_eq!((none.columns.len(), none.affected), (1, 0));
    assert!(
        one(&mut db, work(3, "delete from t where id = 9")).await.unwrap()[0]
            .columns
            .is_empty()
    );
    db.close().await;
}

/// Beyond a record rows go to a file; beyond the limit the request is refused and had no effect.
pub async fn large_results_spool_and_too_large_ones_are_refused(place: &impl Place) {
    let mut db = open(place).await;
    let sql = numbers(&db, 100_000);
    let mut results = one(&mut db, work(1, &sql)).await.unwrap();
    let result = results.remove(0);
    assert!(result.in_memory().is_none());
    let all = rows(result);
    assert_eq!((all.len(), &all[99_999]), (100_000, &json!({"i": 100_000})));
    let insert = statement("insert into t values (1, 'a')");
    let too_large = Work {
        max_result_bytes: 1 << 16,
        ..work_of(2, vec![insert, statement(&sql)])
    };
    let ran = one(&mut db, too_large).await;
    assert_eq!(code(&ran), Some(ErrorCode::ResultTooLarge));
    assert!(query(&mut db, 3, "select id from t").await.is_empty());
    db.close().await;
}

/// What a dropped future leaves is rolled back by whatever comes next.
pub async fn an_abandoned_batch_is_rolled_back(place: &impl Place) {
    let mut db = open(place).await;
    let works = [work(1, "insert into t values (1, 'a')")];
    for micros in [0, 1, 10, 100, 1000, 10_000] {
        let run = db.run(Some(at(0)), &works);
        tokio::time::timeout(Duration::from_micros(micros), run).await.ok();
        let state = loop {
            match db.load().await {
                Err(Fault::Lost(_)) => db.recover().await.unwrap(),
                state => break state,
            }
        };
        assert_eq!(state.unwrap().map(|row| row.applied), Some(at(0)));
    }
    assert_eq!(
        apply(&mut db, &works).await.iter().map(code).collect::<Vec<_>>(),
        [None]
    );
    db.close().await;
}

/// Holes and control records advance the applied offset without works.
pub async fn an_empty_batch_advances(place: &impl Place) {
    let mut db = open(place).await;
    assert!(apply(&mut db, &[]).await.is_empty());
    assert_eq!(db.load().await.unwrap().map(|row| row.applied), Some(at(1)));
    assert!(matches!(db.commit(&finish(Some(1), 2)).await, Err(Fault::Fatal(_))));
    db.close().await;
}

/// A statement that is kept prepared follows the schema.
pub async fn schema_changes_are_seen_at_once(place: &impl Place) {
    let mut db = open(place).await;
    let sql = "select * from t order by id";
    one(&mut db, work(1, "insert into t values (1, 'a')")).await.unwrap();
    assert_eq!(query(&mut db, 2, sql).await, [json!({"id": 1, "name": "a"})]);
    let add = ddl(&db, 3, "alter table t add column age integer");
    assert!(one(&mut db, add).await.is_ok());
    assert_eq!(
        query(&mut db, 4, sql).await,
        [json!({"id": 1, "name": "a", "age": null})]
    );
    let drop = ddl(&db, 5, "drop table t");
    assert!(one(&mut db, drop).await.is_ok());
    assert_eq!(code(&one(&mut db, work(6, sql)).await), Some(ErrorCode::UndefinedTable));
    db.close().await;
}

/// A read begins with the state row of its snapshot, and each statement says columns, rows, done.
pub async fn reads_see_one_snapshot_and_say_its_offset(place: &impl Place) {
    let mut db = open(place).await;
    one(&mut db, work(7, "insert into t values (1, 'a'), (2, 'b')"))
        .await
        .unwrap();
    let reads = db.reads();
    let mut both = read_of("select name from t order by id");
    both.statements.push(WorkStatement {
        params: vec![json!(2)],
        ..statement("select id, id from t where id = $1")
    });
    let (events, ended) = read(&reads, &both).await;
    assert_eq!(ended, Ok(()));
    let said: Vec<String> = events
        .iter()
        .map(|event| match event {
            ReadEvent::Snapshot(row) => format!("at {}", row.as_ref().unwrap().applied),
            ReadEvent::Columns(columns) => columns
                .iter()
                .map(|column| column.name.clone())
                .collect::<Vec<_>>()
                .join(" "),
            ReadEvent::Row(row) => row.get().to_owned(),
            ReadEvent::Done { rows } => format!("{rows} rows"),
        })
        .collect();
    let expected = [
        "at 7",
        "name",
        r#"{"name":"a"}"#,
        r#"{"name":"b"}"#,
        "2 rows",
        "id id#2",
        r#"{"id":2,"id#2":2}"#,
        "1 rows",
    ];
    assert_eq!(said, expected);
    db.close().await;
}

/// A write in ONE is refused, whatever form it takes, and errors name their statement.
pub async fn reads_do_not_write(place: &impl Place) {
    let mut db = open(place).await;
    let reads = db.reads();
    for sql in [
        "insert into t values (1, 'a')",
        "delete from t",
        "create table u (id integer)",
        "drop table t",
    ] {
        let (_, ended) = read(&reads, &read_of(sql)).await;
        assert_eq!(refused_read(&ended), Some(ErrorCode::ReadOnly), "{sql}: {ended:?}");
    }
    let mut second = read_of("select 1");
    second.statements.push(statement("select * from nowhere"));
    let (_, ended) = read(&reads, &second).await;
    let Err(ReadError::Refused(refusal)) = ended else {
        panic!("{ended:?}")
    };
    assert_eq!(
        (refusal.code, refusal.statement_index),
        (ErrorCode::UndefinedTable, Some(1))
    );
    assert!(query(&mut db, 1, "select id from t").await.is_empty());
    db.close().await;
}

/// Rows come one by one while the receiver takes them.
pub async fn reads_stream_a_million_rows(place: &impl Place) {
    let db = open(place).await;
    let (reads, sql) = (db.reads(), read_of(&numbers(&db, 1_000_000)));
    let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
    let reading = tokio::spawn(async move { reads.read(&sql, &sender).await });
    let (mut count, mut done) = (0_u64, 0);
    while let Some(event) = receiver.recv().await {
        match event {
            ReadEvent::Row(_) => count += 1,
            ReadEvent::Done { rows } => done = rows,
            _ => {}
        }
    }
    assert_eq!(reading.await.unwrap(), Ok(()));
    assert_eq!((count, done), (1_000_000, 1_000_000));
    db.close().await;
}

/// The DBMS itself ends what takes too long, and the session serves the next read.
pub async fn reads_end_in_time(place: &impl Place) {
    let db = open(place).await;
    let reads = db.reads();
    let n = numbers(&db, 100_000);
    let endless = format!("select count(*) from ({n}) as a cross join ({n}) as b where a.i + b.i < 0");
    let slow = Read {
        timeout: Duration::from_millis(200),
        ..read_of(&endless)
    };
    let (_, ended) = read(&reads, &slow).await;
    assert_eq!(refused_read(&ended), Some(ErrorCode::TimedOut), "{ended:?}");
    assert_eq!(read(&reads, &read_of("select 1 as one")).await.1, Ok(()));
    db.close().await;
}

/// Neither a dropped receiver nor a dropped future keeps one of the bounded sessions.
pub async fn reads_end_when_nobody_waits(place: &impl Place) {
    let db = open(place).await;
    let many = read_of(&numbers(&db, 1_000_000));
    for _ in 0..2 * place.settings().max_reads {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        let (reads, slow) = (db.reads(), many.clone());
        let reading = tokio::spawn(async move { reads.read(&slow, &sender).await });
        assert!(matches!(receiver.recv().await, Some(ReadEvent::Snapshot(_))));
        drop(receiver);
        assert_eq!(reading.await.unwrap(), Err(ReadError::Abandoned));
    }
    for _ in 0..2 * place.settings().max_reads {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        let (reads, slow) = (db.reads(), many.clone());
        let reading = tokio::spawn(async move { reads.read(&slow, &sender).await });
        assert!(matches!(receiver.recv().await, Some(ReadEvent::Snapshot(_))));
        reading.abort();
        assert!(reading.await.unwrap_err().is_cancelled());
        // Kept alive, unread: only the dropped future may end the read.
        std::mem::forget(receiver);
    }
    assert_eq!(read(&db.reads(), &read_of("select 1 as one")).await.1, Ok(()));
    db.close().await;
}

/// A session that is made anew reads the state and goes on from it.
pub async fn recovered_sessions_go_on(place: &impl Place) {
    let mut db = open(place).await;
    db.run(Some(at(0)), &[work(1, "insert into t values (1, 'lost')")])
        .await
        .unwrap();
    db.recover().await.unwrap();
    assert_eq!(db.load().await.unwrap().map(|row| row.applied), Some(at(0)));
    one(&mut db, work(1, "insert into t values (1, 'kept')")).await.unwrap();
    assert_eq!(query(&mut db, 2, "select name from t").await, [json!({"name": "kept"})]);
    db.close().await;
}
