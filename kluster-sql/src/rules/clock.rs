//! Time and chance: what differs each time it is asked.

use super::Form::{Call, Checked, EmptyCall, Keyword, Phrase, PresentCall, SingleCall};
use super::Scope::Ordered;
use super::{EVERY, MARIADB, POSTGRES, Rule, SERVERS, SQLITE, row};
use crate::refusal::RefusalCode::{Clock, Randomness};

const CLOCK: &str = "reads the clock of one node";
const BIND_TIME: &str = "let the client take the time and bind it as a parameter ($1)";
const CHANCE: &str = "draws a random value, another one on each node";
const BIND_VALUE: &str = "let the client make the value and bind it as a parameter ($1)";

pub(super) const RULES: &[Rule] = &[
    row(Keyword, EVERY, Ordered, Clock).rule(&["current_timestamp", "current_date", "current_time"], CLOCK, BIND_TIME),
    row(Keyword, SERVERS, Ordered, Clock).rule(&["localtime", "localtimestamp"], CLOCK, BIND_TIME),
    row(Keyword, MARIADB, Ordered, Clock).rule(&["utc_date", "utc_time", "utc_timestamp"], CLOCK, BIND_TIME),
    row(Call, POSTGRES, Ordered, Clock).rule(
        &[
            "now",
            "transaction_timestamp",
            "statement_timestamp",
            "clock_timestamp",
            "timeofday",
            "pg_xact_commit_timestamp*",
            "moddatetime",
        ],
        CLOCK,
        BIND_TIME,
    ),
    row(Call, MARIADB, Ordered, Clock).rule(
        &["now", "curdate", "curtime", "sysdate", "current_date", "current_time", "current_timestamp"],
        CLOCK,
        BIND_TIME,
    ),
    row(SingleCall, POSTGRES, Ordered, Clock).rule(
        &["age"],
        "with one argument reads the clock of one node",
        BIND_TIME,
    ),
    row(EmptyCall, MARIADB, Ordered, Clock).rule(
        &["unix_timestamp"],
        "without an argument reads the clock of one node",
        BIND_TIME,
    ),
    row(PresentCall, SQLITE, Ordered, Clock).rule(
        &["date", "time", "datetime", "julianday", "unixepoch", "strftime", "timediff"],
        "without a time, or with 'now', reads the clock of one node",
        BIND_TIME,
    ),
    row(Checked, POSTGRES, Ordered, Clock).rule(
        &["'now'", "'today'", "'tomorrow'", "'yesterday'"],
        "becomes the node's own time when it is read as a time (a cast, a typed literal, a DEFAULT, an assignment in a body)",
        BIND_TIME,
    ),
    row(Phrase, MARIADB, Ordered, Clock).rule(
        &["system versioning", "as row start", "as row end"],
        "stamps rows with the clock of one node",
        "keep the history in columns of your own, with times bound as parameters",
    ),
    row(Call, POSTGRES, Ordered, Randomness).rule(
        &[
            "random",
            "random_normal",
            "array_shuffle",
            "array_sample",
            "normal_rand",
            "setseed",
            "gen_random_uuid",
            "uuidv4",
            "uuidv7",
            "uuid_generate_*",
            "gen_random_bytes",
            "gen_salt",
            "pgp_sym_encrypt*",
            "pgp_pub_encrypt*",
        ],
        CHANCE,
        BIND_VALUE,
    ),
    row(Keyword, POSTGRES, Ordered, Randomness).rule(
        &["tablesample"],
        "takes rows by chance and by their place on disk",
        "choose the rows by a condition on their columns",
    ),
    row(Call, MARIADB, Ordered, Randomness).rule(
        &["rand", "uuid", "uuid_short", "uuid_v4", "uuid_v7", "sys_guid", "random_bytes", "encrypt"],
        CHANCE,
        BIND_VALUE,
    ),
    row(Call, SQLITE, Ordered, Randomness).rule(
        &["random", "randomblob", "fts5_locale", "uuid", "uuid4", "uuid7", "gen_random_uuid"],
        CHANCE,
        BIND_VALUE,
    ),
];
