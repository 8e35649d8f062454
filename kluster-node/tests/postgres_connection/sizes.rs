use kluster_node::dbms::postgres::connection::{Event, NO_PARAMS, Plan};

use super::{LIMIT, connect, done, queue};

fn resident_megabytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1024
}

#[tokio::test]
async fn a_million_rows_stream_in_bounded_memory() {
    let mut connection = connect().await;
    let mut pipeline = connection.pipeline().unwrap();
    queue(&mut pipeline, "select n, repeat('x', 100) from generate_series(1, 1000000) n");
    let (mut rows, mut largest) = (0_u64, 0);
    while let Some(event) = pipeline.next_event().await.unwrap() {
        match event {
            Event::Row(row) => {
                rows += 1;
                if rows.is_multiple_of(50_000) {
                    assert_eq!(row.text(0).unwrap(), rows.to_string());
                    largest = largest.max(resident_megabytes());
                }
            }
            Event::Done(tag) => assert_eq!(tag.rows(), Some(1_000_000)),
            _ => {}
        }
    }
    assert_eq!(rows, 1_000_000);
    assert!(largest < 150, "{largest} MB");
}

#[tokio::test]
async fn large_values_pass_both_ways() {
    let mut connection = connect().await;
    let large = "äx".repeat(5 * 1024 * 1024);
    let mut pipeline = connection.pipeline().unwrap();
    // Answers of that size while requests of that size are still being written.
    for _ in 0..3 {
        pipeline.queue("select $1::text, length($1::text)", Plan::Keep, [Some(&large)]).unwrap();
    }
    let segment = pipeline.collect(usize::MAX).await.unwrap();
    for reply in &segment.replies {
        let row = &done(reply).rows[0];
        assert!(row.text(0).unwrap() == large);
        assert_eq!(row.text(1).unwrap(), (large.chars().count()).to_string());
    }
}

#[tokio::test]
async fn what_exceeds_the_limit_is_dropped_and_told() {
    let mut connection = connect().await;
    let sql = "select repeat('x', 1000) from generate_series(1, 5000)";
    let mut pipeline = connection.pipeline().unwrap();
    queue(&mut pipeline, sql);
    queue(&mut pipeline, "select 1");
    let segment = pipeline.collect(LIMIT).await.unwrap();
    let rows = done(&segment.replies[0]);
    assert!(rows.truncated && rows.rows.len() < 1100 && rows.bytes > 5_000_000, "{} rows", rows.rows.len());
    assert!(!done(&segment.replies[1]).truncated);
}

#[tokio::test]
async fn a_row_above_the_row_limit_is_never_held() {
    let mut connection = connect().await;
    connection.set_row_limit(1000);
    let rows =
        connection.query("select repeat('x', n) from unnest('{10,100000,20}'::int[]) n", NO_PARAMS).await.unwrap();
    assert!(rows.truncated);
    assert_eq!(rows.rows.len(), 2);
    assert_eq!(rows.tag.rows(), Some(3));
    assert!(rows.bytes > 100_000);
}
