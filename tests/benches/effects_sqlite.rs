//! What it costs SQLite to have its effects in the chain: the rate of apply without the digests of changed rows and with them. Rounds of the two
//! alternate on one machine; medians are printed beside the target.
//!
//! `make bench`, or `cargo bench -p kluster-tests --bench effects-sqlite`.

use kluster_node::dbms::{Dbms, DbmsSettings};
use kluster_protocol::MAX_BATCH;
use kluster_tests::rounds::{self, ROUNDS, median};
use kluster_tests::target::{Measured, Target};
use std::time::Duration;

const WORKS: u64 = 30_000;
/// Of the rate without.
const RATIO: Target = Target::AtLeast(0.85);

#[tokio::main]
async fn main() {
    for (size, works) in [(MAX_BATCH, WORKS), (1, WORKS / 6)] {
        let (mut off, mut on) = (vec![], vec![]);
        for _ in 0..ROUNDS {
            off.push(round(size, works, false).await);
            on.push(round(size, works, true).await);
        }
        let rate = |took: Vec<Duration>| works as f64 / median(took).as_secs_f64();
        let (off, on) = (rate(off), rate(on));
        let ratio = Measured { figure: on / off, unit: "of that", target: RATIO };
        println!("sqlite, {size} in a batch: {off:.0}/s without effects, {on:.0}/s with them, {ratio}");
    }
}

async fn round(size: usize, works: u64, effects: bool) -> Duration {
    let directory = tempfile::tempdir().expect("a directory can be created");
    let url = format!("sqlite:{}", directory.path().join("n1.db").display());
    let settings = DbmsSettings { effects, ..DbmsSettings::at(url, "n1") };
    let mut db = Dbms::open(&settings).await.expect("the database opens");
    let trail = rounds::begin(&mut db).await;
    let took = rounds::inserts(&mut db, &trail, size, works).await;
    db.close().await;
    took
}
