//! Picture: what a check found, as a table, as JSON and as an exit code.
//!
//! Neighbours: `reports` says what each node said. Rows that are listed but the same on every node are left out here.

use super::reports::Reports;
use crate::error::AdminError;
use crate::output::{Output, Rows, Tone};
use crate::show;
use kluster_protocol::check::{CheckReport, CheckedRow, MAX_LISTED, Progress, differing};
use kluster_protocol::{CheckMark, NodeId};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A cell has at most so many characters on a screen.
const CELL: usize = 40;

/// What a check found.
pub(super) struct Picture {
    check: Option<CheckMark>,
    /// The check that came in the place of this one before every voter had done it.
    superseded_by: Option<CheckMark>,
    /// Each voter and what is said of it.
    voters: Vec<(NodeId, String, bool)>,
    tables: Vec<TableFound>,
    unlike: Vec<Unlike>,
}

struct TableFound {
    name: String,
    /// Rows on each node that has it.
    rows: BTreeMap<NodeId, u64>,
    verdict: Verdict,
}

enum Verdict {
    Equal,
    Differs,
    NotCompared(String),
}

/// The rows of a table that are not the same everywhere.
struct Unlike {
    table: String,
    columns: Vec<String>,
    key: Vec<usize>,
    nodes: Vec<NodeId>,
    /// For each key that differs, the rows of each node under it.
    groups: Vec<Vec<Vec<CheckedRow>>>,
    /// There are more than these, or there may be.
    more: bool,
}

impl Picture {
    pub(super) fn of(reports: &Reports, voters: &[NodeId], limit: usize) -> Self {
        let done: Vec<&CheckReport> = reports.newest().into_iter().filter(|report| report.is_done()).collect();
        // Sums of unlike forms say nothing of each other.
        let first = done.iter().find(|report| voters.contains(&report.node_id)).or(done.first()).copied();
        let compared: Vec<&CheckReport> =
            done.into_iter().filter(|report| first.is_some_and(|first| first.compares_with(report))).collect();
        let is_compared = |voter: &NodeId| compared.iter().any(|report| report.node_id == *voter);
        let missing: Vec<&str> = voters.iter().filter(|voter| !is_compared(voter)).map(NodeId::as_str).collect();
        let superseded_by = reports.superseded_by().filter(|_| !missing.is_empty()).cloned();
        Self {
            check: reports.newest().first().map(|report| report.check.clone()),
            voters: voters
                .iter()
                .map(|voter| {
                    let compared = is_compared(voter);
                    (voter.clone(), said(reports.of(voter), compared, superseded_by.as_ref()), compared)
                })
                .collect(),
            tables: tables(&compared, &missing),
            unlike: differing(&compared).into_iter().filter_map(|table| Unlike::of(table, &compared, limit)).collect(),
            superseded_by,
        }
    }

    fn differs(&self) -> bool {
        self.tables.iter().any(|table| matches!(table.verdict, Verdict::Differs))
    }

    /// The exit code.
    pub(super) fn result(&self) -> Result<(), AdminError> {
        let open: Vec<&str> = self.voters.iter().filter(|(_, _, done)| !done).map(|(node, ..)| node.as_str()).collect();
        match () {
            () if self.differs() => {
                let names = self.tables.iter().filter(|table| matches!(table.verdict, Verdict::Differs));
                let names: Vec<&str> = names.map(|table| table.name.as_str()).collect();
                Err(AdminError::Differ(format!("not the same on every node: {}", names.join(", "))))
            }
            () if !open.is_empty() => {
                let open = open.join(", ");
                Err(AdminError::Open(match &self.superseded_by {
                    Some(newer) => format!(
                        "{open} has not done the check, which is superseded by check {} at offset {}; kluster-admin verify --last shows what that one finds",
                        newer.id, newer.offset
                    ),
                    None => format!("{open} has not done the check; look at kluster-admin status and ask again"),
                }))
            }
            () => Ok(()),
        }
    }

    /// As one document.
    pub(super) fn json(&self) -> Value {
        let tables = self.tables.iter().map(|table| {
            let rows: BTreeMap<&str, u64> = table.rows.iter().map(|(node, rows)| (node.as_str(), *rows)).collect();
            match &table.verdict {
                Verdict::NotCompared(why) => json!({"table": table.name, "rows": rows, "notCompared": why}),
                verdict => json!({"table": table.name, "rows": rows, "equal": matches!(verdict, Verdict::Equal)}),
            }
        });
        let nodes: BTreeMap<&str, Value> =
            self.voters.iter().map(|(node, said, done)| (node.as_str(), json!({"done": done, "said": said}))).collect();
        json!({
            "check": self.check,
            "supersededBy": self.superseded_by,
            "equal": !self.differs() && self.voters.iter().all(|(_, _, done)| *done),
            "nodes": nodes,
            "tables": tables.collect::<Vec<_>>(),
            "differences": self.unlike.iter().map(Unlike::json).collect::<Vec<_>>(),
        })
    }

    /// As tables for people.
    pub(super) fn show(&self, output: &mut Output<'_>) -> Result<(), AdminError> {
        match (&self.check, &self.superseded_by) {
            (Some(check), _) => output.line(&format!("check {} at offset {}", check.id, check.offset), Tone::Faint)?,
            (None, Some(_)) => {}
            (None, None) => {
                output.line("no check was ever made", Tone::Warning)?;
                return Ok(());
            }
        }
        for (node, said, done) in &self.voters {
            output.line(&format!("{node}: {said}"), if *done { Tone::Plain } else { Tone::Warning })?;
        }
        let mut rows = Rows::new(&["table", "rows", "verdict"], &["rows"]);
        for table in &self.tables {
            let (text, tone) = match &table.verdict {
                Verdict::Equal => ("equal".to_owned(), Tone::Good),
                Verdict::Differs => ("differs".to_owned(), Tone::Bad),
                Verdict::NotCompared(why) => (format!("not compared: {why}"), Tone::Warning),
            };
            let counts: BTreeSet<u64> = table.rows.values().copied().collect();
            let counts: Vec<String> = counts.iter().map(u64::to_string).collect();
            rows.push(vec![(table.name.clone(), Tone::Plain), (counts.join(" / "), Tone::Plain), (text, tone)]);
        }
        output.table(rows)?;
        for unlike in &self.unlike {
            unlike.show(output)?;
        }
        Ok(())
    }
}

/// What is said of a voter.
fn said(report: Option<&CheckReport>, compared: bool, superseded_by: Option<&CheckMark>) -> String {
    let is_open =
        report.is_none_or(|report| matches!(report.progress, Progress::Running { .. } | Progress::Superseded));
    if let Some(newer) = superseded_by.filter(|_| is_open) {
        return format!("superseded by check {} at offset {}", newer.id, newer.offset);
    }
    match report.map(|report| (&report.progress, report.differs)) {
        None => "has not done it".to_owned(),
        Some((Progress::Done, _)) if !compared => {
            "done, but its sums cannot be compared: another DBMS or version".to_owned()
        }
        Some((Progress::Done, true)) => "done; it has stopped, for the majority holds other tables".to_owned(),
        Some((Progress::Done, false)) => "done".to_owned(),
        Some((Progress::Running { .. }, _)) => "not done yet".to_owned(),
        Some((Progress::Superseded, _)) => "superseded by a change of the schema; it will be repeated".to_owned(),
        Some((Progress::Failed { reason }, _)) => format!("failed: {reason}"),
    }
}

/// Each table, as those that have done the check hold it; nothing is called equal while voters are `missing`.
fn tables(compared: &[&CheckReport], missing: &[&str]) -> Vec<TableFound> {
    let unlike: BTreeSet<&str> = differing(compared);
    let names: BTreeSet<&String> =
        compared.iter().flat_map(|report| report.tables.keys().chain(report.skipped.keys())).collect();
    let tables = names.into_iter().map(|name| {
        let why = compared.iter().find_map(|report| report.skipped.get(name));
        let rows = compared.iter().filter_map(|report| Some((report.node_id.clone(), report.tables.get(name)?.rows)));
        let verdict = match why {
            Some(why) => Verdict::NotCompared(why.clone()),
            None if unlike.contains(name.as_str()) => Verdict::Differs,
            None if !missing.is_empty() => {
                Verdict::NotCompared(format!("{} has not done the check", missing.join(", ")))
            }
            None => Verdict::Equal,
        };
        TableFound { name: name.clone(), rows: rows.collect(), verdict }
    });
    tables.collect()
}

impl Unlike {
    /// The rows of `table` that are not the same in all reports; none: its rows are not known.
    fn of(table: &str, done: &[&CheckReport], limit: usize) -> Option<Self> {
        let lists = done.iter().filter_map(|report| {
            let narrowed = report.narrowed.get(table)?;
            (!narrowed.listed.is_empty()).then_some((report.node_id.clone(), narrowed))
        });
        let lists: Vec<_> = lists.collect();
        let named = lists.iter().find(|(_, narrowed)| !narrowed.columns.is_empty())?.1;
        // A full list says nothing of what is behind its last row.
        let full = lists.iter().filter(|(_, narrowed)| narrowed.rows.len() >= MAX_LISTED);
        let end = full.filter_map(|(_, narrowed)| narrowed.rows.last()).map(|row| row.hash).min();
        let known = |row: &&CheckedRow| end.is_none_or(|end| row.hash <= end);
        let mut groups: BTreeMap<Vec<Option<String>>, Vec<Vec<CheckedRow>>> = BTreeMap::new();
        for (place, (_, narrowed)) in lists.iter().enumerate() {
            for row in narrowed.rows.iter().filter(known) {
                let group = groups.entry(group(row, &named.key)).or_insert_with(|| vec![Vec::new(); lists.len()]);
                group[place].push(row.clone());
            }
        }
        let hashes = |rows: &[CheckedRow]| rows.iter().map(|row| row.hash).collect::<Vec<_>>();
        let mut groups: Vec<Vec<Vec<CheckedRow>>> =
            groups.into_values().filter(|group| group.iter().any(|rows| hashes(rows) != hashes(&group[0]))).collect();
        let more = groups.len() > limit || end.is_some() || !named.listed.contains("");
        groups.truncate(limit);
        Some(Self {
            table: table.to_owned(),
            columns: named.columns.clone(),
            key: named.key.clone(),
            nodes: lists.into_iter().map(|(node, _)| node).collect(),
            groups,
            more,
        })
    }

    fn json(&self) -> Value {
        let group = |group: &Vec<Vec<CheckedRow>>| -> Value {
            let rows = |rows: &Vec<CheckedRow>| -> Vec<Value> {
                let values = |row: &CheckedRow| row.values.iter().map(|value| json!(value)).collect::<Vec<_>>();
                rows.iter().map(|row| Value::Object(self.columns.iter().cloned().zip(values(row)).collect())).collect()
            };
            let of_node = self.nodes.iter().zip(group).map(|(node, found)| (node.to_string(), json!(rows(found))));
            Value::Object(of_node.collect())
        };
        let key: Vec<&String> = self.key.iter().filter_map(|place| self.columns.get(*place)).collect();
        json!({
            "table": self.table,
            "columns": self.columns,
            "key": key,
            "rows": self.groups.iter().map(group).collect::<Vec<_>>(),
            "more": self.more,
        })
    }

    fn show(&self, output: &mut Output<'_>) -> Result<(), AdminError> {
        output.line("", Tone::Plain)?;
        let more = if self.more { "; there may be more" } else { "" };
        output.line(&format!("{}: {} rows differ{more}", self.table, self.groups.len()), Tone::Bad)?;
        let mut header = vec!["node".to_owned()];
        header.extend(self.columns.iter().cloned());
        let mut rows = Rows::new(&header, &[]);
        for group in &self.groups {
            let unlike = self.unlike_columns(group);
            for (node, found) in self.nodes.iter().zip(group) {
                let name = (node.to_string(), Tone::Faint);
                if found.is_empty() {
                    let none = self.columns.iter().map(|_| (show::NONE.to_owned(), Tone::Bad));
                    rows.push(std::iter::once(name.clone()).chain(none).collect());
                }
                for row in found {
                    let cells = row.values.iter().enumerate().map(|(place, value)| {
                        let text =
                            value.as_deref().map_or_else(|| "NULL".to_owned(), |text| show::one_line(text, CELL));
                        (text, if unlike.contains(&place) { Tone::Bad } else { Tone::Plain })
                    });
                    rows.push(std::iter::once(name.clone()).chain(cells).collect());
                }
            }
        }
        Ok(output.table(rows)?)
    }

    /// The columns in which the rows of one key are not the same.
    fn unlike_columns(&self, group: &[Vec<CheckedRow>]) -> BTreeSet<usize> {
        let rows: Vec<&CheckedRow> = group.iter().flatten().collect();
        let differs = |place: &usize| rows.iter().any(|row| row.values.get(*place) != rows[0].values.get(*place));
        (0..self.columns.len()).filter(differs).collect()
    }
}

/// Rows of one key belong together; without a key only equal rows do.
fn group(row: &CheckedRow, key: &[usize]) -> Vec<Option<String>> {
    match key.is_empty() {
        true => vec![Some(format!("{:016x}", row.hash))],
        false => key.iter().map(|place| row.values.get(*place).cloned().flatten()).collect(),
    }
}
