use kluster_node::dbms::postgres::connection::{Connection, NO_PARAMS, Plan, Reply};

use super::{LIMIT, connect, done, failed, one, queue};

async fn keep(connection: &mut Connection, sql: &str) -> Reply {
    let mut pipeline = connection.pipeline().unwrap();
    pipeline.queue(sql, Plan::Keep, NO_PARAMS).unwrap();
    pipeline.collect(LIMIT).await.unwrap().replies.remove(0)
}

async fn prepared(connection: &mut Connection) -> String {
    one(connection, "select count(*) from pg_prepared_statements").await
}

#[tokio::test]
async fn a_kept_text_is_prepared_once() {
    let mut connection = connect().await;
    for _ in 0..3 {
        done(&keep(&mut connection, "select 1").await);
    }
    assert_eq!(prepared(&mut connection).await, "1");
    connection.clear_plans();
    assert_eq!(prepared(&mut connection).await, "0");
    done(&keep(&mut connection, "select 1").await);
    assert_eq!(prepared(&mut connection).await, "1");
}

#[tokio::test]
async fn the_least_used_plans_leave_the_server_too() {
    let mut connection = connect().await;
    connection.set_plan_limit(4);
    let mut pipeline = connection.pipeline().unwrap();
    for n in 0..20 {
        pipeline.queue(&format!("select {n}"), Plan::Keep, NO_PARAMS).unwrap();
    }
    pipeline.collect(LIMIT).await.unwrap();
    drop(pipeline);
    assert_eq!(prepared(&mut connection).await, "4");
}

#[tokio::test]
async fn a_failed_parse_is_not_remembered() {
    let mut connection = connect().await;
    assert_eq!(failed(&keep(&mut connection, "select * from later").await).sqlstate, "42P01");
    connection.execute_script("create temp table later (id int)").await.unwrap();
    done(&keep(&mut connection, "select * from later").await);
}

#[tokio::test]
async fn a_skipped_parse_is_not_remembered() {
    let mut connection = connect().await;
    let mut pipeline = connection.pipeline().unwrap();
    queue(&mut pipeline, "select 1/0");
    pipeline.queue("select 2", Plan::Keep, NO_PARAMS).unwrap();
    pipeline.sync();
    pipeline.queue("select 2", Plan::Keep, NO_PARAMS).unwrap();
    let first = pipeline.collect(LIMIT).await.unwrap();
    assert!(matches!(first.replies[1], Reply::Skipped));
    done(&pipeline.collect(LIMIT).await.unwrap().replies[0]);
    drop(pipeline);
    done(&keep(&mut connection, "select 2").await);
    done(&keep(&mut connection, "select 2").await);
    assert_eq!(prepared(&mut connection).await, "1");
}

#[tokio::test]
async fn a_changed_table_shows_as_a_stale_plan_until_the_plans_are_cleared() {
    let mut connection = connect().await;
    connection.execute_script("create temp table t (id int)").await.unwrap();
    done(&keep(&mut connection, "select * from t").await);
    connection.execute_script("alter table t add word text").await.unwrap();
    let stale = keep(&mut connection, "select * from t").await;
    assert_eq!(failed(&stale).sqlstate, "0A000");
    assert_eq!(failed(&stale).routine.as_deref(), Some("RevalidateCachedQuery"));
    connection.clear_plans();
    assert_eq!(done(&keep(&mut connection, "select * from t").await).columns.len(), 2);
}

#[tokio::test]
async fn plans_that_the_user_deallocated_are_recovered_by_clearing() {
    let mut connection = connect().await;
    done(&keep(&mut connection, "select 1").await);
    connection.query("do $$ begin execute 'deallocate all'; end $$", NO_PARAMS).await.unwrap();
    assert_eq!(failed(&keep(&mut connection, "select 1").await).sqlstate, "26000");
    connection.clear_plans();
    done(&keep(&mut connection, "select 1").await);
}
