//! Net: what a request changed in the end, as a digest, summed up from the row changes that the server's log holds of it.
//!
//! Neighbours: `follower` feeds it; `decoded` takes the lines apart.
//!
//! Between nodes only the end of a request is the same: a trigger that adds each new row to a total leaves other totals in between where the rows come in
//! another order. So of each row only its last state counts, known by its primary key (or replica identity).
//!
//! Invariants: the digest does not depend
//! 1. on the order of changes to different rows;
//! 2. on the states of a row in between, nor on rows that were inserted and deleted again;
//! 3. on whether a value is stored apart from its row ([`super::decoded::Column::is_always_seen`]): of a row that was updated, only values that the log always holds count.
//!
//! A table without a key gives no way to know a row again: its rows count where the request does nothing but insert into it. A request that touches more
//! than [`MOST`] rows counts nothing; which nodes reach that bound depends on the rows alone.

use super::decoded::{Column, Happened, RowChange, Value};
use kluster_protocol::{ChangedRow, Effects};
use std::collections::HashMap;

/// The rows of one request that are known again: some 10 MB.
pub const MOST: usize = 100_000;

/// The columns that identify a row of a table, quoted where needed; empty: none do.
pub type Key = Vec<Vec<u8>>;

/// The changes of one request.
#[derive(Debug, Default)]
pub struct Net {
    rows: HashMap<Effects, Touched>,
    keyless: HashMap<Vec<u8>, Keyless>,
    truncated: Effects,
    too_many: bool,
    form: ChangedRow,
}

/// A row that was changed.
#[derive(Debug)]
struct Touched {
    /// It was there before the request.
    before: bool,
    /// Its last state; none: it is gone.
    now: Option<Effects>,
}

/// A table without a key.
#[derive(Debug, Default)]
struct Keyless {
    inserted: Effects,
    /// Rows were changed in a way that cannot be followed.
    disturbed: bool,
}

impl Net {
    /// A row was changed.
    pub fn row(&mut self, change: &RowChange<'_>, key: &Key) {
        if self.too_many || self.keyless.get(change.table).is_some_and(|table| table.disturbed) {
            return;
        }
        let known = match key.is_empty() {
            true => None,
            false => self.keyed(change, key),
        };
        if known.is_none() {
            self.keyless(change);
        }
        self.too_many |= self.rows.len() > MOST;
    }

    /// A change of a table with a key; none: the line does not say which row it is.
    fn keyed(&mut self, change: &RowChange<'_>, key: &Key) -> Option<()> {
        let form = &mut self.form;
        let old = row_of(form, change, key, &[&change.old]);
        match change.happened {
            Happened::Delete => {
                self.rows.entry(old?).or_insert(Touched { before: true, now: None }).now = None;
            }
            Happened::Insert => {
                let row = row_of(form, change, key, &[&change.new])?;
                let now = image(form, change, key, |_| true);
                self.rows.entry(row).or_insert(Touched { before: false, now }).now = now;
            }
            Happened::Update => {
                let row = row_of(form, change, key, &[&change.new, &change.old])?;
                let now = image(form, change, key, |column| column.is_always_seen());
                let moved = old.filter(|old| *old != row);
                if let Some(old) = moved {
                    self.rows.entry(old).or_insert(Touched { before: true, now: None }).now = None;
                }
                self.rows.entry(row).or_insert(Touched { before: moved.is_none(), now }).now = now;
            }
        }
        Some(())
    }

    fn keyless(&mut self, change: &RowChange<'_>) {
        let inserted = match change.happened {
            Happened::Insert => image(&mut self.form, change, &Key::new(), |_| true),
            Happened::Update | Happened::Delete => None,
        };
        let table = self.keyless.entry(change.table.to_vec()).or_default();
        match inserted {
            Some(inserted) => table.inserted += inserted,
            None => table.disturbed = true,
        }
    }

    /// A table was emptied. What was done to it before cannot be told from what comes after.
    pub fn truncated(&mut self, table: &[u8]) {
        self.truncated += self.form.truncated(&String::from_utf8_lossy(table)).effects();
        self.keyless.entry(table.to_vec()).or_default().disturbed = true;
    }

    /// The digest of what was changed in the end.
    pub fn effects(self) -> Effects {
        if self.too_many {
            return Effects::NONE;
        }
        let gone = |row: Effects| Effects::from(!u128::from_be_bytes(row.to_bytes()));
        let rows = self.rows.into_iter().map(|(row, touched)| match touched {
            Touched { now: Some(now), .. } => now,
            Touched { now: None, before: true } => gone(row),
            Touched { now: None, before: false } => Effects::NONE,
        });
        let keyless = self.keyless.into_values().filter(|table| !table.disturbed).map(|table| table.inserted);
        rows.chain(keyless).sum::<Effects>() + self.truncated
    }
}

/// Names a row by table and key, from the first of the tuples that has each column of it.
fn row_of(form: &mut ChangedRow, change: &RowChange<'_>, key: &Key, tuples: &[&[Column<'_>]]) -> Option<Effects> {
    let form = form.deleted(&String::from_utf8_lossy(change.table));
    for name in key {
        let values = tuples.iter().filter_map(|tuple| tuple.iter().find(|column| column.name == name));
        let value = values.map(|column| column.value).find(|value| *value != Value::Unchanged)?;
        put(form, name, value);
    }
    Some(form.effects())
}

/// A row's new values, but those that do not count; the key's always do.
fn image(
    form: &mut ChangedRow,
    change: &RowChange<'_>,
    key: &Key,
    counts: impl Fn(&Column<'_>) -> bool,
) -> Option<Effects> {
    let table = String::from_utf8_lossy(change.table);
    let form = match change.happened {
        Happened::Insert => form.inserted(&table),
        Happened::Update | Happened::Delete => form.updated(&table),
    };
    for column in change.new.iter().filter(|column| counts(column) || key.iter().any(|name| name == column.name)) {
        let value = match column.value {
            // A key that is stored apart is in the old values.
            Value::Unchanged => change.old.iter().find(|old| old.name == column.name)?.value,
            value => value,
        };
        put(form, column.name, value);
    }
    Some(form.effects())
}

fn put(form: &mut ChangedRow, name: &[u8], value: Value<'_>) {
    form.text(name);
    match value {
        Value::Null => form.null(),
        Value::Unchanged => form.unseen(),
        Value::Text(text) => form.text(text),
    };
}

#[cfg(test)]
mod tests {
    use super::super::decoded::{Line, read};
    use super::*;

    fn net(lines: &[&str], key: &[&str]) -> Effects {
        let key: Key = key.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut net = Net::default();
        for line in lines {
            match read(line.as_bytes()) {
                Line::Row(change) => net.row(&change, &key),
                Line::Truncate(tables) => tables.into_iter().for_each(|table| net.truncated(table)),
                other => panic!("{other:?}"),
            }
        }
        net.effects()
    }

    const LONG: &str = "'a text of more than twenty bytes'";

    #[test]
    fn only_the_last_state_of_a_row_counts() {
        let total = |n: u32| format!("table public.total: UPDATE: id[integer]:1 n[integer]:{n}");
        let (one, three, five, six) = (total(1), total(3), total(5), total(6));
        assert_eq!(net(&[&one, &three, &six], &["id"]), net(&[&three, &five, &six], &["id"]));
        assert_ne!(net(&[&one, &three], &["id"]), net(&[&three, &one], &["id"]));
        let other = "table public.total: UPDATE: id[integer]:2 n[integer]:6";
        assert_ne!(net(&[&six], &["id"]), net(&[other], &["id"]));
        assert_eq!(net(&[&six, other], &["id"]), net(&[other, &six], &["id"]));
    }

    #[test]
    fn rows_that_came_and_went_count_for_nothing_and_deleted_ones_do() {
        let insert = "table public.t: INSERT: id[integer]:1 a[integer]:7";
        let update = "table public.t: UPDATE: id[integer]:1 a[integer]:8";
        let delete = "table public.t: DELETE: id[integer]:1";
        assert_eq!(net(&[insert, update, delete], &["id"]), Effects::NONE);
        assert!(!net(&[delete], &["id"]).is_none());
        assert_eq!(net(&[update, delete], &["id"]), net(&[delete], &["id"]));
        assert_ne!(net(&[delete, insert], &["id"]), net(&[delete], &["id"]));
    }

    #[test]
    fn a_row_that_gets_another_key_is_gone_under_the_old_one() {
        let moved = "table public.t: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 a[integer]:7";
        let back = "table public.t: UPDATE: old-key: id[integer]:2 new-tuple: id[integer]:1 a[integer]:7";
        let stays = "table public.t: UPDATE: id[integer]:1 a[integer]:7";
        assert_ne!(net(&[moved], &["id"]), net(&["table public.t: UPDATE: id[integer]:2 a[integer]:7"], &["id"]));
        assert_eq!(net(&[moved, back], &["id"]), net(&[stays], &["id"]));
    }

    #[test]
    fn whether_an_unchanged_value_is_stored_apart_does_not_count() {
        let inside = format!("table public.t: UPDATE: id[integer]:1 a[integer]:7 b[text]:{LONG}");
        let apart = "table public.t: UPDATE: id[integer]:1 a[integer]:7 b[text]:unchanged-toast-datum";
        assert_eq!(net(&[&inside], &["id"]), net(&[apart], &["id"]));
        let short = |b: &str| net(&[&format!("table public.t: UPDATE: id[integer]:1 b[text]:'{b}'")], &["id"]);
        assert_ne!(short("x"), short("y"));
        let inserted = |b: &str| net(&[&format!("table public.t: INSERT: id[integer]:1 b[text]:{b}")], &["id"]);
        assert_ne!(inserted(LONG), inserted("'another text of more than twenty bytes'"));
        // A key stored apart is repeated among the old values.
        let kept = format!(
            "table public.t: UPDATE: old-key: k[text]:{LONG} new-tuple: k[text]:unchanged-toast-datum a[integer]:1"
        );
        let plain = format!("table public.t: UPDATE: k[text]:{LONG} a[integer]:1");
        assert_eq!(net(&[&kept], &["k"]), net(&[&plain], &["k"]));
    }

    #[test]
    fn without_a_key_rows_count_where_they_are_only_inserted() {
        let (one, two) = ("table public.l: INSERT: a[integer]:1", "table public.l: INSERT: a[integer]:2");
        assert_eq!(net(&[one, two], &[]), net(&[two, one], &[]));
        assert_ne!(net(&[one, one], &[]), net(&[one], &[]));
        let update = "table public.l: UPDATE: a[integer]:3";
        assert_eq!(net(&[one, update], &[]), Effects::NONE);
        assert_eq!(net(&[update, one], &[]), Effects::NONE);
        assert_eq!(net(&["table public.l: DELETE: (no-tuple-data)"], &["a"]), Effects::NONE);
    }

    #[test]
    fn an_emptied_table_counts_by_its_name() {
        let truncate = "table public.a, public.b: TRUNCATE: (no-flags)";
        assert_eq!(net(&[truncate], &[]), net(&["table public.b, public.a: TRUNCATE: cascade"], &[]));
        assert_ne!(net(&[truncate], &[]), net(&["table public.a: TRUNCATE: (no-flags)"], &[]));
    }

    #[test]
    fn a_request_of_very_many_rows_counts_nothing() {
        let lines: Vec<_> = (0..=MOST).map(|n| format!("table public.t: INSERT: id[integer]:{n}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert!(!net(&lines[1..], &["id"]).is_none());
        assert!(net(&lines, &["id"]).is_none());
    }
}
