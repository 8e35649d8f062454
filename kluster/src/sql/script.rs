//! Script: a text cut into what is done with it, as `kluster-admin load` cuts a file. No I/O.

use super::trouble::{Kind, Trouble};
use kluster_sql::{Dialect, Lexer, Role, split};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<'a> {
    /// The line of the text, from 1, on which it begins.
    pub line: usize,
    /// What is to be done.
    pub what: What<'a>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What<'a> {
    /// A statement is sent.
    Statement(&'a str),
    /// A command of the prompt (`\d`), backslash first.
    Command(&'a str),
    /// Not sent, for this reason: it is for the DBMS's own tool.
    Passed(&'a str, &'static str),
}

/// Cuts a text. An error leaves nothing to do: what does not end may hold anything.
pub fn cut(text: &str, dialect: Dialect) -> Result<Vec<Part<'_>>, Trouble> {
    let mut parts = Vec::new();
    let mut begun = false;
    for piece in split(text, dialect) {
        let piece = piece.map_err(|error| {
            Trouble::of(Kind::Refused, "syntax_error", error.to_string()).hinted("nothing of this text was sent")
        })?;
        let what = match piece.role {
            Role::ToolOnly(_) if is_own_command(piece.text) => What::Command(piece.text),
            _ => {
                let passed = kluster_admin::load::passed_over(&piece, begun);
                match passed.map_err(|why| not_for_a_cluster(piece.text, piece.line, &why))? {
                    Some(why) => What::Passed(piece.text, why),
                    None => What::Statement(piece.text),
                }
            }
        };
        begun |= matches!(what, What::Statement(_));
        parts.push(Part { line: piece.line, what });
    }
    Ok(parts)
}

/// `\connect` chooses a database in scripts that dump tools write; here that is done before, by `--database`.
fn is_own_command(text: &str) -> bool {
    let word = text.split_whitespace().next().unwrap_or_default().trim_end_matches(';');
    text.starts_with('\\') && !matches!(word, "\\c" | "\\connect")
}

fn not_for_a_cluster(text: &str, line: usize, why: &str) -> Trouble {
    let shown = kluster_admin::show::one_line(text, 60);
    Trouble::of(Kind::Refused, "not_supported", format!("line {line}, {shown}: {why}"))
        .hinted("nothing of this text was sent; \\? lists the commands there are")
}

/// Nothing more has to be typed: every statement has its `;`, and everything that was opened is closed.
pub fn is_complete(text: &str, dialect: Dialect) -> bool {
    if text.trim_start().starts_with('\\') {
        return true;
    }
    let mut behind = 0;
    for piece in split(text, dialect) {
        let Ok(piece) = piece else { return false };
        behind = match piece.role {
            Role::ToolOnly(_) if text[piece.span.end..].trim().is_empty() => return true,
            Role::ToolOnly(_) | Role::Statement => piece.span.end,
        };
    }
    // Whatever stands behind the last statement and is no blank is what ended it.
    let mut rest = Lexer::new(dialect, &text[behind..]);
    behind == 0 || rest.any(|token| token.is_ok_and(|token| !token.is_blank()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, dialect: Dialect) -> Vec<(usize, What<'_>)> {
        cut(text, dialect).unwrap().into_iter().map(|part| (part.line, part.what)).collect()
    }

    #[test]
    fn statements_and_commands_come_in_order() {
        let text = "select ';';\n\\d person\n\ninsert into t\nvalues (1);  \\timing on\nselect 2";
        for dialect in [Dialect::Postgres, Dialect::MariaDb] {
            assert_eq!(
                all(text, dialect),
                [
                    (1, What::Statement("select ';'")),
                    (2, What::Command("\\d person")),
                    (4, What::Statement("insert into t\nvalues (1)")),
                    (5, What::Command("\\timing on")),
                    (6, What::Statement("select 2")),
                ],
                "{dialect:?}"
            );
        }
        assert_eq!(
            all("select 1;\n\\d t\nselect 2;", Dialect::Sqlite),
            [(1, What::Statement("select 1")), (2, What::Command("\\d t")), (3, What::Statement("select 2"))]
        );
    }

    #[test]
    fn what_is_for_the_tool_is_passed_over_at_the_start_and_refused_behind_statements() {
        let text = "\\c shop\ncreate database shop;\ncreate table t (id int primary key);";
        let parts = all(text, Dialect::Postgres);
        assert!(matches!(parts[0].1, What::Passed("\\c shop", _)), "{parts:?}");
        assert!(matches!(parts[1].1, What::Passed("create database shop", _)), "{parts:?}");
        assert!(matches!(parts[2].1, What::Statement(_)), "{parts:?}");
        let refused = cut("insert into t values (1);\nuse other;\n", Dialect::MariaDb).unwrap_err();
        assert!(refused.message.starts_with("line 2, use other: "), "{}", refused.message);
    }

    #[test]
    fn what_does_not_end_leaves_nothing_to_do() {
        let trouble = cut("insert into t values (1);\nselect 'a", Dialect::Sqlite).unwrap_err();
        assert!(trouble.message.contains("line 2"), "{}", trouble.message);
    }

    #[test]
    fn a_text_is_complete_when_everything_is_closed() {
        for dialect in Dialect::ALL {
            for text in ["", "  \n", "select 1;", "select 1; -- done", "select ';' /* ; */ ;", "-- nothing", "\\d", ";"]
            {
                assert!(is_complete(text, dialect), "{dialect:?} {text:?}");
            }
            for text in ["select 1", "select 1; select 2", "select ';", "select 1; /* ", "select 1 -- ;", "select\n\n"]
            {
                assert!(!is_complete(text, dialect), "{dialect:?} {text:?}");
            }
        }
        assert!(!is_complete("do $$ begin; end;", Dialect::Postgres));
        assert!(is_complete("do $$ begin; end $$;", Dialect::Postgres));
        let body = "create trigger r after insert on t begin select 1;";
        assert!(!is_complete(body, Dialect::Sqlite));
        assert!(is_complete(&format!("{body} end;"), Dialect::Sqlite));
        assert!(is_complete(".tables", Dialect::Sqlite));
        assert!(is_complete("select 1 \\g", Dialect::Postgres));
    }
}
