//! Checker: replays the log on a database of its own and holds every answer against it, and every table of every node.
//!
//! It shares no code with the node's admission, apply and dedupe: JSON is read by `serde_json` alone, SQL runs on a plain SQLite connection, and the
//! rules of dedupe are written down a second time, from the words of the protocol.

use super::effects::Model;
use super::workload::REFUSED_BY_RULE;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// A record of ALL as the checker reads it.
#[derive(Debug, Clone)]
pub struct Logged {
    pub offset: u64,
    pub control: bool,
    pub value: Option<Vec<u8>>,
}

/// What a record must come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// What its answers call the request.
    pub request_id: String,
    /// None: OK.
    pub code: Option<String>,
    /// (rows matched or returned, rows) of each statement.
    pub results: Vec<(u64, Vec<Value>)>,
    /// The record repeats the one at this offset, whose answer it gets.
    pub repeats: Option<u64>,
    /// SQL was executed and took effect.
    pub took_effect: bool,
    /// Who had joined by then: these must answer; nobody yet: everybody must.
    pub voters: Vec<String>,
}

/// Rows by table, sorted.
pub type Tables = BTreeMap<String, Vec<Value>>;

/// A read's count and rows, or the code of its refusal.
pub type Selected = Result<(u64, Vec<Value>), String>;

/// What the whole log must come to.
pub struct Replay {
    pub expected: BTreeMap<u64, Expected>,
    pub reads: HashMap<(u64, String), Selected>,
    pub tables: Tables,
    /// What each request changed.
    pub effects: Model,
    /// How often a request was known again, refused as another under the same id, or expired.
    pub seen_again: u64,
    pub reused: u64,
    pub expired: u64,
    decided: BTreeMap<u64, &'static str>,
}

/// Replays `log`, of which `decided` offsets are refused with a code; `asked` are the reads of ONE that were answered, as (offset, SQL).
pub fn replay(log: &[Logged], window: u64, asked: &[(u64, String)], decided: BTreeMap<u64, &'static str>) -> Replay {
    let database = Connection::open_in_memory().expect("SQLite is built in");
    database.pragma_update(None, "foreign_keys", true).expect("a known pragma");
    let mut replay = Replay {
        expected: BTreeMap::new(),
        reads: HashMap::new(),
        tables: BTreeMap::new(),
        effects: Model::default(),
        seen_again: 0,
        reused: 0,
        expired: 0,
        decided,
    };
    let mut asked_at: HashMap<u64, Vec<&String>> = HashMap::new();
    for (offset, sql) in asked {
        asked_at.entry(*offset).or_default().push(sql);
    }
    let mut first: HashMap<(String, String), (u64, Value)> = HashMap::new();
    let mut members = (0, Vec::new());
    for record in log {
        if record.control {
            join(&mut members, record);
        } else {
            let expected = replay.record(&database, record, window, &mut first);
            replay.expected.insert(record.offset, Expected { voters: members.1.clone(), ..expected });
        }
        for sql in asked_at.remove(&record.offset).unwrap_or_default() {
            let answer = select(&database, sql, &[]);
            replay.reads.insert((record.offset, sql.clone()), answer);
        }
    }
    replay.tables = tables(&database);
    replay
}

/// Simulated nodes only ever ask to be voters; a question at another version than the current one changes nothing.
fn join((version, voters): &mut (u64, Vec<String>), record: &Logged) {
    let control: Value = serde_json::from_slice(record.value.as_deref().unwrap_or_default()).unwrap_or_default();
    let (Some(node), Some(replaces)) = (control["nodeId"].as_str(), control["replaces"].as_u64()) else { return };
    if replaces == *version && !voters.iter().any(|voter| voter == node) {
        voters.push(node.to_owned());
        *version += 1;
    }
}

impl Replay {
    fn record(
        &mut self,
        database: &Connection,
        record: &Logged,
        window: u64,
        first: &mut HashMap<(String, String), (u64, Value)>,
    ) -> Expected {
        let refused = |id: &str, code: &str| Expected {
            request_id: id.to_owned(),
            code: Some(code.to_owned()),
            results: Vec::new(),
            repeats: None,
            took_effect: false,
            voters: Vec::new(),
        };
        let unnamed = format!("@{}", record.offset);
        let Some(value) = &record.value else { return refused(&unnamed, "bad_request") };
        let Ok(request) = serde_json::from_slice::<Value>(value) else { return refused(&unnamed, "bad_request") };
        let id = request["messageId"].as_str().filter(|id| !id.is_empty()).unwrap_or(&unnamed).to_owned();
        let (Some(message), Some(client)) = (request["messageId"].as_str(), request["clientId"].as_str()) else {
            return refused(&id, "bad_request");
        };
        let statements = match (&request["sqlString"], &request["statements"]) {
            (Value::String(_), Value::Null) => vec![request.clone()],
            (Value::Null, Value::Array(list)) => list.clone(),
            _ => return refused(&id, "bad_request"),
        };
        let text = |statement: &Value| statement["sqlString"].as_str().unwrap_or_default().to_owned();
        if statements.iter().any(|statement| text(statement).contains('\0')) {
            return refused(&id, "bad_request");
        }
        let oldest = record.offset.saturating_sub(window);
        if let Some(since) = request["sinceOffset"].as_u64() {
            if since >= record.offset {
                return refused(&id, "bad_since");
            }
            if since + 1 < oldest {
                self.expired += 1;
                return refused(&id, "expired");
            }
        }
        let body = json!([request["sqlString"], request["params"], request["statements"]]);
        let key = (client.to_owned(), message.to_owned());
        match first.get(&key).filter(|(at, _)| *at >= oldest) {
            Some((at, same)) if *same == body => {
                self.seen_again += 1;
                let answer = self.expected[at].clone();
                return Expected { repeats: Some(*at), took_effect: false, ..answer };
            }
            Some(_) => {
                self.reused += 1;
                return refused(&id, "message_id_reuse");
            }
            None => {}
        }
        first.insert(key, (record.offset, body));
        for statement in &statements {
            if let Some((_, code)) = REFUSED_BY_RULE.iter().find(|(sql, _)| *sql == text(statement)) {
                return refused(&id, code);
            }
        }
        if let Some(code) = self.decided.get(&record.offset) {
            return refused(&id, code);
        }
        match execute(database, &statements) {
            Ok(results) => {
                let returned = statements.iter().zip(&results).map(|(sql, (_, rows))| (text(sql), rows.clone()));
                self.effects.executed(database, record.offset, &returned.collect::<Vec<_>>());
                Expected { request_id: id, code: None, results, repeats: None, took_effect: true, voters: Vec::new() }
            }
            Err(code) => refused(&id, &code),
        }
    }
}

fn execute(database: &Connection, statements: &[Value]) -> Result<Vec<(u64, Vec<Value>)>, String> {
    database.execute_batch("begin").expect("no transaction is open");
    let run = || {
        let mut results = Vec::new();
        for statement in statements {
            let params = statement["params"].as_array().cloned().unwrap_or_default();
            let (count, rows) = select(database, statement["sqlString"].as_str().unwrap_or_default(), &params)?;
            if statement["expectRows"].as_u64().is_some_and(|wanted| wanted != count) {
                return Err("expect_rows".to_owned());
            }
            results.push((count, rows));
        }
        Ok(results)
    };
    let result = run().and_then(|results| match database.execute_batch("commit") {
        Ok(()) => Ok(results),
        Err(error) => Err(code(&error)),
    });
    if result.is_err() && !database.is_autocommit() {
        database.execute_batch("rollback").expect("a transaction is open");
    }
    result
}

struct Param<'a>(&'a Value);

impl ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Number(number) => number.as_i64().unwrap_or_default().into(),
            Value::String(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            _ => ToSqlOutput::Borrowed(ValueRef::Null),
        })
    }
}

/// Runs one statement: (rows matched or returned, rows as objects).
fn select(database: &Connection, sql: &str, params: &[Value]) -> Result<(u64, Vec<Value>), String> {
    let mut statement = database.prepare(&sql.replace('$', "?")).map_err(|error| code(&error))?;
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows =
        statement.query(rusqlite::params_from_iter(params.iter().map(Param))).map_err(|error| code(&error))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(|error| code(&error))? {
        let mut object = Map::new();
        for (n, name) in columns.iter().enumerate() {
            object.insert(name.clone(), cell(row.get_ref(n).expect("a column of the row")));
        }
        found.push(Value::Object(object));
    }
    drop(rows);
    let word = sql.split_whitespace().next().unwrap_or_default();
    let writes = matches!(word, "insert" | "update" | "delete");
    let count = if writes && columns.is_empty() { database.changes() } else { found.len() as u64 };
    Ok((count, found))
}

fn cell(value: ValueRef) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => json!(number),
        ValueRef::Real(number) => json!(number),
        ValueRef::Text(text) | ValueRef::Blob(text) => json!(String::from_utf8_lossy(text)),
    }
}

/// The published code for SQLite's extended result codes (sqlite.org/rescode.html) that the workload can meet.
fn code(error: &rusqlite::Error) -> String {
    let (extended, message) = match error {
        rusqlite::Error::SqliteFailure(failure, message) => {
            (failure.extended_code, message.clone().unwrap_or_default())
        }
        rusqlite::Error::SqlInputError { error, msg, .. } => (error.extended_code, msg.clone()),
        other => panic!("the checker met {other}"),
    };
    let code = match extended {
        1555 | 2067 => "unique_violation",
        787 => "foreign_key_violation",
        275 => "check_violation",
        1299 => "not_null_violation",
        1 if message.contains("no such table") => "undefined_table",
        1 if message.contains("no such column") => "undefined_column",
        1 if message.contains("already exists") => "duplicate_object",
        1 if message.contains("syntax error") => "syntax_error",
        _ => panic!("the checker met {extended}: {message}"),
    };
    code.to_owned()
}

/// Every table but Kluster's own, its rows sorted.
pub fn tables(database: &Connection) -> Tables {
    let names = select(
        database,
        "select name from sqlite_schema where type = 'table' and name not like 'kluster\\_%' escape '\\' and name not like 'sqlite\\_%' escape '\\'",
        &[],
    );
    let names = names.expect("the schema can be read").1;
    let rows = |name: &str| {
        let mut rows = select(database, &format!("select * from \"{name}\""), &[]).expect("a table can be read").1;
        rows.sort_by_key(Value::to_string);
        rows
    };
    names.iter().filter_map(|row| row["name"].as_str()).map(|name| (name.to_owned(), rows(name))).collect()
}

/// Every table of a node's database file.
pub fn tables_of(file: &Path) -> Tables {
    tables(&Connection::open(file).expect("a node's database can be opened"))
}
