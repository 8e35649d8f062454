//! Rounds: applies inserts to a database as a node does, in batches: the shape that the benchmarks of effects share.

use kluster_node::dbms::{Dbms, Finish, How, OutcomeRow, Work, WorkStatement};
use kluster_node::effects::EffectsTrail;
use kluster_protocol::{Offset, Param};
use serde_json::json;
use std::time::{Duration, Instant};

/// So many rounds of each kind alternate; the median counts.
pub const ROUNDS: usize = 5;

/// A database in which offset 0 has made the table, and the trail of its effects.
pub async fn begin(db: &mut Dbms) -> EffectsTrail {
    let (trail, by) = (EffectsTrail::default(), db.effects());
    trail.holds(db.info().name, &by, by.resume(None, None).as_ref());
    let how = if matches!(db, Dbms::MariaDb(_)) { How::SelfCommitting } else { How::Alone };
    let create = work(0, how, "create table item (id bigint primary key, name varchar(40), n int)", &[]);
    apply(db, None, &[create], &trail).await;
    trail
}

/// Applies `works` inserts behind [`begin`], `size` in a batch; how long that took.
pub async fn inserts(db: &mut Dbms, trail: &EffectsTrail, size: usize, works: u64) -> Duration {
    let (began, mut applied) = (Instant::now(), 0);
    while applied < works {
        let offsets = applied + 1..=works.min(applied + size as u64);
        let insert = |id: u64| {
            work(id, How::Batched, "insert into item values ($1, $2, $3)", &[json!(id), json!("Jan"), json!(7)])
        };
        let batch: Vec<Work> = offsets.map(insert).collect();
        apply(db, Some(applied), &batch, trail).await;
        applied += batch.len() as u64;
    }
    began.elapsed()
}

/// How long it takes until the follower knows the effects of all `works`.
pub async fn known(trail: &EffectsTrail, works: u64) -> Duration {
    let began = Instant::now();
    while trail.known_through() < Some(Offset::new(works)) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    began.elapsed()
}

/// The median.
pub fn median(times: impl IntoIterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.into_iter().collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn work(offset: u64, how: How, sql: &str, params: &[serde_json::Value]) -> Work {
    let params = params.iter().cloned().map(Param::from).collect();
    let statement = WorkStatement {
        sql: sql.into(),
        params,
        expect_rows: None,
        cells: Default::default(),
        edits: Default::default(),
        wants: Default::default(),
    };
    Work { offset: Offset::new(offset), time_ms: 0, how, statements: vec![statement], max_result_bytes: 1 << 20 }
}

async fn apply(db: &mut Dbms, predecessor: Option<u64>, works: &[Work], trail: &EffectsTrail) {
    let predecessor = predecessor.map(Offset::new);
    let ran = db.run(predecessor, works).await.expect("the batch runs");
    assert!(ran.iter().all(Result::is_ok), "{ran:?}");
    let applied = works.last().expect("a batch has works").offset;
    // A state and outcomes as large as those of a node.
    let state = json!({"effects": trail.counted(), "rest": "s".repeat(4000)}).to_string();
    let row = OutcomeRow { first: works[0].offset, last: applied, outcomes: "o".repeat(150 * works.len()), rows: None };
    let finish = Finish { predecessor, applied, state, outcomes: Some(row), prune_below: None, drop_rows_below: None };
    assert_eq!(db.commit(&finish).await, Ok(None));
}
