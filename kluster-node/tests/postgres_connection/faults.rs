use kluster_node::dbms::postgres::connection::{NO_PARAMS, Plan, Reply};
use kluster_node::dbms::postgres::error::{Error, Unsendable};

use super::{LIMIT, connect, done, one, queue};

#[tokio::test]
async fn copy_is_refused_before_it_is_sent() {
    let mut connection = connect().await;
    connection.execute_script("create temp table t (id int)").await.unwrap();
    let mut pipeline = connection.pipeline().unwrap();
    queue(&mut pipeline, "insert into t values (1)");
    for copy in ["copy t from stdin", "/* x */; COPY t to stdout"] {
        assert_eq!(pipeline.queue(copy, Plan::Keep, NO_PARAMS), Err(Unsendable::Copy));
    }
    queue(&mut pipeline, "select count(*) from t");
    let segment = pipeline.collect(LIMIT).await.unwrap();
    assert_eq!(done(&segment.replies[1]).rows[0].text(0).unwrap(), "1");
}

#[tokio::test]
async fn copy_cannot_be_reached_through_other_statements() {
    let mut connection = connect().await;
    connection.execute_script("create temp table t (id int)").await.unwrap();
    for sql in [
        "do $$ begin execute 'copy t from stdin'; end $$",
        "do $$ begin copy t from stdin; end $$",
        "prepare p as copy t from stdin",
        "explain copy t from stdin",
        "create function pg_temp.f() returns void language sql as 'copy pg_class from stdin'; select 1",
    ] {
        assert!(matches!(connection.query(sql, NO_PARAMS).await, Err(Error::Server(_))), "{sql}");
    }
    connection
        .query("create function pg_temp.f() returns void language sql as 'copy pg_class to stdout'", NO_PARAMS)
        .await
        .unwrap();
    assert!(matches!(connection.query("select pg_temp.f()", NO_PARAMS).await, Err(Error::Server(_))));
    assert!(!connection.is_broken());
}

#[tokio::test]
async fn an_abandoned_pipeline_breaks_the_connection() {
    let mut connection = connect().await;
    {
        let mut pipeline = connection.pipeline().unwrap();
        queue(&mut pipeline, "select pg_sleep(60)");
        let mut call = std::pin::pin!(pipeline.collect(LIMIT));
        assert!(futures_util::poll!(call.as_mut()).is_pending());
    }
    assert!(connection.is_broken());
    assert!(matches!(connection.pipeline(), Err(Error::Broken)));
    assert!(matches!(connection.query("select 1", NO_PARAMS).await, Err(Error::Broken)));
    assert!(matches!(connection.execute_script("select 1").await, Err(Error::Broken)));
}

#[tokio::test]
async fn an_abandoned_script_breaks_the_connection() {
    let mut connection = connect().await;
    {
        let mut call = std::pin::pin!(connection.execute_script("select pg_sleep(60)"));
        assert!(futures_util::poll!(call.as_mut()).is_pending());
    }
    assert!(connection.is_broken());
}

#[tokio::test]
async fn a_dropped_next_event_loses_nothing() {
    let mut connection = connect().await;
    let mut pipeline = connection.pipeline().unwrap();
    queue(&mut pipeline, "select n from generate_series(1, 3) n");
    {
        let mut call = std::pin::pin!(pipeline.next_event());
        let _ = futures_util::poll!(call.as_mut());
    }
    let segment = pipeline.collect(LIMIT).await.unwrap();
    let Reply::Done(rows) = &segment.replies[0] else { panic!("{segment:?}") };
    assert!(rows.rows.len() >= 2, "{rows:?}");
    drop(pipeline);
    assert!(!connection.is_broken());
}

#[tokio::test]
async fn a_terminated_session_is_lost_with_the_servers_words() {
    let mut connection = connect().await;
    let mut other = connect().await;
    let sql = format!("select pg_terminate_backend({}, 10000)", connection.process_id());
    assert_eq!(one(&mut other, &sql).await, "t");
    let error = connection.query("select 1", NO_PARAMS).await.unwrap_err();
    assert!(error.is_connection_lost() && connection.is_broken(), "{error}");
    assert!(matches!(error, Error::SessionEnded(ref error) if error.sqlstate == "57P01"), "{error}");
}

#[tokio::test]
async fn a_running_statement_is_cancelled_from_outside() {
    let mut connection = connect().await;
    let token = connection.cancel_token();
    let pid = connection.process_id();
    let cancel = async {
        let mut other = connect().await;
        let running = format!("select count(*) from pg_stat_activity where pid = {pid} and wait_event = 'PgSleep'");
        while one(&mut other, &running).await != "1" {
            tokio::task::yield_now().await;
        }
        token.cancel().await.unwrap();
    };
    let (result, ()) = tokio::join!(connection.query("select pg_sleep(60)", NO_PARAMS), cancel);
    match result.unwrap_err() {
        Error::Server(error) => assert_eq!(error.sqlstate, "57014"),
        other => panic!("{other}"),
    }
    assert!(!connection.is_broken());
}
