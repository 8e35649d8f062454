//! What it costs MariaDB to have its effects compared: the rate of apply without a binary log, with one that nobody reads, and with one that the
//! follower reads. Rounds of the three alternate on one machine; medians are printed, and the ratios are what counts.
//!
//! `make bench`, or `cargo bench -p kluster-tests --bench effects-mariadb`.

use kluster_node::dbms::{Dbms, DbmsSettings, Finish, How, Work, WorkStatement};
use kluster_node::effects::EffectsTrail;
use kluster_protocol::{MAX_BATCH, Offset, Param};
use kluster_test_servers::{MariaDbOptions, MariaDbServer};
use serde_json::json;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const WORKS: u64 = 6000;

/// What a round took: by the clock, of the processors (the node's process and the server's), and how much later the effects were known.
#[derive(Debug, Clone, Copy)]
struct Took {
    time: Duration,
    processors: Duration,
    late: Duration,
}

#[tokio::main]
async fn main() {
    let plain = MariaDbServer::start().await.expect("MariaDB starts");
    let logging = MariaDbServer::start_with(MariaDbOptions::with_binary_log()).await.expect("MariaDB starts");
    for (size, works) in [(MAX_BATCH, WORKS), (1, WORKS / 6)] {
        let (mut off, mut on, mut followed) = (vec![], vec![], vec![]);
        for _ in 0..ROUNDS {
            off.push(round(&plain, size, works, false).await);
            on.push(round(&logging, size, works, false).await);
            followed.push(round(&logging, size, works, true).await);
        }
        for (what, took) in
            [("without a binary log", &off), ("with one", &on), ("with one that is followed", &followed)]
        {
            let (time, processors) = (median(took, |took| took.time), median(took, |took| took.processors));
            println!(
                "mariadb, {size} in a batch, {what:<26} {:>6.0}/s  {:>4.0} us of the processors each",
                works as f64 / time.as_secs_f64(),
                processors.as_secs_f64() * 1e6 / works as f64
            );
        }
        let ratio = |of: fn(&Took) -> Duration| {
            100.0 * (median(&followed, of).as_secs_f64() / median(&on, of).as_secs_f64() - 1.0)
        };
        println!(
            "mariadb, {size} in a batch, following costs {:.0} % of time, {:.0} % of the processors, and ends {:.0} ms later",
            ratio(|took| took.time),
            ratio(|took| took.processors),
            median(&followed, |took| took.late).as_secs_f64() * 1000.0
        );
    }
}

fn median(rounds: &[Took], of: fn(&Took) -> Duration) -> Duration {
    let mut times: Vec<Duration> = rounds.iter().map(of).collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// Time of the processors that a process took so far; none where it is not a process of this machine.
fn processors(process: Option<u32>) -> Duration {
    /// Linux counts in hundredths of a second.
    const TICK: Duration = Duration::from_millis(10);
    let stat = process.and_then(|process| std::fs::read_to_string(format!("/proc/{process}/stat")).ok());
    let stat = stat.unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    TICK * fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum()
}

/// Applies `works` inserts, `size` in a batch.
async fn round(server: &MariaDbServer, size: usize, works: u64, follow: bool) -> Took {
    let database = server.new_database("bench").await.expect("a database can be created");
    let mut db = Dbms::open(&DbmsSettings::at(server.url(&database), "n1")).await.expect("the database opens");
    let trail = EffectsTrail::default();
    let by = db.effects();
    trail.holds("MariaDB", &by, by.resume(None, None).as_ref());
    let follower = db.effects_follower(trail.clone()).filter(|_| follow).map(tokio::spawn);
    let create =
        work(0, How::SelfCommitting, "create table item (id bigint primary key, name varchar(40), n int)", &[]);
    apply(&mut db, None, &[create]).await;
    let id = server.id().await;
    let used = || processors(id) + processors(Some(std::process::id()));
    let (before, began) = (used(), Instant::now());
    let mut applied = 0;
    while applied < works {
        let batch: Vec<Work> = (applied + 1..=works.min(applied + size as u64))
            .map(|id| {
                work(id, How::Batched, "insert into item values ($1, $2, $3)", &[json!(id), json!("Jan"), json!(7)])
            })
            .collect();
        apply(&mut db, Some(applied), &batch).await;
        applied += batch.len() as u64;
    }
    let time = began.elapsed();
    while follower.is_some() && trail.known_through() < Some(Offset::new(works)) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (late, processors) = (began.elapsed() - time, used() - before);
    if let Some(follower) = follower {
        follower.abort();
    }
    db.close().await;
    Took { time, processors, late }
}

fn work(offset: u64, how: How, sql: &str, params: &[serde_json::Value]) -> Work {
    let params = params.iter().cloned().map(Param::from).collect();
    let statement = WorkStatement {
        sql: sql.into(),
        params,
        expect_rows: None,
        edits: Default::default(),
        wants: Default::default(),
        cells: Default::default(),
    };
    Work { offset: Offset::new(offset), time_ms: 0, how, statements: vec![statement], max_result_bytes: 1 << 20 }
}

async fn apply(db: &mut Dbms, predecessor: Option<u64>, works: &[Work]) {
    let predecessor = predecessor.map(Offset::new);
    let ran = db.run(predecessor, works).await.expect("the batch runs");
    assert!(ran.iter().all(Result::is_ok), "{ran:?}");
    let applied = works.last().expect("a batch has works").offset;
    // A state and outcomes as large as those of a node.
    let (state, outcomes) = ("s".repeat(4000), "o".repeat(150 * works.len()));
    let row = kluster_node::dbms::OutcomeRow { first: works[0].offset, last: applied, outcomes, rows: None };
    let finish = Finish { predecessor, applied, state, outcomes: Some(row), prune_below: None, drop_rows_below: None };
    assert_eq!(db.commit(&finish).await, Ok(None));
}
