//! Parameters in the form that each DBMS takes.

use std::borrow::Cow;

use crate::dialect::Dialect;
use crate::lexer::Lexer;
use crate::token::{Kind, Token};

/// Puts `$n` into the DBMS's own form, and says which parameters to send, in order, counted from 0.
///
/// - PostgreSQL: the text as it is; each parameter up to the highest, once.
/// - MariaDB: `?` for each occurrence; a repeated `$1` repeats index 0.
/// - SQLite: `?n`; each parameter up to the highest, once.
///
/// Takes admitted texts. One that cannot be cut into tokens, or has a `$0`, comes back as far as it was read.
#[must_use]
pub fn placeholders(dialect: Dialect, sql: &str) -> (Cow<'_, str>, Vec<usize>) {
    let params: Vec<(Token, usize)> = Lexer::new(dialect, sql)
        .map_while(Result::ok)
        .filter(|token| token.kind == Kind::Param)
        .filter_map(|token| Some((token, token.text(sql)[1..].parse::<usize>().ok()?.checked_sub(1)?)))
        .collect();
    match dialect {
        Dialect::Postgres => (Cow::Borrowed(sql), each_once(&params)),
        Dialect::MariaDb => {
            (replaced(sql, &params, |_| "?".to_owned()), params.iter().map(|(_, index)| *index).collect())
        }
        Dialect::Sqlite => (replaced(sql, &params, |index| format!("?{}", index + 1)), each_once(&params)),
    }
}

fn each_once(params: &[(Token, usize)]) -> Vec<usize> {
    let highest = params.iter().map(|(_, index)| index + 1).max().unwrap_or(0);
    (0..highest.min(crate::limits::MAX_PARAMS as usize)).collect()
}

fn replaced<'a>(sql: &'a str, params: &[(Token, usize)], form: impl Fn(usize) -> String) -> Cow<'a, str> {
    if params.is_empty() {
        return Cow::Borrowed(sql);
    }
    let mut text = String::with_capacity(sql.len());
    let mut done = 0;
    for (token, index) in params {
        text.push_str(&sql[done..token.start as usize]);
        text.push_str(&form(*index));
        done = token.end as usize;
    }
    text.push_str(&sql[done..]);
    Cow::Owned(text)
}
