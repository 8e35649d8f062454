//! Advice: what an operator should know of a node's surroundings although nodes may differ in it.

use kluster_protocol::Fingerprint;

/// Of the item of this name behind [`Fingerprint::NOTE`].
struct Advice {
    item: &'static str,
    applies: fn(&str) -> bool,
    text: &'static str,
}

const ADVICE: &[Advice] = &[
    Advice {
        item: "wal_level",
        applies: |level| level != "logical",
        text: "wal_level is not logical: what triggers and cascades change is not compared; set wal_level = logical and kluster.effects = 'decoded' (docs/postgresql.md)",
    },
    Advice {
        item: "fsync",
        applies: |fsync| fsync == "off",
        text: "fsync is off: a crash of the machine can damage the database; set fsync = on",
    },
    Advice {
        item: "full_page_writes",
        applies: |writes| writes == "off",
        text: "full_page_writes is off: a crash of the machine can damage the database",
    },
    Advice {
        item: "timezone_abbreviations",
        applies: |set| set != "kluster",
        text: "words such as 'now' can become a time inside PostgreSQL; put the set of abbreviations on the server (docs/sql-rules.md)",
    },
    Advice {
        item: "log_bin",
        applies: |log| log == "OFF" || log == "0",
        text: "log_bin is OFF: which rows requests change is not compared; set log_bin = ON",
    },
    Advice {
        item: "event_scheduler",
        applies: |events| events == "ON",
        text: "event_scheduler is ON: what an event writes is on this server alone; set event_scheduler = OFF",
    },
    Advice {
        item: "innodb_flush_log_at_trx_commit",
        applies: |flush| flush == "0",
        text: "innodb_flush_log_at_trx_commit is 0: a killed server loses a second, which is replayed from the log",
    },
];

/// What to say of these surroundings.
pub(super) fn on(fingerprint: &Fingerprint) -> Vec<&'static str> {
    let note = |item: &str| fingerprint.get(&format!("{}{item}", Fingerprint::NOTE));
    ADVICE.iter().filter(|advice| note(advice.item).is_some_and(advice.applies)).map(|advice| advice.text).collect()
}
