//! Result: what a read says, as it becomes the parts of one answer on their way out.

use super::OneLane;
use crate::answer::{Answered, Destination, Sender};
use crate::dbms::{ReadEvent, StateRow};
use crate::fault::Refusal;
use crate::plan::members;
use crate::state::State;
use kluster_protocol::{
    Column, ErrorCode, MAX_ROW_BYTES, Members, MessageId, PART_BYTES, RequestTopic, Response, ResponseError,
    StatementResult,
};
use serde_json::value::RawValue;

/// A result as it is built from what the read says.
pub(super) struct Building {
    list: bool,
    snapshot: Option<State>,
    results: Vec<StatementResult<Box<RawValue>>>,
    bytes: usize,
}

impl Building {
    pub(super) fn new(list: bool) -> Self {
        Self { list, snapshot: None, results: Vec::new(), bytes: 0 }
    }

    /// Takes in what the read said; a part that is full is given out.
    pub(super) fn take(&mut self, event: ReadEvent) -> Result<Option<Self>, Refusal> {
        match event {
            ReadEvent::Snapshot(row) => self.snapshot = row.map(parse).transpose()?,
            ReadEvent::Columns(columns) => {
                self.results.push(StatementResult { columns, result: Vec::new(), rows_affected: 0 })
            }
            ReadEvent::Row(row) => return self.row(row),
            ReadEvent::Done { rows } => {
                if let Some(result) = self.results.last_mut() {
                    result.rows_affected = rows;
                }
            }
        }
        Ok(None)
    }

    fn row(&mut self, row: Box<RawValue>) -> Result<Option<Self>, Refusal> {
        if row.get().len() > MAX_ROW_BYTES {
            let message = format!("a row has more than {MAX_ROW_BYTES} bytes; select less of it at once");
            return Err(ResponseError::new(ErrorCode::ResultTooLarge, message));
        }
        self.bytes += row.get().len() + 1;
        if let Some(result) = self.results.last_mut() {
            result.result.push(row);
        }
        Ok((self.bytes >= PART_BYTES).then(|| self.split()))
    }

    /// Gives out the rows so far, and goes on with the same columns.
    fn split(&mut self) -> Self {
        let heads = self.results.iter().map(|result| StatementResult {
            columns: result.columns.clone(),
            result: Vec::new(),
            rows_affected: result.rows_affected,
        });
        let next = Self { list: self.list, snapshot: self.snapshot.clone(), results: heads.collect(), bytes: 0 };
        std::mem::replace(self, next)
    }
}

fn parse(row: StateRow) -> Result<State, Refusal> {
    serde_json::from_str(&row.state).map_err(|error| {
        ResponseError::new(ErrorCode::Unavailable, format!("this node's state row cannot be read: {error}"))
    })
}

/// One execution's answer on its way out: whole, or in parts under one `messageId`.
pub(super) struct Out {
    sender: Sender,
    to: Destination,
    base: Answered,
    parts: u32,
}

impl Out {
    pub(super) fn new(lane: &OneLane, request_id: &str, to: Destination) -> Self {
        let base = Answered {
            message_id: MessageId::fresh(),
            node_id: lane.node.clone(),
            request_id: request_id.to_owned(),
            request_topic: RequestTopic::One,
            result_code: Response::<()>::OK.to_owned(),
            result: None,
            columns: Vec::<Column>::new(),
            rows_affected: None,
            results: None,
            offset: None,
            chain: None,
            members: Members { version: 0, voter: false, voters: 0 },
            error: None,
            result_gone: false,
            part: None,
            last_part: false,
        };
        Self { sender: lane.sender.clone(), to, base, parts: 0 }
    }

    /// Rows have left already.
    pub(super) fn began(&self) -> bool {
        self.parts > 0
    }

    pub(super) async fn part(&mut self, built: Building, last: bool) {
        let mut response = self.base.clone();
        if let Some(state) = &built.snapshot {
            response.offset = Some(state.applied);
            response.chain = Some(state.chain.short());
            response.members = members(state);
        }
        if built.list {
            response.results = Some(built.results);
        } else if let Some(result) = built.results.into_iter().next() {
            response.columns = result.columns;
            response.rows_affected = last.then_some(result.rows_affected);
            response.result = Some(result.result);
        }
        if self.parts > 0 || !last {
            response.part = Some(self.parts);
            response.last_part = last;
        }
        self.parts += 1;
        self.send(response).await;
    }

    pub(super) async fn refuse(&mut self, refusal: Refusal) {
        let mut response = Answered { result_code: refusal.result_code(), error: Some(refusal), ..self.base.clone() };
        if self.parts > 0 {
            response.part = Some(self.parts);
            response.last_part = true;
        }
        self.send(response).await;
    }

    async fn send(&self, response: Answered) {
        if let Err(error) = self.sender.send(&response, &self.to).await {
            tracing::error!(%error, request_id = response.request_id, "an answer to ONE could not be sent");
        }
    }
}
