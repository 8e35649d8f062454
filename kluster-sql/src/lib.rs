//! What may be said: which SQL Kluster runs, and how.
//!
//! Every node executes the same log, so a text may hold nothing that differs between nodes: no clock, no chance, no
//! state of a session, no file. [`admit()`] decides that from the text alone, the same on every node. It is a pure
//! function of dialect and text: no I/O, no state, no settings. What it cannot tell from the text (what a function of
//! the user's own does, which type a column has) is left to the DBMS's own fences: privileges, authorizers, session
//! settings.
//!
//! ```
//! use kluster_sql::{Class, Dialect, RefusalCode, admit};
//!
//! let admitted = admit(Dialect::Postgres, "insert into person(id, at) values ($1, $2)")?;
//! assert_eq!((admitted.class, admitted.params), (Class::Write, 2));
//! let refusal = admit(Dialect::Postgres, "insert into person(id, at) values (1, now())").unwrap_err();
//! assert_eq!((refusal.code, refusal.position), (RefusalCode::Clock, Some(39)));
//! # Ok::<(), kluster_sql::Refusal>(())
//! ```
//!
//! Life of a text: `lexer` cuts it into tokens, `limits` counts them, `statement` makes sure that it is one statement,
//! `head` and `classify` tell its kind by its first words, `scan` meets each token with the table in `rules`, `routine`
//! goes into bodies kept in strings, `order` makes the order of rows total by `edits`, or refuses. Keys of tables that an
//! order needs are put in by [`fulfil`]. [`split()`] cuts scripts for tools.
//!
//! Invariants
//! 1. The verdict depends on (dialect, text, [`RULE_SET_VERSION`]) and on nothing else.
//! 2. No panic and no more than linear time on any input.
//! 3. Every rule is a row of `rules`, from which `docs/sql-rules.md` is made.

mod admit;
mod body;
mod bound;
mod change;
mod classify;
mod dialect;
mod edits;
mod forms;
mod head;
mod lexer;
mod limits;
mod literal;
mod mariadb;
mod order;
mod placeholder;
mod postgres;
mod refusal;
mod routine;
mod rules;
mod scan;
mod split;
mod sqlite;
mod statement;
mod token;
mod want;

pub use admit::{Admitted, admit, admit_read, implicit_commit};
pub use bound::{check_bound, fence_present, reads_clock};
pub use change::{Change, Verb, change};
pub use classify::Class;
pub use dialect::Dialect;
pub use edits::Edits;
pub use forms::{ORDER_FORMS, OrderForm, Treatment};
pub use lexer::{LexError, Lexer};
pub use limits::{MAX_DEPTH, MAX_JOINS, MAX_OPERATORS, MAX_PARAMS, MAX_TERMS, MAX_TEXT};
pub use placeholder::placeholders;
pub use refusal::{Refusal, RefusalCode};
pub use rules::{Form, Rule, Scope, rules};
pub use split::{Piece, Role, Split, SplitError, split};
pub use token::{Kind, Token};
pub use want::{Keys, Want, fulfil};

/// The version of everything in this crate that decides an outcome. Nodes say it in their heartbeats. All nodes of a
/// cluster must have the same one, for a record that two judge differently makes them differ; nothing moves a running
/// cluster to another one yet.
pub const RULE_SET_VERSION: u32 = 2;
