//! Many writes under way at once: the log takes them as they come and the nodes execute them in batches.
//!
//! `cargo run --release -p kluster-client --example bulk_load -- kafka://localhost:9092 100000`

use futures_util::{StreamExt, TryStreamExt, stream};
use kluster_client::{Client, ClientError};
use std::time::Instant;

#[path = "address/mod.rs"]
mod address;

/// Writes under way at once.
const AT_ONCE: usize = 1000;

#[tokio::main]
async fn main() -> Result<(), ClientError> {
    let client = Client::connect(&address::given()).await?;
    let count: u64 = std::env::args().nth(2).and_then(|count| count.parse().ok()).unwrap_or(10_000);
    client.execute("create table if not exists item (id varchar(80) primary key, n bigint not null)").first().await?;

    let began = Instant::now();
    let rows = stream::iter(0..count)
        .map(|n| {
            let id = format!("{}-{n}", client.id());
            client.execute("insert into item (id, n) values ($1, $2)").bind(id).bind(n).first()
        })
        .buffer_unordered(AT_ONCE)
        .try_fold(0, async |rows, done| Ok(rows + done.rows_affected()))
        .await?;
    let seconds = began.elapsed().as_secs_f64();
    println!("{rows} rows in {seconds:.1} s: {:.0} per second", rows as f64 / seconds);
    Ok(())
}
