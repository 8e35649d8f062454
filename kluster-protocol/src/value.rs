//! The value encoding: one JSON form per kind of SQL value, the same from every DBMS.
//!
//! | kind | JSON | example |
//! |---|---|---|
//! | NULL | null | `null` |
//! | boolean (MariaDB: `tinyint(1)` is a number) | boolean | `true` |
//! | integer within ±(2⁵³ − 1) | number | `42` |
//! | larger integer | string | `"9007199254740993"` |
//! | numeric, decimal | string, digits as the DBMS gives them | `"12.50"`, `"NaN"` |
//! | real, double | number; NaN and infinities as strings | `0.1`, `"-Infinity"` |
//! | text, enum, uuid, inet, … | string | `"a"` |
//! | bytes | string, base64 (RFC 4648 §4, padded) | `"AP8="` |
//! | date | string, ISO 8601, astronomical year (1 BC = 0000), signed beyond 0000…9999 | `"2024-02-29"`, `"-0043-03-15"`, `"infinity"` |
//! | time | string | `"12:34:56.5"` |
//! | timestamp without zone | string, ISO 8601 without zone | `"2024-02-29T12:34:56.5"`, `"infinity"` |
//! | timestamp with zone | string, RFC 3339 in UTC | `"2024-02-29T12:34:56.5Z"` |
//! | interval | string, ISO 8601 duration | `"P1Y2M3DT4H"` |
//! | json | the value itself, in the DBMS's own text but for line breaks | `{"a":[1]}` |
//! | array | array of its elements' forms; one whose indexes do not begin at 1: a string, its text | `[1,null]`, `"[0:1]={7,8}"` |
//! | anything else | string, its text in the DBMS | `"(1,2)"` |
//!
//! MariaDB's zero date stays what it is, `"0000-00-00"`, for no other form says the same. Fractions of seconds lose their trailing zeros.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};

/// Integers beyond ± this lose digits in readers whose numbers are doubles (JavaScript's `Number.MAX_SAFE_INTEGER`, 2⁵³ − 1).
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// An integer: a number where every reader holds it exactly, else a string.
pub fn integer(value: i128) -> Value {
    match u64::try_from(value.unsigned_abs()) {
        Ok(size) if size <= MAX_SAFE_INTEGER => Value::from(value as i64),
        _ => Value::from(value.to_string()),
    }
}

/// A double: a number, or `"NaN"`, `"Infinity"`, `"-Infinity"`.
pub fn double(value: f64) -> Value {
    match value {
        _ if value.is_nan() => Value::from("NaN"),
        f64::INFINITY => Value::from("Infinity"),
        f64::NEG_INFINITY => Value::from("-Infinity"),
        _ => Value::from(value),
    }
}

/// A real: the number with the fewest digits that reads back as the same real, so that 0.1 stays 0.1.
pub fn real(value: f32) -> Value {
    double(value.to_string().parse().unwrap_or(f64::NAN))
}

/// Bytes: base64.
pub fn bytes(value: &[u8]) -> Value {
    Value::from(STANDARD.encode(value))
}

/// JSON: its own text, checked and never read, so that every digit, key and level stays; none: it is no JSON. Line breaks, which lie only between
/// its tokens, become blanks: a record stays one line.
pub fn json(text: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(text.replace(['\n', '\r'], " ")).ok()
}

/// Names of columns made unique: a name that repeats is followed by the first free of `#2`, `#3`, … Linear time.
pub fn unique_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut numbering = Numbering::default();
    names.into_iter().map(|name| numbering.unique(name)).collect()
}

/// The names given so far. No suffix is tried twice for a name, and each that is found taken is a name of its own: so all
/// tries together are fewer than three for each name.
#[derive(Debug, Default)]
struct Numbering<'a> {
    taken: HashSet<String>,
    /// For each name that has repeated, the last number tried.
    last: HashMap<&'a str, usize>,
    tries: usize,
}

impl<'a> Numbering<'a> {
    fn unique(&mut self, name: &'a str) -> String {
        let mut unique = name.to_owned();
        self.tries += 1;
        while !self.taken.insert(unique.clone()) {
            let last = self.last.entry(name).or_insert(1);
            *last += 1;
            self.tries += 1;
            unique = format!("{name}#{last}");
        }
        unique
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_that_doubles_cannot_hold_are_strings() {
        assert_eq!(integer(9_007_199_254_740_991), json!(9_007_199_254_740_991_i64));
        assert_eq!(integer(9_007_199_254_740_992), json!("9007199254740992"));
        assert_eq!(integer(i64::MIN.into()), json!("-9223372036854775808"));
        assert_eq!(integer(u64::MAX.into()), json!("18446744073709551615"));
        assert_eq!(double(f64::NAN), json!("NaN"));
        assert_eq!(double(f64::NEG_INFINITY), json!("-Infinity"));
        assert_eq!(real(0.1), json!(0.1));
    }

    #[test]
    fn repeated_names_are_numbered() {
        assert_eq!(unique_names(["a", "a", "b", "a", "a#2"]), ["a", "a#2", "b", "a#3", "a#2#2"]);
        assert_eq!(unique_names(["a#2", "a#3", "a", "a", "a"]), ["a#2", "a#3", "a", "a#4", "a#5"]);
    }

    #[test]
    fn many_names_alike_take_linear_work() {
        let taken: Vec<String> = (0..2_000).map(|n| format!("a#{n}")).collect();
        let names: Vec<&str> = taken.iter().map(String::as_str).chain(std::iter::repeat_n("a", 2_000)).collect();
        let mut numbering = Numbering::default();
        let unique: HashSet<String> = names.iter().map(|name| numbering.unique(name)).collect();
        assert_eq!(unique.len(), names.len());
        assert!(numbering.tries < 3 * names.len(), "{} tries for {} names", numbering.tries, names.len());
    }

    #[test]
    fn bytes_and_json() {
        assert_eq!(bytes(&[0, 255]), json!("AP8="));
        let text = |json: &str| super::json(json).map(|json| json.get().to_owned());
        assert_eq!(text(" {\"a\":\r\n[1e400]}\n").as_deref(), Some("{\"a\":  [1e400]}"));
        assert_eq!(text("no"), None);
    }
}
