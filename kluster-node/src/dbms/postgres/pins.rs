//! Pins: the settings that every session has from its first moment, so that no server's or role's own setting decides an outcome.
//!
//! Neighbours: `logins` adds them to the addresses. They go with the login itself: the session's defaults, to which `RESET ALL` and
//! `DISCARD ALL` return. Settings that only a superuser may change are none of these: user SQL cannot change them either.

use super::address::Address;

/// Settings of sessions that execute users' SQL.
const USER_SQL: &[(&str, &str)] = &[
    // Names.
    ("search_path", "public"),
    ("default_tablespace", ""),
    ("default_table_access_method", "heap"),
    ("check_function_bodies", "on"),
    // Values to text and back.
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "iso_8601"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
    ("lc_numeric", "C"),
    ("lc_time", "C"),
    ("xmlbinary", "base64"),
    ("xmloption", "content"),
    ("standard_conforming_strings", "on"),
    ("backslash_quote", "safe_encoding"),
    ("array_nulls", "on"),
    ("transform_null_equals", "off"),
    ("quote_all_identifiers", "off"),
    ("default_text_search_config", "pg_catalog.simple"),
    // Transactions.
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
    ("row_security", "on"),
    // Time decides nothing.
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    // A node that vanished without a word leaves no session for hours.
    ("tcp_keepalives_idle", "60"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
    // Plans: what could change the order in which rows are met.
    ("synchronize_seqscans", "off"),
    ("max_parallel_workers_per_gather", "0"),
    ("jit", "off"),
    ("plan_cache_mode", "force_custom_plan"),
    // Params are secrets, and so is the one of our own functions.
    ("log_parameter_max_length_on_error", "0"),
    ("client_min_messages", "warning"),
];

/// The same, by the first major version that knows them.
const SINCE: &[(u32, &str, &str)] =
    &[(14, "idle_session_timeout", "0"), (14, "default_toast_compression", "pglz"), (17, "transaction_timeout", "0")];

/// What only a superuser may set: name, value, and what happens otherwise. The owner's login sets it where it may; in any case it is checked.
pub const SUPERUSERS: &[(&str, &str, &str)] = &[
    ("session_replication_role", "origin", "triggers and foreign keys would be skipped"),
    // The server's own default wherever a process may have the usual 8 MB.
    ("max_stack_depth", "2MB", "a recursion would end at another depth than on the other nodes"),
];

/// The server's own set of abbreviations of time zones.
pub const ABBREVIATIONS: &str = "Default";

/// The set that fences the clock, where the operator has put it on the server (`docs/sql-rules.md`): it holds the words `now`, `today`,
/// `tomorrow` and `yesterday` as abbreviations of zones. PostgreSQL looks for these first, so that a text of these words is no time any more,
/// however it came about: 22007 on every node alike.
pub const CLOCK_FENCE: &str = "kluster";

/// What a crash takes back is replayed from the log, so COMMIT need not wait for the disk.
const APPLYING: &[(&str, &str)] = &[("synchronous_commit", "off")];

/// What differs from the above in a session that sums tables for a check: it logs in as owner, so nothing of a user's may be executed in it. A
/// session whose node is gone must not hold locks until its query ends. A table that somebody beside Kluster keeps locked for longer than this is
/// not compared.
const CHECKING: &[(&str, &str)] = &[
    ("search_path", "pg_catalog, pg_temp"),
    ("row_security", "off"),
    ("lock_timeout", "60s"),
    // A sum of integers follows no order of rows. It is the server's own default.
    ("max_parallel_workers_per_gather", "2"),
    ("default_transaction_isolation", "repeatable read"),
    ("default_transaction_read_only", "on"),
];

/// The same, by the first major version that knows them.
const CHECKING_SINCE: &[(u32, &str, &str)] = &[(14, "client_connection_check_interval", "1s")];

/// Kluster's own session: no user's object is ever meant, and it waits for no lock for ever.
const OWNER: &[(&str, &str)] = &[
    ("search_path", "pg_catalog, pg_temp"),
    ("client_min_messages", "warning"),
    ("statement_timeout", "0"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "0"),
    ("tcp_keepalives_idle", "60"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("standard_conforming_strings", "on"),
];

/// The address of the owner's session.
pub fn owner(address: Address) -> Address {
    with(address, OWNER.iter().copied())
}

/// The address of the session that applies ALL, with this set of abbreviations of time zones.
pub fn applying(address: Address, version: u32, abbreviations: &str) -> Address {
    with(user_sql(address, version, abbreviations), APPLYING.iter().copied())
}

/// The address of the session that decodes the server's log: values are shown as the session that applies ALL shows them.
pub fn decoding(owner: Address, version: u32) -> Address {
    reading(owner, version)
}

/// The address of a session of ONE.
pub fn reading(address: Address, version: u32) -> Address {
    user_sql(address, version, ABBREVIATIONS)
}

fn user_sql(address: Address, version: u32, abbreviations: &str) -> Address {
    let since = SINCE.iter().filter(|(major, ..)| *major <= version).map(|(_, name, value)| (*name, *value));
    let pins = USER_SQL.iter().copied().chain(since).chain([("timezone_abbreviations", abbreviations)]);
    with(address, pins)
}

/// The address of a session that sums tables, from the owner's. Of a setting that is named twice the server takes the later value.
pub fn checking(owner: Address, version: u32) -> Address {
    let since = CHECKING_SINCE.iter().filter(|(major, ..)| *major <= version).map(|(_, name, value)| (*name, *value));
    with(reading(owner, version), CHECKING.iter().copied().chain(since))
}

fn with<'a>(address: Address, pins: impl Iterator<Item = (&'a str, &'a str)>) -> Address {
    pins.fold(address, |address, (name, value)| address.with_parameter(name, value))
}
