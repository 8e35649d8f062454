//! Wants: keys of tables that a statement's order needs and its text does not show.
//!
//! Neighbours: `order` finds them; the node asks its own database for the keys just before it executes the statement, and
//! [`fulfil`] puts them into the text. A key is schema, and schema is the same on all nodes at one place of the log, so the
//! text that is executed is the same too.

use crate::dialect::Dialect;
use crate::edits::{Edit, Edits};
use crate::order::quoted;
use crate::refusal::Refusal;

/// An ORDER BY that needs a key of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    pub(crate) dialect: Dialect,
    /// The table's name, its schema before it where one is written.
    pub(crate) table: Vec<String>,
    /// What stands before a column of it: nothing, or its alias and a dot.
    pub(crate) qualifier: String,
    /// The byte of the edited text at which the ORDER BY goes on, or would begin.
    pub(crate) at: usize,
    /// The byte of the edited text that an error in its terms is about.
    pub(crate) blame: usize,
    /// There is no ORDER BY yet.
    pub(crate) first: bool,
    /// The columns that the ORDER BY names, in lower case.
    pub(crate) already: Vec<String>,
    /// The answer where the table has no key.
    pub(crate) refusal: Refusal,
}

impl Want {
    /// The table's name as it is written, its schema before it where one is.
    #[must_use]
    pub fn table(&self) -> &[String] {
        &self.table
    }
}

impl Want {
    /// Moves it to where its place is in the text with these edits.
    pub(crate) fn move_behind(&mut self, edits: &[Edit]) {
        let moved = |at: usize| {
            let before = edits.iter().filter(|edit| edit.end <= at);
            before.fold(at, |at, edit| at + edit.text.len() - (edit.end - edit.start))
        };
        (self.at, self.blame) = (moved(self.at), moved(self.blame));
    }
}

/// A table's keys: each the columns of one that is unique and never null, the primary key first.
pub type Keys = Vec<Vec<String>>;

/// The text with the keys that it wants, and its places. `keys` gives those of a table; none for what has no key or is no
/// table.
///
/// # Errors
/// `order_dependent`: a table has no key.
pub fn fulfil(sql: &str, wants: &[Want], mut keys: impl FnMut(&[String]) -> Keys) -> Result<(String, Edits), Refusal> {
    let mut edits = Vec::new();
    for want in wants {
        let keys = keys(&want.table);
        let named = |key: &Vec<String>| key.iter().all(|column| want.already.contains(&column.to_lowercase()));
        match keys.first().filter(|key| !key.is_empty()) {
            None => return Err(want.refusal.clone()),
            Some(_) if keys.iter().any(named) => {}
            Some(key) => {
                let terms: Vec<String> =
                    key.iter().map(|column| want.qualifier.clone() + &quoted(want.dialect, column)).collect();
                let lead = if want.first { " order by " } else { ", " };
                edits.push(Edit::insert(want.at, lead.to_owned() + &terms.join(", "), want.blame));
            }
        }
    }
    Ok(Edits::apply(sql, edits))
}
