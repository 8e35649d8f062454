//! How much a text may hold. Part of the rule set: the same on every node, so that a limit of one DBMS (its stack, its
//! memory) is rarely what ends a statement.

/// Bytes of one text: 8 MiB.
pub const MAX_TEXT: usize = 8 << 20;

/// Parentheses and brackets within one another.
pub const MAX_DEPTH: usize = 256;

/// Operators, and words that nest like operators (AND, NOT, CASE, UNION, JOIN, …), between two commas of one list.
pub const MAX_TERMS: usize = 5_000;

/// The highest `$n`: SQLite's `SQLITE_MAX_VARIABLE_NUMBER`, the smallest of the three DBMS's limits.
pub const MAX_PARAMS: u32 = 32_766;
