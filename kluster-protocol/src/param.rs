//! Param: one bound value of a statement, exactly as it was written.
//!
//! Neighbours: [`crate::Request`] holds params; the adapters bind them.
//!
//! Invariant: no digit is lost. A number and a JSON value keep their own text from the record to
//! the DBMS. Where a DBMS has no type that holds a number exactly, its adapter refuses the request.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// A JSON array or object is nested at most this deep: the limit of serde_json's own reader, so
/// that every program that reads the record with it can read the param.
pub const MAX_PARAM_DEPTH: usize = 128;

/// The value of one `$n`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Param {
    /// SQL's NULL.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A JSON number in its own digits: sign, decimals and exponent as written.
    Number(Number),
    /// A string.
    Text(String),
    /// An array or object as compact JSON text: its own digits and keys, no white space between
    /// tokens.
    Json(String),
}

/// A number as it was written, in JSON's form (RFC 8259 §6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number(String);

impl Number {
    /// The digits as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number as a 64-bit signed integer, or `None` if it has another form or is larger.
    pub fn as_i64(&self) -> Option<i64> {
        // A negative zero is a double's.
        (self.0 != "-0").then(|| self.0.parse().ok()).flatten()
    }

    /// The number as a 64-bit unsigned integer, or `None` if it has another form or is larger.
    pub fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// The double whose shortest decimal form denotes exactly this number, or `None` if there is
    /// none: 0.1 and 1.50 have one; 1e400 and 12345678901234567890.5 have none.
    pub fn as_exact_f64(&self) -> Option<f64> {
        let double: f64 = self.0.parse().ok().filter(|double: &f64| double.is_finite())?;
        (Decimal::of(&format!("{double:e}")) == Decimal::of(&self.0)).then_some(double)
    }
}

/// A decimal number in one form for each value: significant digits and the exponent of the last.
#[derive(PartialEq)]
struct Decimal<'a> {
    negative: bool,
    digits: std::borrow::Cow<'a, str>,
    exponent: i128,
}

impl<'a> Decimal<'a> {
    fn of(text: &'a str) -> Self {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        // An exponent beyond 64 bits is larger than that of any double.
        let exponent = i128::from(exponent.parse::<i64>().unwrap_or(i64::MAX));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0');
        let significant = digits.trim_end_matches('0');
        let exponent = match significant.is_empty() {
            true => 0,
            false => exponent - fraction.len() as i128 + (digits.len() - significant.len()) as i128,
        };
        Self { negative, digits: significant.to_owned().into(), exponent }
    }
}

impl Param {
    /// The string, or `None` if the value is not one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Reads a value that is valid JSON text.
    fn read(text: &str) -> Result<Self, String> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        match text.as_bytes().first() {
            Some(b'n') => Ok(Self::Null),
            Some(b't') => Ok(Self::Bool(true)),
            Some(b'f') => Ok(Self::Bool(false)),
            Some(b'"') => serde_json::from_str(text).map(Self::Text).map_err(|error| error.to_string()),
            Some(b'[' | b'{') => compact(text).map(Self::Json),
            _ => Ok(Self::Number(Number(text.to_owned()))),
        }
    }
}

/// The JSON text without white space between its tokens.
fn compact(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for character in text.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ if in_string => {}
            ' ' | '\t' | '\r' | '\n' => continue,
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth > MAX_PARAM_DEPTH {
            return Err(format!("a param is nested deeper than {MAX_PARAM_DEPTH} levels; send it as a string of JSON"));
        }
        out.push(character);
    }
    Ok(out)
}

impl From<Value> for Param {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(flag),
            Value::Number(number) => Self::Number(Number(number.to_string())),
            Value::String(text) => Self::Text(text),
            Value::Array(_) | Value::Object(_) => Self::Json(value.to_string()),
        }
    }
}

impl Serialize for Param {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(flag) => serializer.serialize_bool(*flag),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(Number(text)) | Self::Json(text) => {
                serde_json::from_str::<&RawValue>(text).map_err(serde::ser::Error::custom)?.serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Param {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Self::read(raw.get()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(json: &str) -> Param {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn every_digit_stays() {
        for text in ["12345678901234567890.0123456789", "1e400", "-0", "1.50", "0.1e-7", "18446744073709551616"] {
            let param = read(text);
            assert_eq!(param, Param::Number(Number(text.to_owned())));
            assert_eq!(serde_json::to_string(&param).unwrap(), text);
        }
        let nested = r#"{"a": [1.50, 12345678901234567890.0123456789],  "b\" {" : "c  d"}"#;
        let compact = r#"{"a":[1.50,12345678901234567890.0123456789],"b\" {":"c  d"}"#;
        assert_eq!(read(nested), Param::Json(compact.to_owned()));
        assert_eq!(serde_json::to_string(&read(nested)).unwrap(), compact);
    }

    #[test]
    fn plain_values_are_themselves() {
        for (json, param) in [
            ("null", Param::Null),
            (" true", Param::Bool(true)),
            ("false", Param::Bool(false)),
            (r#""a\n\u00e9""#, Param::Text("a\né".to_owned())),
        ] {
            assert_eq!(read(json), param);
        }
        assert_eq!(Param::from(json!({"a": [1, null]})), Param::Json(r#"{"a":[1,null]}"#.to_owned()));
        assert_eq!(Param::from(json!(0.1)), read("0.1"));
    }

    #[test]
    fn nesting_has_a_limit_that_is_named() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(serde_json::from_str::<Param>(&nested(MAX_PARAM_DEPTH)).is_ok());
        let error = serde_json::from_str::<Param>(&nested(MAX_PARAM_DEPTH + 1)).unwrap_err().to_string();
        assert!(error.contains("nested deeper than 128 levels"), "{error}");
    }

    #[test]
    fn a_double_stands_for_a_number_only_where_it_is_exact() {
        let exact = |text: &str| Number(text.to_owned()).as_exact_f64();
        for (text, double) in [
            ("0.1", 0.1),
            ("1.50", 1.5),
            ("100", 100.0),
            ("1e2", 100.0),
            ("1E+2", 100.0),
            ("0.0", 0.0),
            ("1e300", 1e300),
            ("5e-324", 5e-324),
        ] {
            assert_eq!(exact(text), Some(double), "{text}");
        }
        assert!(exact("-0").unwrap().is_sign_negative());
        for text in
            ["1e400", "12345678901234567890.0123456789", "0.10000000000000000555", "1e-400", "1e99999999999999999999"]
        {
            assert_eq!(exact(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_finite_double_is_exact_in_its_own_digits(bits: u64) {
            let double = f64::from_bits(bits);
            prop_assume!(double.is_finite());
            let number = Number(format!("{double:e}"));
            prop_assert_eq!(number.as_exact_f64().map(f64::to_bits), Some(bits));
        }
    }
}
