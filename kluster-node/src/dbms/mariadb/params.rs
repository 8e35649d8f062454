//! Params: the values of a user's statement as MariaDB is told them, and `$1` as the `?` that it reads.
//!
//! Neighbours: [`super::execution`]. A repeated `$1` repeats its value, for MariaDB's `?` have no numbers.

use crate::fault::Refusal;
use kluster_protocol::ErrorCode;
use kluster_sql::{Dialect, placeholders};
use serde_json::Value;
use sqlx::error::BoxDynError;
use sqlx::mysql::MySqlArguments;

/// A statement's text with `?`, and the values in the order of those.
pub fn translate(sql: &str, values: &[Value]) -> Result<(String, MySqlArguments), Refusal> {
    let (text, order) = placeholders(Dialect::MariaDb, sql);
    let named = order.iter().max().map_or(0, |index| index + 1);
    if named != values.len() {
        return Err(wrong_count(named, values.len()));
    }
    let mut bound = MySqlArguments::default();
    for value in order.iter().filter_map(|index| values.get(*index)) {
        bind(&mut bound, value).map_err(|error| Refusal::new(ErrorCode::InvalidValue, error.to_string()))?;
    }
    Ok((text.into_owned(), bound))
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use sqlx::Arguments;

    #[test]
    fn every_param_has_a_value() {
        let (text, bound) = translate("select $1, $2, $1", &[json!(1), json!({"a": null})]).unwrap();
        assert_eq!(text, "select ?, ?, ?");
        assert_eq!(bound.len(), 3);
        assert_eq!(translate("select $2", &[json!(1)]).unwrap_err().code, ErrorCode::WrongParams);
        assert_eq!(translate("select $0", &[json!(1)]).unwrap_err().code, ErrorCode::WrongParams);
    }
}
