//! Workload: what simulated clients ask. Money moves between accounts whose sum never changes, a register is written by compare-and-set, rows are
//! appended under unique ids, tables come and go, and now and then something is asked that must be refused.

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

/// One thing to ask.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Through ALL: a request's body.
    Write(Body),
    /// A read at one of the four levels.
    Read(Level, &'static str),
}

/// What a request asks, as the checker knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    /// Statements with params and guard.
    pub statements: Vec<(String, Vec<Value>, Option<u64>)>,
    /// Sent as `statements` rather than `sqlString`.
    pub list: bool,
}

/// The four levels of reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// One node, as far as it has come.
    Eventual,
    /// What this client wrote.
    Session,
    /// What anybody was told of.
    Strong,
    /// Through ALL.
    Ordered,
}

/// How many accounts there are, and how much they hold together.
pub const ACCOUNTS: i64 = 8;
/// What each account holds at first.
pub const OPENING: i64 = 100;

/// Texts that the rules refuse, with the code that must come of it: known here, so that the checker needs no rules of its own.
pub const REFUSED_BY_RULE: &[(&str, &str)] = &[
    ("begin", "transaction_control"),
    ("rollback", "transaction_control"),
    ("select random()", "randomness"),
    ("insert into entry values ('x', datetime('now'))", "clock"),
    ("update kluster_state set applied = 0", "kluster_schema"),
    ("select 1; select 2", "several_statements"),
];

/// What sets the stage.
pub fn schema() -> Vec<Body> {
    let accounts = (0..ACCOUNTS).map(|n| format!("({n}, {OPENING})")).collect::<Vec<_>>().join(", ");
    [
        "create table account(id integer primary key, balance integer not null check (balance >= 0))".to_owned(),
        format!("insert into account values {accounts}"),
        "create table register(k integer primary key, v integer not null)".to_owned(),
        "create table entry(id text primary key, note text)".to_owned(),
        "create table child(id integer primary key, account integer references account(id) deferrable initially deferred)".to_owned(),
    ]
    .into_iter()
    .map(one)
    .collect()
}

fn one(sql: impl Into<String>) -> Body {
    Body { statements: vec![(sql.into(), Vec::new(), None)], list: false }
}

fn with(sql: &str, params: Vec<Value>) -> Body {
    Body { statements: vec![(sql.to_owned(), params, None)], list: false }
}

/// The next thing to ask; `unique` is an id that nothing else has.
pub fn next(rng: &mut StdRng, unique: &str) -> Op {
    let reads = [
        "select sum(balance) as total from account",
        "select id, balance from account order by id",
        "select k, v from register order by k",
        "select count(*) as n from entry",
        "select nothing from nowhere",
    ];
    match rng.random_range(0..100) {
        0..20 => Op::Write(transfer(rng)),
        20..45 => Op::Write(with(
            "insert into entry(id, note) values ($1, $2)",
            vec![json!(unique), json!(rng.random_range(0..9))],
        )),
        45..55 => Op::Write(register(rng)),
        55..60 => Op::Write(with(
            "insert into entry(id, note) values ($1, 'again') returning id, note",
            vec![json!(format!("e{}", rng.random_range(0..6)))],
        )),
        60..64 => Op::Write(one(format!("create table t{}(a)", rng.random_range(0..3)))),
        64..66 => Op::Write(one(format!("drop table t{}", rng.random_range(0..3)))),
        66..68 => Op::Write(one(REFUSED_BY_RULE[rng.random_range(0..REFUSED_BY_RULE.len())].0)),
        68..70 => Op::Write(one("insert into account values (0, 1)")),
        70..72 => Op::Write(with(
            "insert into child values ($1, $2)",
            vec![json!(rng.random_range(0..1000)), json!(rng.random_range(0..12))],
        )),
        72 => Op::Write(one("selec nonsense")),
        73 => {
            let what = if rng.random_bool(0.5) { "doomed" } else { "flaky" };
            Op::Write(one(format!("insert into entry(id, note) values ('{unique}', '{what}')")))
        }
        74..80 => Op::Read(Level::Ordered, reads[rng.random_range(0..reads.len())]),
        80..86 => Op::Read(Level::Strong, reads[rng.random_range(0..reads.len())]),
        86..94 => Op::Read(Level::Session, reads[rng.random_range(0..reads.len())]),
        _ => Op::Read(Level::Eventual, reads[rng.random_range(0..reads.len())]),
    }
}

/// Matches every account, and counts in a register that nobody else uses.
pub fn touch_all() -> Body {
    let statements = [TOUCH, "insert into register values (9, 1) on conflict (k) do update set v = v + 1"];
    Body { statements: statements.map(|sql| (sql.to_owned(), Vec::new(), None)).to_vec(), list: true }
}

/// Changes no row, and matches every account.
pub const TOUCH: &str = "update account set balance = balance";
/// The same answer, and another row.
pub const MISTOUCH: &str = "update account set balance = balance + (id = 0)";

/// Moves money in one atomic list; the guard refuses an account that does not exist, the check one that would be overdrawn.
fn transfer(rng: &mut StdRng) -> Body {
    let (from, to) = (rng.random_range(0..ACCOUNTS), rng.random_range(0..ACCOUNTS + 1));
    let amount = rng.random_range(1..120);
    let statement = |sql: &str, id| (sql.to_owned(), vec![json!(amount), json!(id)], Some(1));
    Body {
        statements: vec![
            statement("update account set balance = balance - $1 where id = $2", from),
            statement("update account set balance = balance + $1 where id = $2", to),
        ],
        list: true,
    }
}

fn register(rng: &mut StdRng) -> Body {
    let (k, old, new) = (rng.random_range(0..3), rng.random_range(0..4), rng.random_range(0..4));
    match rng.random_bool(0.4) {
        true => with(
            "insert into register values ($1, $2) on conflict (k) do update set v = excluded.v",
            vec![json!(k), json!(new)],
        ),
        false => with(
            "update register set v = $1 where k = $2 and v = $3 returning k, v",
            vec![json!(new), json!(k), json!(old)],
        ),
    }
}

/// Records that no client would send: (value, the code that must come of it).
pub fn alien(rng: &mut StdRng) -> (Option<Vec<u8>>, &'static str) {
    match rng.random_range(0..6) {
        0 => (None, "bad_request"),
        1 => (Some(b"hello".to_vec()), "bad_request"),
        2 => (Some(br#"{"messageId":"alien","clientId":"alien"}"#.to_vec()), "bad_request"),
        3 => (Some(br#"{"messageId":5,"clientId":"alien","sqlString":"select 1"}"#.to_vec()), "bad_request"),
        4 => (Some(vec![0xff, 0xfe, 0x00]), "bad_request"),
        _ => (Some(br#"{"messageId":"nul","clientId":"alien","sqlString":"select '\u0000'"}"#.to_vec()), "bad_request"),
    }
}
