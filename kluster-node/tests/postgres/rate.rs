//! How fast batches go. Run by hand: `cargo test --release -p kluster-node --test dbms_postgres rate -- --ignored --nocapture`.

use crate::contract::*;
use crate::shared;
use serde_json::json;
use std::time::Instant;

#[tokio::test]
#[ignore = "a measurement, not a test"]
async fn rate_of_batches_of_sixty_single_row_inserts() {
    let place = shared().await;
    let mut db = open(&place).await;
    for fixed in [true, false, true, false] {
        let begun = Instant::now();
        let mut offset = db.load().await.unwrap().unwrap().applied.get();
        let batches = 300;
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
    let mut offset = db.load().await.unwrap().unwrap().applied.get();
    let mut took = Vec::new();
    for _ in 0..2000 {
        let begun = Instant::now();
        let works = [bound(offset + 1, "insert into t values ($1, $2)", json!([offset + 1, "some name"]))];
        db.run(Some(at(offset)), &works).await.unwrap();
        db.commit(&finish(Some(offset), offset + 1)).await.unwrap();
        took.push(begun.elapsed());
        offset += 1;
    }
    took.sort();
    println!("one insert alone: median {:?}, 99 % {:?}", took[1000], took[1980]);
    let begun = Instant::now();
    let (events, ended) = read(&db.reads(), &read_of("select id, name from t")).await;
    assert_eq!(ended, Ok(()));
    println!("{:.0} rows/s read", events.len() as f64 / begun.elapsed().as_secs_f64());
    db.close().await;
}
