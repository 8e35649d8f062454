//! Paint: colours for what is being typed, told by the lexer of the DBMS. No I/O.

use super::completion::is_keyword;
use kluster_sql::{Dialect, Kind, Lexer};

// ECMA-48, SGR.
const KEYWORD: &str = "\x1b[1m";
const TEXT: &str = "\x1b[32m";
const COMMENT: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// The text with its keywords, strings and comments in colours. Without them it is as wide as before.
pub fn paint(dialect: Dialect, text: &str) -> String {
    if text.trim_start().starts_with('\\') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 32);
    let mut done = 0;
    for token in Lexer::new(dialect, text).map_while(Result::ok) {
        let raw = token.text(text);
        let style = match token.kind {
            Kind::Word if is_keyword(raw) => Some(KEYWORD),
            Kind::Text | Kind::Dollar => Some(TEXT),
            Kind::Comment => Some(COMMENT),
            _ => None,
        };
        match style {
            Some(style) => out.extend([style, raw, PLAIN]),
            None => out.push_str(raw),
        }
        done = token.end as usize;
    }
    // What is opened and not closed yet is a string or a comment.
    match &text[done..] {
        "" => out,
        open => out + TEXT + open + PLAIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_change_nothing_else() {
        for text in
            ["select 'a' from t -- x", "select 'open", "\\d t", "", "insert into \"T\" values ($$x$$)", "/* open"]
        {
            let painted = paint(Dialect::Postgres, text);
            let bare = [KEYWORD, TEXT, COMMENT, PLAIN].iter().fold(painted, |text, code| text.replace(code, ""));
            assert_eq!(bare, text);
        }
        assert_eq!(paint(Dialect::Sqlite, "select 'a'"), "\x1b[1mselect\x1b[0m \x1b[32m'a'\x1b[0m");
    }
}
