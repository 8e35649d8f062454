//! Script: a file cut into statements, each judged by the rules that nodes go by, before anything is sent.

use crate::error::AdminError;
use crate::show;
use kluster_sql::{Class, Dialect, Piece, Role, admit, split};
use sha2::{Digest, Sha256};
use std::path::Path;

/// So many characters of a refused statement are shown.
const SHOWN: usize = 200;

/// A file, cut.
#[derive(Debug)]
pub(super) struct Script<'a> {
    /// The file's name as given.
    pub(super) name: String,
    /// Names the load: what is the same in two files makes the same name.
    pub(super) load_id: String,
    /// What is not sent, with the reason.
    pub(super) passed: Vec<Passed>,
    /// What is sent, in the order of the file.
    pub(super) statements: Vec<Statement<'a>>,
}

/// A piece that is not sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) why: &'static str,
}

/// A statement to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Statement<'a> {
    pub(super) text: &'a str,
    /// Counted from 1.
    pub(super) line: usize,
    /// Nothing may be in flight beside it.
    pub(super) alone: bool,
}

impl<'a> Script<'a> {
    pub(super) fn cut(file: &Path, text: &'a str, dialect: Dialect, from_line: usize) -> Result<Self, AdminError> {
        let name = file.display().to_string();
        let mut script =
            Self { load_id: load_id(text, dialect, from_line), name, passed: Vec::new(), statements: Vec::new() };
        let mut begun = false;
        for piece in split(text, dialect) {
            let piece =
                piece.map_err(|error| AdminError::Refused(format!("{}: {error}. Nothing was sent", script.name)))?;
            if piece.line < from_line {
                begun |= piece.role == Role::Statement;
                continue;
            }
            match passed_over(&piece, begun).map_err(|why| script.refuse(&piece, &why))? {
                Some(why) => script.pass(&piece, why),
                None => {
                    begun = true;
                    let statement = script.judge(&piece, dialect)?;
                    script.statements.push(statement);
                }
            }
        }
        Ok(script)
    }

    fn pass(&mut self, piece: &Piece<'_>, why: &'static str) {
        self.passed.push(Passed { line: piece.line, text: show::one_line(piece.text, 60), why });
    }

    fn judge(&self, piece: &Piece<'a>, dialect: Dialect) -> Result<Statement<'a>, AdminError> {
        let admitted = admit(dialect, piece.text)
            .map_err(|refusal| self.refuse(piece, &format!("refused as {}: {refusal}", refusal.code)))?;
        if admitted.params > 0 {
            return Err(self.refuse(piece, "it holds a param like $1, and a script has no values for params"));
        }
        let alone = match admitted.class {
            Class::Read | Class::Write => false,
            Class::Alone | Class::Ddl => true,
        };
        Ok(Statement { text: piece.text, line: piece.line, alone })
    }

    fn refuse(&self, piece: &Piece<'_>, why: &str) -> AdminError {
        let text = show::one_line(piece.text, SHOWN);
        AdminError::Refused(format!("{}:{}: {why}\n  {text}\nNothing was sent", self.name, piece.line))
    }
}

/// Why a piece of a script is passed over and not sent; None: it is to be sent. `begun`: statements stand before it. An error: it can be
/// neither.
pub fn passed_over(piece: &Piece<'_>, begun: bool) -> Result<Option<&'static str>, String> {
    match piece.role {
        Role::Statement => Ok(None),
        Role::ToolOnly(why) if !begun || is_harmless(piece.text) => Ok(Some(why)),
        Role::ToolOnly(why) => Err(format!("{why}, and statements stand before it")),
    }
}

/// What may be passed over though statements stand before it, for it changes nothing of them: settings that dump tools write, and MariaDB's
/// DELIMITER. All else (another database chosen, a file to be read in) would change what the statements behind it mean.
fn is_harmless(text: &str) -> bool {
    let begins = |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    ["/*!", "delimiter", "set names", "set client_encoding"].into_iter().any(begins)
}

/// SHA-256 over what decides the statements and their numbers; 128 bits are enough to tell loads apart.
fn load_id(text: &str, dialect: Dialect, from_line: usize) -> String {
    let mut hash = Sha256::new();
    hash.update(dialect.name());
    hash.update((from_line as u64).to_be_bytes());
    hash.update(text);
    format!("load-{}-", hex::encode(&hash.finalize()[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, dialect: Dialect, from_line: usize) -> Result<Script<'_>, String> {
        Script::cut(Path::new("a.sql"), text, dialect, from_line).map_err(|error| error.to_string())
    }

    #[test]
    fn leading_statements_for_the_tool_are_passed_over_and_the_rest_is_judged() {
        let text = "-- shop\nDROP DATABASE IF EXISTS shop;\nCREATE DATABASE shop;\n\\c shop;\n\nCREATE TABLE t (id int primary key);\nINSERT INTO t\n VALUES (1);\n";
        let script = cut(text, Dialect::Postgres, 1).unwrap();
        let passed: Vec<_> = script.passed.iter().map(|passed| (passed.line, passed.text.as_str())).collect();
        assert_eq!(passed, [(2, "DROP DATABASE IF EXISTS shop"), (3, "CREATE DATABASE shop"), (4, "\\c shop;")]);
        let statements: Vec<_> = script.statements.iter().map(|s| (s.line, s.text, s.alone)).collect();
        assert_eq!(
            statements,
            [(6, "CREATE TABLE t (id int primary key)", true), (7, "INSERT INTO t\n VALUES (1)", false)]
        );
    }

    #[test]
    fn what_the_rules_refuse_ends_it_with_line_and_why() {
        let error = cut("INSERT INTO t VALUES (1);\n\nBEGIN;\n", Dialect::Postgres, 1).unwrap_err();
        assert!(error.starts_with("a.sql:3: refused as transaction_control: "), "{error}");
        assert!(error.ends_with("\n  BEGIN\nNothing was sent"), "{error}");
        let error = cut("INSERT INTO t VALUES ($1)", Dialect::Sqlite, 1).unwrap_err();
        assert!(error.starts_with("a.sql:1: it holds a param"), "{error}");
        let error = cut("INSERT INTO t VALUES ('x", Dialect::Sqlite, 1).unwrap_err();
        assert!(error.starts_with("a.sql: line 1: "), "{error}");
    }

    #[test]
    fn another_database_in_the_middle_is_refused_but_settings_of_dumps_are_not() {
        let error =
            cut("INSERT INTO t VALUES (1);\nUSE other;\nINSERT INTO t VALUES (2);", Dialect::MariaDb, 1).unwrap_err();
        assert!(error.starts_with("a.sql:2: ") && error.contains("statements stand before it"), "{error}");
        let text = "INSERT INTO t VALUES (1);\n/*!40000 ALTER TABLE `t` ENABLE KEYS */;\nINSERT INTO t VALUES (2);";
        assert_eq!(cut(text, Dialect::MariaDb, 1).unwrap().passed.len(), 1);
    }

    #[test]
    fn from_a_line_on_is_another_load() {
        let text = "CREATE DATABASE x;\nINSERT INTO t VALUES (1);\nINSERT INTO t VALUES (2);\n";
        let (whole, rest) = (cut(text, Dialect::Postgres, 1).unwrap(), cut(text, Dialect::Postgres, 3).unwrap());
        assert_eq!((whole.statements.len(), rest.statements.len(), rest.passed.len()), (2, 1, 0));
        assert_ne!(whole.load_id, rest.load_id);
        assert_eq!(whole.load_id, cut(text, Dialect::Postgres, 1).unwrap().load_id);
        assert_eq!(whole.load_id.len(), "load-".len() + 32 + 1);
    }
}
