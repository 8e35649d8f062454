//! The table: every input, and the code that it has.

use bytes::Bytes;
use kluster_log::NewRecord;
use kluster_protocol::{MAX_REQUEST_BYTES, Topic};
use kluster_tests::cluster::Kind;
use serde_json::json;

/// An input.
pub struct Case {
    /// In words.
    pub input: &'static str,
    /// What is given.
    pub give: Give,
    /// Its code on ALL.
    pub all: Code,
    /// Its code on ONE.
    pub one: Code,
    /// So many rows come back where it is OK.
    pub rows: Option<usize>,
}

/// What is given.
pub enum Give {
    /// A record without value.
    Tombstone,
    /// A value as it stands.
    Text(&'static str),
    /// A value too long or too odd to stand here.
    Made(fn() -> Vec<u8>),
    /// A request with this SQL on PostgreSQL, MariaDB and SQLite.
    Sql([&'static str; 3]),
    /// A good request with this header.
    Header(&'static str, &'static str),
    /// Two requests under one id.
    Twice(&'static str, &'static str),
}

/// The code of an input.
#[derive(Clone, Copy)]
pub enum Code {
    /// The same on every DBMS.
    Same(&'static str),
    /// On PostgreSQL, MariaDB and SQLite.
    Each([&'static str; 3]),
}

use Code::{Each, Same};
use Give::{Header, Made, Sql, Text, Tombstone, Twice};

const BAD: Code = Same("bad_request");
const OK: Code = Same("OK");

/// Every input.
pub const CASES: &[Case] = &[
    // Records that are no request.
    case("no value (a tombstone)", Tombstone, BAD, BAD),
    case("an empty value", Text(""), BAD, BAD),
    case("not JSON", Text("insert into t values (1, 1)"), BAD, BAD),
    case("not UTF-8", Made(not_utf8), BAD, BAD),
    case("JSON, but no object", Text("[1, 2]"), BAD, BAD),
    case("a messageId that is a number", Text(r#"{"messageId":7,"clientId":"c","sqlString":"select 1"}"#), BAD, BAD),
    case("no messageId", Text(r#"{"clientId":"c","sqlString":"select 1"}"#), BAD, BAD),
    case("no sqlString", Text(r#"{"messageId":"%","clientId":"c"}"#), BAD, BAD),
    case("an sqlString that is a number", Text(r#"{"messageId":"m","clientId":"c","sqlString":7}"#), BAD, BAD),
    case(
        "params that are no list",
        Text(r#"{"messageId":"m","clientId":"c","sqlString":"select 1","params":{"a":1}}"#),
        BAD,
        BAD,
    ),
    case(
        "sqlString and statements",
        Text(r#"{"messageId":"%","clientId":"c","sqlString":"select 1","statements":[]}"#),
        BAD,
        BAD,
    ),
    case("an empty list of statements", Text(r#"{"messageId":"%","clientId":"c","statements":[]}"#), BAD, BAD),
    case(
        "a key that stands twice",
        Text(r#"{"messageId":"m","clientId":"c","sqlString":"select 1","sqlString":"select 2"}"#),
        BAD,
        BAD,
    ),
    case("a NUL in the SQL", Text(r#"{"messageId":"%","clientId":"c","sqlString":"select 'a\u0000b'"}"#), BAD, BAD),
    case("a messageId of 201 bytes", Made(long_id), BAD, BAD),
    case("JSON nested 200 deep", Made(deep_json), BAD, BAD),
    // Sizes.
    case("1001 statements", Made(many_statements), Same("too_large"), Same("too_large")),
    case("one byte more than the protocol allows (8 MiB)", Made(too_large), Same("too_large"), Same("too_large")),
    case("as many bytes as the protocol allows", Made(large), OK, OK),
    case("SQL with 20,000 parentheses", Made(deep_sql), Same("too_large"), Same("too_large")),
    Case { rows: Some(1_000_000), ..case("a result of 10⁶ rows", Sql(MANY_ROWS), OK, OK) },
    // Ids.
    case("the same messageId, the same body", Twice("select 1 as one", "select 1 as one"), OK, OK),
    case("the same messageId, another body", Twice("select 1 as one", "select 2 as two"), Same("message_id_reuse"), OK),
    // Headers.
    case("a header nobody knows", Header("x-trace", "7"), OK, OK),
    case("a version that is no number", Header("kluster-version", "one"), OK, OK),
    case("a reply partition that does not exist", Header("kluster-reply-partition", "4096"), OK, OK),
    case("a reply partition that is no number", Header("kluster-reply-partition", "nine"), OK, OK),
    // SQL that may not be said.
    case("BEGIN", Sql(["begin"; 3]), Same("transaction_control"), Same("transaction_control")),
    case("COMMIT", Sql(["commit"; 3]), Same("transaction_control"), Same("transaction_control")),
    case(
        "several statements in one text",
        Sql(["select 1; select 2"; 3]),
        Same("several_statements"),
        Same("several_statements"),
    ),
    case(
        "dropping Kluster's schema",
        Sql(["drop schema kluster_state"; 3]),
        Each(["kluster_schema", "environment", "kluster_schema"]),
        Each(["read_only", "environment", "read_only"]),
    ),
    case("reading Kluster's tables", Sql(STATE_READ), Same("kluster_schema"), Same("kluster_schema")),
    case("changing Kluster's tables", Sql(STATE_WRITE), Same("kluster_schema"), Same("read_only")),
    case(
        "COPY … FROM STDIN",
        Sql(["copy t from stdin"; 3]),
        Each(["copy", "copy", "syntax_error"]),
        Each(["copy", "copy", "read_only"]),
    ),
    case("a write", Sql(["insert into t values (7, 7)"; 3]), OK, Same("read_only")),
    // SQL that goes wrong.
    case("a syntax error", Sql(["selec 1"; 3]), Same("syntax_error"), Same("read_only")),
    case(
        "a syntax error behind a good beginning",
        Sql(["select 1 frm t where"; 3]),
        Same("syntax_error"),
        Same("syntax_error"),
    ),
    case(
        "a table that does not exist",
        Sql(["select * from nowhere"; 3]),
        Same("undefined_table"),
        Same("undefined_table"),
    ),
    case("too few params", Sql(["select $1"; 3]), Same("wrong_params"), Same("wrong_params")),
    case(
        "a read that divides by zero",
        Sql(["select 1 / 0 as n"; 3]),
        Each(["division_by_zero", "OK", "OK"]),
        Each(["division_by_zero", "OK", "OK"]),
    ),
    case(
        "a write that divides by zero",
        Sql(["update t set n = n / 0"; 3]),
        Each(["division_by_zero", "division_by_zero", "not_null_violation"]),
        Same("read_only"),
    ),
    case("an error of the user's own", Sql(RAISE), Same("raised"), Same("read_only")),
    case(
        "an error of the user's own as 40001",
        Sql(RAISE_40001),
        Each(["raised", "not_supported", "raised"]),
        Same("read_only"),
    ),
    case(
        "an error of the user's own as 53100",
        Sql(RAISE_53100),
        Each(["raised", "not_supported", "raised"]),
        Same("read_only"),
    ),
];

const MANY_ROWS: [&str; 3] = [
    "select i from generate_series(1, 1000000) as s(i) order by i",
    "select seq as i from seq_1_to_1000000 order by seq",
    "with recursive s(i) as (select 1 union all select i + 1 from s where i < 1000000) select i from s order by i",
];
const STATE_READ: [&str; 3] =
    ["select * from kluster_state.state", "select * from kluster_state", "select * from kluster_state"];
const STATE_WRITE: [&str; 3] = [
    "update kluster_state.state set applied = 0",
    "update kluster_state set applied = 0",
    "update kluster_state set applied = 0",
];
const RAISE: [&str; 3] =
    ["do $$ begin raise exception 'mine'; end $$", "insert into trap values ('1')", "insert into trap values ('1')"];
// In MariaDB a SIGNAL that looks like an error of the server's own cannot be told from one, so it may not be said. 1213 is the server's deadlock,
// 1021 its full disk.
const RAISE_40001: [&str; 3] = [
    "do $$ begin raise exception 'mine' using errcode = '40001'; end $$",
    "signal sqlstate '40001' set message_text = 'mine', mysql_errno = 1213",
    "insert into trap values ('40001')",
];
const RAISE_53100: [&str; 3] = [
    "do $$ begin raise exception 'mine' using errcode = '53100'; end $$",
    "signal sqlstate '53100' set message_text = 'mine', mysql_errno = 1021",
    "insert into trap values ('53100')",
];

/// The tables that the inputs speak of; where an error of one's own can only be raised in a trigger, also a trap.
pub fn schema(kind: Kind) -> Vec<&'static str> {
    let tables = ["create table t(id integer primary key, n integer not null)", "insert into t values (1, 1)"];
    let trap: &[&str] = match kind {
        Kind::Postgres => &[],
        Kind::MariaDb => &["create table trap(code varchar(5) primary key)", SIGNALS],
        Kind::Sqlite => &["create table trap(code varchar(5) primary key)", RAISES],
    };
    [&tables, trap].concat()
}

const SIGNALS: &str =
    "create trigger springs before insert on trap for each row signal sqlstate '45000' set message_text = 'mine'";
const RAISES: &str = "create trigger springs before insert on trap begin select raise(abort, 'mine'); end";

const fn case(input: &'static str, give: Give, all: Code, one: Code) -> Case {
    Case { input, give, all, one, rows: None }
}

impl Code {
    /// The code on this kind of DBMS.
    pub fn on(self, kind: Kind) -> &'static str {
        match self {
            Same(code) => code,
            Each(codes) => codes[place(kind)],
        }
    }
}

/// Where a kind stands in lists of one thing each.
fn place(kind: Kind) -> usize {
    match kind {
        Kind::Postgres => 0,
        Kind::MariaDb => 1,
        Kind::Sqlite => 2,
    }
}

impl Case {
    /// The records to append one after the other, of which the last one's outcome counts.
    pub fn records(&self, kind: Kind, topic: Topic) -> Vec<NewRecord> {
        match self.give {
            Tombstone => vec![NewRecord::default()],
            Text(text) => vec![NewRecord::of(text)],
            Made(make) => vec![NewRecord::of(make())],
            Sql(texts) => vec![request("sql", texts[place(kind)])],
            Header(name, value) => vec![request("header", "select 1 as one").header(name, value)],
            Twice(first, second) => {
                let id = format!("twice {} {topic}", self.input);
                vec![under(&id, first), under(&id, second)]
            }
        }
    }
}

/// A request whose id gets a number of its own (`%`).
pub fn request(name: &str, sql: &str) -> NewRecord {
    under(&format!("{name} %"), sql)
}

fn under(id: &str, sql: &str) -> NewRecord {
    NewRecord::of(json!({"messageId": id, "clientId": "hostile", "sqlString": sql}).to_string())
}

/// The value with its first `%` replaced, if it is short; so each has its own id, for what is asked under one id before is not asked again.
pub fn numbered(value: &Bytes, number: u32) -> Bytes {
    match std::str::from_utf8(value) {
        Ok(text) if text.len() < 10_000 => text.replacen('%', &number.to_string(), 1).into(),
        _ => value.clone(),
    }
}

fn not_utf8() -> Vec<u8> {
    b"{\"messageId\":\"\xff\xfe\",\"clientId\":\"c\",\"sqlString\":\"select 1\"}".to_vec()
}

fn long_id() -> Vec<u8> {
    json!({"messageId": "m".repeat(201), "clientId": "c", "sqlString": "select 1"}).to_string().into()
}

fn deep_json() -> Vec<u8> {
    format!(
        r#"{{"messageId":"m","clientId":"c","sqlString":"select $1","params":[{}1{}]}}"#,
        "[".repeat(200),
        "]".repeat(200)
    )
    .into()
}

fn deep_sql() -> Vec<u8> {
    let sql = format!("select {}1{}", "(".repeat(20_000), ")".repeat(20_000));
    json!({"messageId": fresh(), "clientId": "c", "sqlString": sql}).to_string().into()
}

fn many_statements() -> Vec<u8> {
    let statements = vec![json!({"sqlString": "select 1"}); 1001];
    json!({"messageId": fresh(), "clientId": "c", "statements": statements}).to_string().into()
}

fn large() -> Vec<u8> {
    of_bytes(MAX_REQUEST_BYTES)
}

fn too_large() -> Vec<u8> {
    of_bytes(MAX_REQUEST_BYTES + 1)
}

/// A request of exactly so many bytes.
fn of_bytes(bytes: usize) -> Vec<u8> {
    let (head, tail) =
        (format!(r#"{{"messageId":"{}","clientId":"c","sqlString":"select length('"#, fresh()), r#"') as bytes"}"#);
    format!("{head}{}{tail}", "x".repeat(bytes - head.len() - tail.len())).into()
}

fn fresh() -> String {
    uuid::Uuid::now_v7().to_string()
}
