//! Why a text is not run: a code for programs, a sentence for people, and what to do instead.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

/// Why a text is refused. The string of each (`as_str`) is published and never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// The text cannot be cut into tokens, or holds no statement.
    Syntax,
    /// More text, depth or parameters than the rule set allows.
    TooLarge,
    /// More than one statement in one text.
    SeveralStatements,
    /// BEGIN, COMMIT, SAVEPOINT and kin: the node owns the transaction.
    TransactionControl,
    /// Leaves or reads something that lives in one session of one node.
    SessionState,
    /// Reads the clock of one node.
    Clock,
    /// Draws a random value on one node.
    Randomness,
    /// Numbers rows by a counter that differs after a crash or retry.
    AutoId,
    /// Reads or reaches something outside the data that the log builds up.
    Environment,
    /// Takes or numbers rows in an order that nodes do not share.
    OrderDependent,
    /// COPY in any form.
    Copy,
    /// Names what belongs to Kluster.
    KlusterSchema,
    /// Cannot be taken back with the transaction, or ends it.
    NotTransactional,
    /// Users, roles and rights.
    Privilege,
    /// A write sent where only reads are answered.
    ReadOnly,
    /// Known, and not taken in this version.
    Unsupported,
}

impl RefusalCode {
    /// The published string.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax_error",
            Self::TooLarge => "too_large",
            Self::SeveralStatements => "several_statements",
            Self::TransactionControl => "transaction_control",
            Self::SessionState => "session_state",
            Self::Clock => "clock",
            Self::Randomness => "randomness",
            Self::AutoId => "auto_id",
            Self::Environment => "environment",
            Self::OrderDependent => "order_dependent",
            Self::Copy => "copy",
            Self::KlusterSchema => "kluster_schema",
            Self::NotTransactional => "not_transactional",
            Self::Privilege => "administration",
            Self::ReadOnly => "read_only",
            Self::Unsupported => "not_supported",
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is not run, on any node alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}; {hint}")]
pub struct Refusal {
    /// Why, for programs.
    pub code: RefusalCode,
    /// What was wrong, for people. Quotes at most one name of the text, never its values.
    pub message: String,
    /// The character (from 1) at which it begins, where one place is to blame.
    pub position: Option<usize>,
    /// What to do instead.
    pub hint: Cow<'static, str>,
}

impl Refusal {
    /// A refusal of the text as a whole.
    pub(crate) fn whole(code: RefusalCode, message: impl Into<String>, hint: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), position: None, hint: hint.into() }
    }

    /// The same, blaming the byte `at` of `text`.
    pub(crate) fn at(mut self, text: &str, at: usize) -> Self {
        self.position = text.get(..at).map(|before| before.chars().count() + 1);
        self
    }
}
