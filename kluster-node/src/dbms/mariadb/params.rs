//! Params: the values of a user's statement as MariaDB is told them, and `$1` as the `?` that it reads.
//!
//! Neighbours: [`super::execution`]. A repeated `$1` repeats its value, for MariaDB's `?` have no numbers.

use crate::dbms::inexact;
use crate::fault::Refusal;
use kluster_protocol::{ErrorCode, Param};
use kluster_sql::{Dialect, placeholders};
use sqlx::mysql::MySqlArguments;

/// A statement's text with `?`, and the values in the order of those.
pub fn translate(sql: &str, values: &[Param]) -> Result<(String, MySqlArguments), Refusal> {
    let (text, order) = placeholders(Dialect::MariaDb, sql);
    let named = order.iter().max().map_or(0, |index| index + 1);
    if named != values.len() {
        return Err(wrong_count(named, values.len()));
    }
    let mut bound = MySqlArguments::default();
    for value in order.iter().filter_map(|index| values.get(*index)) {
        bind(&mut bound, value)?;
    }
    Ok((text.into_owned(), bound))
}

/// What is refused where a statement names more params than there are values.
pub fn wrong_count(wanted: usize, given: usize) -> Refusal {
    Refusal::new(ErrorCode::WrongParams, format!("the statement takes {wanted} params and {given} were given"))
}

/// JSON as MariaDB takes it: false and true are 0 and 1, arrays and objects their JSON text. A
/// number is an integer of 64 bits or a double.
///
/// # Errors
/// A number that neither holds exactly is refused: MariaDB would round it.
fn bind(bound: &mut MySqlArguments, param: &Param) -> Result<(), Refusal> {
    use sqlx::Arguments;
    let added = match param {
        Param::Null => bound.add(None::<&str>),
        Param::Bool(flag) => bound.add(i64::from(*flag)),
        Param::Text(text) | Param::Json(text) => bound.add(text.as_str()),
        Param::Number(number) => match (number.as_i64(), number.as_u64(), number.as_exact_f64()) {
            (Some(signed), ..) => bound.add(signed),
            (None, Some(unsigned), _) => bound.add(unsigned),
            (None, None, Some(double)) => bound.add(double),
            (None, None, None) => return Err(inexact(number)),
        },
    };
    added.map_err(|error| Refusal::new(ErrorCode::InvalidValue, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use sqlx::Arguments;

    fn params(values: &[serde_json::Value]) -> Vec<Param> {
        values.iter().cloned().map(Param::from).collect()
    }

    #[test]
    fn every_param_has_a_value() {
        let (text, bound) = translate("select $1, $2, $1", &params(&[json!(1), json!({"a": null})])).unwrap();
        assert_eq!(text, "select ?, ?, ?");
        assert_eq!(bound.len(), 3);
        assert_eq!(translate("select $2", &params(&[json!(1)])).unwrap_err().code, ErrorCode::WrongParams);
        assert_eq!(translate("select $0", &params(&[json!(1)])).unwrap_err().code, ErrorCode::WrongParams);
    }
    #[test]
    fn a_number_that_would_be_rounded_is_refused() {
        let number: Param = serde_json::from_str("12345678901234567890.0123456789").unwrap();
        assert_eq!(translate("select $1", &[number]).unwrap_err().code, ErrorCode::InvalidValue);
    }
}
