//! How fast batches go. Run by hand: `cargo test --release -p kluster-node --test dbms_mariadb rate -- --ignored --nocapture`.

use crate::contract::*;
use crate::shared;
use serde_json::json;
use std::time::Instant;

#[tokio::test]
#[ignore = "a measurement, not a test"]
async fn rate_of_batches_of_sixty_single_row_inserts() {
    let place = shared().await;
    let mut db = open(&place).await;
    for fixed in [true, false] {
        let begun = Instant::now();
        let mut offset = db.load().await.unwrap().unwrap().applied.get();
        let batches = 100;
        for _ in 0..batches {
            let insert = |n: u64| match fixed {
                true => bound(n, "insert into t values ($1, $2)", json!([n, "some name"])),
                false => work(n, &format!("insert into t values ({n}, 'some name')")),
            };
            let works: Vec<_> = (offset + 1..=offset + 60).map(insert).collect();
            db.run(Some(at(offset)), &works).await.unwrap();
            db.commit(&finish(Some(offset), offset + 60)).await.unwrap();
            offset += 60;
        }
        let rate = f64::from(batches * 60) / begun.elapsed().as_secs_f64();
        println!("{rate:.0} applies/s, {}", if fixed { "one text with params" } else { "each text another" });
    }
    db.close().await;
}
