//! A transaction with guards: the money moves if it is there, or nothing happens, alike on every node.
//!
//! `cargo run -p kluster-client --example atomic_guard -- kafka://localhost:9092`

use kluster_client::{Client, ClientError, Done, ErrorCode};

#[path = "address/mod.rs"]
mod address;

async fn transfer(client: &Client, from: &str, to: &str, amount: i64) -> Result<Done, ClientError> {
    client
        .transaction()
        .statement("update account set balance = balance - $1 where id = $2 and balance >= $3")
        .bind(amount)
        .bind(from)
        .bind(amount)
        .expect_rows(1)
        .statement("update account set balance = balance + $1 where id = $2")
        .bind(amount)
        .bind(to)
        .expect_rows(1)
        .first()
        .await
}

#[tokio::main]
async fn main() -> Result<(), ClientError> {
    let client = Client::connect(&address::given()).await?;
    client
        .execute("create table if not exists account (id varchar(80) primary key, balance bigint not null)")
        .first()
        .await?;
    let (jan, eva) = (format!("jan-{}", client.id()), format!("eva-{}", client.id()));
    for (id, balance) in [(&jan, 100), (&eva, 0)] {
        client.execute("insert into account (id, balance) values ($1, $2)").bind(id).bind(balance).first().await?;
    }

    for amount in [70, 70] {
        match transfer(&client, &jan, &eva, amount).await {
            Ok(done) => println!("moved {amount} at offset {}", done.offset.unwrap_or_default()),
            Err(ClientError::Refused { error, .. }) if error.code == ErrorCode::ExpectRows => {
                println!("not moved: statement {:?} found no such account, or not enough in it", error.statement_index);
            }
            Err(error) => return Err(error),
        }
    }

    for id in [&jan, &eva] {
        let balance: i64 = client.query("select balance from account where id = $1").bind(id).fetch_one().await?;
        println!("{id}: {balance}");
    }
    Ok(())
}
