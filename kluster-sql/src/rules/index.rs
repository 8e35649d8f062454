//! The rule table, arranged for looking up: by the first word of each name.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{Form, Rule, rules};
use crate::dialect::Dialect;

/// One name of one rule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) rule: &'static Rule,
    pub(crate) name: &'static str,
}

/// All names of one dialect's rules.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Names that count wherever they stand, by their first word.
    anywhere: HashMap<&'static str, Vec<Entry>>,
    /// The same for names that end in `*`, without it.
    prefixes: Vec<Entry>,
    /// The first letters of `prefixes`: most words stop here.
    initials: Vec<u8>,
    /// First words of statements; names of more words first.
    statements: HashMap<&'static str, Vec<Entry>>,
    longest: usize,
}

static INDEXES: LazyLock<[Index; 3]> = LazyLock::new(|| Dialect::ALL.map(Index::new));

impl Index {
    /// The index of a dialect; made once.
    pub(crate) fn of(dialect: Dialect) -> &'static Index {
        match dialect {
            Dialect::Postgres => &INDEXES[0],
            Dialect::MariaDb => &INDEXES[1],
            Dialect::Sqlite => &INDEXES[2],
        }
    }

    fn new(dialect: Dialect) -> Self {
        let mut index = Self::default();
        for rule in rules().filter(|rule| rule.form != Form::Checked && rule.dialects.contains(&dialect)) {
            for &name in rule.names {
                index.add(Entry { rule, name });
            }
        }
        for entries in index.statements.values_mut() {
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.name.split(' ').count()));
        }
        index
    }

    fn add(&mut self, entry: Entry) {
        if let Some(prefix) = entry.name.strip_suffix('*') {
            self.initials.extend(prefix.bytes().next().filter(|initial| !self.initials.contains(initial)));
            self.prefixes.push(Entry { name: prefix, ..entry });
            return;
        }
        let first = entry.name.split(' ').next().unwrap_or_default();
        self.longest = self.longest.max(first.len());
        let names = if entry.rule.form == Form::Statement { &mut self.statements } else { &mut self.anywhere };
        names.entry(first).or_default().push(entry);
    }

    /// The rules whose name begins with the word `name` (lower case).
    pub(crate) fn anywhere(&self, name: &str) -> impl Iterator<Item = Entry> {
        let exact = if name.len() <= self.longest { self.anywhere.get(name) } else { None };
        let initial = name.bytes().next().is_some_and(|initial| self.initials.contains(&initial));
        let prefixes = if initial { self.prefixes.as_slice() } else { &[] };
        let prefixed = prefixes.iter().filter(move |entry| name.starts_with(entry.name));
        exact.into_iter().flatten().chain(prefixed).copied()
    }

    /// The rules about statements that begin with the word `first` (lower case).
    pub(crate) fn statements(&self, first: &str) -> &[Entry] {
        self.statements.get(first).map_or(&[], Vec::as_slice)
    }
}
