//! Bound values that mean the present: the text cannot show them, the one who binds can.

use crate::dialect::Dialect;
use crate::postgres;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_each_dialect() {
        assert!(reads_clock(Dialect::Postgres, " Today 10:00"));
        assert!(!reads_clock(Dialect::Postgres, "snow"));
        assert!(reads_clock(Dialect::Sqlite, "NOW"));
        assert!(!reads_clock(Dialect::Sqlite, "today"));
        assert!(!reads_clock(Dialect::MariaDb, "now"));
    }
}
