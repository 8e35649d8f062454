//! Bound values that mean the present: the text cannot show them, the one who binds can.

use std::borrow::Cow;

use crate::dialect::Dialect;
use crate::edits::{Edit, Edits};
use crate::lexer::Lexer;
use crate::literal;
use crate::postgres;
use crate::refusal::Refusal;
use crate::scan::refuse_checked;
use crate::statement::Statement;
use crate::token::Kind;

/// Whether a value, bound where a *time* is expected, would be replaced by the node's own clock: `now`, `today`,
/// `tomorrow`, `yesterday` in PostgreSQL, `now` in SQLite's date functions. Who binds it there must refuse it (`clock`).
#[must_use]
pub fn reads_clock(dialect: Dialect, value: &str) -> bool {
    match dialect {
        Dialect::Postgres => postgres::holds_present(value),
        Dialect::MariaDb => false,
        Dialect::Sqlite => value.trim().eq_ignore_ascii_case("now"),
    }
}

/// Refuses a value for the present that is bound where the text makes a time of it: `$1::timestamptz`, also by way of a text,
/// `cast($1 as date)`, `timestamptz($1)`. `params` are the bound values, `$1` first; none: not a text.
///
/// # Errors
/// The refusal (`clock`) that every node answers.
pub fn check_bound(sql: &str, params: &[Option<&str>]) -> Result<(), Refusal> {
    if !params.iter().flatten().any(|value| means_present(value)) {
        return Ok(());
    }
    let statement = Statement::read(Dialect::Postgres, sql)?;
    for at in (0..statement.len()).filter(|at| statement.kind(*at) == Some(Kind::Param)) {
        let number = statement.raw(at)[1..].parse::<usize>().unwrap_or_default();
        let value = number.checked_sub(1).and_then(|n| params.get(n).copied().flatten());
        if value.is_some_and(means_present) && postgres::is_time(&statement, at) {
            return Err(refuse_checked(&statement, at, "'now'", "the value of this parameter"));
        }
    }
    Ok(())
}

/// PostgreSQL reads `now` and its like as the present wherever the text of a time is expected, without a cast in sight: as a bound value, and
/// as a literal stored into a column. Here each such value gets `::text` behind it, so that a text stays what it is and a time column refuses it
/// (42804), on every node alike. `params` are the bound values, `$1` first; none: not a text.
///
/// What is JSON is left alone, for no time is read from it.
#[must_use]
pub fn fence_present<'a>(sql: &'a str, params: &[Option<&str>]) -> (Cow<'a, str>, Edits) {
    let dialect = Dialect::Postgres;
    let mut fences = Vec::new();
    for token in Lexer::new(dialect, sql).map_while(Result::ok) {
        let present = match token.kind {
            Kind::Text => means_present(&literal::value(dialect, &token, sql)),
            Kind::Param => {
                let number = token.text(sql)[1..].parse::<usize>().unwrap_or_default();
                number.checked_sub(1).and_then(|n| params.get(n).copied().flatten()).is_some_and(means_present)
            }
            _ => false,
        };
        if present {
            fences.push(Edit::insert(token.end as usize, FENCE, token.start as usize));
        }
    }
    if fences.is_empty() {
        return (Cow::Borrowed(sql), Edits::default());
    }
    let (fenced, edits) = Edits::apply(sql, fences);
    (Cow::Owned(fenced), edits)
}

/// Makes a value a text.
const FENCE: &str = "::text";

/// PostgreSQL takes no text longer than this for a time (`MAXDATELEN` in its datetime.h).
const LONGEST_TIME: usize = 128;

fn means_present(value: &str) -> bool {
    let is_json =
        || matches!(value.trim_start().as_bytes().first(), Some(b'{' | b'[' | b'"')) && looks_like_json(value.trim());
    value.len() <= LONGEST_TIME && postgres::holds_present(value) && !is_json()
}

/// An array of PostgreSQL begins as an object does, but names no key in quotes.
fn looks_like_json(value: &str) -> bool {
    !value.starts_with('{') || value[1..].trim_start().starts_with(['"', '}'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_present_is_fenced_and_texts_stay_what_they_are() {
        let fence = |sql: &str, params: &[Option<&str>]| fence_present(sql, params).0.into_owned();
        assert_eq!(fence("insert into t values ('now', 'snow')", &[]), "insert into t values ('now'::text, 'snow')");
        assert_eq!(
            fence("insert into t values ($1, $2)", &[Some("Yesterday"), None]),
            "insert into t values ($1::text, $2)"
        );
        assert_eq!(fence("select \"now\", $$now$$ -- 'now'", &[]), "select \"now\", $$now$$ -- 'now'");
        assert_eq!(fence("update t set j = $1", &[Some("{\"at\":\"now\"}")]), "update t set j = $1");
        assert_eq!(fence("update t set a = $1", &[Some("{now}")]), "update t set a = $1::text");
    }

    #[test]
    fn places_behind_a_fence_are_those_of_the_text_as_written() {
        let sql = "select 'é', 'now', $1, b";
        let (fenced, fences) = fence_present(sql, &[Some("today")]);
        assert_eq!(fenced, "select 'é', 'now'::text, $1::text, b");
        let place_of = |text: &str, part: &str| text[..text.find(part).unwrap()].chars().count() as u32 + 1;
        for part in ["select", "'é'", "'now'", ", $1", "$1", ", b", "b"] {
            assert_eq!(fences.place(place_of(&fenced, part)), place_of(sql, part), "{part}");
        }
        assert_eq!(fences.place(place_of(&fenced, "::text, $1")), place_of(sql, "'now'"));
        assert_eq!(fences.place(place_of(&fenced, "text, b")), place_of(sql, "$1"));
    }

    #[test]
    fn a_value_for_the_present_is_not_cast_to_a_time() {
        for sql in [
            "insert into t values ($1::timestamptz)",
            "select cast($1 as date)",
            "select ($1)::text::timestamptz",
            "select timestamptz($1)",
        ] {
            let refusal = check_bound(sql, &[Some(" Now")]).unwrap_err();
            assert_eq!(refusal.code, crate::RefusalCode::Clock, "{sql}");
            assert!(check_bound(sql, &[Some("2024-02-29")]).is_ok() && check_bound(sql, &[None]).is_ok(), "{sql}");
        }
        assert!(check_bound("select $1, $2::date", &[Some("now"), Some("2024-02-29")]).is_ok());
    }

    #[test]
    fn the_words_of_each_dialect() {
        assert!(reads_clock(Dialect::Postgres, " Today 10:00"));
        assert!(!reads_clock(Dialect::Postgres, "snow"));
        assert!(reads_clock(Dialect::Sqlite, "NOW"));
        assert!(!reads_clock(Dialect::Sqlite, "today"));
        assert!(!reads_clock(Dialect::MariaDb, "now"));
    }
}
