//! Order: a statement that writes may take nothing from the order in which one node meets its rows.
//!
//! | module | purpose |
//! |---|---|
//! | `query`, `source` | where each query of a statement has its clauses; what its rows come from |
//! | `identity` | terms that tell any two rows apart |
//! | `rows` | LIMIT, OFFSET, FETCH, DISTINCT ON, `array(select …)`: which rows are taken |
//! | `window` | window functions that tell rows apart which their window leaves equal |
//! | `aggregate` | aggregates whose value follows the order of their rows |
//! | `body` | bodies of routines and triggers, which keep the user's text: refused, never edited |
//!
//! What SQL leaves open is made total by edits: each appends to an ORDER BY, or adds one where there is none. So the
//! result is one that the statement as written allows, and the same one on every node. What no edit makes total is
//! refused as `order_dependent`, with the rewrite that works.
//!
//! Invariants
//! 1. An edit never changes an order that the statement states; it only orders rows that the statement leaves equal.
//! 2. The time is linear in the text, and edits are bounded by [`aggregate::MAX_COPIED`].

mod aggregate;
mod body;
mod identity;
mod query;
mod rows;
mod source;
mod window;

use crate::classify::Class;
use crate::edits::Edit;
use crate::head::Head;
use crate::refusal::Refusal;
use crate::scan::{Scan, Use};
use crate::statement::Statement;
use crate::want::Want;
use query::Query;
use std::collections::BTreeMap;

pub(crate) use body::check as check_body;
pub(crate) use source::quoted;

/// The edits of a statement, by the byte they begin at.
#[derive(Debug, Default)]
struct Found {
    edits: BTreeMap<usize, Vec<Edit>>,
    wants: Vec<Want>,
}

impl Found {
    fn add(&mut self, edit: Edit) {
        self.edits.entry(edit.start).or_default().push(edit);
    }

    /// The edits that begin in `bytes`, moved so that they hold for the text of these bytes alone.
    fn within(&self, bytes: std::ops::Range<usize>) -> Vec<Edit> {
        let start = bytes.start;
        let moved = |edit: &Edit| Edit {
            start: edit.start - start,
            end: edit.end - start,
            text: edit.text.clone(),
            blame: edit.blame.saturating_sub(start),
        };
        self.edits.range(bytes).flat_map(|(_, edits)| edits).map(moved).collect()
    }
}

/// The edits that make the order of a writing statement total, and the keys that it wants besides.
///
/// # Errors
/// `order_dependent`, where no edit does.
pub(crate) fn made_total(
    statement: &Statement<'_>,
    head: &Head<'_>,
    class: Class,
) -> Result<(Vec<Edit>, Vec<Want>), Refusal> {
    let mut found = Found::default();
    if !takes_rows(class, head) {
        return Ok((Vec::new(), Vec::new()));
    }
    let queries = Query::all(statement);
    for query in &queries {
        rows::make_total(statement, query, &mut found)?;
    }
    let scan = Scan { statement, using: Use::Write, body: false, head };
    window::make_total(&scan, &queries, &mut found)?;
    aggregate::make_total(&scan, &mut found)?;
    Ok((found.edits.into_values().flatten().collect(), found.wants))
}

/// Whether the statement's own query decides which rows are written.
fn takes_rows(class: Class, head: &Head<'_>) -> bool {
    let queries = ["select", "with", "call", "create table", "create materialized"];
    class == Class::Write || queries.iter().any(|query| head.is(query))
}
