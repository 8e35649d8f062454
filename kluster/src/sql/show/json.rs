//! JSON: one document for each statement. Its names are those of a response (docs/protocol.md), so a reader needs to know one form.

use crate::sql::ask::Reply;
use crate::sql::trouble::Trouble;
use kluster_client::{ClientError, NodeId, Rows};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::fmt;
use std::time::Duration;

/// A document: names and their JSON, in order. Rows stay in their own text.
pub struct Document(Vec<(&'static str, Box<RawValue>)>);

impl Document {
    fn insert(&mut self, name: &'static str, value: impl Serialize) -> Result<(), ClientError> {
        let json = to_raw_value(&value).map_err(|error| ClientError::Decode(format!("{name}: {error}")))?;
        self.0.push((name, json));
        Ok(())
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.0.iter().map(|(name, json)| format!("\"{name}\":{json}"));
        write!(f, "{{{}}}", fields.collect::<Vec<_>>().join(","))
    }
}

/// The document of statement number `statement` (from 1): what it did, or why not.
pub fn document(
    statement: u64,
    outcome: Result<(&Reply, Option<&Rows>), &Trouble>,
    took: Duration,
) -> Result<Document, ClientError> {
    let mut document = Document(Vec::new());
    document.insert("statement", statement)?;
    match outcome {
        Ok((reply, rows)) => {
            document.insert("resultCode", "OK")?;
            if let Some(rows) = rows {
                put_rows(&mut document, rows)?;
            }
            put_reply(&mut document, reply)?;
        }
        Err(trouble) => {
            document.insert("resultCode", format!("ERR: {}", trouble.message))?;
            document.insert("error", trouble.json())?;
            if let Some(offset) = trouble.offset {
                document.insert("offset", offset)?;
            }
            if !trouble.nodes.is_empty() {
                document.insert("nodeIds", &trouble.nodes)?;
            }
        }
    }
    document.insert("ms", milliseconds(took))?;
    Ok(document)
}

fn put_rows(document: &mut Document, rows: &Rows) -> Result<(), ClientError> {
    if !rows.columns.is_empty() {
        document.insert("columns", &rows.columns)?;
    }
    document.insert("result", &rows.json)?;
    document.insert("rowsAffected", rows.affected)?;
    Ok(())
}

fn put_reply(document: &mut Document, reply: &Reply) -> Result<(), ClientError> {
    let (offset, message_id, nodes): (_, _, Vec<&NodeId>) = match reply {
        Reply::Read(read) => (read.offset, None, vec![&read.node_id]),
        Reply::Done(done) => {
            let nodes = done.answered.iter().map(|answered| &answered.node_id).collect();
            (done.offset, Some(&done.message_id), nodes)
        }
        Reply::Logged(logged) => (Some(logged.offset), Some(&logged.message_id), Vec::new()),
    };
    if let Some(offset) = offset {
        document.insert("offset", offset)?;
    }
    if let Some(id) = message_id {
        document.insert("messageId", id)?;
    }
    document.insert("nodeIds", nodes)?;
    if let Reply::Done(done) = reply {
        document.insert("voters", done.voters)?;
        if done.result_gone {
            document.insert("resultGone", true)?;
        }
    }
    Ok(())
}

/// Milliseconds with three digits behind the point.
fn milliseconds(took: Duration) -> f64 {
    took.as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use kluster_client::{Column, Done, Offset, Read};
    use serde_json::json;

    const TOOK: Duration = Duration::from_micros(1849);

    fn rows() -> Rows {
        let json = vec![serde_json::from_str(r#"{"id":1,"name":null}"#).unwrap()];
        let columns = [("id", "int4"), ("name", "text")];
        let columns = columns.map(|(name, kind)| Column { name: name.into(), type_name: kind.into() }).to_vec();
        Rows { columns, json, affected: 1 }
    }

    #[test]
    fn a_read_says_what_it_is_as_of() {
        let read = Read { rows: rows(), offset: Some(Offset::new(7)), node_id: "n2".into() };
        let reply = Reply::Read(read.clone());
        let text = document(1, Ok((&reply, Some(&read.rows))), TOOK).unwrap().to_string();
        assert_eq!(
            text,
            r#"{"statement":1,"resultCode":"OK","columns":[{"name":"id","type":"int4"},{"name":"name","type":"text"}],"result":[{"id":1,"name":null}],"rowsAffected":1,"offset":7,"nodeIds":["n2"],"ms":1.849}"#
        );
    }

    #[test]
    fn a_write_names_its_request_and_those_who_answered() {
        let answered = kluster_client::Answered { node_id: "n1".into(), offset: None, chain: None };
        let done = Done {
            message_id: "m1".into(),
            offset: Some(Offset::new(8)),
            answered: vec![answered],
            voters: 3,
            result_gone: false,
            results: vec![Rows { affected: 2, ..Rows::default() }],
        };
        let reply = Reply::Done(done.clone());
        let text = document(2, Ok((&reply, done.results.first())), TOOK).unwrap().to_string();
        assert_eq!(
            text,
            r#"{"statement":2,"resultCode":"OK","result":[],"rowsAffected":2,"offset":8,"messageId":"m1","nodeIds":["n1"],"voters":3,"ms":1.849}"#
        );
    }

    #[test]
    fn a_refusal_is_a_document_too() {
        let refusal = kluster_sql::admit(kluster_sql::Dialect::Sqlite, "savepoint a").unwrap_err();
        let trouble = Trouble::by_rule(&refusal).in_statement("savepoint a", 3);
        let text = document(3, Err(&trouble), TOOK).unwrap().to_string();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(document["resultCode"].as_str().unwrap().starts_with("ERR: SAVEPOINT"));
        assert_eq!(
            (&document["error"]["code"], &document["error"]["line"]),
            (&json!("transaction_control"), &json!(3))
        );
        assert!(document["result"].is_null());
    }
}
