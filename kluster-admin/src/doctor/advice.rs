//! Advice: what an operator should know of a node's surroundings although nodes may differ in it.

use kluster_protocol::Fingerprint;

/// An item by its name behind [`Fingerprint::NOTE`], what it should not be, and what to do.
const ADVICE: &[(&str, fn(&str) -> bool, &str)] = &[
    (
        "wal_level",
        |level| level != "logical",
        "wal_level is not logical: what triggers and cascades change is not compared; set wal_level = logical",
    ),
    ("fsync", |fsync| fsync == "off", "fsync is off: a crash of the machine can damage the database; set fsync = on"),
    (
        "full_page_writes",
        |writes| writes == "off",
        "full_page_writes is off: a crash of the machine can damage the database",
    ),
    (
        "timezone_abbreviations",
        |set| set != "kluster",
        "words such as 'now' can become a time inside PostgreSQL; put the set of abbreviations on the server (docs/sql-rules.md)",
    ),
    (
        "log_bin",
        |log| log == "OFF" || log == "0",
        "log_bin is OFF: which rows requests change is not compared; set log_bin = ON",
    ),
    (
        "event_scheduler",
        |events| events == "ON",
        "event_scheduler is ON: what an event writes is on this server alone; set event_scheduler = OFF",
    ),
    (
        "innodb_flush_log_at_trx_commit",
        |flush| flush == "0",
        "innodb_flush_log_at_trx_commit is 0: a killed server loses a second, which is replayed from the log",
    ),
];

/// What to say of these surroundings.
pub(super) fn on(fingerprint: &Fingerprint) -> Vec<&'static str> {
    let applies = |(item, wrong, _): &&(&str, fn(&str) -> bool, &str)| {
        fingerprint.get(&format!("{}{item}", Fingerprint::NOTE)).is_some_and(wrong)
    };
    ADVICE.iter().filter(applies).map(|(_, _, advice)| *advice).collect()
}
