//! A cell's text to JSON: Kluster's one value encoding, for PostgreSQL.
//!
//! Neighbours: `types` says which [`Form`] a column has; the adapter builds result rows from the values.
//! Invariants: never panics and never fails: a text that does not have its type's form is given as that text. The session pins
//! `TimeZone=UTC`, `DateStyle=ISO`, `IntervalStyle=iso_8601`, `bytea_output=hex`, `extra_float_digits=1`. JSON is checked and never read:
//! its numbers keep all their digits, its objects all their keys, and its depth has no bound.

mod array;
mod temporal;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kluster_protocol::value;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Number, Value};

use super::types::{Form, Type};

/// The largest integer that every JSON reader keeps exactly (2⁵³ − 1).
const LARGEST_EXACT: u64 = (1 << 53) - 1;

/// A cell as it is written into a row.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Cell {
    /// Of any form but JSON.
    Plain(Value),
    /// JSON, as the server gives it.
    Json(Box<RawValue>),
    /// An array.
    List(Vec<Cell>),
}

/// One cell, `None` being NULL. Bytes that are not UTF-8 (possible only in a SQL_ASCII database) are replaced.
pub fn to_json(cell: Option<&[u8]>, kind: &Type) -> Cell {
    let Some(bytes) = cell else { return Cell::Plain(Value::Null) };
    let text = String::from_utf8_lossy(bytes);
    match kind.array {
        None => scalar(&text, kind.form),
        Some(delimiter) => array::parse(&text, delimiter, &|element| scalar(element, kind.form))
            .unwrap_or_else(|| Cell::Plain(Value::String(text.into_owned()))),
    }
}

fn scalar(text: &str, form: Form) -> Cell {
    match form {
        Form::Json => value::json(text).map(Cell::Json),
        form => plain(text, form).map(Cell::Plain),
    }
    .unwrap_or_else(|| Cell::Plain(Value::String(text.to_owned())))
}

fn plain(text: &str, form: Form) -> Option<Value> {
    match form {
        Form::Bool => boolean(text),
        Form::Integer => integer(text),
        Form::Float => float(text),
        Form::Bytes => bytes(text),
        Form::Date => temporal::date(text).map(Value::String),
        Form::Timestamp => temporal::timestamp(text).map(Value::String),
        Form::TimestampTz => temporal::timestamptz(text).map(Value::String),
        Form::Numeric | Form::Text | Form::Json => None,
    }
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

    fn read(cell: Option<&[u8]>, kind: &Type) -> Value {
        serde_json::to_value(to_json(cell, kind)).unwrap()
    }

    fn scalar_value(text: &str, form: Form) -> Value {
        read(Some(text.as_bytes()), &kind(form))
    }

    #[test]
    fn null_is_null_in_every_form() {
        assert_eq!(read(None, &kind(Form::Text)), Value::Null);
        assert_eq!(read(None, &Type { array: Some(b','), ..kind(Form::Bool) }), Value::Null);
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
            assert_eq!(scalar_value(text, form), expected, "{text} as {form:?}");
        }
    }

    #[test]
    fn text_without_its_form_stays_text() {
        for (text, form) in [
            ("maybe", Form::Bool),
            ("12x", Form::Integer),
            ("x", Form::Float),
            ("[1", Form::Json),
            ("\\x0", Form::Bytes),
            ("soon", Form::Date),
            ("soon", Form::Timestamp),
            ("soon", Form::TimestampTz),
        ] {
            assert_eq!(scalar_value(text, form), json!(text), "{form:?}");
        }
    }

    #[test]
    fn json_is_given_as_it_is_on_one_line() {
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        for text in
            ["123456789012345678901234567890.123456789", "1e400", "{\"a\":1, \"a\" : 2}", "\"\\u0000\\ud800\"", &deep]
        {
            let cell = to_json(Some(text.as_bytes()), &kind(Form::Json));
            assert_eq!(serde_json::to_string(&cell).unwrap(), text);
            let array = format!("{{{}}}", serde_json::to_string(text).unwrap());
            let cell = to_json(Some(array.as_bytes()), &Type { array: Some(b','), ..kind(Form::Json) });
            assert_eq!(serde_json::to_string(&cell).unwrap(), format!("[{text}]"));
        }
        let cell = to_json(Some(b" {\r\n\t\"a\\n\":\n1}\n"), &kind(Form::Json));
        assert_eq!(serde_json::to_string(&cell).unwrap(), "{  \t\"a\\n\": 1}");
    }

    #[test]
    fn arrays_hold_elements_of_their_form() {
        let array = |text: &str, form| read(Some(text.as_bytes()), &Type { array: Some(b','), ..kind(form) });
        assert_eq!(array("{1,NULL,9007199254740993}", Form::Integer), json!([1, null, "9007199254740993"]));
        assert_eq!(array("{{t,f},{f,t}}", Form::Bool), json!([[true, false], [false, true]]));
        assert_eq!(array("{\"\\\\x00ff\"}", Form::Bytes), json!(["AP8="]));
        assert_eq!(array("{\"2024-01-02 03:04:05+00\"}", Form::TimestampTz), json!(["2024-01-02T03:04:05Z"]));
        assert_eq!(array("{\"{\\\"a\\\": 1}\"}", Form::Json), json!([{"a": 1}]));
        assert_eq!(array("{unfinished", Form::Integer), json!("{unfinished"));
    }
}
