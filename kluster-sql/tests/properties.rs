//! What holds for any text.

use kluster_sql::{Dialect, Kind, Lexer, Piece, Role, admit, admit_read, placeholders, split};
use proptest::prelude::*;

/// Pieces of SQL that meet at awkward places, so that random texts come near to real ones.
fn soup() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        "select",
        "insert into",
        "create trigger",
        "create function",
        "create procedure p()",
        "for each row",
        "if",
        "then",
        "else",
        "loop",
        "repeat",
        "while",
        "for",
        "declare exit handler for",
        "begin",
        "end",
        "case",
        "as",
        "now",
        "now()",
        "limit",
        "order by",
        "from",
        "t",
        "'",
        "''",
        "\\'",
        "\"",
        "`",
        "[",
        "]",
        "$$",
        "$a$",
        "$1",
        "?",
        "--",
        "-- ",
        "/*",
        "*/",
        "/*!",
        "#",
        ";",
        "(",
        ")",
        ",",
        ".",
        "::",
        "@",
        "@@",
        "E'",
        "U&'",
        "\\",
        "\n",
        "\r",
        " ",
        "é",
        "\u{feff}",
        "1",
        "1e",
        "0x",
        "do",
        "execute",
        "language",
        "engine",
        "=",
        "into",
        "with",
        "explain",
        "(",
        ")",
        "atomic",
        "\0",
        "delimiter //",
        "\\c x",
        "//",
        "copy t from stdin",
        "\\.",
        "signal",
        "set",
        "over",
        "date(",
        "'now'",
        "default",
        "uescape",
        "raise(",
        "using",
        "concurrently",
    ]);
    prop::collection::vec((parts, prop::sample::select(vec!["", " ", "\n", "/**/"])), 0..60)
        .prop_map(|parts| parts.into_iter().flat_map(|(part, gap)| [part, gap]).collect())
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![soup(), "\\PC*", any::<String>()]
}

/// Blanks and comments that all dialects pass over.
fn gap() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", " ", "\t\n", "/* ' */", " -- \" ;\n", "/**/ /* now() */"]).prop_map(str::to_owned)
}

/// A word with some letters in capitals.
fn in_cases(word: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec(any::<bool>(), word.len()).prop_map(move |upper| {
        word.chars().zip(upper).map(|(c, up)| if up { c.to_ascii_uppercase() } else { c }).collect()
    })
}

/// A forbidden call of each dialect.
fn forbidden() -> impl Strategy<Value = (Dialect, &'static str)> {
    prop::sample::select(vec![
        (Dialect::Postgres, "now"),
        (Dialect::Postgres, "gen_random_uuid"),
        (Dialect::Postgres, "pg_sleep"),
        (Dialect::MariaDb, "now"),
        (Dialect::MariaDb, "uuid"),
        (Dialect::MariaDb, "get_lock"),
        (Dialect::Sqlite, "random"),
        (Dialect::Sqlite, "datetime"),
        (Dialect::Sqlite, "last_insert_rowid"),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tokens_cover_the_text(sql in any_text()) {
        for dialect in Dialect::ALL {
            let mut at = 0;
            let mut broken = None;
            for token in Lexer::new(dialect, &sql) {
                match token {
                    Ok(token) => {
                        prop_assert_eq!(token.start, at);
                        prop_assert!(token.end > token.start);
                        prop_assert!(!token.text(&sql).is_empty());
                        at = token.end;
                    }
                    Err(error) => broken = Some(error.at),
                }
            }
            match broken {
                None => prop_assert_eq!(at as usize, sql.len()),
                Some(from) => prop_assert!(from >= at as usize && from < sql.len()),
            }
        }
    }

    #[test]
    fn a_verdict_is_reached_and_always_the_same(sql in any_text()) {
        for dialect in Dialect::ALL {
            prop_assert_eq!(admit(dialect, &sql), admit(dialect, &sql));
            let _ = admit_read(dialect, &sql);
            if let Ok(admitted) = admit(dialect, &sql) {
                prop_assert_eq!(admitted.sql.len(), sql.len());
                let (_, indexes) = placeholders(dialect, &admitted.sql);
                prop_assert!(indexes.iter().all(|index| *index < 32_766));
            }
        }
    }

    #[test]
    fn pieces_keep_the_script(script in any_text()) {
        for dialect in Dialect::ALL {
            let mut at = 0;
            for piece in split(&script, dialect) {
                let Ok(piece) = piece else { return Ok(()) };
                prop_assert_eq!(&script[piece.span.clone()], piece.text);
                prop_assert!(piece.span.start >= at);
                prop_assert_eq!(piece.line, 1 + script[..piece.span.start].matches('\n').count());
                // Between pieces stand only blanks, comments and delimiters.
                if !script.contains("delimiter") && !script[at..].starts_with('\u{feff}') {
                    let between = &script[at..piece.span.start];
                    let left = Lexer::new(dialect, between).all(|token| token.is_ok_and(|t| t.is_blank() || t.text(between) == ";"));
                    prop_assert!(left, "{:?}: {:?}", dialect, between);
                }
                at = piece.span.end;
            }
        }
    }

    #[test]
    fn one_piece_is_one_statement(script in soup()) {
        for dialect in Dialect::ALL {
            // What admission takes for one statement, a script's loader must not cut, and the other way round.
            if ["delimiter", "copy", "\\", "\u{feff}"].iter().any(|part| script.contains(part)) {
                continue;
            }
            let pieces: Vec<_> = split(&script, dialect).collect();
            let tool = |piece: &Result<Piece<'_>, _>| piece.as_ref().is_ok_and(|piece| piece.role != Role::Statement);
            if admit(dialect, &script).is_ok() && !pieces.iter().any(tool) {
                prop_assert_eq!(pieces.len(), 1, "{:?}: {:?}", dialect, pieces);
            }
        }
    }

    #[test]
    fn forbidden_calls_are_found(
        (dialect, name, a, b, c) in forbidden().prop_flat_map(|(d, n)| (Just(d), in_cases(n), gap(), gap(), gap())),
        quoted in any::<bool>(),
        qualified in any::<bool>(),
    ) {
        let quote = if dialect == Dialect::MariaDb { '`' } else { '"' };
        let name = if quoted { format!("{quote}{}{quote}", name.to_lowercase()) } else { name };
        let schema = if qualified { format!("main{b}.{c}") } else { String::new() };
        for sql in [
            format!("insert into t values (1, '/* -- ', {schema}{name}{a}({b}))"),
            format!("select a from t where b = {c}{schema}{name}{b}(){a}"),
            format!("create view v as select '''' || {a}{schema}{name}{c}()"),
        ] {
            let found = admit(dialect, &sql);
            // A gap that is no comment to this dialect hides nothing either: the text is refused as it is.
            prop_assert!(found.is_err(), "{:?}: {}", dialect, sql);
        }
    }

    #[test]
    fn names_in_strings_comments_and_columns_are_not_found(
        (dialect, name, a) in forbidden().prop_flat_map(|(d, n)| (Just(d), in_cases(n), gap()))
    ) {
        let quote = if dialect == Dialect::MariaDb { '`' } else { '"' };
        for sql in [
            format!("insert into t values ('{name}()', 'it''s {name}()') /* {name}() */ -- {name}()\n"),
            format!("select t.{name}{a}, {quote}{name}{quote}{a}, {quote}{name}(){quote}, 1 as {name} from {name} as t"),
            format!("insert into {name}{a}(a, {name}) values (1, 2)"),
            format!("create table {name}{a}(a int, {quote}{name}{quote} int)"),
        ] {
            prop_assert!(admit(dialect, &sql).is_ok(), "{:?}: {}: {:?}", dialect, sql, admit(dialect, &sql));
        }
    }

    #[test]
    fn strings_are_one_token(value in any::<String>()) {
        let value = value.replace('\0', "");
        let doubled = value.replace('\'', "''");
        for (dialect, sql) in [
            (Dialect::Postgres, format!("'{doubled}'")),
            (Dialect::Sqlite, format!("'{doubled}'")),
            (Dialect::MariaDb, format!("'{}'", doubled.replace('\\', "\\\\"))),
            (Dialect::Postgres, format!("E'{}'", doubled.replace('\\', "\\\\"))),
        ] {
            let tokens: Vec<_> = Lexer::new(dialect, &sql).map(Result::unwrap).collect();
            prop_assert_eq!(tokens.len(), 1);
            prop_assert_eq!(tokens[0].kind, Kind::Text);
            prop_assert!(split(&sql, dialect).all(|piece| piece.unwrap().role == Role::Statement));
        }
    }
}
