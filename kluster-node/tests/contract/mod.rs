//! The contract of the DBMS adapters, as cases that every adapter passes: what the ALL lane and the ONE lane rely on.
//!
//! A test file of one DBMS implements [`Place`] for its server and calls [`cases!`]; what only one DBMS has stays in its own file.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use kluster_node::dbms::{
    Dbms, DbmsSettings, Finish, How, OutcomeRow, Ran, Read, ReadError, ReadEvent, Reads, StateRow, Work, WorkStatement,
};
use kluster_node::fault::Fault;
use kluster_node::rows::Rows;
use kluster_protocol::{Cells, ErrorCode, Offset, Param};
use kluster_sql::Dialect;
use serde_json::{Value, json};
use std::time::Duration;

mod batches;
mod order;
mod reads;
mod snapshots;
mod statements;
mod surroundings;

pub use batches::*;
pub use order::*;
pub use reads::*;
pub use snapshots::*;
pub use statements::*;
pub use surroundings::*;

/// A DBMS with one empty database of its own.
pub trait Place {
    /// How to reach it; every call names the same database.
    fn settings(&self) -> DbmsSettings;
}

/// Makes one test of each case; `$start` is an async function that returns a [`Place`].
#[macro_export]
macro_rules! cases {
    ($start:path) => {
        $crate::cases!($start:
            remembers_state_and_outcomes,
            prunes_outcomes_and_kept_rows,
            claim_raises_on_another_predecessor,
            a_second_node_is_kept_away,
            a_refused_work_leaves_its_neighbours,
            mistakes_have_the_same_codes_everywhere,
            statements_of_one_work_stand_and_fall_together,
            rows_matched_are_counted,
            params_of_every_json_kind_arrive,
            a_number_keeps_its_digits_or_is_refused,
            typed_cells_name_the_type_of_each_value,
            returned_rows_come_in_column_order,
            large_results_spool_and_too_large_ones_are_refused,
            an_abandoned_batch_is_rolled_back,
            an_empty_batch_advances,
            schema_changes_are_seen_at_once,
            the_order_of_rows_decides_nothing,
            reads_see_one_snapshot_and_say_its_offset,
            reads_do_not_write,
            reads_stream_a_million_rows,
            reads_end_in_time,
            reads_end_when_nobody_waits,
            recovered_sessions_go_on,
            a_snapshot_keeps_its_offset_while_others_are_applied,
            sums_tell_unlike_rows_and_schemas_apart,
            a_dropped_snapshot_gives_way_to_schema_changes,
            surroundings_are_those_of_the_server,
        );
    };
    ($start:path: $($case:ident,)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let place = $start().await;
            contract::$case(&place).await;
        })+
    };
}

// What the cases are said in.

/// The offset with this number.
pub fn at(offset: u64) -> Offset {
    Offset::new(offset)
}

/// A statement without params.
pub fn statement(sql: &str) -> WorkStatement {
    WorkStatement {
        sql: sql.into(),
        params: Vec::new(),
        expect_rows: None,
        cells: Cells::Plain,
        edits: Default::default(),
        wants: Vec::new(),
    }
}

/// A work of one statement that may share its transaction.
pub fn work(offset: u64, sql: &str) -> Work {
    work_of(offset, vec![statement(sql)])
}

/// A work of one statement with params.
pub fn bound(offset: u64, sql: &str, params: Value) -> Work {
    let params = params.as_array().unwrap().iter().cloned().map(Param::from).collect();
    work_of(offset, vec![WorkStatement { params, ..statement(sql) }])
}

/// A work of these statements.
pub fn work_of(offset: u64, statements: Vec<WorkStatement>) -> Work {
    Work { offset: at(offset), time_ms: 0, how: How::Batched, statements, max_result_bytes: 1 << 30 }
}

/// A work that changes the schema.
pub fn ddl(db: &Dbms, offset: u64, sql: &str) -> Work {
    let how = match db.dialect() {
        Dialect::MariaDb => How::SelfCommitting,
        Dialect::Postgres | Dialect::Sqlite => How::Alone,
    };
    Work { how, ..work(offset, sql) }
}

/// What a batch that ends at `applied` writes, without outcomes.
pub fn finish(predecessor: Option<u64>, applied: u64) -> Finish {
    Finish {
        predecessor: predecessor.map(at),
        applied: at(applied),
        state: json!({"applied": applied}).to_string(),
        outcomes: None,
        prune_below: None,
        drop_rows_below: None,
    }
}

/// Runs and commits a batch behind whatever is applied.
pub async fn apply(db: &mut Dbms, works: &[Work]) -> Vec<Ran> {
    let predecessor = db.load().await.unwrap().map(|row| row.applied.get());
    let ran = db.run(predecessor.map(at), works).await.unwrap();
    let applied = works.last().map_or(predecessor.unwrap_or_default() + 1, |work| work.offset.get());
    assert_eq!(db.commit(&finish(predecessor, applied)).await, Ok(None));
    ran
}

/// Opens the place with one table `t (id, name)`, at offset 0.
pub async fn open(place: &impl Place) -> Dbms {
    let mut db = Dbms::open(&place.settings()).await.unwrap();
    let create = ddl(&db, 0, "create table t (id integer primary key, name varchar(200))");
    assert!(apply(&mut db, &[create]).await[0].is_ok());
    db
}

/// Runs one work in a batch of its own.
pub async fn one(db: &mut Dbms, work: Work) -> Ran {
    apply(db, &[work]).await.remove(0)
}

/// The rows of a result.
pub fn rows(rows: Rows) -> Vec<Value> {
    rows.into_rows().unwrap().map(|row| serde_json::from_str(row.unwrap().get()).unwrap()).collect()
}

/// The rows that a statement returns.
pub async fn query(db: &mut Dbms, offset: u64, sql: &str) -> Vec<Value> {
    rows(one(db, work(offset, sql)).await.unwrap().remove(0))
}

/// The code that a work was refused with.
pub fn code(ran: &Ran) -> Option<ErrorCode> {
    ran.as_ref().err().map(|refusal| refusal.code)
}

/// A read of one statement.
pub fn read_of(sql: &str) -> Read {
    Read { statements: vec![statement(sql)], timeout: Duration::from_secs(60) }
}

/// Everything a read says, and how it ended.
pub async fn read(reads: &Reads, read: &Read) -> (Vec<ReadEvent>, Result<(), ReadError>) {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(16);
    let said = async {
        let mut events = Vec::new();
        while let Some(event) = receiver.recv().await {
            events.push(event);
        }
        events
    };
    let ended = async {
        let ended = reads.read(read, &sender).await;
        drop(sender);
        ended
    };
    tokio::join!(said, ended)
}

/// The code that a read was refused with.
pub fn refused_read(ended: &Result<(), ReadError>) -> Option<ErrorCode> {
    match ended {
        Err(ReadError::Refused(refusal)) => Some(refusal.code),
        _ => None,
    }
}

/// SQL that returns the integers from 1 to `count` as `i`.
pub fn numbers(db: &Dbms, count: u64) -> String {
    match db.dialect() {
        Dialect::Postgres => format!("select i from generate_series(1, {count}) as s(i)"),
        Dialect::MariaDb => format!("select seq as i from seq_1_to_{count}"),
        Dialect::Sqlite => {
            format!("with recursive s(i) as (select 1 union all select i + 1 from s where i < {count}) select i from s")
        }
    }
}
