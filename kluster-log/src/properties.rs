//! Properties: `name=value` settings for the Kafka client, from the command line or a file; those that would break a promise are refused.

use std::path::Path;

/// Properties that Kluster sets itself, and why nobody else may. The aliases are librdkafka's and the Java client's.
const KEPT: &[(&str, &str)] = &[
    ("bootstrap.servers", "it is --bootstrap"),
    ("metadata.broker.list", "it is --bootstrap"),
    ("acks", "a write counts only when all in-sync copies have it (acks=all)"),
    ("request.required.acks", "a write counts only when all in-sync copies have it (acks=all)"),
    ("enable.idempotence", "without it a retry inside the client doubles or reorders records"),
    ("auto.offset.reset", "a reader must stop, not jump, when its place is gone"),
    ("isolation.level", "all nodes must see the same records (read_committed)"),
    ("enable.auto.commit", "what is committed is decided by what was done"),
    ("enable.auto.offset.store", "what is committed is decided by what was done"),
    ("partitioner", "clients in every language must agree where a key lies (murmur2_random)"),
    ("group.id", "groups follow from database and node id"),
    ("group.instance.id", "one setting for every reader would make members throw each other out"),
    ("transactional.id", "Kluster appends no transactions"),
    ("allow.auto.create.topics", "a topic created by accident has settings that lose data"),
    ("enable.partition.eof", "readers here do not know an end"),
    ("check.crcs", "a damaged record must never be executed"),
    ("delivery.report.only.error", "an append is answered with its offset"),
    ("statistics.interval.ms", "alarms are made from the statistics"),
];

/// Reads `name=value`, as given with `--kafka-property`.
pub(crate) fn parse_property(text: &str) -> Result<(String, String), String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(format!("{text:?} has no '=': expected name=value, for example socket.timeout.ms=10000"));
    };
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() {
        return Err(format!("{text:?} has no name before '=': expected name=value"));
    }
    if let Some((_, reason)) = KEPT.iter().find(|(kept, _)| *kept == name) {
        return Err(format!("{name} cannot be set: {reason}"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Reads a file of `name=value` lines as Java's tools do: `#` and `!` begin comments, empty lines are passed.
pub(crate) fn read_file(path: &Path) -> Result<Vec<(String, String)>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("--kafka-config {}: cannot be read: {error}", path.display()))?;
    let mut properties = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let property = parse_property(line)
            .map_err(|why| format!("--kafka-config {}, line {}: {why}", path.display(), number + 1))?;
        properties.push(property);
    }
    Ok(properties)
}
