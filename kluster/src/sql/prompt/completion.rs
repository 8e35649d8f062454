//! Completion: what the word at the cursor can become. No I/O.

use super::vocabulary::Vocabulary;
use crate::sql::command::COMMANDS;
use kluster_sql::{Dialect, Kind, Lexer, Token};
use std::collections::BTreeSet;

/// Words that begin or join the parts of statements, in the three dialects.
const KEYWORDS: &[&str] = &[
    "abort",
    "add",
    "all",
    "alter",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "begin",
    "between",
    "bigint",
    "blob",
    "boolean",
    "by",
    "cascade",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "commit",
    "conflict",
    "constraint",
    "create",
    "cross",
    "current_date",
    "current_timestamp",
    "date",
    "decimal",
    "default",
    "delete",
    "desc",
    "distinct",
    "do",
    "double",
    "drop",
    "else",
    "end",
    "escape",
    "except",
    "exists",
    "explain",
    "false",
    "filter",
    "foreign",
    "from",
    "full",
    "function",
    "generated",
    "group",
    "having",
    "if",
    "ilike",
    "in",
    "index",
    "inner",
    "insert",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "join",
    "json",
    "jsonb",
    "key",
    "lateral",
    "left",
    "like",
    "limit",
    "natural",
    "not",
    "nothing",
    "null",
    "numeric",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "over",
    "partition",
    "precision",
    "primary",
    "procedure",
    "real",
    "recursive",
    "references",
    "rename",
    "replace",
    "restrict",
    "returning",
    "right",
    "rollback",
    "schema",
    "select",
    "sequence",
    "set",
    "show",
    "smallint",
    "start",
    "table",
    "text",
    "then",
    "time",
    "timestamp",
    "timestamptz",
    "to",
    "transaction",
    "trigger",
    "true",
    "truncate",
    "union",
    "unique",
    "update",
    "using",
    "uuid",
    "values",
    "varchar",
    "view",
    "when",
    "where",
    "window",
    "with",
];

/// Words behind which the name of a table stands.
const BEFORE_RELATIONS: &[&str] = &["from", "join", "into", "update", "table", "references", "truncate", "describe"];

/// What may become of the word at the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The byte at which the word begins.
    pub start: usize,
    /// What it can become, the likeliest first.
    pub words: Vec<String>,
    /// A file's name is wanted.
    pub file: bool,
}

/// The word is a keyword in one of the dialects.
pub fn is_keyword(word: &str) -> bool {
    KEYWORDS.binary_search(&word.to_ascii_lowercase().as_str()).is_ok()
}

/// What the word that ends at the byte `at` can become.
pub fn complete(dialect: Dialect, vocabulary: &Vocabulary, line: &str, at: usize) -> Completion {
    let before = &line[..at];
    match before.trim_start().starts_with('\\') {
        true => command(vocabulary, before, dialect),
        false => statement(dialect, vocabulary, line, before),
    }
}

fn command(vocabulary: &Vocabulary, before: &str, dialect: Dialect) -> Completion {
    let start = before.rfind(char::is_whitespace).map_or(0, |blank| blank + 1);
    let word = &before[start..];
    let name = before.split_whitespace().next().unwrap_or_default();
    let found = |candidates: Vec<String>| Completion {
        start,
        words: candidates.into_iter().filter(|candidate| begins(candidate, word)).collect(),
        file: false,
    };
    if before[..start].trim().is_empty() {
        return found(COMMANDS.iter().map(|entry| entry.name.to_owned()).collect());
    }
    match name {
        "\\i" | "\\o" => Completion { start, words: Vec::new(), file: true },
        "\\d" => found(vocabulary.relations.keys().map(|name| quoted(dialect, name)).collect()),
        _ => {
            let entry = COMMANDS.iter().find(|entry| entry.name == name);
            let arguments = entry.map_or("", |entry| entry.arguments.trim_matches(['[', ']']));
            let choices = arguments.split('|').filter(|choice| choice.chars().all(|c| c.is_ascii_lowercase()));
            found(choices.filter(|choice| !choice.is_empty()).map(str::to_owned).collect())
        }
    }
}

fn statement(dialect: Dialect, vocabulary: &Vocabulary, line: &str, before: &str) -> Completion {
    let at = before.len();
    let nothing = Completion { start: at, words: Vec::new(), file: false };
    let Some(tokens) = tokens(dialect, before) else { return nothing };
    let typing = tokens.last().filter(|token| token.end as usize == at);
    // In the middle of a string or a comment nothing is a word.
    if typing.is_some_and(|token| matches!(token.kind, Kind::Text | Kind::Dollar | Kind::Comment | Kind::Quoted)) {
        return nothing;
    }
    let typing = typing.filter(|token| token.kind == Kind::Word);
    let (start, word) = typing.map_or((at, ""), |token| (token.start as usize, token.text(before)));
    let done: Vec<&Token> = tokens.iter().filter(|token| (token.end as usize) <= start && !token.is_blank()).collect();
    let text_of = |index: usize| done.len().checked_sub(index).map_or("", |place| done[place].text(before));
    let words = match text_of(1) {
        "." => columns_of(vocabulary, &relation_named(dialect, vocabulary, line, text_of(2)), dialect, word),
        previous if BEFORE_RELATIONS.contains(&previous.to_ascii_lowercase().as_str()) => {
            relations(vocabulary, dialect, word)
        }
        _ => anything(dialect, vocabulary, line, word),
    };
    Completion { start, words, file: false }
}

/// Columns of the relations that the statement names, then relations, then keywords.
fn anything(dialect: Dialect, vocabulary: &Vocabulary, line: &str, word: &str) -> Vec<String> {
    let named: Vec<String> =
        names(dialect, line).into_iter().filter(|name| known(vocabulary, name).is_some()).collect();
    let mut words: Vec<String> = Vec::new();
    for relation in named {
        words.extend(columns_of(vocabulary, &relation, dialect, word));
    }
    if !word.is_empty() {
        words.extend(relations(vocabulary, dialect, word));
        let upper = word.chars().next().is_some_and(char::is_uppercase);
        let keywords = KEYWORDS.iter().filter(|keyword| begins(keyword, word));
        words.extend(keywords.map(|keyword| if upper { keyword.to_uppercase() } else { (*keyword).to_owned() }));
    }
    let mut seen = BTreeSet::new();
    words.retain(|word| seen.insert(word.to_lowercase()));
    words
}

fn relations(vocabulary: &Vocabulary, dialect: Dialect, word: &str) -> Vec<String> {
    vocabulary.relations.keys().filter(|name| begins(name, word)).map(|name| quoted(dialect, name)).collect()
}

fn columns_of(vocabulary: &Vocabulary, relation: &str, dialect: Dialect, word: &str) -> Vec<String> {
    let columns = known(vocabulary, relation).into_iter().flatten();
    columns.filter(|name| begins(name, word)).map(|name| quoted(dialect, name)).collect()
}

fn known<'a>(vocabulary: &'a Vocabulary, relation: &str) -> Option<&'a Vec<String>> {
    let exact = vocabulary.relations.get(relation);
    exact.or_else(|| vocabulary.relations.iter().find(|(name, _)| name.eq_ignore_ascii_case(relation)).map(|(_, c)| c))
}

/// The relation that stands before a dot: itself, or the one that it is an alias of (`person p`, `person as p`).
fn relation_named(dialect: Dialect, vocabulary: &Vocabulary, line: &str, name: &str) -> String {
    let name = bare(name);
    if known(vocabulary, &name).is_some() {
        return name;
    }
    let mut words = names(dialect, line);
    words.retain(|word| !word.eq_ignore_ascii_case("as"));
    let aliased =
        words.windows(2).find(|pair| pair[1].eq_ignore_ascii_case(&name) && known(vocabulary, &pair[0]).is_some());
    aliased.map_or(name, |pair| pair[0].clone())
}

/// Every word and quoted name of a text, as far as it can be cut.
fn names(dialect: Dialect, text: &str) -> Vec<String> {
    let tokens = Lexer::new(dialect, text).map_while(Result::ok);
    let names = tokens.filter(|token| matches!(token.kind, Kind::Word | Kind::Quoted));
    names.map(|token| bare(token.text(text))).collect()
}

/// None: the text ends inside a string or a comment.
fn tokens(dialect: Dialect, text: &str) -> Option<Vec<Token>> {
    Lexer::new(dialect, text).collect::<Result<_, _>>().ok()
}

fn bare(name: &str) -> String {
    name.trim_matches(['"', '`', '[', ']']).to_owned()
}

fn begins(name: &str, word: &str) -> bool {
    name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// The name as it must be written.
fn quoted(dialect: Dialect, name: &str) -> String {
    let letter =
        |c: char| c.is_ascii_lowercase() || c == '_' || (dialect != Dialect::Postgres && c.is_ascii_uppercase());
    let mut characters = name.chars();
    let plain = characters.next().is_some_and(letter) && characters.all(|c| letter(c) || c.is_ascii_digit());
    match dialect {
        _ if plain && !is_keyword(name) => name.to_owned(),
        Dialect::MariaDb => format!("`{}`", name.replace('`', "``")),
        Dialect::Postgres | Dialect::Sqlite => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> Vocabulary {
        let relation =
            |name: &str, columns: &[&str]| (name.to_owned(), columns.iter().map(|c| (*c).to_owned()).collect());
        Vocabulary {
            relations: [
                relation("person", &["id", "name", "birthday"]),
                relation("pet", &["id", "owner"]),
                relation("Order", &["Total"]),
            ]
            .into(),
        }
    }

    /// The words for the place marked by `|`.
    fn words(line: &str) -> Vec<String> {
        let at = line.find('|').unwrap();
        complete(Dialect::Postgres, &vocabulary(), &line.replacen('|', "", 1), at).words
    }

    #[test]
    fn keywords_are_in_order_for_the_search() {
        assert!(KEYWORDS.is_sorted());
        assert!(is_keyword("SELECT") && !is_keyword("person"));
    }

    #[test]
    fn keywords_keep_the_case_that_is_typed() {
        assert_eq!(words("sel|"), ["select"]);
        assert_eq!(words("SEL|"), ["SELECT"]);
        assert_eq!(words("|"), [""; 0], "not everything at once");
    }

    #[test]
    fn tables_stand_behind_from_and_its_kin() {
        assert_eq!(words("select * from |"), ["\"Order\"", "person", "pet"]);
        assert_eq!(words("insert into pe|"), ["person", "pet"]);
        assert_eq!(words("select 1 from person join pe|"), ["person", "pet"]);
        assert_eq!(words("delete from per|"), ["person"]);
    }

    #[test]
    fn columns_are_those_of_the_tables_that_the_statement_names() {
        assert_eq!(words("select n| from person"), ["name", "natural", "not", "nothing", "null", "numeric"]);
        assert_eq!(words("select id from person where b|")[0], "birthday");
        assert_eq!(words("select person.| from person"), ["id", "name", "birthday"]);
        assert_eq!(words("select p.na| from person as p"), ["name"]);
        assert_eq!(words("select p.o| from person x join pet p on true"), ["owner"]);
        assert_eq!(words("select p.id from pet p where p.o|"), ["owner"]);
    }

    #[test]
    fn nothing_is_completed_in_strings_and_comments() {
        for line in ["select 'sel|", "select 1 -- sel|", "select /* sel|", "select 'a'|"] {
            assert_eq!(words(line), [""; 0], "{line}");
        }
    }

    #[test]
    fn commands_and_their_arguments() {
        assert_eq!(words("\\ti|"), ["\\timing"]);
        assert_eq!(words("\\read s|"), ["session", "strong"]);
        assert_eq!(words("\\ack |"), ["first", "quorum", "all", "logged"]);
        assert_eq!(words("\\d pe|"), ["person", "pet"]);
        assert_eq!(words("\\x |"), ["on", "off"]);
        assert!(complete(Dialect::Sqlite, &vocabulary(), "\\i fi", 5).file);
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        assert_eq!(quoted(Dialect::Postgres, "Order"), "\"Order\"");
        assert_eq!(quoted(Dialect::MariaDb, "group"), "`group`");
        assert_eq!(quoted(Dialect::Sqlite, "Person"), "Person");
        assert_eq!(quoted(Dialect::Sqlite, "my table"), "\"my table\"");
    }
}
