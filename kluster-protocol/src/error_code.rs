//! ErrorCode: why a request was refused, in Kluster's own words; one published list for all DBMS.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])+ $code:ident = $text:literal,)+) => {
        /// Why a request was refused. It is part of the chain, so that unlike DBMS that refuse alike agree.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])+ $code,)+ }

        impl ErrorCode {
            /// Every code, in the order in which they are published.
            pub const ALL: &'static [Self] = &[$(Self::$code,)+];

            /// The published text of the code.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$code => $text,)+ }
            }

            /// The code with this text; a code of a later version reads as [`ErrorCode::Other`].
            pub fn from_text(text: &str) -> Self {
                match text { $($text => Self::$code,)+ _ => Self::Other }
            }
        }
    };
}

codes! {
    // The request itself.
    /// The record is no request: not JSON, a field missing or of the wrong type, no statement.
    BadRequest = "bad_request",
    /// A request with this messageId and another body was executed before.
    MessageIdReuse = "message_id_reuse",
    /// `sinceOffset` is older than what outcomes are remembered for: whether it was executed before cannot be told.
    Expired = "expired",
    /// `sinceOffset` is not below the request's own offset.
    BadSince = "bad_since",
    /// The request is larger than the protocol allows.
    TooLarge = "too_large",
    /// The result is larger than the cluster allows; a write had no effect.
    ResultTooLarge = "result_too_large",
    /// A statement matched or returned another number of rows than `expectRows`.
    ExpectRows = "expect_rows",
    // Rules over the SQL text.
    /// BEGIN, COMMIT, SAVEPOINT and the like: a request is a transaction already; use `statements`.
    TransactionControl = "transaction_control",
    /// Changes or reads state of the session, which is not replicated.
    SessionState = "session_state",
    /// Reads a clock, which differs between nodes.
    Clock = "clock",
    /// Uses randomness, which differs between nodes.
    Randomness = "randomness",
    /// Uses ids made by the DBMS, which differ between nodes after a crash.
    AutoId = "auto_id",
    /// Reads what differs between nodes: names, versions, physical rows, files, network.
    Environment = "environment",
    /// The result depends on the order in which rows lie.
    OrderDependent = "order_dependent",
    /// More than one statement in one string; use `statements`.
    SeveralStatements = "several_statements",
    /// COPY moves data past the log.
    Copy = "copy",
    /// Names Kluster's own tables.
    KlusterSchema = "kluster_schema",
    /// Cannot run in a transaction, or not atomically.
    NotTransactional = "not_transactional",
    /// Administers the server or its logins rather than data.
    Administration = "administration",
    // The lane of reads.
    /// A write was sent to ONE.
    ReadOnly = "read_only",
    /// The node did not reach `minOffset` in time.
    NotYet = "not_yet",
    /// The read took longer than its time limit.
    TimedOut = "timed_out",
    /// The node's database cannot be reached.
    Unavailable = "unavailable",
    // Refusals by the DBMS.
    /// The statement cannot be parsed.
    SyntaxError = "syntax_error",
    /// A table, view or schema does not exist.
    UndefinedTable = "undefined_table",
    /// A column does not exist.
    UndefinedColumn = "undefined_column",
    /// A function or operator does not exist.
    UndefinedFunction = "undefined_function",
    /// Another object does not exist.
    UndefinedObject = "undefined_object",
    /// An object of that name exists.
    DuplicateObject = "duplicate_object",
    /// A unique or primary key holds the value already.
    UniqueViolation = "unique_violation",
    /// A foreign key has no row to point to, or is pointed to.
    ForeignKeyViolation = "foreign_key_violation",
    /// NULL in a column that forbids it.
    NotNullViolation = "not_null_violation",
    /// A check, exclusion or other constraint is violated.
    CheckViolation = "check_violation",
    /// Division by zero.
    DivisionByZero = "division_by_zero",
    /// A value does not fit its type or column.
    InvalidValue = "invalid_value",
    /// Types do not fit each other.
    TypeMismatch = "type_mismatch",
    /// The number of params differs from what the statement takes.
    WrongParams = "wrong_params",
    /// A name is ambiguous, or the statement is wrongly built in another way.
    InvalidStatement = "invalid_statement",
    /// The statement needs a right that the cluster's SQL user does not have.
    PrivilegeViolation = "privilege_violation",
    /// The object is in a state that forbids this.
    InvalidState = "invalid_state",
    /// The user's own RAISE or SIGNAL.
    Raised = "raised",
    /// The DBMS does not offer this.
    NotSupported = "not_supported",
    /// Refused by the DBMS for a deterministic reason without a code of its own here.
    Refused = "refused",
    // Decided in the log.
    /// The request was given up by a decision: every voter met the same error, which the message names, or an operator decided so.
    Decided = "decided",
    /// The request was ended while it was executed, by an operator, or a read by whoever sent it; it had no effect.
    Cancelled = "cancelled",
    /// A code of a later version.
    Other = "other",
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_text(&String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_written_and_unknown_ones_are_other() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_text(code.as_str()), *code);
        }
        assert_eq!(ErrorCode::from_text("of_a_later_version"), ErrorCode::Other);
    }
}
