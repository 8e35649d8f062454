//! Cells: one value of MariaDB's binary protocol as JSON text, by the value encoding of `kluster_protocol::value`.
//!
//! Neighbours: `shape` asks for each cell of a row. Decoded from the bytes themselves and never through a calendar type: zero
//! dates, negative times and times beyond a day are ordinary values here, and no value may stop a node.
//!
//! Of its own: BIT is an integer (what MariaDB makes of it in a number context); GEOMETRY is its bytes, for MariaDB gives its text on request
//! only; JSON is a string, for MariaDB keeps it as text with a check and says no more in its protocol.
//!
//! Source of the formats: "Binary Protocol Value" of the MySQL client/server protocol.

use kluster_protocol::value;
use serde_json::Value;
use sqlx::mysql::MySqlTypeInfo;
use sqlx::{MySql, Type, TypeInfo};

/// How the bytes of a column are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Little endian, signed, of 1 to 8 bytes.
    Signed,
    /// Little endian, unsigned.
    Unsigned,
    /// Four bytes.
    Float,
    /// Eight bytes.
    Double,
    /// Big endian bits.
    Bit,
    /// Digits.
    Decimal,
    /// A day.
    Date,
    /// A day and a time without zone.
    Datetime,
    /// An instant; sessions are in UTC.
    Timestamp,
    /// A signed span of time.
    Time,
    /// Characters.
    Text,
    /// Octets.
    Bytes,
}

/// How a column's cells are read and what its type is called.
pub fn kind(info: &MySqlTypeInfo) -> (Kind, String) {
    let name = info.name();
    let unsigned = name.ends_with("UNSIGNED") || *info == <u8 as Type<MySql>>::type_info();
    // By the collation: a text with a binary collation (`utf8mb4_bin`) is text, though the driver calls it BINARY.
    let text = <str as Type<MySql>>::compatible(info);
    let kind = match name {
        "FLOAT" => Kind::Float,
        "DOUBLE" => Kind::Double,
        "BIT" => Kind::Bit,
        "DECIMAL" => Kind::Decimal,
        "DATE" => Kind::Date,
        "DATETIME" => Kind::Datetime,
        "TIMESTAMP" => Kind::Timestamp,
        "TIME" => Kind::Time,
        "YEAR" => Kind::Unsigned,
        "BOOLEAN" if unsigned => Kind::Unsigned,
        _ if unsigned => Kind::Unsigned,
        "BOOLEAN" | "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => Kind::Signed,
        _ if text || name == "SET" || name == "NULL" => Kind::Text,
        _ => Kind::Bytes,
    };
    (kind, type_name(name, kind, unsigned))
}

/// The type's name as information_schema gives it.
fn type_name(name: &str, kind: Kind, unsigned: bool) -> String {
    match (name, kind) {
        ("BOOLEAN", _) if unsigned => "tinyint unsigned".to_owned(),
        ("BOOLEAN", _) => "tinyint".to_owned(),
        ("BINARY", Kind::Text) => "char".to_owned(),
        ("VARBINARY", Kind::Text) => "varchar".to_owned(),
        ("VARCHAR", Kind::Bytes) => "varbinary".to_owned(),
        ("CHAR", Kind::Bytes) => "binary".to_owned(),
        (name, Kind::Text) if name.ends_with("BLOB") => name.to_lowercase().replace("blob", "text"),
        (name, _) => name.to_lowercase(),
    }
}

/// The JSON form of a cell of the binary protocol.
pub fn decode(kind: Kind, bytes: &[u8]) -> Value {
    match kind {
        Kind::Signed => value::integer(signed(bytes)),
        Kind::Unsigned => value::integer(little_endian(bytes).into()),
        Kind::Bit => value::integer(big_endian(bytes).into()),
        Kind::Float => number(bytes, |four| value::real(f32::from_le_bytes(four))),
        Kind::Double => number(bytes, |eight| value::double(f64::from_le_bytes(eight))),
        Kind::Decimal | Kind::Text => String::from_utf8_lossy(bytes).into(),
        Kind::Bytes => value::bytes(bytes),
        Kind::Date => date(bytes).into(),
        Kind::Datetime => datetime(bytes).into(),
        Kind::Timestamp => (datetime(bytes) + "Z").into(),
        Kind::Time => time(bytes).into(),
    }
}

/// A number of exactly `N` bytes; other bytes stay what they are.
fn number<const N: usize>(bytes: &[u8], read: impl FnOnce([u8; N]) -> Value) -> Value {
    bytes.try_into().map_or_else(|_| value::bytes(bytes), read)
}

/// The JSON form of a cell of the text protocol, which statements that cannot be prepared answer in.
pub fn decode_text(kind: Kind, bytes: &[u8]) -> Value {
    let text = String::from_utf8_lossy(bytes);
    match kind {
        Kind::Signed | Kind::Unsigned => text.parse().map_or_else(|_| text.into(), value::integer),
        Kind::Float => text.parse().map_or_else(|_| text.into(), value::real),
        Kind::Double => text.parse().map_or_else(|_| text.into(), value::double),
        Kind::Bit => value::integer(big_endian(bytes).into()),
        Kind::Bytes => value::bytes(bytes),
        Kind::Datetime => text.replacen(' ', "T", 1).into(),
        Kind::Timestamp => (text.replacen(' ', "T", 1) + "Z").into(),
        Kind::Decimal | Kind::Date | Kind::Time | Kind::Text => text.into(),
    }
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn signed(bytes: &[u8]) -> i128 {
    let unused = 64 - 8 * bytes.len().clamp(1, 8);
    i128::from((little_endian(bytes) << unused) as i64 >> unused)
}

/// Length, then year (2 bytes), month, day; of a zero date only the length.
fn date(bytes: &[u8]) -> String {
    let field = |at: usize| bytes.get(1 + at).copied().unwrap_or(0);
    let year = u16::from_le_bytes([field(0), field(1)]);
    format!("{year:04}-{:02}-{:02}", field(2), field(3))
}

/// As [`date`], then hour, minute, second, and microseconds (4 bytes); trailing zeros are left out.
fn datetime(bytes: &[u8]) -> String {
    let day = date(bytes);
    let field = |at: usize| bytes.get(1 + at).copied().unwrap_or(0);
    let micros = u32::from_le_bytes([field(7), field(8), field(9), field(10)]);
    format!("{day}T{:02}:{:02}:{:02}{}", field(4), field(5), field(6), fraction(micros))
}

/// Length, then sign, days (4 bytes), hours, minutes, seconds, microseconds (4 bytes); trailing zeros are left out.
fn time(bytes: &[u8]) -> String {
    let field = |at: usize| bytes.get(1 + at).copied().unwrap_or(0);
    let sign = if field(0) == 0 { "" } else { "-" };
    let days = u32::from_le_bytes([field(1), field(2), field(3), field(4)]);
    let micros = u32::from_le_bytes([field(8), field(9), field(10), field(11)]);
    let hours = u64::from(days) * 24 + u64::from(field(5));
    format!("{sign}{hours:02}:{:02}:{:02}{}", field(6), field(7), fraction(micros))
}

fn fraction(micros: u32) -> String {
    match micros {
        0 => String::new(),
        _ => format!(".{micros:06}").trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn integers_of_each_width() {
        assert_eq!(decode(Kind::Signed, &[0xff]), json!(-1));
        assert_eq!(decode(Kind::Signed, &[0x00, 0x80]), json!(-32768));
        assert_eq!(decode(Kind::Unsigned, &[0xff]), json!(255));
        assert_eq!(decode(Kind::Signed, &i64::MIN.to_le_bytes()), json!("-9223372036854775808"));
        assert_eq!(decode(Kind::Unsigned, &[0xff; 8]), json!("18446744073709551615"));
        assert_eq!(decode(Kind::Bit, &[1, 2]), json!(258));
        assert_eq!(decode(Kind::Bit, &[0xff; 8]), json!("18446744073709551615"));
        assert_eq!(decode(Kind::Signed, &[]), json!(0));
    }

    #[test]
    fn zero_dates_and_strange_times() {
        assert_eq!(decode(Kind::Date, &[0]), json!("0000-00-00"));
        assert_eq!(decode(Kind::Date, &[4, 0xe8, 0x07, 2, 0]), json!("2024-02-00"));
        assert_eq!(decode(Kind::Datetime, &[0]), json!("0000-00-00T00:00:00"));
        assert_eq!(decode(Kind::Timestamp, &[0]), json!("0000-00-00T00:00:00Z"));
        assert_eq!(decode(Kind::Datetime, &[7, 0xe8, 0x07, 2, 29, 12, 34, 56]), json!("2024-02-29T12:34:56"));
        let half = [11, 0xe8, 0x07, 2, 29, 12, 34, 56, 0x20, 0xa1, 0x07, 0];
        assert_eq!(decode(Kind::Timestamp, &half), json!("2024-02-29T12:34:56.5Z"));
        assert_eq!(decode(Kind::Time, &[0]), json!("00:00:00"));
        assert_eq!(decode(Kind::Time, &[8, 1, 34, 0, 0, 0, 22, 59, 59]), json!("-838:59:59"));
        assert_eq!(decode(Kind::Time, &[12, 0, 0, 0, 0, 0, 1, 2, 3, 1, 0, 0, 0]), json!("01:02:03.000001"));
        assert_eq!(decode(Kind::Date, &[]), json!("0000-00-00"), "no bytes at all are no reason to stop");
    }

    #[test]
    fn reals_text_and_bytes() {
        assert_eq!(decode(Kind::Float, &0.1f32.to_le_bytes()), json!(0.1));
        assert_eq!(decode(Kind::Double, &1e300f64.to_le_bytes()), json!(1e300));
        assert_eq!(decode(Kind::Decimal, b"12.50"), json!("12.50"));
        assert_eq!(decode(Kind::Text, "ä".as_bytes()), json!("ä"));
        assert_eq!(decode(Kind::Bytes, &[0, 255]), json!("AP8="));
    }

    #[test]
    fn the_text_protocol_gives_the_same_forms() {
        assert_eq!(decode_text(Kind::Signed, b"-5"), json!(-5));
        assert_eq!(decode_text(Kind::Unsigned, b"18446744073709551615"), json!("18446744073709551615"));
        assert_eq!(decode_text(Kind::Timestamp, b"2024-02-29 12:34:56"), json!("2024-02-29T12:34:56Z"));
        assert_eq!(decode_text(Kind::Double, b"0.5"), json!(0.5));
    }
}
