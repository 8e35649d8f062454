use kluster_node::dbms::postgres::connection::{Event, NO_PARAMS, Plan, Reply, TransactionStatus};
use kluster_node::dbms::postgres::error::{Error, Unsendable};

use super::{LIMIT, connect, done, failed, one, queue};

#[tokio::test]
async fn a_thousand_statements_in_one_flush_are_answered_in_order() {
    let mut connection = connect().await;
    connection.execute_script("create temp table t (id int primary key, word text)").await.unwrap();
    let mut pipeline = connection.pipeline().unwrap();
    for id in 0..1000 {
        let id = id.to_string();
        pipeline.queue("insert into t values ($1, $2)", Plan::Keep, [Some(id.as_str()), None]).unwrap();
    }
    queue(&mut pipeline, "select count(*), count(word) from t");
    let segment = pipeline.collect(LIMIT).await.unwrap();
    drop(pipeline);
    assert_eq!(segment.replies.len(), 1001);
    for reply in &segment.replies[..1000] {
        assert_eq!((done(reply).tag.verb(), done(reply).tag.rows()), ("INSERT", Some(1)));
    }
    let counts = done(&segment.replies[1000]);
    assert_eq!(counts.columns[0].name, "count");
    assert_eq!(counts.columns[0].type_oid, 20);
    assert_eq!((counts.rows[0].text(0).unwrap(), counts.rows[0].text(1).unwrap()), ("1000".into(), "0".into()));
    assert!(!connection.is_broken());
}

#[tokio::test]
async fn behind_a_failure_the_segment_is_skipped_and_the_next_one_is_heard() {
    let mut connection = connect().await;
    let mut pipeline = connection.pipeline().unwrap();
    for sql in ["begin", "savepoint a", "select 1/0", "release a", "select 1"] {
        queue(&mut pipeline, sql);
    }
    pipeline.sync();
    for sql in ["rollback to a", "select 2", "commit"] {
        queue(&mut pipeline, sql);
    }
    let first = pipeline.collect(LIMIT).await.unwrap();
    assert_eq!(first.replies.len(), 5);
    assert_eq!(done(&first.replies[1]).tag.verb(), "SAVEPOINT");
    assert_eq!(failed(&first.replies[2]).sqlstate, "22012");
    assert_eq!(failed(&first.replies[2]).routine.as_deref(), Some("int4div"));
    assert!(matches!(first.replies[3..], [Reply::Skipped, Reply::Skipped]));
    assert_eq!(first.ready.status, TransactionStatus::Failed);
    let second = pipeline.collect(LIMIT).await.unwrap();
    assert_eq!(second.replies.len(), 3);
    assert_eq!(done(&second.replies[2]).tag.verb(), "COMMIT");
    assert_eq!(second.ready.status, TransactionStatus::Idle);
}

#[tokio::test]
async fn commit_of_a_failed_transaction_says_rollback() {
    let mut connection = connect().await;
    connection.query("begin", NO_PARAMS).await.unwrap();
    assert_eq!(connection.transaction_status(), TransactionStatus::Open);
    let error = connection.query("select nonsense", NO_PARAMS).await.unwrap_err();
    assert!(!error.is_connection_lost());
    assert_eq!(connection.transaction_status(), TransactionStatus::Failed);
    let commit = connection.query("commit", NO_PARAMS).await.unwrap();
    assert_eq!(commit.tag.as_str(), "ROLLBACK");
    assert_eq!(connection.transaction_status(), TransactionStatus::Idle);
}

#[tokio::test]
async fn a_deferred_constraint_fails_at_the_sync() {
    let mut connection = connect().await;
    connection
        .execute_script("create temp table t (id int, constraint once unique (id) deferrable initially deferred)")
        .await
        .unwrap();
    let mut pipeline = connection.pipeline().unwrap();
    queue(&mut pipeline, "insert into t values (1), (1)");
    let segment = pipeline.collect(LIMIT).await.unwrap();
    assert_eq!(done(&segment.replies[0]).tag.rows(), Some(2));
    let error = segment.ready.error.unwrap();
    assert_eq!((error.sqlstate.as_str(), error.constraint.as_deref()), ("23505", Some("once")));
    drop(pipeline);
    assert!(matches!(connection.query("insert into t values (1), (1)", NO_PARAMS).await, Err(Error::Server(_))));
    assert_eq!(one(&mut connection, "select count(*) from t").await, "0");
}

#[tokio::test]
async fn several_commands_in_one_text_are_refused() {
    let mut connection = connect().await;
    match connection.query("select 1; commit", NO_PARAMS).await.unwrap_err() {
        Error::Server(error) => assert_eq!(error.sqlstate, "42601"),
        other => panic!("{other}"),
    }
    assert_eq!(one(&mut connection, "select 1;").await, "1");
}

#[tokio::test]
async fn an_empty_query_is_done() {
    let mut connection = connect().await;
    for sql in ["", "  -- nothing", ";"] {
        let rows = connection.query(sql, NO_PARAMS).await.unwrap();
        assert!(rows.tag.is_empty_query() && rows.columns.is_empty(), "{sql}");
    }
}

#[tokio::test]
async fn a_users_raise_is_known_by_its_routine_and_notices_do_not_disturb() {
    let mut connection = connect().await;
    let mut pipeline = connection.pipeline().unwrap();
    queue(&mut pipeline, "do $$ begin raise notice 'n'; raise warning 'w'; end $$");
    queue(&mut pipeline, "listen here");
    queue(&mut pipeline, "notify here, 'payload'");
    pipeline.sync();
    queue(
        &mut pipeline,
        "do $$ begin raise exception using errcode = '40001', message = 'm', detail = 'd', hint = 'h'; end $$",
    );
    let first = pipeline.collect(LIMIT).await.unwrap();
    first.replies.iter().for_each(|reply| assert!(matches!(reply, Reply::Done(_)), "{reply:?}"));
    let second = pipeline.collect(LIMIT).await.unwrap();
    let error = failed(&second.replies[0]);
    assert_eq!(error.routine.as_deref(), Some("exec_stmt_raise"));
    assert_eq!((error.sqlstate.as_str(), error.severity.as_str()), ("40001", "ERROR"));
    assert_eq!((error.detail.as_deref(), error.hint.as_deref()), (Some("d"), Some("h")));
}

#[tokio::test]
async fn events_come_one_by_one() {
    let mut connection = connect().await;
    let mut pipeline = connection.pipeline().unwrap();
    queue(&mut pipeline, "select 7 as n");
    let Some(Event::Columns(columns)) = pipeline.next_event().await.unwrap() else { panic!() };
    assert_eq!((columns[0].name.as_str(), columns[0].type_modifier), ("n", -1));
    let Some(Event::Row(row)) = pipeline.next_event().await.unwrap() else { panic!() };
    assert_eq!(row.text(0).unwrap(), "7");
    assert!(matches!(pipeline.next_event().await.unwrap(), Some(Event::Done(tag)) if tag.rows() == Some(1)));
    assert!(matches!(pipeline.next_event().await.unwrap(), Some(Event::Ready(_))));
    assert!(pipeline.next_event().await.unwrap().is_none());
}

#[tokio::test]
async fn parameters_are_text_of_the_type_that_the_server_finds() {
    let mut connection = connect().await;
    connection
        .execute_script("create temp table t (u uuid, n numeric, j jsonb, a int[], d date, b bytea)")
        .await
        .unwrap();
    let params = ["6f3b7a4e-0b0a-4b6e-9d4e-000000000001", "1.50", "{\"a\":1}", "{1,2}", "2024-02-29", "\\x00ff"];
    let sql = "insert into t values ($1, $2, $3, $4, $5, $6) returning *";
    let rows = connection.query(sql, params.map(Some)).await.unwrap();
    let cells: Vec<_> = (0..6).map(|column| rows.rows[0].text(column).unwrap().into_owned()).collect();
    assert_eq!(cells, ["6f3b7a4e-0b0a-4b6e-9d4e-000000000001", "1.50", "{\"a\": 1}", "{1,2}", "2024-02-29", "\\x00ff"]);
    match connection.query("select $1::text", [Some("a\0b")]).await.unwrap_err() {
        Error::Server(error) => assert_eq!(error.sqlstate, "22021"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_cannot_be_sent_leaves_the_pipeline_usable() {
    let mut connection = connect().await;
    let mut pipeline = connection.pipeline().unwrap();
    assert_eq!(pipeline.queue("select '\0'", Plan::Keep, NO_PARAMS), Err(Unsendable::ZeroByte));
    assert_eq!(pipeline.queue("select 1", Plan::Keep, vec![Some("1"); 65_536]), Err(Unsendable::TooManyParams));
    pipeline.queue("select 1", Plan::Keep, NO_PARAMS).unwrap();
    let segment = pipeline.collect(LIMIT).await.unwrap();
    assert_eq!(done(&segment.replies[0]).tag.rows(), Some(1));
}

#[tokio::test]
async fn scripts_execute_all_commands_or_none() {
    let mut connection = connect().await;
    connection.execute_script("create temp table t (id int); insert into t values (1); select 1; ;").await.unwrap();
    match connection.execute_script("insert into t values (2); select 1/0; insert into t values (3)").await.unwrap_err()
    {
        Error::Server(error) => assert_eq!(error.sqlstate, "22012"),
        other => panic!("{other}"),
    }
    assert!(matches!(connection.execute_script("copy t from stdin").await, Err(Error::Server(_))));
    assert!(matches!(connection.execute_script("\0").await, Err(Error::Unsendable(_))));
    connection.execute_script("copy t to stdout").await.unwrap();
    assert_eq!(one(&mut connection, "select count(*) from t").await, "1");
}
