//! Where tokens begin and end, dialect by dialect.

use kluster_sql::{Dialect, Kind, LexError, Lexer};

/// The tokens that carry meaning, one per line: kind and text.
fn tokens(dialect: Dialect, sql: &str) -> String {
    let found: Result<Vec<_>, LexError> = Lexer::new(dialect, sql).collect();
    let found = found.expect("tokens").into_iter().filter(|token| !token.is_blank());
    found.map(|token| format!("{:?} {}\n", token.kind, token.text(sql))).collect()
}

/// The same without the texts.
fn kinds(dialect: Dialect, sql: &str) -> Vec<Kind> {
    Lexer::new(dialect, sql).map(|token| token.expect("a token").kind).filter(|kind| *kind != Kind::Space).collect()
}

fn error(dialect: Dialect, sql: &str) -> LexError {
    Lexer::new(dialect, sql).find_map(Result::err).expect("an error")
}

use Dialect::{MariaDb, Postgres, Sqlite};

#[test]
fn postgres_strings() {
    assert_eq!(kinds(Postgres, r"'a\' 'b''c' E'd\'e' e'\\' U&'f' N'g' B'1' x'2'"), [Kind::Text; 8]);
    assert_eq!(tokens(Postgres, "'a'\n  'b'"), "Text 'a'\n  'b'\n", "the server joins them");
    assert_eq!(tokens(Postgres, "'a' 'b'"), "Text 'a'\nText 'b'\n", "no line end, no joining");
    assert_eq!(
        tokens(Postgres, "E'a' -- x\n'\\'b' c"),
        "Text E'a' -- x\n'\\'b'\nWord c\n",
        "E goes on in the second part"
    );
    assert_eq!(tokens(Postgres, "u & 'a' e 'b'"), "Word u\nSymbol &\nText 'a'\nWord e\nText 'b'\n");
}

#[test]
fn postgres_dollars() {
    assert_eq!(
        tokens(Postgres, "$$a'$$ $t$ $$ $u$ $t$ a$1 $1"),
        "Dollar $$a'$$\nDollar $t$ $$ $u$ $t$\nWord a$1\nParam $1\n"
    );
    assert_eq!(tokens(Postgres, "$12::int $ $é$x$é$"), "Param $12\nSymbol ::\nWord int\nSymbol $\nDollar $é$x$é$\n");
    assert_eq!(error(Postgres, "select $a$ x $b$").at, 7);
}

#[test]
fn postgres_operators_and_comments() {
    assert_eq!(kinds(Postgres, "/* a /* b */ c */ -- d"), [Kind::Comment; 2]);
    assert_eq!(
        tokens(Postgres, "a ?| b #> '{}' -- c\r d"),
        "Word a\nSymbol ?\nSymbol |\nWord b\nSymbol #\nSymbol >\nText '{}'\nWord d\n"
    );
    assert_eq!(tokens(Postgres, "a+--b\n1"), "Word a\nSymbol +\nNumber 1\n");
    assert_eq!(error(Postgres, "/* /* */").at, 0);
}

#[test]
fn mariadb_strings_and_names() {
    assert_eq!(kinds(MariaDb, r#"'a\'b' "c\"d" "e""f" _utf8'g' N'h'"#), {
        let mut expected = vec![Kind::Text; 6];
        expected[3] = Kind::Word;
        expected
    });
    assert_eq!(
        tokens(MariaDb, "`a``b`.$c $1 $d$ 1"),
        "Quoted `a``b`\nSymbol .\nWord $c\nParam $1\nWord $d$\nNumber 1\n"
    );
    assert_eq!(error(MariaDb, r"select '\'").what, "a string");
    assert_eq!(error(MariaDb, "`").what, "a quoted name");
}

#[test]
fn mariadb_comments() {
    assert_eq!(kinds(MariaDb, "# a\n-- b\n--\tc\n/* /* */ --"), [Kind::Comment; 5]);
    assert_eq!(tokens(MariaDb, "5--1"), "Number 5\nSymbol -\nSymbol -\nNumber 1\n");
    assert_eq!(kinds(MariaDb, "/*!1*//*!50001 x *//*M! y *//*+ z */"), [Kind::ExecutableComment; 4]);
    assert_eq!(kinds(Postgres, "/*! x */"), [Kind::Comment]);
}

#[test]
fn sqlite_names_and_parameters() {
    assert_eq!(kinds(Sqlite, "\"a\"\"b\" `c` [d ''\" e]"), [Kind::Quoted; 3]);
    assert_eq!(kinds(Sqlite, "? ?1 :a @b #c $d $1x"), [Kind::Placeholder; 7]);
    assert_eq!(kinds(Sqlite, "$1 $22"), [Kind::Param; 2]);
    assert_eq!(tokens(Sqlite, "'a\\' x'00' e'b'"), "Text 'a\\'\nText x'00'\nWord e\nText 'b'\n");
    assert_eq!(tokens(Sqlite, "\u{feff}a\u{feff}"), "Word a\u{feff}\n");
    assert_eq!(error(Sqlite, "[a").what, "a quoted name");
}

#[test]
fn numbers_take_no_letters_of_a_name() {
    assert_eq!(
        tokens(Postgres, "1.5e-3 .5 1..2"),
        "Number 1.5e-3\nSymbol .\nNumber 5\nNumber 1\nSymbol .\nSymbol .\nNumber 2\n"
    );
    assert_eq!(
        tokens(Postgres, "1erandom 0x1Frandom 0b2"),
        "Number 1\nWord erandom\nNumber 0x1F\nWord random\nNumber 0b2\n"
    );
    assert_eq!(tokens(MariaDb, "0xnow"), "Number 0\nWord xnow\n");
}
