//! Narrow: from tables that differ to the rows that differ. Every node computes from the others' reports what it must say next, by the same
//! function, so nobody need ask: whole table → parts by the first byte of the rows' hashes → parts of the parts that differ → rows.
//!
//! Neighbours: nodes follow [`next_step`], the operator's tool waits until it is [`settled`].

use super::{CheckReport, Narrowed, Sum};
use std::collections::{BTreeMap, BTreeSet};

/// Rows are listed once the parts that differ have at most so many on each node.
const FEW: u64 = 64;
/// Parts are divided down to three bytes of the hash: 16 million parts.
const DEEPEST: usize = 3;
/// So many parts that differ are followed at each depth.
const FOLLOWED: usize = 2;
/// So many tables that differ are narrowed, the first by name.
const TABLES: usize = 5;

/// What a node must say next of a table that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The sums of these parts' parts; the empty prefix is the whole table.
    Sums {
        /// The table.
        table: String,
        /// The parts, of one length.
        of: BTreeSet<String>,
    },
    /// The rows of these parts.
    Rows {
        /// The table.
        table: String,
        /// The parts, of one length.
        of: BTreeSet<String>,
    },
}

/// The tables whose sums are not the same in all reports that can be compared. What one of them could not sum is not compared.
pub fn differing<'a>(reports: &[&'a CheckReport]) -> BTreeSet<&'a str> {
    let Some((first, others)) = reports.split_first() else { return BTreeSet::new() };
    let names = reports.iter().flat_map(|report| report.tables.keys());
    let differs = |name: &&String| others.iter().any(|other| other.tables.get(*name) != first.tables.get(*name));
    let summed = |name: &&String| !reports.iter().any(|report| report.skipped.contains_key(*name));
    names.filter(summed).filter(differs).map(String::as_str).collect()
}

/// What `own` must say next, given the reports of all who have done the same check (`own` among them). None: nothing, or nothing yet.
pub fn next_step(own: &CheckReport, reports: &[&CheckReport]) -> Option<Step> {
    differing(reports).into_iter().take(TABLES).find_map(|table| match place(table, own, reports) {
        Place::Due(step) => Some(step),
        Place::Waits | Place::Listed => None,
    })
}

/// All of them have said everything there is to say of what differs.
pub fn settled(reports: &[&CheckReport]) -> bool {
    let tables = differing(reports);
    let listed = |table: &str, own: &CheckReport| matches!(place(table, own, reports), Place::Listed);
    tables.into_iter().take(TABLES).all(|table| reports.iter().all(|own| listed(table, own)))
}

enum Place {
    Due(Step),
    /// Others must speak first.
    Waits,
    Listed,
}

/// How far `own` is with a table.
fn place(table: &str, own: &CheckReport, reports: &[&CheckReport]) -> Place {
    let holders: Vec<&CheckReport> =
        reports.iter().copied().filter(|report| report.tables.contains_key(table)).collect();
    if holders.len() < 2 || !own.tables.contains_key(table) {
        return Place::Listed;
    }
    let none = Narrowed::default();
    let known = |report: &'_ CheckReport| report.narrowed.get(table).cloned().unwrap_or_default();
    let ours = own.narrowed.get(table).unwrap_or(&none);
    let theirs: Vec<Narrowed> = holders.iter().map(|report| known(report)).collect();
    let mut of = BTreeSet::from([String::new()]);
    let mut rows = holders.iter().map(|report| report.tables[table].rows).max().unwrap_or_default();
    loop {
        let deepest = of.first().is_some_and(|part| part.len() == 2 * DEEPEST);
        if rows <= FEW || deepest {
            return match of.is_subset(&ours.listed) {
                true => Place::Listed,
                false => Place::Due(Step::Rows { table: table.to_owned(), of }),
            };
        }
        if !of.is_subset(&ours.summed) {
            return Place::Due(Step::Sums { table: table.to_owned(), of });
        }
        if !theirs.iter().all(|their| of.is_subset(&their.summed)) {
            return Place::Waits;
        }
        let parts: Vec<BTreeMap<&str, Sum>> = theirs.iter().map(|their| parts(their, &of)).collect();
        let next = unlike(&parts);
        if next.is_empty() {
            return Place::Listed;
        }
        let count = |parts: &BTreeMap<&str, Sum>| -> u64 {
            next.iter().filter_map(|part| parts.get(part.as_str())).map(|sum| sum.rows).sum()
        };
        rows = parts.iter().map(count).max().unwrap_or_default();
        of = next;
    }
}

/// The parts of these parts.
fn parts<'a>(narrowed: &'a Narrowed, of: &BTreeSet<String>) -> BTreeMap<&'a str, Sum> {
    let within = |part: &str| part.len() >= 2 && of.contains(&part[..part.len() - 2]);
    narrowed.sums.iter().filter(|(part, _)| within(part)).map(|(part, sum)| (part.as_str(), *sum)).collect()
}

/// The first parts whose sums are not the same everywhere.
fn unlike(all: &[BTreeMap<&str, Sum>]) -> BTreeSet<String> {
    let names: BTreeSet<&str> = all.iter().flat_map(|parts| parts.keys().copied()).collect();
    let differs = |name: &&str| all.iter().any(|parts| parts.get(name) != all[0].get(name));
    names.into_iter().filter(differs).take(FOLLOWED).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{CheckMark, CheckedRow, Progress, prefix};
    use super::*;

    /// A node with these rows, by their hashes.
    fn report(node: &str, rows: &[i64]) -> CheckReport {
        let mut sum = Sum::default();
        rows.iter().for_each(|hash| sum.add(*hash));
        CheckReport {
            node_id: node.into(),
            topic_id: None,
            dbms: "SQLite".into(),
            form: 0,
            check: CheckMark::default(),
            progress: Progress::Done,
            tables: BTreeMap::from([("t".to_owned(), sum)]),
            skipped: BTreeMap::new(),
            narrowed: BTreeMap::new(),
            differs: false,
        }
    }

    /// Does what a node does, from its rows.
    fn answer(report: &mut CheckReport, rows: &[i64], step: Step) {
        let narrowed = report.narrowed.entry("t".into()).or_default();
        match step {
            Step::Sums { of, .. } => {
                let depth = of.first().unwrap().len() as u8 / 2;
                for hash in rows.iter().filter(|hash| of.contains(&prefix(**hash, depth))) {
                    narrowed.sums.entry(prefix(*hash, depth + 1)).or_default().add(*hash);
                }
                narrowed.summed.extend(of);
            }
            Step::Rows { of, .. } => {
                let depth = of.first().unwrap().len() as u8 / 2;
                let rows = rows.iter().filter(|hash| of.contains(&prefix(**hash, depth)));
                narrowed.rows.extend(rows.map(|hash| CheckedRow { hash: *hash as u64, values: vec![] }));
                narrowed.listed.extend(of);
            }
        }
    }

    #[test]
    fn nodes_come_to_the_row_that_differs_whatever_the_order_in_which_they_speak() {
        let hash = |n: i64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64);
        let same: Vec<i64> = (0..20_000).map(hash).collect();
        let mut other = same.clone();
        other[777] = hash(1_000_000);
        let rows = [&same, &other, &same];
        for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
            let mut reports = [report("n1", &same), report("n2", &other), report("n3", &same)];
            for _ in 0..30 {
                for place in order {
                    let step = next_step(&reports[place], &reports.iter().collect::<Vec<_>>());
                    if let Some(step) = step {
                        answer(&mut reports[place], rows[place], step);
                    }
                }
            }
            assert!(settled(&reports.iter().collect::<Vec<_>>()));
            let listed = |place: usize| -> BTreeSet<i64> {
                reports[place].narrowed["t"].rows.iter().map(|row| row.hash as i64).collect()
            };
            let only = |one: usize, two: usize| listed(one).difference(&listed(two)).copied().collect::<Vec<_>>();
            assert_eq!((only(0, 1), only(1, 0), only(0, 2)), (vec![hash(777)], vec![hash(1_000_000)], vec![]));
            assert!(listed(0).len() <= FEW as usize, "{}", listed(0).len());
        }
    }

    #[test]
    fn equal_reports_ask_for_nothing_and_a_table_of_one_node_is_not_narrowed() {
        let (one, two) = (report("n1", &[1, 2]), report("n2", &[2, 1]));
        assert!(differing(&[&one, &two]).is_empty() && settled(&[&one, &two]));
        let empty = CheckReport { tables: BTreeMap::new(), ..report("n3", &[]) };
        assert_eq!(differing(&[&one, &empty]), BTreeSet::from(["t"]));
        assert!(settled(&[&one, &empty]) && next_step(&one, &[&one, &empty]).is_none());
    }

    #[test]
    fn a_small_table_is_listed_at_once() {
        let (one, two) = (report("n1", &[1, 2]), report("n2", &[1, 3]));
        let step = next_step(&one, &[&one, &two]);
        assert_eq!(step, Some(Step::Rows { table: "t".into(), of: BTreeSet::from([String::new()]) }));
    }
}
