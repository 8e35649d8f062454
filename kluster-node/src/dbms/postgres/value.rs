//! A cell's text to JSON: Kluster's one value encoding, for PostgreSQL.
//!
//! Neighbours: `types` says which [`Form`] a column has; the adapter builds result rows from the values.
//! Invariants: never panics and never fails: a text that does not have its type's form is given as that text. The session pins
//! `TimeZone=UTC`, `DateStyle=ISO`, `IntervalStyle=iso_8601`, `bytea_output=hex`, `extra_float_digits=1`.

mod array;
mod temporal;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Number, Value};

use super::types::{Form, Type};

/// The largest integer that every JSON reader keeps exactly (2⁵³ − 1).
const LARGEST_EXACT: u64 = (1 << 53) - 1;

/// One cell, `None` being NULL. Bytes that are not UTF-8 (possible only in a SQL_ASCII database) are replaced.
pub fn to_json(cell: Option<&[u8]>, kind: &Type) -> Value {
    let Some(bytes) = cell else { return Value::Null };
    let text = String::from_utf8_lossy(bytes);
    match kind.array {
        None => scalar(&text, kind.form),
        Some(delimiter) => array::parse(&text, delimiter, &|element| scalar(element, kind.form))
            .unwrap_or_else(|| Value::String(text.into_owned())),
    }
}

fn scalar(text: &str, form: Form) -> Value {
    let written = match form {
        Form::Bool => boolean(text),
        Form::Integer => integer(text),
        Form::Float => float(text),
        Form::Json => serde_json::from_str(text).ok(),
        Form::Bytes => bytes(text),
        Form::Date => temporal::date(text).map(Value::String),
        Form::Timestamp => temporal::timestamp(text).map(Value::String),
        Form::TimestampTz => temporal::timestamptz(text).map(Value::String),
        Form::Numeric | Form::Text => None,
    };
    written.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn boolean(text: &str) -> Option<Value> {
    match text {
        "t" => Some(Value::Bool(true)),
        "f" => Some(Value::Bool(false)),
        _ => None,
    }
}

fn integer(text: &str) -> Option<Value> {
    let number: i64 = text.parse().ok()?;
    (number.unsigned_abs() <= LARGEST_EXACT).then(|| Value::Number(number.into()))
}

fn float(text: &str) -> Option<Value> {
    // NaN and the infinities have no JSON number: their text stays.
    Number::from_f64(text.parse().ok()?).map(Value::Number)
}

fn bytes(text: &str) -> Option<Value> {
    let bytes = hex::decode(text.strip_prefix("\\x")?).ok()?;
    Some(Value::String(STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kind(form: Form) -> Type {
        Type { name: "t".into(), form, array: None }
    }

    fn value(text: &str, form: Form) -> Value {
        to_json(Some(text.as_bytes()), &kind(form))
    }

    #[test]
    fn null_is_null_in_every_form() {
        assert_eq!(to_json(None, &kind(Form::Text)), Value::Null);
        assert_eq!(to_json(None, &Type { array: Some(b','), ..kind(Form::Bool) }), Value::Null);
    }

    #[test]
    fn scalars_have_their_form() {
        let table = [
            ("t", Form::Bool, json!(true)),
            ("f", Form::Bool, json!(false)),
            ("-32768", Form::Integer, json!(-32768)),
            ("9007199254740991", Form::Integer, json!(9_007_199_254_740_991_u64)),
            ("9007199254740992", Form::Integer, json!("9007199254740992")),
            ("-9007199254740992", Form::Integer, json!("-9007199254740992")),
            ("-9223372036854775808", Form::Integer, json!("-9223372036854775808")),
            ("1.50", Form::Numeric, json!("1.50")),
            ("NaN", Form::Numeric, json!("NaN")),
            ("0.1", Form::Float, json!(0.1)),
            ("1", Form::Float, json!(1.0)),
            ("1e+300", Form::Float, json!(1e300)),
            ("NaN", Form::Float, json!("NaN")),
            ("-Infinity", Form::Float, json!("-Infinity")),
            ("{\"b\": 1, \"a\": [null]}", Form::Json, json!({"b": 1, "a": [null]})),
            ("null", Form::Json, Value::Null),
            ("\\x", Form::Bytes, json!("")),
            ("\\x00ff10", Form::Bytes, json!("AP8Q")),
            ("any text", Form::Text, json!("any text")),
        ];
        for (text, form, expected) in table {
            assert_eq!(value(text, form), expected, "{text} as {form:?}");
        }
    }

    #[test]
    fn text_without_its_form_stays_text() {
        let deep = "[".repeat(1000);
        for (text, form) in [
            ("maybe", Form::Bool),
            ("12x", Form::Integer),
            ("x", Form::Float),
            (deep.as_str(), Form::Json),
            ("\\x0", Form::Bytes),
            ("soon", Form::Date),
            ("soon", Form::Timestamp),
            ("soon", Form::TimestampTz),
        ] {
            assert_eq!(value(text, form), json!(text), "{form:?}");
        }
    }

    #[test]
    fn arrays_hold_elements_of_their_form() {
        let array = |text: &str, form| to_json(Some(text.as_bytes()), &Type { array: Some(b','), ..kind(form) });
        assert_eq!(array("{1,NULL,9007199254740993}", Form::Integer), json!([1, null, "9007199254740993"]));
        assert_eq!(array("{{t,f},{f,t}}", Form::Bool), json!([[true, false], [false, true]]));
        assert_eq!(array("{\"\\\\x00ff\"}", Form::Bytes), json!(["AP8="]));
        assert_eq!(array("{\"2024-01-02 03:04:05+00\"}", Form::TimestampTz), json!(["2024-01-02T03:04:05Z"]));
        assert_eq!(array("{\"{\\\"a\\\": 1}\"}", Form::Json), json!([{"a": 1}]));
        assert_eq!(array("{unfinished", Form::Integer), json!("{unfinished"));
    }
}
