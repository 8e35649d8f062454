//! What it costs MariaDB to have its effects compared: the rate of apply without a binary log, with one that nobody reads, and with one that the
//! follower reads. Rounds of the three alternate on one machine; medians are printed, and the ratios are what counts.
//!
//! `make bench`, or `cargo bench -p kluster-tests --bench effects-mariadb`.

use kluster_node::dbms::{Dbms, DbmsSettings};
use kluster_protocol::MAX_BATCH;
use kluster_test_servers::{MariaDbOptions, MariaDbServer};
use kluster_tests::rounds::{self, ROUNDS};
use std::time::Duration;

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
    rounds::median(rounds.iter().map(of))
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
    let trail = rounds::begin(&mut db).await;
    let follower = db.effects_follower(trail.clone()).filter(|_| follow).map(tokio::spawn);
    let id = server.id().await;
    let used = || processors(id) + processors(Some(std::process::id()));
    let before = used();
    let time = rounds::inserts(&mut db, &trail, size, works).await;
    let late = if follower.is_some() { rounds::known(&trail, works).await } else { Duration::ZERO };
    let processors = used() - before;
    if let Some(follower) = follower {
        follower.abort();
    }
    db.close().await;
    Took { time, processors, late }
}
