//! Admission: what a record of ALL asks for, judged before the database sees it.
//!
//! Neighbours: the ALL lane hands records in and plans batches of what comes out; `kluster_sql` holds the rules over SQL.
//!
//! Invariant: the verdict is a pure function of the record's bytes, its offset, the window and the versions of protocol and rules: never of this
//! node's settings, clock or load. So every node judges alike.

use crate::dbms::{How, Work, WorkStatement};
use crate::fault::{Cause, Fault, Refusal};
use crate::outcome::Key;
use kluster_log::Record;
use kluster_protocol::{
    BadRequest, Body, Control, ErrorCode, Kind, MAJOR_VERSION, MAX_RESULT_BYTES, Offset, Param, Request, ResponseError,
    Statement, header,
};
use kluster_sql::{Class, Dialect};

/// What a record asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// The cluster speaks about itself.
    Control(Control),
    /// SQL to execute, unless its key was executed before.
    Execute(Ask, Work),
    /// A request that the rules refuse; its key counts as executed.
    Refused(Ask, Refusal),
    /// No request, or not one that may be judged: refused, and no key is remembered.
    NoRequest(Sender, Refusal),
}

/// A request that can be known again.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Who waits for the answer.
    pub sender: Sender,
    /// Under which it takes effect once.
    pub key: Key,
    /// An offset below every attempt of it.
    pub since: Option<Offset>,
    /// It is a list of statements.
    pub list: bool,
    /// It only reads.
    pub reads: bool,
}

/// Who waits for an answer, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Sender {
    /// What the answer calls the request.
    pub request_id: String,
    /// The partition of RESPONSES asked for.
    pub reply_partition: Option<u32>,
    /// The key that decides the partition otherwise.
    pub reply_key: String,
}

/// Judges a record. An error: the node must stop, for newer nodes may do what this one does not know.
pub fn admit(dialect: Dialect, record: &Record) -> Result<Asked, Fault> {
    check_version(record)?;
    match Kind::from_header(record.header(header::KIND)) {
        Kind::Request => Ok(request(dialect, record)),
        Kind::Control => Ok(control(record)),
        Kind::Unknown(kind) => Err(newer(record.offset, &format!("of the kind {kind:?}"))),
    }
}

fn check_version(record: &Record) -> Result<(), Fault> {
    let Some(text) = record.header(header::VERSION) else { return Ok(()) };
    // What is no number cannot be newer; the record is judged as it stands.
    match std::str::from_utf8(text).ok().and_then(|text| text.parse::<u32>().ok()) {
        Some(version) if version > MAJOR_VERSION => {
            Err(newer(record.offset, &format!("of protocol version {version}")))
        }
        _ => Ok(()),
    }
}

fn newer(offset: Offset, what: &str) -> Fault {
    let message = format!(
        "the record at offset {offset} is {what}, which this version of Kluster does not know; update this node"
    );
    Fault::Fatal(Cause::new("newer_record", message))
}

fn control(record: &Record) -> Asked {
    match serde_json::from_slice(record.value.as_deref().unwrap_or_default()) {
        Ok(control) => Asked::Control(control),
        Err(error) => Asked::NoRequest(
            Sender::unnamed(record),
            ResponseError::new(ErrorCode::BadRequest, format!("the control record cannot be read: {error}")),
        ),
    }
}

fn request(dialect: Dialect, record: &Record) -> Asked {
    let request = match Request::parse(record.value.as_deref()) {
        Ok(request) => request,
        Err(bad) => return bad_request(record, bad),
    };
    let ask = Ask {
        sender: Sender {
            request_id: request.message_id.as_str().to_owned(),
            reply_partition: reply_partition(record),
            reply_key: request.client_id.as_str().to_owned(),
        },
        key: Key::new(request.client_id.clone(), request.message_id.clone(), &request.body_hash()),
        since: request.since_offset,
        list: matches!(request.body, Body::List { .. }),
        reads: false,
    };
    match work(dialect, record.offset, &request) {
        Ok((work, reads)) => Asked::Execute(Ask { reads, ..ask }, work),
        Err(refusal) => Asked::Refused(ask, refusal),
    }
}

fn bad_request(record: &Record, bad: BadRequest) -> Asked {
    let unnamed = Sender::unnamed(record);
    let request_id = bad.message_id.as_ref().map_or(unnamed.request_id, |id| id.as_str().to_owned());
    let reply_key = bad.client_id.map_or_else(|| request_id.clone(), |id| id.as_str().to_owned());
    let code = if bad.too_large { ErrorCode::TooLarge } else { ErrorCode::BadRequest };
    Asked::NoRequest(Sender { request_id, reply_key, ..unnamed }, ResponseError::new(code, bad.reason))
}

impl Sender {
    /// The sender of a record in which no `messageId` can be read: it is called by its offset.
    fn unnamed(record: &Record) -> Self {
        let request_id = format!("@{}", record.offset);
        Self { reply_key: request_id.clone(), request_id, reply_partition: reply_partition(record) }
    }
}

/// The partition that the record's sender listens on, if it says so legibly.
pub fn reply_partition(record: &Record) -> Option<u32> {
    std::str::from_utf8(record.header(header::REPLY_PARTITION)?).ok()?.parse().ok()
}

/// The work of these statements, and whether they only read; or the first one's refusal by the rules.
fn work(dialect: Dialect, offset: Offset, request: &Request) -> Result<(Work, bool), Refusal> {
    let statements = request.statements();
    let mut how = How::Batched;
    let mut reads = true;
    let mut admitted = Vec::with_capacity(statements.len());
    for (index, statement) in statements.iter().enumerate() {
        let named = |refusal: Refusal| match statements.len() {
            1 => refusal,
            _ => Refusal { statement_index: Some(index as u32), ..refusal },
        };
        let verdict = kluster_sql::admit(dialect, &statement.sql_string).map_err(|refusal| named(by_rule(refusal)))?;
        check_params(statement, verdict.params as usize).map_err(named)?;
        if how != How::Batched && !verdict.wants.is_empty() {
            return Err(named(behind_a_definition()));
        }
        reads &= verdict.class == Class::Read;
        how = match (verdict.class, how) {
            (Class::Read | Class::Write, how) => how,
            (Class::Alone, How::SelfCommitting) => How::SelfCommitting,
            (Class::Alone, _) => How::Alone,
            (Class::Ddl, _) if statements.len() > 1 => return Err(named(not_in_a_list())),
            (Class::Ddl, _) => How::SelfCommitting,
        };
        let (params, expect_rows) = (statement.params.clone(), statement.expect_rows);
        let wants = verdict.wants;
        let (sql, edits) = match (dialect, verdict.class) {
            (Dialect::Postgres, Class::Read | Class::Write) => {
                let texts: Vec<Option<&str>> = params.iter().map(Param::as_str).collect();
                kluster_sql::check_bound(&statement.sql_string, &texts).map_err(|refusal| named(by_rule(refusal)))?;
                let (sql, fences) = kluster_sql::fence_present(&verdict.sql, &texts);
                (sql.into_owned(), verdict.edits.then(fences))
            }
            _ => (verdict.sql.into_owned(), verdict.edits),
        };
        admitted.push(WorkStatement { sql, params, expect_rows, cells: request.cells, edits, wants });
    }
    // Its time is the log's, which only the state of the records before knows.
    Ok((Work { offset, time_ms: 0, how, statements: admitted, max_result_bytes: MAX_RESULT_BYTES }, reads))
}

/// A rule's refusal in the words of the protocol.
pub fn by_rule(refusal: kluster_sql::Refusal) -> Refusal {
    let position = refusal.position.and_then(|position| u32::try_from(position).ok());
    Refusal { position, ..ResponseError::new(ErrorCode::from_text(refusal.code.as_str()), refusal.to_string()) }
}

/// The number of params must be what the text uses: some DBMS would take more in silence, others not.
pub fn check_params(statement: &Statement, used: usize) -> Result<(), Refusal> {
    let given = statement.params.len();
    match given == used {
        true => Ok(()),
        false => Err(ResponseError::new(
            ErrorCode::WrongParams,
            format!("the statement uses {used} params ($1…${used}), but {given} are given"),
        )),
    }
}

/// The keys are those of before the list.
fn behind_a_definition() -> Refusal {
    let message = "the rows that this statement takes are told apart by a table's key, which a statement before it in the list may change; \
                   send it as a request of its own";
    ResponseError::new(ErrorCode::OrderDependent, message)
}

fn not_in_a_list() -> Refusal {
    let message = "MariaDB commits before and after this statement, so it cannot be part of an atomic list; send it as a request of its own";
    ResponseError::new(ErrorCode::NotTransactional, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn record(value: &str, headers: &[(&str, &str)]) -> Record {
        let headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), Bytes::from((*value).to_owned()))).collect();
        Record {
            partition: 0,
            offset: Offset::new(7),
            timestamp_ms: 0,
            key: None,
            headers,
            value: Some(Bytes::from(value.to_owned())),
        }
    }

    fn asked(value: &str, headers: &[(&str, &str)]) -> Asked {
        admit(Dialect::Sqlite, &record(value, headers)).unwrap()
    }

    #[test]
    fn a_newer_version_or_kind_stops_the_node_and_typed_json_never_does() {
        for headers in [("kluster-version", "2"), ("kluster-kind", "epoch")] {
            let fault = admit(Dialect::Sqlite, &record("{}", &[headers])).unwrap_err();
            assert!(matches!(fault, Fault::Fatal(cause) if cause.code == "newer_record"));
        }
        let typed =
            r#"{"messageId":"m","clientId":"c","sqlString":"select 1","version":9,"kluster-version":9,"kind":"epoch"}"#;
        assert!(matches!(asked(typed, &[("kluster-version", "one")]), Asked::Execute(..)));
    }

    #[test]
    fn what_is_no_request_is_named_by_its_offset() {
        let Asked::NoRequest(sender, refusal) = asked("hello", &[("kluster-reply-partition", "3")]) else { panic!() };
        assert_eq!(
            (sender.request_id.as_str(), sender.reply_key.as_str(), sender.reply_partition),
            ("@7", "@7", Some(3))
        );
        assert_eq!(refusal.code, ErrorCode::BadRequest);
        let Asked::NoRequest(sender, _) = asked(r#"{"messageId":"m","clientId":"c"}"#, &[]) else { panic!() };
        assert_eq!((sender.request_id.as_str(), sender.reply_key.as_str()), ("m", "c"));
    }

    #[test]
    fn the_strictest_statement_decides_how_a_list_runs() {
        let how = |statements: &str| match asked(
            &format!(r#"{{"messageId":"m","clientId":"c","statements":{statements}}}"#),
            &[],
        ) {
            Asked::Execute(ask, work) => (work.how, ask.reads),
            other => panic!("{other:?}"),
        };
        assert_eq!(how(r#"[{"sqlString":"select 1"}]"#), (How::Batched, true));
        assert_eq!(how(r#"[{"sqlString":"select 1"},{"sqlString":"delete from t"}]"#), (How::Batched, false));
        assert_eq!(how(r#"[{"sqlString":"create table t(a)"},{"sqlString":"delete from t"}]"#), (How::Alone, false));
    }

    #[test]
    fn params_are_counted() {
        let Asked::Refused(_, refusal) =
            asked(r#"{"messageId":"m","clientId":"c","sqlString":"select $1","params":[1,2]}"#, &[])
        else {
            panic!()
        };
        assert_eq!(refusal.code, ErrorCode::WrongParams);
    }
}
