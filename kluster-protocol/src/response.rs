//! Response: one node's answer to one request, in one record or in several parts.

use crate::{ErrorCode, MessageId, NodeId, Offset};
use serde::{Deserialize, Serialize};

/// One row: the query's columns in their order; a column name that repeats is followed by `#2`, `#3`, …
pub type Row = serde_json::Map<String, serde_json::Value>;

/// One node's answer to one request. `R` is the form of a row: [`Row`] for readers; nodes write rows that are JSON text already.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<R = Row> {
    /// Names this answer: the same when it is sent again, and on all its parts; another when the request was executed again.
    pub message_id: MessageId,
    /// The node that answers.
    pub node_id: NodeId,
    /// The request's `messageId`; for a record that has none, `@` and its offset.
    pub request_id: String,
    /// The topic that the request came through.
    pub request_topic: RequestTopic,
    /// `OK`, else `ERR: ` and what was wrong.
    pub result_code: String,
    /// The rows of a request with `sqlString`, present only when OK; no rows: an empty list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Vec<R>>,
    /// The columns of `result`, in the query's order; absent where the statement returns no rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Column>,
    /// Rows matched by a write, returned by a read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_affected: Option<u64>,
    /// The results of a request with `statements`, one each, present only when OK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<Vec<StatementResult<R>>>,
    /// ALL: the request's own offset. ONE: the offset that the node had applied when it read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<Offset>,
    /// The first 8 bytes of the chain at `offset`, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// What the node is in the cluster, and of how many.
    pub members: Members,
    /// Why the request was refused, present only when not OK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ResponseError>,
    /// The request was executed before and its rows were not kept: it took effect, but what it returned is gone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub result_gone: bool,
    /// Which part of the answer this is, counted from 0; absent: the answer is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
    /// No part follows.
    #[serde(default, skip_serializing_if = "is_false")]
    pub last_part: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// The topic that a request came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RequestTopic {
    /// Executed by every node.
    All,
    /// Executed by one node.
    One,
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The name by which rows hold the column: unique within the result.
    pub name: String,
    /// The type's name in the DBMS.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// What one statement of a list did.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "R: Deserialize<'de>"))]
pub struct StatementResult<R = Row> {
    /// The columns of `result`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Column>,
    /// The rows.
    #[serde(default)]
    pub result: Vec<R>,
    /// Rows matched by a write, returned by a read.
    pub rows_affected: u64,
}

/// The answering node's place in the cluster as of the answered record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// Rises with each change of members.
    pub version: u64,
    /// The answering node is a voter: its answer counts.
    pub voter: bool,
    /// How many voters there are; 0 before the first has joined.
    pub voters: u32,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseError {
    /// Kluster's own code, the same on all DBMS.
    pub code: ErrorCode,
    /// The DBMS's SQLSTATE, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql_state: Option<String>,
    /// What was wrong, in the DBMS's words or ours.
    pub message: String,
    /// Where in the statement, in characters from 1, where the DBMS tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// Which of `statements` failed, counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement_index: Option<u32>,
}

impl<R> Response<R> {
    /// The `resultCode` of success.
    pub const OK: &'static str = "OK";

    /// The request was executed and not refused.
    pub fn is_ok(&self) -> bool {
        self.result_code == Self::OK
    }

    /// The answer needs no other part to be whole.
    pub fn is_whole(&self) -> bool {
        self.part.is_none() || (self.part == Some(0) && self.last_part)
    }
}

impl ResponseError {
    /// An error without SQLSTATE and place.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, sql_state: None, message: message.into(), position: None, statement_index: None }
    }

    /// The `resultCode` of a response that carries this error.
    pub fn result_code(&self) -> String {
        format!("ERR: {}", self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_keeps_its_published_form() {
        let ok = r##"{"messageId":"a1","nodeId":"n1","requestId":"r4","requestTopic":"ALL","resultCode":"OK","result":[{"id":1,"id#2":null}],"columns":[{"name":"id","type":"int4"},{"name":"id#2","type":"text"}],"rowsAffected":1,"offset":17,"chain":"00ff00ff00ff00ff","members":{"version":3,"voter":true,"voters":3}}"##;
        let err = r#"{"messageId":"a2","nodeId":"n1","requestId":"@18","requestTopic":"ONE","resultCode":"ERR: no","members":{"version":0,"voter":false,"voters":0},"error":{"code":"unique_violation","sqlState":"23505","message":"no","position":3,"statementIndex":1}}"#;
        let part = r#"{"messageId":"a3","nodeId":"n1","requestId":"r5","requestTopic":"ALL","resultCode":"OK","results":[{"result":[],"rowsAffected":2}],"members":{"version":0,"voter":false,"voters":0},"resultGone":true,"part":2,"lastPart":true}"#;
        for json in [ok, err, part] {
            let response: Response = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&response).unwrap(), json);
        }
    }
}
