//! The four levels of reading.
//!
//! `cargo run -p kluster-client --example read_your_write -- kafka://localhost:9092`

use kluster_client::{Ack, Client, ClientError, Level};

#[path = "address/mod.rs"]
mod address;

#[tokio::main]
async fn main() -> Result<(), ClientError> {
    let client = Client::connect(&address::given()).await?;
    // By all, for an eventual read may ask a node that is not even as far as the table.
    client
        .execute("create table if not exists counter (name varchar(80) primary key, n bigint not null)")
        .all()
        .await?;
    let name = client.id().to_string();
    client.execute("insert into counter (name, n) values ($1, 0)").bind(&name).first().await?;

    // logged() waits for no node: the write is only in the log. A session read finds it all the same.
    let logged = client.execute("update counter set n = n + 1 where name = $1").bind(&name).logged().await?;
    println!("logged at offset {}", logged.offset);

    let levels = [
        ("eventual: whatever one node has", Level::Eventual),
        ("session: what this client wrote", Level::Session),
        ("strong: what anybody wrote", Level::Strong),
        ("ordered: at one place of the log", Level::Ordered(Ack::First)),
    ];
    for (what, level) in levels {
        let query = client.query("select n from counter where name = $1").bind(&name).level(level);
        let n: Option<i64> = query.fetch_optional().await?;
        println!("{what}: {n:?}");
    }

    // Another process reads as much if it is told the offset.
    let other = client.new_session();
    if let Some(offset) = client.seen() {
        other.see(offset);
    }
    let n: i64 = other.query("select n from counter where name = $1").bind(&name).fetch_one().await?;
    println!("another session, told of the offset: {n}");
    Ok(())
}
