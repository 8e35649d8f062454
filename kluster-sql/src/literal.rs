//! What a quoted name or a string literal means: quotes and escapes taken away.

use std::borrow::Cow;

use crate::dialect::Dialect;
use crate::token::{Kind, Token};

/// The name a `Word` or `Quoted` token stands for, in its own case; `None` for any other token.
pub(crate) fn name<'a>(token: &Token, text: &'a str) -> Option<Cow<'a, str>> {
    let raw = token.text(text);
    match token.kind {
        Kind::Word => Some(Cow::Borrowed(raw)),
        Kind::Quoted => Some(match raw.as_bytes().first() {
            Some(b'[') => Cow::Borrowed(raw.get(1..raw.len() - 1).unwrap_or_default()),
            Some(b'u' | b'U') => Cow::Owned(unicode(&raw[2..], '"')),
            Some(b'`') => undoubled(raw, '`'),
            _ => undoubled(raw, '"'),
        }),
        _ => None,
    }
}

/// The value of a `Text` or `Dollar` token.
pub(crate) fn value<'a>(dialect: Dialect, token: &Token, text: &'a str) -> Cow<'a, str> {
    let raw = token.text(text);
    let first = raw.as_bytes().first().copied().unwrap_or(0).to_ascii_lowercase();
    match (dialect, first) {
        _ if token.kind == Kind::Dollar => Cow::Borrowed(dollar_body(raw)),
        (Dialect::Postgres, b'e') => Cow::Owned(backslashed(&raw[1..], '\'', true)),
        (Dialect::Postgres, b'u') => Cow::Owned(unicode(&raw[2..], '\'')),
        (Dialect::MariaDb, b'"') => Cow::Owned(backslashed(raw, '"', false)),
        (Dialect::MariaDb, b'\'') if raw.contains('\\') => Cow::Owned(backslashed(raw, '\'', false)),
        (_, b'\'') => undoubled(raw, '\''),
        (Dialect::MariaDb, _) => Cow::Owned(backslashed(&raw[1..], '\'', false)),
        _ => undoubled(&raw[1..], '\''),
    }
}

/// The tag of a dollar-quoted string, both `$` included.
pub(crate) fn dollar_tag(raw: &str) -> &str {
    raw.get(1..).and_then(|rest| rest.find('$')).map_or("", |end| &raw[..end + 2])
}

fn dollar_body(raw: &str) -> &str {
    let tag = dollar_tag(raw).len();
    raw.get(tag..raw.len().saturating_sub(tag)).unwrap_or_default()
}

/// Takes the quotes away; a doubled quote is one. What stands between two parts of a string falls away.
fn undoubled(raw: &str, mark: char) -> Cow<'_, str> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    if !inner.contains(mark) {
        return Cow::Borrowed(inner);
    }
    Cow::Owned(characters(raw, mark, |_, _| None))
}

fn backslashed(raw: &str, mark: char, numbers: bool) -> String {
    characters(raw, mark, |escape, rest| {
        if escape != '\\' {
            return None;
        }
        let (skip, value) = match rest.chars().next()? {
            'n' => (1, '\n'),
            't' => (1, '\t'),
            'r' => (1, '\r'),
            'b' => (1, '\u{8}'),
            'f' if numbers => (1, '\u{c}'),
            'x' if numbers => number(rest, 1, 2, 16)?,
            'u' if numbers => number(rest, 1, 4, 16)?,
            'U' if numbers => number(rest, 1, 8, 16)?,
            '0'..='7' if numbers => number(rest, 0, 3, 8)?,
            other => (other.len_utf8(), other),
        };
        Some((skip, value))
    })
}

/// The default escape character of `U&`; another one (`UESCAPE`) is refused by a rule.
fn unicode(raw: &str, mark: char) -> String {
    characters(raw, mark, |escape, rest| {
        if escape != '\\' {
            return None;
        }
        match rest.chars().next()? {
            '\\' => Some((1, '\\')),
            '+' => number(rest, 1, 6, 16),
            _ => number(rest, 0, 4, 16),
        }
    })
}

/// At most `digits` digits of `rest` from byte `from` on: how many bytes they take, and the character they name.
fn number(rest: &str, from: usize, digits: usize, radix: u32) -> Option<(usize, char)> {
    let found = rest[from..].chars().take(digits).take_while(|c| c.is_digit(radix)).count();
    let code = u32::from_str_radix(&rest[from..from + found], radix).ok()?;
    Some((from + found, char::from_u32(code)?))
}

/// The characters between marks. `escape` gets each character and what follows it, and may say for how many bytes of
/// that which one character stands.
fn characters(raw: &str, mark: char, escape: impl Fn(char, &str) -> Option<(usize, char)>) -> String {
    let mut value = String::with_capacity(raw.len());
    let (mut rest, mut inside) = (raw, false);
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if !inside {
            inside = c == mark;
        } else if c == mark {
            // Doubled: the mark itself. Single: the end of this part.
            if rest.starts_with(mark) {
                rest = &rest[mark.len_utf8()..];
                value.push(mark);
            } else {
                inside = false;
            }
        } else if let Some((bytes, meant)) = escape(c, rest) {
            rest = &rest[bytes..];
            value.push(meant);
        } else {
            value.push(c);
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::Lexer;

    fn values(dialect: Dialect, sql: &str) -> Vec<String> {
        let tokens = Lexer::new(dialect, sql).map(Result::unwrap);
        tokens
            .filter(|t| matches!(t.kind, Kind::Text | Kind::Dollar))
            .map(|t| value(dialect, &t, sql).into_owned())
            .collect()
    }

    fn names(dialect: Dialect, sql: &str) -> Vec<String> {
        Lexer::new(dialect, sql).filter_map(|t| name(&t.unwrap(), sql).map(Cow::into_owned)).collect()
    }

    #[test]
    fn postgres_strings_mean_what_the_server_reads() {
        let sql = r"'it''s' E'n\x6f\167' U&'n\006f\+000077' 'no' -- and on
            'w' $a$it's$$$a$ x'41' N'n'";
        assert_eq!(values(Dialect::Postgres, sql), ["it's", "now", "now", "now", "it's$$", "41", "n"]);
    }

    #[test]
    fn mariadb_strings_mean_what_the_server_reads() {
        let sql = r#"'it\'s' "n\ow" 'a''b' N'n'"#;
        assert_eq!(values(Dialect::MariaDb, sql), ["it's", "now", "a'b", "n"]);
    }

    #[test]
    fn quoted_names_lose_their_quotes() {
        assert_eq!(names(Dialect::Postgres, r#""a""b" U&"n\006Fw" c"#), ["a\"b", "now", "c"]);
        assert_eq!(names(Dialect::MariaDb, "`a``b` c"), ["a`b", "c"]);
        assert_eq!(names(Dialect::Sqlite, "[a b] `c` \"d\""), ["a b", "c", "d"]);
    }
}
