//! Rows: what one statement returned; and Done: what a request did.

use crate::answers::Answered;
use crate::parts::{RawResponse, RawRow};
use crate::{ClientError, decode};
use kluster_protocol::{Column, MessageId, NodeId, Offset, Row, StatementResult};
use serde::de::DeserializeOwned;

/// What one statement returned: rows as JSON text, in the query's order, decoded when asked.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// The columns, in the query's order; empty where the statement returns no rows.
    pub columns: Vec<Column>,
    /// The rows: each a JSON object of the columns' names, in the columns' order.
    pub json: Vec<RawRow>,
    /// Rows matched by a write, returned by a read.
    pub affected: u64,
}

impl Rows {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.json.len()
    }

    /// There is no row.
    pub fn is_empty(&self) -> bool {
        self.json.is_empty()
    }

    /// Every row as a `T`: a struct or map takes columns by name, a tuple by place, a single value the only column.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<Vec<T>, ClientError> {
        self.json.iter().map(decode_row).collect()
    }

    /// Every row as a JSON object.
    pub fn objects(&self) -> Result<Vec<Row>, ClientError> {
        self.decode()
    }
}

pub(crate) fn decode_row<T: DeserializeOwned>(row: &RawRow) -> Result<T, ClientError> {
    decode::row(row.get()).map_err(|error| {
        let kind = std::any::type_name::<T>();
        ClientError::Decode(format!("a row does not fit {kind}: {error}"))
    })
}

impl From<StatementResult<RawRow>> for Rows {
    fn from(result: StatementResult<RawRow>) -> Self {
        Self { columns: result.columns, json: result.result, affected: result.rows_affected }
    }
}

/// What a read gave, and as of when.
#[derive(Debug, Clone)]
pub struct Read {
    /// The rows.
    pub rows: Rows,
    /// The offset of ALL that the data are as of.
    pub offset: Option<Offset>,
    /// The node that read.
    pub node_id: NodeId,
}

impl Read {
    pub(crate) fn of(response: RawResponse) -> Self {
        let (offset, node_id) = (response.offset, response.node_id.clone());
        let rows = results(response).into_iter().next().unwrap_or_default();
        Self { rows, offset, node_id }
    }
}

/// What a request did: it is executed, in the order of the log, on every node.
#[derive(Debug, Clone)]
pub struct Done {
    /// The request's id.
    pub message_id: MessageId,
    /// Its place in ALL.
    pub offset: Option<Offset>,
    /// The nodes that answered, all alike.
    pub answered: Vec<Answered>,
    /// How many voters there were as of the request; 0 before the first has joined.
    pub voters: u32,
    /// An earlier attempt executed it, and what it returned was not kept; it took effect all the same.
    pub result_gone: bool,
    /// What each statement did: one for `execute`, as many as there are for a transaction, none if the result is gone.
    pub results: Vec<Rows>,
}

impl Done {
    pub(crate) fn of(message_id: MessageId, response: RawResponse, answered: Vec<Answered>) -> Self {
        let (offset, result_gone, voters) = (response.offset, response.result_gone, response.members.voters);
        Self { message_id, offset, answered, voters, result_gone, results: results(response) }
    }

    /// Rows matched, over all statements.
    pub fn rows_affected(&self) -> u64 {
        self.results.iter().map(|rows| rows.affected).sum()
    }

    /// What the first statement returned (RETURNING), each row as a `T`.
    pub fn fetch<T: DeserializeOwned>(&self) -> Result<Vec<T>, ClientError> {
        match self.results.first() {
            _ if self.result_gone => Err(ClientError::ResultGone),
            None => Ok(Vec::new()),
            Some(rows) => rows.decode(),
        }
    }
}

/// The results of a whole answer, one for each statement.
fn results(response: RawResponse) -> Vec<Rows> {
    match (response.results, response.result) {
        (Some(results), _) => results.into_iter().map(Rows::from).collect(),
        (None, json) => vec![Rows {
            columns: response.columns,
            json: json.unwrap_or_default(),
            affected: response.rows_affected.unwrap_or_default(),
        }],
    }
}
