//! What bounds groups and their offsets, and how long things may take.

use std::time::Duration;

/// Settings of groups, each with the name of the Kafka setting that it stands for, if there is one.
#[derive(Debug, Clone)]
pub struct GroupSettings {
    /// Shortest session timeout that a member may ask for (`group.min.session.timeout.ms`; same default, 6 s).
    pub min_session_timeout: Duration,
    /// Longest (`group.max.session.timeout.ms`; same default, 30 min).
    pub max_session_timeout: Duration,
    /// How long the first rebalance of an empty group waits for more members (`group.initial.rebalance.delay.ms`, there 3 s). Zero: a first
    /// member has its partitions at once.
    pub initial_rebalance_delay: Duration,
    /// Members of one group (`group.max.size`, there without bound).
    pub max_members: usize,
    /// Bytes of metadata that one member may bring with a join.
    pub max_member_bytes: usize,
    /// Groups, with members or with offsets only.
    pub max_groups: usize,
    /// Bytes that all groups may take in memory, and again that all committed offsets may take.
    pub max_bytes: usize,
    /// Bytes of the note that may come with a commit (`offset.metadata.max.bytes`; same default).
    pub max_commit_metadata_bytes: usize,
    /// Committed offsets that nobody has used for this long are forgotten (`offsets.retention.minutes`; same default, 7 days).
    pub offsets_retention: Duration,
    /// How often that is looked for (`offsets.retention.check.interval.ms`; same default, 10 min).
    pub retention_check: Duration,
}

impl Default for GroupSettings {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self {
            min_session_timeout: Duration::from_secs(6),
            max_session_timeout: minutes(30),
            initial_rebalance_delay: Duration::ZERO,
            max_members: 1000,
            max_member_bytes: 256 << 10,
            max_groups: 10_000,
            max_bytes: 16 << 20,
            max_commit_metadata_bytes: 4096,
            offsets_retention: minutes(7 * 24 * 60),
            retention_check: minutes(10),
        }
    }
}
