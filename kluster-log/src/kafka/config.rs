//! Config: librdkafka's settings for each kind of client, each with its reason.

use crate::{LogError, LogSettings};
use kluster_protocol::{MAX_REQUEST_BYTES, RECORD_OVERHEAD_BYTES};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use std::fmt;

const TOPIC_MAX_BYTES: usize = MAX_REQUEST_BYTES + RECORD_OVERHEAD_BYTES;

/// For every client.
const EACH: &[(&str, &str)] = &[
    ("client.id", "kluster"),
    // A record waits for no acknowledgement of the one before (TCP_NODELAY).
    ("socket.nagle.disable", "true"),
    // Connections that idle behind a firewall stay known to it.
    ("socket.keepalive.enable", "true"),
    // A frozen broker is left after 10 s, not after a minute.
    ("socket.timeout.ms", "10000"),
    ("socket.connection.setup.timeout.ms", "10000"),
    // A broker that came back is noticed within a second, not within ten.
    ("reconnect.backoff.ms", "50"),
    ("reconnect.backoff.max.ms", "1000"),
    ("retry.backoff.ms", "50"),
    ("retry.backoff.max.ms", "1000"),
    // A topic made by accident would get the broker's default settings, which lose data.
    ("allow.auto.create.topics", "false"),
    // A topic that is missing is reported after 5 s, not after 30; Kafka needs far less to tell all brokers of a new one.
    ("topic.metadata.propagation.max.ms", "5000"),
];

/// For the producer.
const PRODUCER: &[(&str, &str)] = &[
    // Promise 1: a write counts only when all in-sync copies have it.
    ("acks", "all"),
    // A retry inside the client neither doubles nor reorders records.
    ("enable.idempotence", "true"),
    // Send at once: what comes while a request is under way forms the next batch by itself.
    ("linger.ms", "0"),
    // Clients in every language agree where a key lies (Java's default partitioner for keys).
    ("partitioner", "murmur2_random"),
    // Without a key each record goes its own way: ONE spreads over the nodes.
    ("sticky.partitioning.linger.ms", "0"),
    // After this an append that was sent is open, one that was not is surely lost; longer than the election of a leader.
    ("message.timeout.ms", "30000"),
    // What may wait while the broker is away. A full buffer answers at once that the record was not appended.
    ("queue.buffering.max.messages", "100000"),
    ("queue.buffering.max.kbytes", "262144"),
];

/// For consumers, of a group or not.
const CONSUMER: &[(&str, &str)] = &[
    // Records of aborted foreign transactions are seen by no node.
    ("isolation.level", "read_committed"),
    // A damaged record must never be executed.
    ("check.crcs", "true"),
    ("enable.partition.eof", "false"),
    // The broker answers as soon as it has one byte, and holds an empty fetch for half a second.
    ("fetch.min.bytes", "1"),
    ("fetch.wait.max.ms", "500"),
    // After an error, and when the buffer was full, fetch again soon: the defaults of 500 ms and 1 s would be felt.
    ("fetch.error.backoff.ms", "50"),
    ("fetch.queue.backoff.ms", "5"),
    // Read ahead so much for each reader; a node that catches up is not held up by it.
    ("queued.min.messages", "10000"),
    ("queued.max.messages.kbytes", "32768"),
    ("fetch.max.bytes", "16777216"),
    // Progress is committed by what was done, never by what was delivered.
    ("enable.auto.offset.store", "false"),
];

/// Makes the settings of clients.
#[derive(Clone)]
pub(super) struct Config {
    base: ClientConfig,
    properties: Vec<(String, String)>,
}

impl fmt::Debug for Config {
    /// Without passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Config")
    }
}

impl Config {
    /// Checks all that the user gave: an unknown property or a bad value is refused here.
    pub(super) fn new(settings: &LogSettings) -> Result<Self, LogError> {
        let mut base = ClientConfig::new();
        base.set("bootstrap.servers", settings.brokers()?);
        base.set("message.max.bytes", TOPIC_MAX_BYTES.to_string());
        base.set_log_level(rdkafka::config::RDKafkaLogLevel::Info);
        set(&mut base, EACH);
        let config = Self { base, properties: settings.properties()? };
        let made = config.producer().create_native_config().and_then(|_| config.reader("check").create_native_config());
        made.map(drop).map_err(|error| refused(&error))?;
        Ok(config)
    }

    pub(super) fn producer(&self) -> ClientConfig {
        self.with(&[PRODUCER])
    }

    /// For questions about topics and groups: nothing is fetched with it.
    pub(super) fn asker(&self, group: Option<&str>) -> ClientConfig {
        let mut config = self.with(&[CONSUMER]);
        config.set("enable.auto.commit", "false");
        if let Some(group) = group {
            config.set("group.id", group);
        }
        config
    }

    /// For reading from explicit places. The group is a name that librdkafka insists on; nobody joins it.
    pub(super) fn reader(&self, group: &str) -> ClientConfig {
        let mut config = self.with(&[CONSUMER]);
        config.set("group.id", group).set("enable.auto.commit", "false");
        // A place that is gone stops the reader; it never jumps.
        config.set("auto.offset.reset", "error");
        config.set("fetch.message.max.bytes", TOPIC_MAX_BYTES.to_string());
        // For the alarms made from it.
        config.set("statistics.interval.ms", "5000");
        config
    }

    /// For a member of a group.
    pub(super) fn member(&self, group: &str) -> ClientConfig {
        let mut config = self.reader(group);
        // What was stored as done, each second; a crash repeats at most that much.
        config.set("enable.auto.commit", "true").set("auto.commit.interval.ms", "1000");
        // A new group, or one whose place was trimmed, answers what is still there.
        config.set("auto.offset.reset", "earliest");
        // Others go on reading while partitions move.
        config.set("partition.assignment.strategy", "cooperative-sticky");
        // A killed member's partitions are taken over after 10 s, not after 45.
        config.set("session.timeout.ms", "10000").set("heartbeat.interval.ms", "2000");
        config
    }

    fn with(&self, parts: &[&[(&str, &str)]]) -> ClientConfig {
        let mut config = self.base.clone();
        parts.iter().for_each(|part| set(&mut config, part));
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }
}

fn set(config: &mut ClientConfig, part: &[(&str, &str)]) {
    for (name, value) in part {
        config.set(*name, *value);
    }
}

/// Says which property is wrong.
pub(super) fn refused(error: &KafkaError) -> LogError {
    LogError::Settings(match error {
        // Without the value, which may be a password.
        KafkaError::ClientConfig(_, why, name, _) => {
            format!("--kafka-property {name}: {why}. The names are librdkafka's; Java's often differ")
        }
        other => {
            format!("--kafka-property or --kafka-config: {other}. The names are librdkafka's; Java's often differ")
        }
    })
}
