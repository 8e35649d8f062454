//! Errors: PostgreSQL's SQLSTATEs and what a node does about each, as data.
//!
//! Neighbours: `batch` and `finish` classify what user SQL and COMMIT met, `reads` what a read met, `seat` what Kluster's own statements met.
//! Order of the search: a user's own RAISE, the routine, the file, the code, the first two characters of the code; else unknown. Nothing that depends
//! on one server's memory, disk, settings or load is ever answered as a refusal.
//! Source: PostgreSQL documentation, appendix A (errcodes.txt), and trials on PostgreSQL 15.

use crate::dbms::ReadError;
use crate::dbms::postgres::error::{Error, PgError, Unsendable};
use crate::fault::{Cause, Class, Fault, Refusal};
use kluster_protocol::ErrorCode::{self, *};

/// Raised by our claim and finish when the state row is not where the caller left it.
pub const CLAIM_RAISED: &str = "KL001";
/// Raised by our functions when the secret is not that of the process that owns the database now.
pub const NOT_OURS: &str = "KL002";

use Class::{DiskFull, Fatal, LockWait, Lost, Refused as Deterministic, RefusedAlone, RunAlone, Transient, Unknown};

/// Errors told by the server's function that reports them, with their code.
const ROUTINES: &[(&str, &str, Class)] = &[
    // "cached plan must not change result type": only sessions that had prepared the text meet it.
    ("RevalidateCachedQuery", "0A000", RunAlone),
    // "bind message supplies 1 parameters, but prepared statement requires 2".
    ("exec_bind_message", "08P01", Deterministic(WrongParams)),
    // A file of a text search dictionary that the statement names: XX000 and F0000 are internal errors otherwise.
    ("NIImportDictionary", "F0000", Deterministic(UndefinedObject)),
    ("NIImportAffixes", "F0000", Deterministic(UndefinedObject)),
    ("NIImportOOAffixes", "F0000", Deterministic(UndefinedObject)),
    ("dsynonym_init", "F0000", Deterministic(UndefinedObject)),
    ("readstoplist", "F0000", Deterministic(UndefinedObject)),
    ("thesaurusRead", "F0000", Deterministic(UndefinedObject)),
    // XPath expressions and namespaces that libxml does not take; PostgreSQL 18 says 10608.
    ("xml_ereport", "XX000", Deterministic(InvalidValue)),
    ("tsvector_setweight", "XX000", Deterministic(InvalidValue)),
    ("tsvector_setweight_by_filter", "XX000", Deterministic(InvalidValue)),
    // Limits of the program, as all of 54, but met by what one server has done before.
    ("GetNewTransactionId", "54000", Unknown),
    ("GetNewMultiXactId", "54000", Unknown),
    ("PreCommit_Notify", "54000", Unknown),
    ("mdextend", "54000", Unknown),
    ("mdzeroextend", "54000", Unknown),
    ("ReadBuffer_common", "54000", Unknown),
    ("ExtendBufferedRelShared", "54000", Unknown),
];

/// Files of the server's source whose internal errors (XX000) are about the arguments that a statement gave: functions over values, and
/// lookups of an object by a number that the statement names. They read no file and ask nothing of the server's own. Where one node alone met
/// such an error, its refusal would be a difference of the chain.
const VALUE_FILES: &[&str] = &[
    "acl.c",
    "amutils.c",
    "amvalidate.c",
    "array_userfuncs.c",
    "arrayfuncs.c",
    "arrayutils.c",
    "brin.c",
    "brin_validate.c",
    "date.c",
    "datetime.c",
    "encode.c",
    "enum.c",
    "float.c",
    "format_type.c",
    "formatting.c",
    "geo_ops.c",
    "geo_selfuncs.c",
    "ginarrayproc.c",
    "ginvalidate.c",
    "gistvalidate.c",
    "hashvalidate.c",
    "int.c",
    "int8.c",
    "json.c",
    "jsonb.c",
    "jsonb_gin.c",
    "jsonb_util.c",
    "jsonfuncs.c",
    "jsonpath.c",
    "jsonpath_exec.c",
    "like_support.c",
    "lsyscache.c",
    "multirangetypes.c",
    "nbtvalidate.c",
    "network.c",
    "network_gist.c",
    "numeric.c",
    "objectaddress.c",
    "orderedsetaggs.c",
    "oracle_compat.c",
    "partitionfuncs.c",
    "rangetypes.c",
    "regexp.c",
    "regproc.c",
    "rowtypes.c",
    "ruleutils.c",
    "spgvalidate.c",
    "timestamp.c",
    "ts_cache.c",
    "ts_parse.c",
    "tsginidx.c",
    "tsgistidx.c",
    "tsquery.c",
    "tsquery_gist.c",
    "tsquery_op.c",
    "tsquery_util.c",
    "tsrank.c",
    "tsvector.c",
    "tsvector_op.c",
    "typcache.c",
    "varbit.c",
    "varchar.c",
    "varlena.c",
    "windowfuncs.c",
    "wparser.c",
    "wparser_def.c",
    "xml.c",
];

/// Codes, and classes of codes by their first two characters. The longer one wins.
#[rustfmt::skip]
const CODES: &[(Class, &[&str])] = &[
    (Deterministic(UniqueViolation), &["23505"]),
    (Deterministic(ForeignKeyViolation), &["23503", "23001"]),
    (Deterministic(NotNullViolation), &["23502"]),
    (Deterministic(CheckViolation), &["23", "40002", "44"]),
    (Deterministic(DivisionByZero), &["22012"]),
    // 54000: a value or row that is too large for an index, a page, an array, a tsvector.
    (Deterministic(InvalidValue), &["10", "22", "54000"]),
    (Deterministic(TypeMismatch), &["42804", "42846", "42P18", "42P21", "42P22"]),
    (Deterministic(WrongParams), &["42P02"]),
    (Deterministic(SyntaxError), &["42601"]),
    (Deterministic(UndefinedTable), &["42P01", "3F", "3D"]),
    (Deterministic(UndefinedColumn), &["42703"]),
    (Deterministic(UndefinedFunction), &["42883"]),
    (Deterministic(UndefinedObject), &["42704", "26", "34", "3B"]),
    (Deterministic(DuplicateObject), &["42701", "42710", "42723", "42P03", "42P04", "42P05", "42P06", "42P07"]),
    (Deterministic(PrivilegeViolation), &["42501", "0L", "0P"]),
    (Deterministic(InvalidStatement), &["20", "21", "03", "0B", "0Z", "42", "54001", "54011", "54023"]),
    (Deterministic(InvalidState), &["09", "0F", "24", "27", "2B", "55000", "55P02"]),
    (Deterministic(NotSupported), &["0A"]),
    (Deterministic(NotTransactional), &["25001"]),
    (Deterministic(TransactionControl), &["25", "2D"]),
    (Deterministic(Raised), &["P0001", "P0004"]),
    (Deterministic(ErrorCode::Refused), &["2F", "38", "39", "P0000", "P0002", "P0003"]),

    // In a batch they depend on what ran before in the same transaction.
    (RefusedAlone(InvalidState), &["55006", "55P04"]),

    (Transient, &["08", "40001", "40P01", "53300", "57014", "72"]),
    (LockWait, &["55P03"]),
    (Lost, &["40003", "57P01", "57P02", "57P03", "57P05", "25P03", "25P04"]),
    (DiskFull, &["53100"]),
    (Fatal, &["25006", "25P02", "28", "57P04", "58", "F0", "XX001", "XX002"]),
    // Named because other codes of their classes are listed, or because an error has never this code: memory, limits and settings of this
    // server, other servers, success and warnings. 54: a code that a newer server adds may be a limit of its own.
    (Unknown, &["00", "01", "02", "40", "53", "54", "55", "57", "HV", "P0", "XX"]),
];

/// The class of an error on a live connection.
pub fn class(error: &PgError) -> Class {
    let routine = error.routine.as_deref().unwrap_or_default();
    if routine == "exec_stmt_raise" {
        return Deterministic(Raised);
    }
    let listed = ROUTINES.iter().find(|(name, code, _)| *name == routine && *code == error.sqlstate);
    match (listed, error.file.as_deref()) {
        (Some((.., class)), _) => *class,
        (None, Some(file)) if error.sqlstate == "XX000" && VALUE_FILES.contains(&file) => Deterministic(InvalidValue),
        (None, _) => class_of(&error.sqlstate),
    }
}

fn class_of(sqlstate: &str) -> Class {
    listed(sqlstate).unwrap_or(Unknown)
}

/// The class of a code that the table knows, by itself or by its first two characters.
fn listed(sqlstate: &str) -> Option<Class> {
    let find = |code: &str| CODES.iter().find(|(_, codes)| codes.contains(&code)).map(|(class, _)| *class);
    find(sqlstate).or_else(|| find(sqlstate.get(..2)?))
}

/// What stopped one of a user's statements.
#[derive(Debug)]
pub enum Stop {
    /// Every node refuses it alike.
    Refused(Refusal),
    /// The batch cannot go on.
    Fault(Fault),
}

/// What stops a user's statement after `error`. `alone`: it is the only work of its transaction. `prepared`: the statement may have been
/// prepared by an earlier execution.
pub fn stop(error: &PgError, alone: bool, prepared: bool) -> Stop {
    match class(error) {
        // The name was ours, and user SQL has deallocated it.
        Class::Refused(_) if prepared && error.sqlstate == "26000" => Stop::Fault(Fault::RunAlone(cause(error))),
        Class::Refused(code) => Stop::Refused(refusal(code, error)),
        RefusedAlone(code) if alone => Stop::Refused(refusal(code, error)),
        // Nothing of ours was prepared: the user's own EXECUTE meets it on every node.
        RunAlone if alone && !prepared => Stop::Refused(refusal(NotSupported, error)),
        RefusedAlone(_) | RunAlone => Stop::Fault(Fault::RunAlone(cause(error))),
        class @ (Transient | LockWait | Lost | DiskFull | Fatal | Unknown) => {
            Stop::Fault(fault_of(class, cause(error)))
        }
    }
}

/// What a failed statement of our own means: nothing that a user wrote, so a refusal is a fault nobody knows.
pub fn own_fault(error: &PgError) -> Fault {
    let cause = cause(error);
    match class(error) {
        _ if matches!(error.sqlstate.as_str(), CLAIM_RAISED | NOT_OURS) => Fault::ClaimRaised(cause),
        _ if error.sqlstate == "26000" => Fault::RunAlone(cause),
        class => fault_of(class, cause),
    }
}

/// What a failed call on a connection means, where no user's statement can be its reason.
pub fn connection_fault(error: &Error) -> Fault {
    match error {
        Error::Server(error) => own_fault(error),
        Error::Unsendable(unsendable) => Fault::Unknown(Cause::new("unsendable", unsendable.to_string())),
        error => Fault::Lost(lost_cause(error)),
    }
}

/// Why the connection is gone, without what the server's last words may repeat.
pub fn lost_cause(error: &Error) -> Cause {
    match error {
        Error::SessionEnded(error) | Error::Server(error) => cause(error),
        error => Cause::new("connection", error.to_string()),
    }
}

fn fault_of(class: Class, cause: Cause) -> Fault {
    match class {
        Transient => Fault::Transient(cause),
        LockWait => Fault::LockWait(cause),
        Lost => Fault::Lost(cause),
        RunAlone | RefusedAlone(_) => Fault::RunAlone(cause),
        DiskFull => Fault::DiskFull(cause),
        Fatal => Fault::Fatal(cause),
        Class::Refused(_) | Unknown => Fault::Unknown(cause),
    }
}

/// A refusal in the server's words.
pub fn refusal(code: ErrorCode, error: &PgError) -> Refusal {
    let message = match code {
        // The server's text names our prepared statement, which is called otherwise on every node.
        WrongParams if error.sqlstate == "08P01" => {
            "the statement takes another number of params than it was given".to_owned()
        }
        // The path of a file of one server.
        _ if error.sqlstate.starts_with("F0") => cause(error).message,
        _ => error.message.clone(),
    };
    Refusal { sql_state: Some(error.sqlstate.clone()), position: error.position, ..Refusal::new(code, message) }
}

/// The refusal of a statement that cannot be put into a message.
pub fn unsendable(unsendable: Unsendable) -> Refusal {
    let code = match unsendable {
        Unsendable::ZeroByte => InvalidValue,
        Unsendable::Copy => Copy,
        Unsendable::TooManyParams => WrongParams,
        Unsendable::TooLarge => TooLarge,
    };
    Refusal::new(code, unsendable.to_string())
}

/// What a read's statement came to.
pub fn read_error(error: &PgError) -> ReadError {
    let code = match (class(error), error.sqlstate.as_str()) {
        (Class::Refused(Raised), _) => Raised,
        (_, "57014") => TimedOut,
        (_, "25006") => ReadOnly,
        (Class::Refused(code) | RefusedAlone(code), _) => code,
        (RunAlone, _) => NotSupported,
        (Lost, _) => return ReadError::Lost(cause(error).to_string()),
        (Transient | LockWait | DiskFull | Fatal | Unknown, _) => Unavailable,
    };
    ReadError::Refused(refusal(code, error))
}

/// What the server said, without what stands between quotes: there it repeats users' values and names.
pub fn cause(error: &PgError) -> Cause {
    let mut parts = error.message.split('"');
    let first = parts.next().unwrap_or_default().to_owned();
    let message =
        parts.enumerate().fold(first, |text, (n, part)| if n % 2 == 0 { text + "\"…\"" } else { text + part });
    Cause::new(error.sqlstate.clone(), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(sqlstate: &str) -> PgError {
        PgError { severity: "ERROR".into(), sqlstate: sqlstate.into(), ..PgError::default() }
    }

    #[test]
    fn refusals_have_the_codes_of_all_dbms() {
        for (sqlstate, code) in [
            ("23505", UniqueViolation),
            ("23503", ForeignKeyViolation),
            ("23001", ForeignKeyViolation),
            ("23502", NotNullViolation),
            ("23514", CheckViolation),
            ("23P01", CheckViolation),
            ("44000", CheckViolation),
            ("40002", CheckViolation),
            ("22012", DivisionByZero),
            ("22P02", InvalidValue),
            ("22003", InvalidValue),
            ("42804", TypeMismatch),
            ("42601", SyntaxError),
            ("42P01", UndefinedTable),
            ("3F000", UndefinedTable),
            ("42703", UndefinedColumn),
            ("42883", UndefinedFunction),
            ("42704", UndefinedObject),
            ("42P07", DuplicateObject),
            ("42701", DuplicateObject),
            ("42702", InvalidStatement),
            ("21000", InvalidStatement),
            ("54000", InvalidValue),
            ("54001", InvalidStatement),
            ("54011", InvalidStatement),
            ("10608", InvalidValue),
            ("42501", PrivilegeViolation),
            ("2BP01", InvalidState),
            ("55000", InvalidState),
            ("0A000", NotSupported),
            ("25001", NotTransactional),
            ("2D000", TransactionControl),
            ("P0001", Raised),
            ("P0002", ErrorCode::Refused),
        ] {
            assert_eq!(class(&error(sqlstate)), Class::Refused(code), "{sqlstate}");
        }
    }

    #[test]
    fn what_passes_or_is_of_this_server_is_never_a_refusal() {
        let table = [
            (Transient, &["40001", "40P01", "53300", "57014", "72000", "08006"][..]),
            (LockWait, &["55P03"]),
            (Lost, &["40003", "57P01", "57P02", "57P03", "57P05", "25P03"]),
            (DiskFull, &["53100"]),
            (Fatal, &["58030", "58P01", "XX001", "XX002", "25006", "25P02", "57P04", "F0000", "28000"]),
            (
                Unknown,
                &["XX000", "53000", "53200", "53400", "54XXX", "HV000", "40000", "55XXX", "P0XXX", "99999", "", "é"],
            ),
            (RefusedAlone(InvalidState), &["55006", "55P04"]),
        ];
        for (expected, codes) in table {
            for code in codes {
                assert_eq!(class(&error(code)), expected, "{code}");
            }
        }
    }

    #[test]
    fn every_code_of_every_supported_server_is_classified() {
        let codes: Vec<_> = SQLSTATES.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(codes.len() > 250);
        for code in codes {
            let state = code.split(' ').next().unwrap();
            assert!(listed(state).is_some(), "{code} is in no class: would every node meet it alike?");
        }
    }

    /// The codes of PostgreSQL 14 to 18; that a server knows no other one is tested on the server.
    const SQLSTATES: &str = include_str!("sqlstates.txt");

    #[test]
    fn internal_errors_are_refusals_only_where_the_statement_brings_them_about() {
        for (routine, code, class_of_it) in [
            ("xml_ereport", "XX000", Deterministic(InvalidValue)),
            ("NIImportDictionary", "F0000", Deterministic(UndefinedObject)),
            ("palloc", "XX000", Unknown),
            ("ProcessConfigFile", "F0000", Fatal),
            ("_bt_check_third_page", "54000", Deterministic(InvalidValue)),
            ("GetNewTransactionId", "54000", Unknown),
        ] {
            let error = PgError { routine: Some(routine.into()), ..error(code) };
            assert_eq!(class(&error), class_of_it, "{routine} {code}");
        }
        let message = "could not open stop-word file \"/srv/pg/x.stop\": No such file or directory".to_owned();
        let missing = PgError { message, routine: Some("readstoplist".into()), ..error("F0000") };
        let Stop::Refused(refusal) = stop(&missing, true, false) else { panic!("not refused") };
        assert!(!refusal.message.contains("/srv"), "the path is one server's own");
    }

    #[test]
    fn a_users_own_raise_is_a_refusal_whatever_it_forges() {
        for code in ["40001", "53100", "KL001", "57014", "00000"] {
            let forged = PgError { routine: Some("exec_stmt_raise".into()), ..error(code) };
            assert_eq!(class(&forged), Class::Refused(Raised), "{code}");
            assert!(matches!(read_error(&forged), ReadError::Refused(refusal) if refusal.code == Raised), "{code}");
        }
    }

    #[test]
    fn what_only_a_session_with_a_cache_meets_runs_alone() {
        let changed = PgError { routine: Some("RevalidateCachedQuery".into()), ..error("0A000") };
        assert!(matches!(stop(&changed, false, true), Stop::Fault(Fault::RunAlone(_))));
        assert!(matches!(stop(&changed, true, false), Stop::Refused(_)));
        assert!(matches!(stop(&error("26000"), true, true), Stop::Fault(Fault::RunAlone(_))));
        assert!(matches!(stop(&error("26000"), true, false), Stop::Refused(_)));
        assert!(matches!(stop(&error("55006"), false, false), Stop::Fault(Fault::RunAlone(_))));
        assert!(matches!(stop(&error("55006"), true, false), Stop::Refused(_)));
    }

    #[test]
    fn wrong_params_are_told_without_our_statements_name() {
        let message =
            "bind message supplies 1 parameters, but prepared statement \"kluster_1_2\" requires 2".to_owned();
        let error = PgError { message, routine: Some("exec_bind_message".into()), ..error("08P01") };
        let Stop::Refused(refusal) = stop(&error, true, true) else { panic!("not refused") };
        assert_eq!(refusal.code, WrongParams);
        assert!(!refusal.message.contains("kluster_"));
    }

    #[test]
    fn our_own_statements_are_never_refused() {
        assert!(matches!(own_fault(&error(CLAIM_RAISED)), Fault::ClaimRaised(_)));
        assert!(matches!(own_fault(&error(NOT_OURS)), Fault::ClaimRaised(_)));
        assert!(matches!(own_fault(&error("42501")), Fault::Unknown(_)));
        assert!(matches!(own_fault(&error("53100")), Fault::DiskFull(_)));
    }

    #[test]
    fn reads_are_answered_whatever_happens() {
        let code = |sqlstate| match read_error(&error(sqlstate)) {
            ReadError::Refused(refusal) => refusal.code,
            other => panic!("{other:?}"),
        };
        assert_eq!(code("57014"), TimedOut);
        assert_eq!(code("25006"), ReadOnly);
        assert_eq!(code("53200"), Unavailable);
        assert_eq!(code("42501"), PrivilegeViolation);
        assert!(matches!(read_error(&error("57P01")), ReadError::Lost(_)));
    }

    #[test]
    fn causes_hold_no_text_of_users() {
        let error = PgError { message: "invalid input for \"secret\": \"b\" x".into(), ..error("XX000") };
        assert_eq!(cause(&error).message, "invalid input for \"…\": \"…\" x");
    }
}
