//! Errors: MariaDB's error numbers and what a node does about each, as data.
//!
//! Neighbours: only this adapter reads it. Sources: the server's own list (`errmsg-utf8.txt`) and trials on 10.11.
//! Order of the search: the number in [`NUMBERS`], then the class of the SQLSTATE in [`STATES`], else unknown. A number that depends on one
//! server's memory, disk, settings or load stands in [`NUMBERS`] whatever its SQLSTATE, so that it is never answered as a refusal.

use crate::fault::{Cause, Class, Fault, Refusal};
use kluster_protocol::ErrorCode::{self, *};
use sqlx::mysql::MySqlDatabaseError;

/// What our procedures signal when the state row is not where the caller left it.
pub const CLAIM_RAISED: u16 = 30_001;
/// What our procedures signal when the secret is not the one of the process that owns the database now.
pub const NOT_OURS: u16 = 30_002;
/// A savepoint (or routine) does not exist.
pub const NO_SUCH_SAVEPOINT: u16 = 1305;
/// Not possible as a prepared statement.
pub const NOT_PREPARABLE: u16 = 1295;
/// The code of a cause that is the driver's: where the next answer begins on this connection is not known.
pub const DRIVER: &str = "driver";
/// The login is refused.
pub const ACCESS_DENIED: u16 = 1045;

use Class::{DiskFull, Fatal, LockWait, Lost, Refused as Deterministic, RunAlone, Transient, Unknown};

/// Error numbers and their classes.
#[rustfmt::skip]
const NUMBERS: &[(Class, &[u16])] = &[
    (Deterministic(UniqueViolation), &[1022, 1062, 1169, 1586, 1859]),
    (Deterministic(NotNullViolation), &[1048, 1263, 1364, 1423]),
    (Deterministic(ForeignKeyViolation), &[1216, 1217, 1451, 1452, 1557, 1761, 1762]),
    (Deterministic(CheckViolation), &[1369, 1526, 3819, 4025]),
    (Deterministic(DivisionByZero), &[1365]),
    (Deterministic(InvalidValue), &[1067, 1264, 1265, 1292, 1366, 1367, 1406, 1411, 1416, 1441, 1690, 1916, 4037, 4038]),
    (Deterministic(TypeMismatch), &[1267, 1270, 1271, 4078, 4079]),
    (Deterministic(WrongParams), &[1210, 1390, 2031]),
    (Deterministic(SyntaxError), &[1064, 1065, 1149]),
    (Deterministic(UndefinedTable), &[1049, 1051, 1109, 1146, 1356, 4091]),
    (Deterministic(UndefinedColumn), &[1054, 1072, 1247]),
    (Deterministic(UndefinedFunction), &[1128, 1305, 1318, 1582, 1583, 1630]),
    (Deterministic(UndefinedObject), &[1091, 1115, 1176, 1273, 1360, 1507]),
    (Deterministic(DuplicateObject), &[1007, 1050, 1060, 1061, 1125, 1304, 1359, 1517, 1826]),
    (Deterministic(PrivilegeViolation), &[1044, 1142, 1143, 1227, 1370, 1410]),
    (Deterministic(InvalidStatement), &[
        1052, 1055, 1056, 1057, 1058, 1059, 1063, 1066, 1068, 1069, 1070, 1071, 1073, 1074, 1075, 1089, 1090, 1093, 1101, 1102, 1103,
        1110, 1111, 1113, 1117, 1118, 1136, 1139, 1140, 1166, 1170, 1171, 1172, 1221, 1222, 1232, 1239, 1241, 1242, 1248, 1250, 1280,
        1288, 1291, 1293, 1327, 1347, 1348, 1349, 1350, 1351, 1353, 1393, 1394, 1395, 1425, 1426, 1427, 1439, 1443, 1470, 1471, 1901,
        1906, 1907, 1908, 1910,
    ]),
    (Deterministic(InvalidState), &[1323, 1325, 1326, 1329, 1442, 1456, 1467, 1553, 1701, 1829, 1833, 1834]),
    (Deterministic(NotSupported), &[1235, 1295, 1415, 1422, 1424, 1845, 1846]),
    (Deterministic(TransactionControl), &[1179, 1399, 1400, 1568]),
    (Deterministic(Raised), &[1643, 1644, 1645]),

    (Transient, &[1020, 1047, 1213, 1317, 1412, 1637, 1969, 3024]),
    // No statement waits for itself: another session holds the row or the table.
    (LockWait, &[1205]),
    (RunAlone, &[1243, 1461, 1615]),
    (Lost, &[1040, 1053, 1130, 1152, 1158, 1159, 1160, 1161, 1184, 1203, 1226, 1927, 2006, 2013]),
    (DiskFull, &[1021, 1114]),
    (Fatal, &[1034, 1035, 1045, 1129, 1194, 1195, 1206, 1290, 1524, 1698, 1712, 1792, 1813, 1836, 1877, 1932]),
    // In SQLSTATE classes of refusals, but of this server only: memory, stack, limits and settings.
    (Unknown, &[1037, 1038, 1041, 1104, 1105, 1119, 1135, 1153, 1286, 1301, 1419, 1436, 1665, 1815]),
];

/// Classes of SQLSTATE whose other numbers are deterministic: about values, integrity, cardinality, syntax and names.
const STATES: &[(&str, ErrorCode)] = &[
    ("21", InvalidStatement),
    ("22", InvalidValue),
    ("23", CheckViolation),
    ("0A", NotSupported),
    ("45", Raised),
    ("42", InvalidStatement),
];

/// The class of an error. `message` decides where one number stands for several things: 1005, 1025 and 1030 name another
/// error inside, 1091 the kind of object.
pub fn class(number: u16, state: &str, message: &str) -> Class {
    match number {
        3 | 1005 | 1025 | 1026 | 1030 => return class_inside(message),
        1091 if message.contains("DROP COLUMN") => return Deterministic(UndefinedColumn),
        _ => {}
    }
    let listed = NUMBERS.iter().find(|(_, numbers)| numbers.contains(&number));
    let by_state = || STATES.iter().find(|(class, _)| state.starts_with(class)).map(|(_, code)| Deterministic(*code));
    listed.map(|(class, _)| *class).or_else(by_state).unwrap_or(Unknown)
}

/// Errors around an error of the storage engine: `… (errno: 150 "…")`, `Got error 28 "…" from storage engine`.
fn class_inside(message: &str) -> Class {
    let inside = ["errno: ", "error ", "Errcode: "].iter().find_map(|before| {
        let rest = message.split(before).nth(1)?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok()
    });
    match inside {
        Some(28) => DiskFull,
        Some(121) => Deterministic(DuplicateObject),
        Some(150 | 152) => Deterministic(InvalidStatement),
        Some(5 | 30 | 126 | 127 | 144 | 145) => Fatal,
        _ => Unknown,
    }
}

/// What stopped one of a user's statements.
#[derive(Debug, Clone, PartialEq)]
pub enum Stop {
    /// Every node refuses it alike.
    Refused(Refusal),
    /// The batch cannot go on.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What stops a user's statement after `error`. `alone`: it is the only work of its transaction.
pub fn stop(error: sqlx::Error, alone: bool) -> Stop {
    let (number, refusal) = match server_error(&error) {
        Some(error) => (error.number(), refusal(error)),
        None => return Stop::Fault(broken(error)),
    };
    let state = refusal.sql_state.clone().unwrap_or_default();
    let cause = Cause::new(number.to_string(), without_quotes(&refusal.message));
    match class(number, &state, &refusal.message) {
        Class::Refused(code) => Stop::Refused(Refusal { code, ..refusal }),
        Class::RefusedAlone(code) if alone => Stop::Refused(Refusal { code, ..refusal }),
        Class::RefusedAlone(_) => Stop::Fault(Fault::RunAlone(cause)),
        RunAlone if alone => Stop::Fault(Fault::Transient(cause)),
        RunAlone => Stop::Fault(Fault::RunAlone(cause)),
        Transient => Stop::Fault(Fault::Transient(cause)),
        LockWait => Stop::Fault(Fault::LockWait(cause)),
        Lost => Stop::Fault(Fault::Lost(cause)),
        DiskFull => Stop::Fault(Fault::DiskFull(cause)),
        Fatal => Stop::Fault(Fault::Fatal(cause)),
        Unknown => Stop::Fault(Fault::Unknown(cause)),
    }
}

/// What a failed statement of our own means: nothing a user wrote, so a refusal is a fault nobody knows.
pub fn fault(error: sqlx::Error) -> Fault {
    match server_error(&error).map(MySqlDatabaseError::number) {
        Some(CLAIM_RAISED) => Fault::ClaimRaised(cause(&error)),
        Some(NOT_OURS) => Fault::ClaimRaised(cause(&error)),
        _ => match stop(error, true) {
            Stop::Fault(fault) => fault,
            Stop::Refused(refusal) => Fault::Unknown(Cause::new(
                refusal.sql_state.clone().unwrap_or_default(),
                format!("a statement of Kluster's own was refused: {}", without_quotes(&refusal.message)),
            )),
        },
    }
}

/// Whether a session that met this fault must not be used again.
pub fn breaks(fault: &Fault) -> bool {
    matches!(fault, Fault::Lost(_)) || fault.cause().code == DRIVER
}

/// The refusal in the server's words, its code not yet Kluster's.
pub fn refusal(error: &MySqlDatabaseError) -> Refusal {
    Refusal { sql_state: error.code().map(str::to_owned), ..Refusal::new(Refused, error.message()) }
}

/// The server's own error, if it is one.
pub fn server_error(error: &sqlx::Error) -> Option<&MySqlDatabaseError> {
    error.as_database_error().and_then(|error| error.try_downcast_ref())
}

/// The number of the server's own error, if it is one.
pub fn number(error: &sqlx::Error) -> Option<u16> {
    server_error(error).map(MySqlDatabaseError::number)
}

/// An error that is not the server's: the connection, or bytes that the driver cannot read.
fn broken(error: sqlx::Error) -> Fault {
    match &error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) => Fault::Lost(Cause::new("connection", error.to_string())),
        _ => Fault::Unknown(Cause::new(DRIVER, error.to_string())),
    }
}

fn cause(error: &sqlx::Error) -> Cause {
    let number = number(error).map_or_else(|| "connection".to_owned(), |number| number.to_string());
    let message = server_error(error).map_or_else(|| error.to_string(), |error| error.message().to_owned());
    Cause::new(number, without_quotes(&message))
}

/// A message without what stands between quotes: there the server repeats SQL and values of users.
fn without_quotes(message: &str) -> String {
    let mut parts = message.split('\'');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.enumerate().fold(first, |text, (n, part)| if n % 2 == 0 { text + "'…'" } else { text + part })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_codes_of_all_dbms() {
        for (number, code) in [
            (1062, UniqueViolation),
            (1452, ForeignKeyViolation),
            (1048, NotNullViolation),
            (1364, NotNullViolation),
            (4025, CheckViolation),
            (1365, DivisionByZero),
            (1264, InvalidValue),
            (1366, InvalidValue),
            (1064, SyntaxError),
            (1146, UndefinedTable),
            (1051, UndefinedTable),
            (1054, UndefinedColumn),
            (1305, UndefinedFunction),
            (1091, UndefinedObject),
            (1050, DuplicateObject),
            (1061, DuplicateObject),
            (1136, InvalidStatement),
            (1142, PrivilegeViolation),
            (1644, Raised),
        ] {
            assert_eq!(class(number, "HY000", ""), Class::Refused(code), "{number}");
        }
    }

    #[test]
    fn what_passes_or_is_of_this_server_is_never_a_refusal() {
        assert_eq!(class(1205, "HY000", ""), LockWait);
        for number in [1213, 1317, 1969] {
            assert_eq!(class(number, "HY000", ""), Transient, "{number}");
        }
        for number in [1021, 1114] {
            assert_eq!(class(number, "HY000", ""), DiskFull, "{number}");
        }
        for number in [1040, 1053, 1158, 1203, 1226, 1927] {
            assert_eq!(class(number, "42000", ""), Lost, "{number}");
        }
        for number in [1290, 1836, 1932, 1194] {
            assert_eq!(class(number, "42000", ""), Fatal, "{number}");
        }
        for number in [1037, 1105, 1153, 1436, 9999] {
            assert_eq!(class(number, "HY000", ""), Unknown, "{number}");
        }
        assert_eq!(class(1243, "HY000", ""), RunAlone);
        assert_eq!(
            class(1461, "42000", ""),
            RunAlone,
            "too many prepared statements: a limit of this server, whatever its SQLSTATE"
        );
    }

    #[test]
    fn numbers_not_listed_are_refusals_only_in_states_about_the_statement() {
        assert_eq!(class(4999, "22007", ""), Class::Refused(InvalidValue));
        assert_eq!(class(4999, "42000", ""), Class::Refused(InvalidStatement));
        assert_eq!(class(4999, "HY000", ""), Unknown);
        assert_eq!(class(4999, "08S01", ""), Unknown);
    }

    #[test]
    fn errors_inside_errors() {
        let foreign_key = r#"Can't create table `t`.`c` (errno: 150 "Foreign key constraint is incorrectly formed")"#;
        assert_eq!(class(1005, "HY000", foreign_key), Class::Refused(InvalidStatement));
        assert_eq!(
            class(1030, "HY000", r#"Got error 28 "No space left on device" from storage engine InnoDB"#),
            DiskFull
        );
        assert_eq!(class(1030, "HY000", r#"Got error 168 "Unknown" from storage engine InnoDB"#), Unknown);
    }

    #[test]
    fn causes_hold_no_text_of_users() {
        assert_eq!(without_quotes("near 'select secret' at line 1"), "near '…' at line 1");
        assert_eq!(without_quotes("Duplicate entry 'a' for key 'k'"), "Duplicate entry '…' for key '…'");
        assert_eq!(without_quotes("open 'rest"), "open '…'");
    }
}
