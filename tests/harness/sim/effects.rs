//! Effects as the checker's model has them: from the rows of its tables before and after each request, which no node digests in that way.
//!
//! Neighbours: `checker` fills the model while it replays the log; `world` holds what nodes said against it.

use super::counts::Counts;
use kluster_log::MemoryLog;
use kluster_protocol::{
    ChangedRow, DIVERGED, Effects, EffectsDetail, ErrorClass, Heartbeat, Offset, SystemError, Topic,
};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// What each request changed.
#[derive(Default)]
pub struct Model {
    each: BTreeMap<u64, Effects>,
    running: BTreeMap<u64, Effects>,
    /// The digest of each table as it is.
    tables: HashMap<String, Effects>,
    /// The digest of each row that was ever seen.
    rows: HashMap<Vec<u8>, Effects>,
}

impl Model {
    /// The request at `offset` was executed, or had no effect: its statements, and the rows that each returned.
    pub fn executed(&mut self, database: &Connection, offset: u64, statements: &[(String, Vec<Value>)]) {
        let before: Effects = self.tables.values().copied().sum();
        let names = names(database);
        self.tables.retain(|name, _| names.contains(name));
        for name in names {
            // The other tables are as they were: the workload has no triggers and no cascades.
            let is_named = statements.iter().any(|(sql, _)| sql.contains(&name));
            if is_named || !self.tables.contains_key(&name) {
                let sum = self.table(database, &name);
                self.tables.insert(name, sum);
            }
        }
        let after: Effects = self.tables.values().copied().sum();
        let writes = |sql: &str| ["insert", "update", "delete"].iter().any(|word| sql.starts_with(word));
        let returned = statements.iter().enumerate().filter(|(_, (sql, _))| writes(sql));
        let returned: Effects = returned.flat_map(|(n, (_, rows))| rows.iter().map(move |row| of_row(n, row))).sum();
        let effects = after - before + returned;
        if !effects.is_none() {
            self.each.insert(offset, effects);
        }
        let running = self.running.last_key_value().map_or(Effects::NONE, |(_, running)| *running);
        self.running.insert(offset, running + effects.placed(Offset::new(offset)));
    }

    fn table(&mut self, database: &Connection, name: &str) -> Effects {
        let mut statement = database.prepare(&format!("select * from \"{name}\"")).expect("a table can be read");
        let columns = statement.column_count();
        let mut rows = statement.query([]).expect("a table can be read");
        let mut sum = Effects::NONE;
        while let Some(row) = rows.next().expect("a row can be read") {
            let (mut form, mut key) = (ChangedRow::default(), name.as_bytes().to_vec());
            form.inserted(name);
            for column in 0..columns {
                match row.get_ref(column).expect("a column of the row") {
                    ValueRef::Null => form.null(),
                    ValueRef::Integer(number) => form.integer(number),
                    ValueRef::Text(text) => form.text(text),
                    other => panic!("the workload stores no {other:?}"),
                };
                key.extend(format!("{:?},", row.get_ref(column)).into_bytes());
            }
            sum += *self.rows.entry(key).or_insert_with(|| form.effects());
        }
        sum
    }

    fn running_at(&self, offset: u64) -> Effects {
        self.running.range(..=offset).next_back().map_or(Effects::NONE, |(_, running)| *running)
    }

    /// Where a node said another digest than the model has; none of those that `count`.
    pub fn wrong(&self, log: &MemoryLog, counts: &Counts, count: impl Fn(&str) -> bool) -> Vec<String> {
        let mut wrong = Vec::new();
        for record in log.records(Topic::Nodes, 0) {
            let Some(value) = &record.value else { continue };
            if let Ok(EffectsDetail { node_id, after, through, each, .. }) = serde_json::from_slice(value) {
                let after = after.map_or(0, |after| after.get() + 1);
                let right = self.each.range(after..=through.get()).map(|(at, effects)| (Offset::new(*at), *effects));
                counts.met("effects of each offset published");
                if count(node_id.as_str()) && !right.eq(each.iter().copied()) {
                    wrong.push(format!("{node_id} published other effects than the model has: {each:?}"));
                }
                continue;
            }
            let Ok(beat) = serde_json::from_slice::<Heartbeat>(value) else { continue };
            let Some(effects) = beat.effects.filter(|_| count(beat.node_id.as_str())) else { continue };
            for point in effects.digests() {
                counts.met("running digests compared with the model");
                let right = self.running_at(point.offset.get());
                if point.running != right {
                    let (node, at, said) = (&beat.node_id, point.offset, point.running);
                    wrong.push(format!("{node} has the running digest {said} at {at}, the model {right}"));
                }
            }
        }
        wrong.dedup();
        wrong
    }

    /// A node that did something else published that, and stopped with the name of the first offset at which the model has other effects, unless a check
    /// found other tables before anybody's next heartbeat.
    pub fn named(&self, log: &MemoryLog, counts: &Counts, node: &str) -> Option<String> {
        let errors = log.records(Topic::Errors, 0).into_iter();
        let mut errors = errors.filter_map(|record| serde_json::from_slice::<SystemError>(&record.value?).ok());
        let named = |error: &SystemError| {
            let who = error.node_id.as_str() == node && error.class == ErrorClass::Fatal;
            who && error.code.as_deref() == Some(DIVERGED)
        };
        let said = errors.find(named);
        if said.as_ref().is_some_and(|error| error.message.starts_with("check ")) {
            counts.met("a check came first");
            return None;
        }
        let records = log.records(Topic::Nodes, 0).into_iter();
        let details = records.filter_map(|record| serde_json::from_slice::<EffectsDetail>(&record.value?).ok());
        let Some(detail) = details.filter(|detail| detail.node_id.as_str() == node).last() else {
            return Some(format!("{node} did not publish its effects"));
        };
        let each: BTreeMap<u64, Effects> = detail.each.iter().map(|(at, effects)| (at.get(), *effects)).collect();
        let range = detail.after.map_or(0, |after| after.get() + 1)..=detail.through.get();
        let first = range.into_iter().find(|at| each.get(at) != self.each.get(at));
        if first.is_none() || said.as_ref().and_then(|error| error.offset).map(Offset::get) != first {
            return Some(format!("{node} said {said:?}; its effects differ from {first:?} on"));
        }
        counts.met("first difference named");
        None
    }
}

/// What one returned row counts for; `n` is the number of its statement.
fn of_row(n: usize, row: &Value) -> Effects {
    let mut form = ChangedRow::default();
    form.returned(n);
    for value in row.as_object().expect("a row is an object").values() {
        match value {
            Value::Null => form.null(),
            Value::Number(number) => form.integer(number.as_i64().expect("the workload returns integers")),
            Value::String(text) => form.text(text.as_bytes()),
            other => panic!("the workload returns no {other}"),
        };
    }
    form.effects()
}

/// Every table but SQLite's own.
fn names(database: &Connection) -> Vec<String> {
    let sql = "select name from sqlite_schema where type = 'table' and name not like 'sqlite\\_%' escape '\\'";
    let mut statement = database.prepare(sql).expect("the schema can be read");
    let names = statement.query_map([], |row| row.get(0)).expect("the schema can be read");
    names.collect::<Result<_, _>>().expect("the schema can be read")
}
