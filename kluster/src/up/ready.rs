//! ready: whether a statement would be answered now, found by asking one.

use crate::error::KlusterError;
use kluster_client::{Client, Options};
use kluster_log::Log;

/// Asks a first read, and waits for its answer. It goes the way of every read, through the group of ONE, and leaves nothing behind.
pub(crate) async fn ask(log: &Log) -> Result<(), KlusterError> {
    let failed =
        |error: kluster_client::ClientError| KlusterError::Log(format!("a first statement was not answered: {error}"));
    let client = Client::over(log.clone(), Options::default()).await.map_err(failed)?;
    let answered = client.query("select 1").eventual().rows().await;
    client.close();
    answered.map(drop).map_err(failed)
}
