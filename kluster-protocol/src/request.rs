//! Request: SQL asked of the cluster, and the verdict on a record that is none.

use crate::{ClientId, MAX_ID_BYTES, MAX_PARAMS, MAX_REQUEST_BYTES, MAX_STATEMENTS, MessageId, Offset, Param};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::fmt;

/// SQL asked of the cluster: written once by a client, read by the nodes. The short form, `messageId`, `clientId` and `sqlString`, is complete.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Made by the client, the same on every retry. Responses repeat it as `requestId`; nothing else ties the two together.
    pub message_id: MessageId,
    /// Who asks. With `messageId` the key under which the request takes effect once.
    pub client_id: ClientId,
    /// What is asked.
    #[serde(flatten)]
    pub body: Body,
    /// An offset below every attempt of this request, the same on all retries: outcomes older than this need not be searched for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_offset: Option<Offset>,
    /// ONE only: the node waits until it has applied this offset of ALL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_offset: Option<Offset>,
    /// ONE only: how long the node may wait and read, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The form of each cell of the rows that the answer carries; absent: [`Cells::Plain`].
    #[serde(skip_serializing_if = "Cells::is_plain")]
    pub cells: Cells,
}

/// The form of a cell in a row of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cells {
    /// The value's JSON form alone ([`crate::value`]). The column's type says how to read it. In
    /// SQLite, where each value has a type of its own, a blob and a text may look alike.
    #[default]
    Plain,
    /// `{"type":…,"value":…}`: the type's name with the value's JSON form. In SQLite the type is
    /// the value's own: `null`, `integer`, `real`, `text`, `blob`. A text that is not UTF-8 is
    /// `{"type":"text","bytes":…}` with its bytes as base64.
    Typed,
}

impl Cells {
    fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}

/// What is asked: one statement, or a list that takes effect as one transaction or not at all.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Body {
    /// `sqlString` and `params`, at the top of the request.
    One(Statement),
    /// `statements`: checked in order; the first that fails refuses the whole request and is named by its `statementIndex`.
    List {
        /// The statements, at least one.
        statements: Vec<Statement>,
    },
}

/// One SQL statement.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// The text, in the SQL of the cluster's DBMS; params stand as `$1`, `$2`, … on every DBMS.
    pub sql_string: String,
    /// The values of `$1`, `$2`, …: null, booleans, numbers and strings; arrays and objects are bound as their JSON text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Param>,
    /// Guard, in `statements` only: rows matched (or returned) must be exactly this many, else the request is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_rows: Option<u64>,
}

impl Statement {
    /// A statement without params and guard.
    pub fn new(sql: impl Into<String>) -> Self {
        Self { sql_string: sql.into(), params: Vec::new(), expect_rows: None }
    }
}

/// A record that is no request: what is wrong with it, the same on all nodes, for it depends on its bytes alone.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct BadRequest {
    /// The record's `messageId`, where one could be read: the answer can name it.
    pub message_id: Option<MessageId>,
    /// The record's `clientId`, where one could be read.
    pub client_id: Option<ClientId>,
    /// What is wrong and what is expected.
    pub reason: String,
    /// The record breaks a limit of size rather than of form.
    pub too_large: bool,
}

/// The record as written: every field optional, so that what is missing can be named. Unknown fields are ignored; a known field that
/// stands twice is refused by serde.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    message_id: Option<String>,
    client_id: Option<String>,
    sql_string: Option<String>,
    params: Option<Vec<Param>>,
    statements: Option<Vec<WrittenStatement>>,
    since_offset: Option<Offset>,
    min_offset: Option<Offset>,
    timeout_ms: Option<u64>,
    #[serde(default)]
    cells: Cells,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenStatement {
    sql_string: String,
    #[serde(default)]
    params: Vec<Param>,
    expect_rows: Option<u64>,
}

impl Request {
    /// A request of one statement.
    pub fn new(message_id: MessageId, client_id: ClientId, statement: Statement) -> Self {
        let body = Body::One(statement);
        Self {
            message_id,
            client_id,
            body,
            since_offset: None,
            min_offset: None,
            timeout_ms: None,
            cells: Cells::Plain,
        }
    }

    /// Reads a record's value. The verdict is a pure function of the bytes and the protocol's version.
    pub fn parse(value: Option<&[u8]>) -> Result<Self, BadRequest> {
        let bytes = value
            .ok_or_else(|| BadRequest::new("the record has no value (a tombstone), so there is no request in it"))?;
        if bytes.len() > MAX_REQUEST_BYTES {
            let reason = format!("the record has {} bytes; at most {MAX_REQUEST_BYTES} are allowed", bytes.len());
            return Err(BadRequest { too_large: true, ..BadRequest::new(reason) });
        }
        let written: Written = serde_json::from_slice(bytes).map_err(|error| BadRequest::of_bytes(bytes, &error))?;
        let ids = (written.message_id.clone().map(MessageId::new), written.client_id.clone().map(ClientId::new));
        written.check().map_err(|problem| BadRequest {
            message_id: ids.0.filter(|id| usable(id.as_str())),
            client_id: ids.1.filter(|id| usable(id.as_str())),
            ..problem
        })
    }

    /// The statements, in the order in which they run.
    pub fn statements(&self) -> &[Statement] {
        match &self.body {
            Body::One(statement) => std::slice::from_ref(statement),
            Body::List { statements } => statements,
        }
    }

    /// SHA-256 of what is asked, by which a retry is told from another request under the same id.
    pub fn body_hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let body = serde_json::to_vec(&self.body).expect("a body that was read from JSON can be written as JSON");
        hash.update(body);
        hash.finalize().into()
    }
}

impl Written {
    fn check(self) -> Result<Request, BadRequest> {
        let message_id = MessageId::new(id("messageId", self.message_id)?);
        let client_id = ClientId::new(id("clientId", self.client_id)?);
        let body = match (self.sql_string, self.statements) {
            (Some(sql_string), None) => {
                Body::One(Statement { sql_string, params: self.params.unwrap_or_default(), expect_rows: None })
            }
            (None, Some(_)) if self.params.is_some() => {
                return Err(BadRequest::new("params stand beside statements; give each statement its own"));
            }
            (None, Some(statements)) => {
                Body::List { statements: statements.into_iter().map(WrittenStatement::into).collect() }
            }
            (None, None) => return Err(BadRequest::new("sqlString is missing; give sqlString or statements")),
            (Some(_), Some(_)) => {
                return Err(BadRequest::new("sqlString and statements are both there; give one of them"));
            }
        };
        let request = Request {
            message_id,
            client_id,
            body,
            since_offset: self.since_offset,
            min_offset: self.min_offset,
            timeout_ms: self.timeout_ms,
            cells: self.cells,
        };
        check_statements(request.statements())?;
        Ok(request)
    }
}

impl From<WrittenStatement> for Statement {
    fn from(written: WrittenStatement) -> Self {
        Self { sql_string: written.sql_string, params: written.params, expect_rows: written.expect_rows }
    }
}

fn check_statements(statements: &[Statement]) -> Result<(), BadRequest> {
    if statements.is_empty() {
        return Err(BadRequest::new("statements is an empty list; give at least one"));
    }
    if statements.len() > MAX_STATEMENTS {
        let reason = format!("{} statements in one request; at most {MAX_STATEMENTS} are allowed", statements.len());
        return Err(BadRequest { too_large: true, ..BadRequest::new(reason) });
    }
    for (index, statement) in statements.iter().enumerate() {
        if statement.params.len() > MAX_PARAMS {
            let count = statement.params.len();
            let reason = format!("statement {index} has {count} params; at most {MAX_PARAMS} are allowed");
            return Err(BadRequest { too_large: true, ..BadRequest::new(reason) });
        }
        if statement.sql_string.contains('\0') || statement.params.iter().any(holds_nul) {
            return Err(BadRequest::new(format!(
                "statement {index} holds a NUL character, which no SQL text can carry"
            )));
        }
    }
    Ok(())
}

fn holds_nul(param: &Param) -> bool {
    param.as_str().is_some_and(|text| text.contains('\0'))
}

fn id(field: &str, value: Option<String>) -> Result<String, BadRequest> {
    match value {
        None => Err(BadRequest::new(format!("{field} is missing"))),
        Some(id) if id.is_empty() => Err(BadRequest::new(format!("{field} is empty"))),
        Some(id) if id.len() > MAX_ID_BYTES => {
            Err(BadRequest::new(format!("{field} has {} bytes; at most {MAX_ID_BYTES} are allowed", id.len())))
        }
        Some(id) => Ok(id),
    }
}

fn usable(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len())
}

impl BadRequest {
    fn new(reason: impl Into<String>) -> Self {
        Self { message_id: None, client_id: None, reason: reason.into(), too_large: false }
    }

    /// Finds the ids in a record that serde refused, so that its sender can be answered all the same.
    fn of_bytes(bytes: &[u8], error: &serde_json::Error) -> Self {
        let ids = Ids::of(bytes);
        Self {
            message_id: ids.message_id.filter(|id| usable(id)).map(MessageId::new),
            client_id: ids.client_id.filter(|id| usable(id)).map(ClientId::new),
            ..Self::new(format!("the record is no request: {error}"))
        }
    }
}

/// The ids of a record that is no request: those that precede the place where it cannot be read.
/// All other values are skipped unread, whatever their size, depth or digits.
#[derive(Default)]
struct Ids {
    message_id: Option<String>,
    client_id: Option<String>,
}

impl Ids {
    fn of(bytes: &[u8]) -> Self {
        let mut ids = Self::default();
        // The error was reported by who read the whole record.
        let _ = ids.deserialize(&mut serde_json::Deserializer::from_slice(bytes));
        ids
    }
}

impl<'de> DeserializeSeed<'de> for &mut Ids {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Ids {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(name) = fields.next_key::<String>()? {
            let id = match name.as_str() {
                "messageId" => &mut self.message_id,
                "clientId" => &mut self.client_id,
                _ => {
                    fields.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *id = serde_json::from_str(fields.next_value::<&RawValue>()?.get()).ok();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Request, BadRequest> {
        Request::parse(Some(json.as_bytes()))
    }

    #[test]
    fn request_keeps_its_published_form() {
        for json in [
            r#"{"messageId":"r4","clientId":"c1","sqlString":"select 1"}"#,
            r#"{"messageId":"r4","clientId":"c1","sqlString":"select $1","params":[1.5,"a",null,true],"sinceOffset":7,"minOffset":9,"timeoutMs":100}"#,
            r#"{"messageId":"r4","clientId":"c1","sqlString":"select 1","cells":"typed"}"#,
            r#"{"messageId":"r4","clientId":"c1","statements":[{"sqlString":"select $1","params":[1],"expectRows":1},{"sqlString":"x"}]}"#,
        ] {
            assert_eq!(serde_json::to_string(&parse(json).unwrap()).unwrap(), json);
        }
    }

    #[test]
    fn unknown_fields_are_ignored() {
        assert!(parse(r#"{"messageId":"a","clientId":"b","sqlString":"c","colour":{"deep":[1]}}"#).is_ok());
    }

    #[test]
    fn what_is_no_request_is_told_and_named() {
        let deep = format!(
            r#"{{"messageId":"m","clientId":"c","sqlString":"x","params":{}{}}}"#,
            "[".repeat(200),
            "]".repeat(200)
        );
        let long = format!(r#"{{"messageId":"{}","clientId":"c","sqlString":"x"}}"#, "m".repeat(201));
        for (json, id, reason) in [
            ("hello", None, "no request"),
            ("", None, "no request"),
            ("[]", None, "no request"),
            ("null", None, "no request"),
            (r#"{"messageId":"m"}"#, Some("m"), "clientId is missing"),
            (r#"{"clientId":"c","sqlString":"x"}"#, None, "messageId is missing"),
            (r#"{"messageId":"m","clientId":"c"}"#, Some("m"), "sqlString is missing"),
            (r#"{"messageId":"m","clientId":"c","sqlString":5}"#, Some("m"), "invalid type"),
            (r#"{"messageId":5,"clientId":"c","sqlString":"x"}"#, None, "invalid type"),
            (r#"{"messageId":"m","clientId":"c","statements":[]}"#, Some("m"), "empty list"),
            (r#"{"messageId":"m","clientId":"c","sqlString":"a","sqlString":"b"}"#, Some("m"), "duplicate field"),
            (r#"{"messageId":"m","clientId":"c","sqlString":"a\u0000"}"#, Some("m"), "NUL"),
            (r#"{"messageId":"","clientId":"c","sqlString":"a"}"#, None, "messageId is empty"),
            (&deep, Some("m"), "nested deeper than 128 levels"),
            (r#"{"messageId":"m","clientId":"c","sqlString":"x","params":[1,]}"#, Some("m"), "trailing comma"),
            (r#"{"messageId":"m","clientId":"c","params":["\ud800"],"sqlString":"x"}"#, Some("m"), "no request"),
            (&long, None, "201 bytes"),
        ] {
            let bad = parse(json).unwrap_err();
            assert!(bad.reason.contains(reason), "{json}: {}", bad.reason);
            assert_eq!(bad.message_id.as_ref().map(MessageId::as_str), id, "{json}");
        }
        assert!(Request::parse(None).unwrap_err().reason.contains("tombstone"));
        assert!(Request::parse(Some(&[0xff, 0xfe])).is_err());
        let large = vec![b' '; MAX_REQUEST_BYTES + 1];
        assert!(Request::parse(Some(&large)).unwrap_err().too_large);
    }

    #[test]
    fn numbers_keep_their_digits() {
        let json = r#"{"messageId":"m","clientId":"c","sqlString":"x","params":[12345678901234567890.0123456789,1e400,{"a":1.50}]}"#;
        assert_eq!(serde_json::to_string(&parse(json).unwrap()).unwrap(), json);
        let other = parse(&json.replace("0123456789,", "0123456788,")).unwrap();
        assert_ne!(parse(json).unwrap().body_hash(), other.body_hash());
    }

    #[test]
    fn body_hash_tells_bodies_apart_and_retries_alike() {
        let first = parse(r#"{"messageId":"m","clientId":"c","sqlString":"x","sinceOffset":1}"#).unwrap();
        let retry = parse(r#"{"sqlString":"x","clientId":"c","messageId":"m"}"#).unwrap();
        let other = parse(r#"{"messageId":"m","clientId":"c","sqlString":"x","params":[1]}"#).unwrap();
        assert_eq!(first.body_hash(), retry.body_hash());
        assert_ne!(first.body_hash(), other.body_hash());
    }
}
