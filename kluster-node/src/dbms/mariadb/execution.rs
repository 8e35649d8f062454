//! Execution: one statement of a user, row by row.
//!
//! Neighbours: the batch of ALL and the reads of ONE drive it. Always by the prepared protocol, so that the server itself refuses more
//! than one statement in a text; a statement that cannot be prepared goes as text, and only if it has no params.

use super::errors::{self, NOT_PREPARABLE};
use super::params;
use super::session::Session;
use super::shape::{Protocol, Shape};
use crate::dbms::WorkStatement;
use crate::fault::{Fault, Refusal};
use crate::rows::Rows;
use errors::Stop;
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use kluster_protocol::{Cells, ChangedRow, Column, ErrorCode};
use kluster_sql::{Dialect, Lexer, Token};
use serde_json::value::RawValue;
use sqlx::mysql::{MySqlArguments, MySqlQueryResult, MySqlRow};
use sqlx::{AssertSqlSafe, Either, Executor, Row, SqlSafeStr, Statement};

type Stream<'s> = BoxStream<'s, Result<Either<MySqlQueryResult, MySqlRow>, sqlx::Error>>;

/// Why a statement was not sent, or not taken.
#[derive(Debug)]
pub enum Failed {
    /// By us: its params do not fit.
    Refused(Refusal),
    /// By the server, or the connection.
    Met(sqlx::Error),
}

/// A statement under way.
pub struct Execution<'s> {
    stream: Stream<'s>,
    shape: Shape,
    protocol: Protocol,
    /// Rows returned so far.
    returned: u64,
    /// Rows matched, as the server says at the end.
    matched: u64,
    cells: Cells,
    /// The first result set has ended; those behind it (of a CALL) are not shown.
    ended: bool,
}

impl<'s> Execution<'s> {
    /// Sends the statement.
    pub async fn start(session: &'s mut Session, statement: &WorkStatement) -> Result<Self, Failed> {
        let (sql, values) = params::translate(&statement.sql, &statement.params).map_err(Failed::Refused)?;
        let text = || AssertSqlSafe(sql.clone());
        let prepared = session.connection.prepare(text().into_sql_str()).await;
        let (stream, shape, protocol): (Stream<'s>, _, _) = match prepared {
            Ok(prepared) => {
                check_count(prepared.parameters(), &values, statement)?;
                let shape = Shape::of(prepared.columns(), statement.cells);
                (session.connection.fetch_many(sqlx::query_with(text(), values)), shape, Protocol::Binary)
            }
            Err(error) if errors::number(&error) == Some(NOT_PREPARABLE) && statement.params.is_empty() => {
                (session.connection.fetch_many(text()), Shape::default(), Protocol::Text)
            }
            Err(error) => return Err(Failed::Met(error)),
        };
        Ok(Self { stream, shape, protocol, cells: statement.cells, returned: 0, matched: 0, ended: false })
    }

    /// The next row.
    pub async fn next(&mut self) -> Result<Option<Box<RawValue>>, sqlx::Error> {
        while let Some(said) = self.stream.try_next().await? {
            match said {
                Either::Left(done) => {
                    self.matched = done.rows_affected();
                    self.ended = true;
                }
                Either::Right(row) if !self.ended => {
                    if self.returned == 0 {
                        // What was said when it was prepared may be older than the table is now, or know less about params.
                        self.shape = Shape::of(row.columns(), self.cells);
                    }
                    self.returned += 1;
                    return self.shape.row(&row, self.protocol).map(Some);
                }
                Either::Right(_) => {}
            }
        }
        Ok(None)
    }

    /// The columns, as far as is known: for certain once the first row or the end has come.
    pub fn columns(&self) -> &[Column] {
        &self.shape.columns
    }

    /// Rows returned, or matched by a statement that returns none.
    pub fn affected(&self) -> u64 {
        if self.shape.columns.is_empty() { self.matched } else { self.returned }
    }
}

fn check_count(
    wanted: Option<Either<&[sqlx::mysql::MySqlTypeInfo], usize>>,
    values: &MySqlArguments,
    statement: &WorkStatement,
) -> Result<(), Failed> {
    let wanted = wanted.map_or(0, |wanted| wanted.either(<[_]>::len, |count| count));
    match wanted == sqlx::Arguments::len(values) {
        true => Ok(()),
        false => Err(Failed::Refused(params::wrong_count(wanted, statement.params.len()))),
    }
}

/// Executes statement number `index` of its request and collects its rows, at most `budget` bytes of them, from which they are taken. The rows
/// that a statement returns of what it writes are digested; a read's are not, for which it shows of many may be left open.
pub async fn collect(
    session: &mut Session,
    statement: &WorkStatement,
    index: usize,
    budget: &mut u64,
    alone: bool,
) -> Result<Rows, Stop> {
    let started = Execution::start(session, statement).await;
    let mut execution = started.map_err(|failed| match failed {
        Failed::Refused(refusal) => Stop::Refused(refusal),
        Failed::Met(error) => errors::stop(error, alone),
    })?;
    let mut rows = Rows::default();
    let mut fits = true;
    let writes = returns_what_it_writes(&statement.sql);
    let mut form = ChangedRow::default();
    // Rows beyond the limit are read all the same: the connection is in step only behind the last one.
    while let Some(row) = execution.next().await.map_err(|error| errors::stop(error, alone))? {
        if writes {
            rows.effects += form.returned(index).text(row.get().as_bytes()).effects();
        }
        if fits {
            rows.push(row).map_err(|error| Fault::of_spool(&error))?;
            fits = rows.bytes() <= *budget;
        }
    }
    if !fits {
        return Err(Stop::Refused(too_large()));
    }
    *budget = budget.saturating_sub(rows.bytes());
    rows.affected = execution.affected();
    rows.columns = execution.columns().to_vec();
    check_rows(statement.expect_rows, rows.affected).map_err(Stop::Refused)?;
    Ok(rows)
}

/// INSERT, REPLACE and DELETE … RETURNING, and what a later version may add.
fn returns_what_it_writes(sql: &str) -> bool {
    let first = Lexer::new(Dialect::MariaDb, sql).map_while(Result::ok).find(|token| !token.is_blank());
    let is = |token: Token, word: &&str| token.text(sql).eq_ignore_ascii_case(word);
    first.is_some_and(|token| ["insert", "replace", "delete", "update"].iter().any(|word| is(token, word)))
}

/// Refuses where a statement matched or returned another number of rows than it was to.
pub fn check_rows(expected: Option<u64>, found: u64) -> Result<(), Refusal> {
    match expected {
        Some(expected) if expected != found => {
            Err(Refusal::new(ErrorCode::ExpectRows, format!("{found} rows where expectRows is {expected}")))
        }
        _ => Ok(()),
    }
}

fn too_large() -> Refusal {
    Refusal::new(
        ErrorCode::ResultTooLarge,
        "the result is larger than the cluster allows; ask for fewer rows, or for pages",
    )
}
