//! Params: the values of a user's statement as MariaDB is told them, and `$1` as the `?` that it reads.
//!
//! Neighbours: [`super::execution`]. A repeated `$1` repeats its value, for MariaDB's `?` have no numbers.

use kluster_protocol::ErrorCode;
use crate::fault::Refusal;
use serde_json::Value;
use sqlx::error::BoxDynError;
use sqlx::mysql::MySqlArguments;

/// A statement's text with `?`, and the values in the order of those.
pub fn translate(sql: &str, values: &[Value]) -> Result<(String, MySqlArguments), Refusal> {
    let (text, order) = placeholders(sql);
    let mut bound = MySqlArguments::default();
    for number in order {
        let value = values.get(number - 1).ok_or_else(|| wrong_count(number, values.len()))?;
        bind(&mut bound, value).map_err(|error| Refusal::new(ErrorCode::InvalidValue, error.to_string()))?;
    }
    Ok((text, bound))
}

/// What is refused where a statement names more params than there are values.
pub fn wrong_count(wanted: usize, given: usize) -> Refusal {
    Refusal::new(ErrorCode::WrongParams, format!("the statement takes {wanted} params and {given} were given"))
}

/// JSON as MariaDB takes it: false and true are 0 and 1, arrays and objects their JSON text.
fn bind(bound: &mut MySqlArguments, value: &Value) -> Result<(), BoxDynError> {
    use sqlx::Arguments;
    match value {
        Value::Null => bound.add(None::<&str>),
        Value::Bool(flag) => bound.add(i64::from(*flag)),
        Value::String(text) => bound.add(text.as_str()),
        Value::Array(_) | Value::Object(_) => bound.add(value.to_string()),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(signed), _) => bound.add(signed),
            (None, Some(unsigned)) => bound.add(unsigned),
            (None, None) => bound.add(number.as_f64().unwrap_or(f64::NAN)),
        },
    }
}
