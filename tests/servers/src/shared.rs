//! One server of each kind for all tests of a process, started when first asked for. Tests keep apart by names: of topics, of
//! databases. A test that disturbs its server starts its own.

use tokio::sync::OnceCell;

use crate::kafka::KafkaServer;

/// The Kafka of this process, or the one that `KLUSTER_TEST_BOOTSTRAP` names.
///
/// # Panics
/// When it cannot be started; ask `require!(Kafka)` first.
pub async fn shared_kafka() -> &'static KafkaServer {
    static SHARED: OnceCell<KafkaServer> = OnceCell::const_new();
    let started = async || match KafkaServer::external_or_start().await {
        Ok(server) => server,
        Err(error) => panic!("{error}"),
    };
    SHARED.get_or_init(started).await
}
