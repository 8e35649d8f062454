//! How long one waits for one node, for more than half, and for all; and what a refusal is like.
//!
//! `cargo run -p kluster-client --example first_and_all -- kafka://localhost:9092`

use kluster_client::{Ack, Client, ClientError};
use std::time::Instant;

#[path = "address/mod.rs"]
mod address;

#[tokio::main]
async fn main() -> Result<(), ClientError> {
    let client = Client::connect(&address::given()).await?;
    client.execute("create table if not exists visit (id varchar(80) primary key, who text)").first().await?;

    for (n, ack) in [Ack::First, Ack::Quorum, Ack::All].into_iter().enumerate() {
        let id = format!("{}-{n}", client.id());
        let began = Instant::now();
        let insert = client.execute("insert into visit (id, who) values ($1, $2)").bind(id).bind("Jan");
        match insert.answered_by(ack).await {
            Ok(done) => println!("{ack:?}: {} node(s) after {:?}", done.answered.len(), began.elapsed()),
            Err(ClientError::NoVoters { .. }) => println!("{ack:?}: no node has joined as a voter yet"),
            Err(ClientError::VotersGone(gone)) => println!("{ack:?}: {gone}"),
            Err(error) => return Err(error),
        }
    }

    let twice =
        client.execute("insert into visit (id, who) values ($1, $2)").bind(format!("{}-0", client.id())).bind("Eva");
    match twice.first().await {
        Err(ClientError::Refused { error, .. }) => println!("refused: {} ({})", error.message, error.code),
        other => println!("expected a refusal, got {other:?}"),
    }
    Ok(())
}
