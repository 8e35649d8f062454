//! The first steps: a table, a row, and the row read back.
//!
//! `cargo run -p kluster-client --example hello -- kafka://localhost:9092` (or set KLUSTER_BOOTSTRAP)

use kluster_client::{Client, ClientError};
use serde::Deserialize;

#[path = "address/mod.rs"]
mod address;

#[derive(Debug, Deserialize)]
struct Person {
    id: i64,
    name: String,
}

#[tokio::main]
async fn main() -> Result<(), ClientError> {
    let client = Client::connect(&address::given()).await?;

    client.execute("create table if not exists person (id bigint primary key, name text not null)").first().await?;
    client.execute("delete from person where id = $1").bind(1).first().await?;
    let done = client.execute("insert into person (id, name) values ($1, $2)").bind(1).bind("Jan").first().await?;
    println!("written at offset {}, {} row(s)", done.offset.unwrap_or_default(), done.rows_affected());

    let people: Vec<Person> = client.query("select id, name from person where id = $1").bind(1).fetch().await?;
    for person in people {
        println!("{}: {}", person.id, person.name);
    }
    Ok(())
}
