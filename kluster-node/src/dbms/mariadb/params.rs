//! Params: the values of a user's statement as MariaDB is told them, and `$1` as the `?` that it reads.
//!
//! Neighbours: [`super::execution`]. A repeated `$1` repeats its value, for MariaDB's `?` have no numbers.

use crate::fault::Refusal;
use kluster_protocol::ErrorCode;
use kluster_sql::{Dialect, Kind, Lexer};
use serde_json::Value;
use sqlx::error::BoxDynError;
use sqlx::mysql::MySqlArguments;

/// A statement's text with `?`, and the values in the order of those.
pub fn translate(sql: &str, values: &[Value]) -> Result<(String, MySqlArguments), Refusal> {
    let (text, order) = placeholders(sql)?;
    let mut bound = MySqlArguments::default();
    let named = order.iter().copied().max().unwrap_or(0);
    if named < values.len() {
        return Err(wrong_count(named, values.len()));
    }
    for number in order {
        let value = values
            .get(number - 1)
            .ok_or_else(|| wrong_count(number, values.len()))?;
        bind(&mut bound, value).map_err(|error| Refusal::new(ErrorCode::InvalidValue, error.to_string()))?;
    }
    Ok((text, bound))
}

/// What is refused where a statement names more params than there are values.
pub fn wrong_count(wanted: usize, given: usize) -> Refusal {
    Refusal::new(
        ErrorCode::WrongParams,
        format!("the statement takes {wanted} params and {given} were given"),
    )
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

/// The text with `?` for each `$n`, and the `n` of each in order. Blanks keep words apart that the `$` had kept apart.
fn placeholders(sql: &str) -> Result<(String, Vec<usize>), Refusal> {
    let (mut text, mut order) = (String::with_capacity(sql.len()), Vec::new());
    for token in Lexer::new(Dialect::MariaDb, sql) {
        let token = token.map_err(|error| Refusal::new(ErrorCode::SyntaxError, error.to_string()))?;
        match token.kind {
            Kind::Param => {
                let number = token
                    .text(sql)
                    .trim_start_matches('$')
                    .parse()
                    .ok()
                    .filter(|number| *number > 0);
                order.push(number.ok_or_else(|| Refusal::new(ErrorCode::WrongParams, "params are numbered from $1"))?);
                text.push_str(" ? ");
            }
            _ => text.push_str(token.text(sql)),
        }
    }
    Ok((text, order))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use sqlx::Arguments;

    #[test]
    fn numbers_become_question_marks_outside_of_strings_and_comments() {
        let (text, order) = placeholders("select $2, '$1', `$3` /* $4 */ from t where a=$1 or b=$2 -- $5").unwrap();
        assert_eq!(
            text,
            "select  ? , '$1', `$3` /* $4 */ from t where a= ?  or b= ?  -- $5"
        );
        assert_eq!(order, [2, 1, 2]);
    }

    #[test]
    fn every_param_has_a_value() {
        let (_, bound) = translate("select $1, $2, $1", &[json!(1), json!({"a": null})]).unwrap();
        assert_eq!(bound.len(), 3);
        assert_eq!(
            translate("select $2", &[json!(1)]).unwrap_err().code,
            ErrorCode::WrongParams
        );
        assert_eq!(
            translate("select $0", &[json!(1)]).unwrap_err().code,
            ErrorCode::WrongParams
        );
    }
}
