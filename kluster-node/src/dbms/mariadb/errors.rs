//! Errors: MariaDB's error numbers and what a node does about each, as data.
//!
//! Neighbours: only this adapter reads it. Sources: the server's own list (`errmsg-utf8.txt`), the storage engines' (`my_base.h`), and trials on 10.11 and 11.4.
//! Order of the search: the number in [`NUMBERS`], then the class of the SQLSTATE in [`STATES`], else unknown. Listed are the numbers of 10.11, 11.4 and 11.8 that
//! speak of a statement's text, its values or the schema and of nothing else. A number that depends on one
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
    (Deterministic(UniqueViolation), &[1022, 1062, 1169, 1569, 1586, 1859]),
    (Deterministic(NotNullViolation), &[1048, 1263, 1364, 1423]),
    (Deterministic(ForeignKeyViolation), &[1216, 1217, 1451, 1452, 1557, 1761, 1762]),
    (Deterministic(CheckViolation), &[1369, 1526, 1591, 1737, 1748, 3819, 4025]),
    (Deterministic(DivisionByZero), &[1365]),
    (Deterministic(InvalidValue), &[
        1067, 1162, 1256, 1258, 1259, 1260, 1264, 1265, 1292, 1299, 1300, 1301, 1366, 1367, 1406, 1411, 1416, 1441, 1525, 1575, 1648,
        1649, 1690, 1713, 1741, 1742, 1916, 1917, 1918, 1919, 1920, 1921, 1922, 1941, 1958, 1977, 1978, 3020, 3033, 3034, 3037, 3038, 3039,
        3040, 3041, 3045, 3046, 3047, 3048, 3049, 3050, 3051, 3052, 3055, 4024, 4027, 4028, 4035, 4036, 4037, 4038, 4039, 4040, 4041,
        4042, 4043, 4044, 4045, 4046, 4048, 4049, 4050, 4051, 4076, 4085, 4103, 4176, 4178, 4179, 4183, 4193, 4194, 4195, 4203, 4204,
    ]),
    (Deterministic(TypeMismatch), &[1267, 1270, 1271, 4078, 4079]),
    (Deterministic(WrongParams), &[1210, 1390, 2031]),
    (Deterministic(SyntaxError), &[1064, 1065, 1149, 1382]),
    (Deterministic(UndefinedTable), &[1049, 1051, 1109, 1146, 1356, 1824, 4091]),
    (Deterministic(UndefinedColumn), &[1054, 1072, 1247]),
    (Deterministic(UndefinedFunction), &[1128, 1305, 1318, 1582, 1583, 1630]),
    (Deterministic(UndefinedObject), &[1091, 1115, 1176, 1193, 1273, 1360, 1507, 3011]),
    (Deterministic(DuplicateObject), &[1007, 1050, 1060, 1061, 1125, 1304, 1359, 1517, 1826]),
    (Deterministic(PrivilegeViolation), &[1044, 1142, 1143, 1227, 1370, 1410]),
    (Deterministic(InvalidStatement), &[
        1052, 1055, 1056, 1057, 1058, 1059, 1063, 1066, 1068, 1069, 1070, 1071, 1073, 1074, 1075, 1082, 1083, 1084, 1089, 1090, 1093,
        1096, 1097, 1101, 1102, 1103, 1106, 1107, 1108, 1110, 1111, 1112, 1113, 1116, 1117, 1118, 1120, 1121, 1136, 1139, 1140, 1163,
        1164, 1166, 1167, 1170, 1171, 1172, 1173, 1177, 1178, 1191, 1204, 1214, 1215, 1221, 1222, 1225, 1228, 1229, 1230, 1231, 1232,
        1233, 1234, 1238, 1239, 1240, 1241, 1242, 1245, 1248, 1250, 1252, 1253, 1272, 1280, 1281, 1283, 1288, 1291, 1293, 1294, 1302,
        1303, 1308, 1309, 1310, 1311, 1313, 1319, 1320, 1322, 1324, 1327, 1328, 1330, 1331, 1332, 1333, 1337, 1338, 1347, 1348, 1349,
        1350, 1351, 1352, 1353, 1357, 1361, 1362, 1363, 1368, 1384, 1385, 1386, 1391, 1393, 1394, 1395, 1407, 1413, 1414, 1425, 1426,
        1427, 1435, 1437, 1439, 1443, 1444, 1446, 1450, 1453, 1458, 1460, 1462, 1463, 1464, 1465, 1470, 1471, 1473, 1474, 1475, 1479,
        1480, 1481, 1482, 1483, 1484, 1485, 1486, 1487, 1488, 1489, 1491, 1492, 1493, 1494, 1495, 1496, 1498, 1499, 1500, 1501, 1502,
        1503, 1504, 1505, 1506, 1508, 1509, 1510, 1511, 1512, 1513, 1514, 1515, 1516, 1519, 1520, 1521, 1522, 1523, 1562, 1563, 1564,
        1566, 1567, 1578, 1584, 1628, 1629, 1641, 1646, 1652, 1653, 1654, 1655, 1656, 1657, 1658, 1659, 1660, 1687, 1688, 1691, 1697,
        1706, 1709, 1731, 1732, 1733, 1734, 1735, 1736, 1740, 1746, 1747, 1757, 1758, 1764, 1765, 1766, 1769, 1791, 1793, 1796, 1797,
        1798, 1800, 1801, 1821, 1822, 1825, 1828, 1830, 1832, 1838, 1901, 1903, 1904, 1905, 1906, 1907, 1908, 1910, 1911, 1912, 1931,
        1965, 1967, 1970, 1971, 3004, 3013, 3014, 3018, 3026, 3028, 3029, 3057, 4002, 4003, 4004, 4005, 4006, 4007, 4008, 4009, 4010,
        4011, 4012, 4013, 4014, 4015, 4016, 4017, 4018, 4019, 4020, 4021, 4022, 4023, 4026, 4029, 4030, 4031, 4032, 4074, 4080, 4081,
        4082, 4083, 4089, 4090, 4092, 4093, 4095, 4096, 4097, 4098, 4099, 4100, 4101, 4102, 4104, 4105, 4106, 4107, 4108, 4110, 4113,
        4116, 4121, 4122, 4123, 4124, 4125, 4126, 4127, 4128, 4130, 4134, 4135, 4137, 4140, 4141, 4142, 4143, 4144, 4152, 4153, 4154,
        4155, 4156, 4157, 4158, 4159, 4160, 4161, 4162, 4164, 4169, 4170, 4171, 4172, 4174, 4177, 4180, 4184, 4187, 4196, 4197, 4198,
        4199, 4201, 4206,
    ]),
    (Deterministic(InvalidState), &[
        1321, 1323, 1325, 1326, 1329, 1339, 1442, 1456, 1467, 1553, 1701, 1710, 1711, 1829, 1833, 1834, 1869, 3008, 4084,
    ]),
    (Deterministic(NotSupported), &[
        1031, 1235, 1295, 1312, 1314, 1335, 1336, 1381, 1415, 1422, 1424, 1478, 1497, 1572, 1616, 1726, 1795, 1845, 1846, 1847, 1848,
        1849, 1850, 1851, 1852, 1853, 1854, 1855, 1856, 1857, 1861, 1865, 3012, 3059, 3060, 4111, 4119, 4120, 4131, 4132, 4138,
    ]),
    (Deterministic(TransactionControl), &[1179, 1399, 1400, 1445, 1568]),
    (Deterministic(Raised), &[1643, 1644, 1645]),

    (Transient, &[1020, 1047, 1213, 1317, 1412, 1637, 1969, 3024]),
    // No statement waits for itself: another session holds the row or the table.
    (LockWait, &[1205]),
    (RunAlone, &[1243, 1461, 1615]),
    (Lost, &[1040, 1053, 1130, 1152, 1158, 1159, 1160, 1161, 1184, 1203, 1226, 1927, 2006, 2013]),
    (DiskFull, &[1021, 1114]),
    (Fatal, &[1034, 1035, 1045, 1129, 1194, 1195, 1206, 1290, 1524, 1698, 1712, 1792, 1813, 1836, 1877, 1932]),
    // In SQLSTATE classes of refusals, or HY000 like many of them, but of this server only: memory, stack, limits, settings, logins and grants.
    (Unknown, &[
        1037, 1038, 1041, 1104, 1119, 1131, 1132, 1135, 1141, 1144, 1145, 1147, 1148, 1153, 1211, 1286, 1403, 1419, 1436, 1665, 1815,
    ]),
];

/// Classes of SQLSTATE that say nothing but: this statement's rows, values or constraints, or the user's own SIGNAL. There a number that is not
/// listed is a refusal. Not so in 42 and 0A: MariaDB gives these to the limits and settings of a server too (1162, 1203, 1226, 1461), so in them
/// a number is a refusal only if it is listed, which those of 10.11 are, and one that a newer server adds is unknown.
const STATES: &[(&str, ErrorCode)] =
    &[("21", InvalidStatement), ("22", InvalidValue), ("23", CheckViolation), ("45", Raised)];

/// The class of an error. `message` decides where one number stands for several things: 1005, 1025 and 1030 name another
/// error inside, 1091 the kind of object, 1105 whatever has no number of its own.
pub fn class(number: u16, state: &str, message: &str) -> Class {
    match number {
        3 | 1005 | 1025 | 1026 | 1030 => return class_inside(message),
        1105 if XPATH.iter().any(|begin| message.starts_with(begin)) => return Deterministic(InvalidValue),
        1091 if message.contains("DROP COLUMN") => return Deterministic(UndefinedColumn),
        _ => {}
    }
    let listed = NUMBERS.iter().find(|(_, numbers)| numbers.contains(&number));
    let by_state = || STATES.iter().find(|(class, _)| state.starts_with(class)).map(|(_, code)| Deterministic(*code));
    listed.map(|(class, _)| *class).or_else(by_state).unwrap_or(Unknown)
}

/// How the errors begin that `extractvalue` and `updatexml` have for an XPath; the server has no number for them and does not translate them.
const XPATH: &[&str] = &["XPATH ", "Unknown XPATH ", "Only constant XPATH "];

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
        // Rows, keys, options, partitions and foreign keys that the storage engine does not take (`my_base.h` of the server).
        Some(131 | 138 | 139 | 140 | 150 | 152 | 160 | 162 | 179 | 185) => Deterministic(InvalidStatement),
        Some(163) => Deterministic(UniqueViolation),
        Some(151 | 192) => Deterministic(ForeignKeyViolation),
        Some(158 | 167 | 181 | 182 | 191) => Deterministic(InvalidValue),
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
        for number in [1037, 1105, 1153, 1257, 1436, 3044, 9999] {
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
        assert_eq!(class(4999, "45000", ""), Class::Refused(Raised));
        assert_eq!(class(4999, "42000", ""), Unknown, "a newer server's limit may be named so");
        assert_eq!(class(4999, "0A000", ""), Unknown);
        assert_eq!(class(4999, "HY000", ""), Unknown);
        assert_eq!(class(4999, "08S01", ""), Unknown);
    }

    #[test]
    fn every_number_of_every_supported_server_is_classified() {
        let numbers: Vec<_> = SERVER_ERRORS.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(numbers.len() > 1200);
        for line in numbers {
            let mut words = line.split(' ');
            let number: u16 = words.next().unwrap().parse().unwrap();
            let decided = words.nth(1).unwrap();
            assert_eq!(decided, in_a_word(number), "{line}: would every node meet it alike?");
        }
    }

    /// The numbers of MariaDB 10.11, 11.4 and 11.8, and what was decided about each; that a server knows no other one is tested on the
    /// server. `unknown`: a refusal only where its SQLSTATE is in [`STATES`].
    const SERVER_ERRORS: &str = include_str!("numbers.txt");

    fn in_a_word(number: u16) -> String {
        match class(number, "HY000", "") {
            Class::Refused(code) => format!("refused:{code}"),
            Class::RefusedAlone(code) => format!("alone:{code}"),
            Transient => "transient".into(),
            LockWait => "lock_wait".into(),
            Lost => "lost".into(),
            RunAlone => "run_alone".into(),
            DiskFull => "disk_full".into(),
            Fatal => "fatal".into(),
            Unknown if [3, 1005, 1025, 1026, 1030, 1105].contains(&number) => "inside".into(),
            Unknown => "unknown".into(),
        }
    }

    #[test]
    fn no_number_is_listed_twice() {
        let mut all: Vec<u16> = NUMBERS.iter().flat_map(|(_, numbers)| numbers.iter().copied()).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn limits_and_grants_of_a_server_are_no_refusals_whatever_their_state() {
        // No grant in this server's tables; not allowed by this server's settings.
        for number in [1141, 1147, 1148, 1211] {
            assert_eq!(class(number, "42000", ""), Unknown, "{number}");
        }
    }

    #[test]
    fn errors_inside_errors() {
        let foreign_key = r#"Can't create table `t`.`c` (errno: 150 "Foreign key constraint is incorrectly formed")"#;
        assert_eq!(class(1005, "HY000", foreign_key), Class::Refused(InvalidStatement));
        let too_big = r#"Can't create table `t`.`c` (errno: 139 "Too big row")"#;
        assert_eq!(class(1005, "HY000", too_big), Class::Refused(InvalidStatement));
        assert_eq!(class(1105, "HY000", "XPATH syntax error: '['"), Class::Refused(InvalidValue));
        assert_eq!(class(1105, "HY000", "Unknown error"), Unknown);
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
