//! The two kinds of log, as tests get them.

use kluster_log::{Log, LogSettings, MemoryLog, TopicSettings};
use kluster_test_servers::shared_kafka;

pub fn memory_log() -> Log {
    Log::memory(MemoryLog::new())
}

/// Topics of this test alone, on the Kafka of this process. An external Kafka keeps the topics of earlier runs, hence the process id.
pub async fn settings_on_kafka(test: &str) -> LogSettings {
    let mut settings = LogSettings::at(shared_kafka().await.bootstrap());
    settings.topic_prefix = format!("{test}-{}-", std::process::id());
    settings
}

/// The log of these settings, its topics made.
pub async fn created(settings: LogSettings) -> Log {
    let log = Log::connect(settings).await.unwrap();
    log.create_topics(&TopicSettings::development()).await.unwrap();
    log
}
