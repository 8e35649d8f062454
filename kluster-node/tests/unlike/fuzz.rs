//! Statements drawn from a DBMS's own lists of functions and kinds of statements, executed by two nodes whose databases hold the same rows and are unlike
//! otherwise. No statement may stop a node, and where the tables differ then, outcomes or effects must differ at that very statement.

use crate::functions::{Form, Function, listed};
use crate::home::{Home, Server};
use crate::node::Node;
use crate::record::{asks, rows};
use crate::statements::{TABLES, drawn, schema};
use kluster_log::Record;
use kluster_protocol::{Offset, Request};
use kluster_sql::Dialect;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Calls of functions that are executed before the tables are compared.
const BLOCK: usize = 40;
/// Statements after which the tables are filled anew.
const REFILL: usize = 12;
/// Rows of a filled table.
const ROWS: usize = 24;

/// What a run came to.
#[derive(Debug, Default)]
pub struct Tally {
    /// Statements that both nodes executed or refused.
    pub statements: usize,
    /// Of these, those that were executed.
    pub done: usize,
    /// Functions of the catalog.
    pub functions: usize,
    /// Functions of which a call was executed.
    pub called: BTreeSet<String>,
    /// Comparisons of all tables.
    pub compared: usize,
    /// Differences of the tables that outcomes or effects showed: the statements.
    pub noticed: Vec<String>,
    /// Differences that nothing showed.
    pub unnoticed: Vec<String>,
    /// Statements that would have stopped a node.
    pub stops: Vec<String>,
}

struct Fuzz<'a> {
    rng: StdRng,
    dialect: Dialect,
    servers: &'a [Server; 2],
    homes: [Home<'a>; 2],
    nodes: [Node; 2],
    /// The next offset.
    next: u64,
    tally: Tally,
}

/// Draws and executes this many statements.
pub async fn run(dialect: Dialect, seed: u64, count: usize) -> Tally {
    let servers = Server::pair(dialect, true).await;
    let mut functions = listed(&servers[0]).await;
    let mut rng = StdRng::seed_from_u64(seed);
    functions.shuffle(&mut rng);
    let (homes, nodes) = pair(&servers).await;
    let tally = Tally { functions: functions.len(), ..Tally::default() };
    let mut fuzz = Fuzz { rng, dialect, servers: &servers, homes, nodes, next: 0, tally };
    fuzz.begin().await;
    let mut functions = functions.iter().cycle();
    while fuzz.tally.statements < count && fuzz.tally.stops.len() < 20 {
        let calls: Vec<&Function> = functions.by_ref().take(BLOCK).collect();
        fuzz.calls(&calls).await;
        for _ in 0..REFILL {
            let sql = drawn(&mut fuzz.rng, dialect, fuzz.next);
            fuzz.block(&[sql]).await;
        }
        fuzz.refill().await;
    }
    for node in fuzz.nodes {
        node.close().await;
    }
    fuzz.tally
}

async fn pair(servers: &[Server; 2]) -> ([Home<'_>; 2], [Node; 2]) {
    let homes = [Home::new(&servers[0], 0).await, Home::new(&servers[1], 1).await];
    let nodes = [Node::open(homes[0].settings()).await, Node::open(homes[1].settings()).await];
    (homes, nodes)
}

impl Fuzz<'_> {
    async fn begin(&mut self) {
        let schema: Vec<Record> =
            schema(self.dialect).iter().enumerate().map(|(n, sql)| asks(self.next + n as u64, sql)).collect();
        self.next += schema.len() as u64;
        for node in &mut self.nodes {
            node.apply(&schema, || 1).await.unwrap();
        }
        self.refill().await;
    }

    /// Fills the tables with the same rows in unlike order, and lets the servers clean up unlike.
    async fn refill(&mut self) {
        let rows = rows(&mut self.rng, ROWS);
        for home in &self.homes {
            home.sql("delete from child; delete from archive; delete from result; delete from counted").await;
            home.fill("item", &rows).await;
            home.fill("loose", &rows).await;
        }
        let vacuumed = self.rng.random_range(0..3);
        if let Some(home) = self.homes.get(vacuumed) {
            home.vacuum("item").await;
        }
    }

    async fn calls(&mut self, functions: &[&Function]) {
        let next = self.next;
        let calls: Vec<String> = (next..).zip(functions).map(|(n, function)| self.call(function, n)).collect();
        let done = self.block(&calls).await;
        let called = functions.iter().zip(next..).filter(|(_, n)| done.contains(&Offset::new(*n)));
        self.tally.called.extend(called.map(|(function, _)| function.name.clone()));
    }

    fn call(&mut self, function: &Function, n: u64) -> String {
        let call = function.call(&mut self.rng, function.form != Form::Rows);
        let text = if self.dialect == Dialect::Postgres { "::text" } else { "" };
        let value = match function.form {
            Form::Scalar => {
                format!("({call}){text} from (select * from item order by id limit 3) as item")
            }
            Form::Rows => format!("x::text from {call} as x"),
            Form::Aggregate => format!("({call}){text} from loose group by grp"),
            Form::Window => format!("({call} over (order by due, id)){text} from item"),
        };
        format!("insert into result (n, v) select {n}, {value}")
    }

    /// Lets both nodes execute these statements and compares all that they hold; gives the offsets that were executed.
    async fn block(&mut self, statements: &[String]) -> BTreeSet<Offset> {
        let before = Offset::new(self.next - 1);
        let records: Vec<Record> = (self.next..).zip(statements).map(|(n, sql)| asks(n, sql)).collect();
        self.next += records.len() as u64;
        for n in 0..2 {
            let rng = &mut self.rng;
            if let Err(fault) = self.nodes[n].apply(&records, || rng.random_range(1..8)).await {
                let sql = self.nodes[n].rest(&records).first().map(sql_of).unwrap_or_default();
                self.tally.stops.push(format!("n{}: {fault:?}\n    {sql}", n + 1));
                self.anew().await;
                return BTreeSet::new();
            }
        }
        self.tally.statements += records.len();
        let [one, other] = &mut self.nodes;
        let outcomes = [one.outcomes(before.next()).await.unwrap(), other.outcomes(before.next()).await.unwrap()];
        let effects = [one.effects(before).await, other.effects(before).await];
        let came = |node: usize, at: &Offset| {
            outcomes[node].get(at).map(|outcome| (outcome.error.is_some(), outcome.counts.clone()))
        };
        let unlike = |at: &Offset| came(0, at) != came(1, at) || effects[0].get(at) != effects[1].get(at);
        let noticed: BTreeSet<Offset> = records.iter().map(|record| record.offset).filter(unlike).collect();
        let done: BTreeSet<Offset> =
            outcomes[0].values().filter(|outcome| outcome.error.is_none()).map(|outcome| outcome.offset).collect();
        self.tally.done += done.len();
        self.compare(&records, &noticed).await;
        done
    }

    async fn compare(&mut self, records: &[Record], noticed: &BTreeSet<Offset>) {
        self.tally.compared += 1;
        let mut unlike = BTreeMap::new();
        for table in TABLES {
            let rows = [self.nodes[0].table(table).await, self.nodes[1].table(table).await];
            if rows[0] != rows[1] {
                unlike.insert(table, rows);
            }
        }
        let chains = self.nodes[0].state.chain == self.nodes[1].state.chain;
        if unlike.is_empty() && noticed.is_empty() && chains {
            return;
        }
        let said = |record: &Record| noticed.contains(&record.offset);
        for record in records.iter().filter(|record| said(record)) {
            self.tally.noticed.push(sql_of(record));
        }
        for (table, [one, other]) in &unlike {
            let hidden: Vec<&Record> = match records {
                [alone] => [alone].into_iter().filter(|record| !said(record)).collect(),
                _ => records
                    .iter()
                    .filter(|record| !said(record) && rows_of(one, record) != rows_of(other, record))
                    .collect(),
            };
            for record in hidden {
                let rows = [rows_of(one, record), rows_of(other, record)];
                self.tally.unnoticed.push(format!("{}\n    {table}: {rows:?}", sql_of(record)));
            }
        }
        if unlike.is_empty() && noticed.is_empty() {
            self.tally.unnoticed.push("chains differ, and no outcome and no effect does".to_owned());
        }
        self.nodes[1].state.chain = self.nodes[0].state.chain;
        let running = self.nodes[0].state.effects.as_ref().map(|effects| effects.running);
        if let (Some(other), Some(running)) = (self.nodes[1].state.effects.as_mut(), running) {
            other.running = running;
        }
        self.refill().await;
    }

    /// Other databases, for a node of these has stopped.
    async fn anew(&mut self) {
        let (homes, nodes) = pair(self.servers).await;
        self.homes = homes;
        for node in std::mem::replace(&mut self.nodes, nodes) {
            node.close().await;
        }
        self.begin().await;
    }
}

fn sql_of(record: &Record) -> String {
    Request::parse(record.value.as_deref()).unwrap().statements()[0].sql_string.clone()
}

/// The rows that carry the number of the record, where the table has such numbers.
fn rows_of<'a>(rows: &'a [String], record: &Record) -> Vec<&'a String> {
    let number = record.offset.get();
    let of_record = |row: &&String| match serde_json::from_str::<Value>(row).unwrap().get("n") {
        Some(n) => n["value"].as_u64() == Some(number),
        None => true,
    };
    rows.iter().filter(of_record).collect()
}
