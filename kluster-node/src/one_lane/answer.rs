//! Answer: what becomes of one record of ONE: admitted, made to wait for its offset, read, answered.

use super::OneLane;
use super::result::{Building, Out};
use super::taken::Asked;
use crate::admit::{by_rule, check_params};
use crate::dbms::{Read, ReadError, WorkStatement};
use crate::fault::Refusal;
use kluster_protocol::{Body, ErrorCode, Offset, Request, ResponseError};
use kluster_sql::{Dialect, Edits};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A read may take this long, waiting included, unless it asks for less.
const TIME: Duration = Duration::from_secs(30);

/// A read whose connection was lost before its first row is tried this often.
const TRIES: u32 = 3;

impl OneLane {
    /// Answers one record of ONE.
    pub(super) async fn answer(&self, asked: &Asked) {
        let mut out = Out::new(self, &asked.id, asked.to.clone());
        let answering = async {
            match &asked.request {
                Ok(request) => self.execute(request, &mut out).await,
                Err(bad) => {
                    let code = if bad.too_large { ErrorCode::TooLarge } else { ErrorCode::BadRequest };
                    Err(ResponseError::new(code, bad.reason.clone()))
                }
            }
        };
        let result = tokio::select! {
            biased;
            // A read that is dropped is ended in the database.
            () = asked.ended.cancelled() => Err(given_up()),
            result = answering => result,
        };
        if let Err(refusal) = result {
            out.refuse(refusal).await;
        }
    }

    async fn execute(&self, request: &Request, out: &mut Out) -> Result<(), Refusal> {
        let statements = admitted(self.dialect, request)?;
        let time = request.timeout_ms.map_or(TIME, Duration::from_millis).min(TIME);
        let deadline = Instant::now() + time;
        self.wait_for(request.min_offset, deadline).await?;
        let list = matches!(request.body, Body::List { .. });
        let mut tries = 1;
        loop {
            let timeout = deadline.saturating_duration_since(Instant::now());
            let read = Read { statements: statements.clone(), timeout };
            match tokio::time::timeout_at(deadline, self.read(&read, list, out)).await {
                Err(_) => return Err(timed_out(time)),
                Ok(Ok(())) => return Ok(()),
                Ok(Err(ReadError::Refused(refusal))) => return Err(refusal),
                Ok(Err(ReadError::Lost(_))) if tries < TRIES && !out.began() => tries += 1,
                Ok(Err(error)) => return Err(ResponseError::new(ErrorCode::Unavailable, error.to_string())),
            }
        }
    }

    /// Waits until the ALL lane has applied `min`.
    async fn wait_for(&self, min: Option<Offset>, deadline: Instant) -> Result<(), Refusal> {
        let Some(min) = min else { return Ok(()) };
        let mut status = self.status.watch();
        let reached = status.wait_for(|now| now.applied >= Some(min));
        match tokio::time::timeout_at(deadline, reached).await {
            Ok(_) => Ok(()),
            Err(_) => {
                let applied =
                    self.status.now().applied.map_or("nothing".to_owned(), |applied| format!("offset {applied}"));
                let message =
                    format!("this node has applied {applied}, not yet {min}; ask again, another node may be further");
                Err(ResponseError::new(ErrorCode::NotYet, message))
            }
        }
    }

    /// Executes the read while its rows leave.
    async fn read(&self, read: &Read, list: bool, out: &mut Out) -> Result<(), ReadError> {
        let (events, said) = mpsc::channel(256);
        let reading = async {
            let result = self.reads.read(read, &events).await;
            drop(events);
            result
        };
        let answering = async {
            // Owned, so that a refused row closes the channel and ends the read.
            let mut said = said;
            let mut result = Building::new(list);
            while let Some(event) = said.recv().await {
                if let Some(full) = result.take(event)? {
                    out.part(full, false).await;
                }
            }
            Ok::<_, Refusal>(result)
        };
        let (read, built) = tokio::join!(reading, answering);
        let built = built.map_err(ReadError::Refused)?;
        read?;
        out.part(built, true).await;
        Ok(())
    }
}

fn given_up() -> Refusal {
    ResponseError::new(ErrorCode::Cancelled, "the read was ended by the client that sent it".to_owned())
}

fn timed_out(time: Duration) -> Refusal {
    let message = format!("the read took longer than {} ms; ask for less, or allow more time", time.as_millis());
    ResponseError::new(ErrorCode::TimedOut, message)
}

fn admitted(dialect: Dialect, request: &Request) -> Result<Vec<WorkStatement>, Refusal> {
    let many = request.statements().len() > 1;
    let statements = request.statements().iter().enumerate().map(|(index, statement)| {
        let named = |refusal: Refusal| Refusal { statement_index: many.then_some(index as u32), ..refusal };
        let verdict =
            kluster_sql::admit_read(dialect, &statement.sql_string).map_err(|refusal| named(by_rule(refusal)))?;
        check_params(statement, verdict.params as usize).map_err(named)?;
        let (params, expect_rows) = (statement.params.clone(), statement.expect_rows);
        let (sql, cells) = (verdict.sql.into_owned(), request.cells);
        Ok(WorkStatement { sql, params, expect_rows, cells, edits: Edits::default(), wants: Vec::new() })
    });
    statements.collect()
}
