//! Judge: what a statement asks for, told from its text by the rules that nodes go by. No I/O.

use super::settings::ReadLevel;
use super::trouble::{Kind, Trouble};
use kluster_sql::{Class, Dialect, Lexer, Refusal, RefusalCode, Token, admit, admit_read};

/// What a statement asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// A transaction begins: what follows is gathered.
    Begin,
    /// What was gathered is sent.
    Commit,
    /// What was gathered is dropped.
    Rollback,
    /// Rows, and nothing else.
    Read,
    /// An effect. `defines`: tables or columns may be others behind it.
    Write {
        /// DDL and whatever is no plain DML.
        defines: bool,
    },
}

/// Where a statement goes, which decides the rules that hold for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toward {
    /// By itself, where its kind and the read level say.
    Alone(ReadLevel),
    /// Into a transaction that is gathered: through ALL, whatever it is.
    Transaction,
}

/// What to do instead of what the rules call transaction control; the rules speak to programs.
const OUR_TRANSACTIONS: &str =
    "begin; … commit; sends what stands between as one transaction; there is nothing smaller within it";

/// Tells what a statement asks for, or why every node would refuse it.
pub fn judge(dialect: Dialect, text: &str, toward: Toward) -> Result<Asks, Trouble> {
    if let Some(asks) = transaction_word(dialect, text) {
        return Ok(asks);
    }
    let through_one = matches!(toward, Toward::Alone(level) if level != ReadLevel::Ordered);
    let refused = |refusal: Refusal| match refusal.code {
        RefusalCode::TransactionControl => Trouble::by_rule(&refusal).hinted(OUR_TRANSACTIONS),
        _ => Trouble::by_rule(&refusal),
    };
    if through_one {
        match admit_read(dialect, text) {
            Ok(admitted) => return without_params(admitted.params).map(|()| Asks::Read),
            Err(refusal) if refusal.code == RefusalCode::ReadOnly => {}
            Err(refusal) => return Err(refused(refusal)),
        }
    }
    let admitted = admit(dialect, text).map_err(refused)?;
    without_params(admitted.params)?;
    match (admitted.class, toward) {
        (Class::Ddl, Toward::Transaction) => Err(Trouble::of(
            Kind::Refused,
            "not_transactional",
            "MariaDB commits this statement by itself, so it cannot be part of a transaction",
        )
        .hinted("send it before begin or behind commit")),
        (Class::Read, _) => Ok(Asks::Read),
        (Class::Write, _) => Ok(Asks::Write { defines: false }),
        (Class::Alone | Class::Ddl, _) => Ok(Asks::Write { defines: true }),
    }
}

fn without_params(params: u32) -> Result<(), Trouble> {
    match params {
        0 => Ok(()),
        _ => Err(Trouble::of(Kind::Refused, "wrong_params", "it holds a param like $1, and here no param has a value")
            .hinted("write the value itself")),
    }
}

/// BEGIN, COMMIT and ROLLBACK in all their spellings that mean no more than that. What is left (savepoints, AND CHAIN, BEGIN NOT ATOMIC) is
/// for the rules to refuse.
fn transaction_word(dialect: Dialect, text: &str) -> Option<Asks> {
    let words = first_words(dialect, text)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["begin", rest @ ..] | ["start", "transaction", rest @ ..] => {
            (!rest.contains(&"atomic")).then_some(Asks::Begin)
        }
        ["commit" | "end"] | ["commit" | "end", "work" | "transaction"] => Some(Asks::Commit),
        ["rollback" | "abort"] | ["rollback" | "abort", "work" | "transaction"] => Some(Asks::Rollback),
        _ => None,
    }
}

/// The words of a short statement of words; None where it holds anything else, or is long.
fn first_words(dialect: Dialect, text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for token in Lexer::new(dialect, text) {
        let token: Token = token.ok()?;
        match token.kind {
            kluster_sql::Kind::Word if words.len() < 12 => words.push(token.text(text).to_ascii_lowercase()),
            kluster_sql::Kind::Symbol if matches!(token.text(text), ";" | ",") => {}
            _ if token.is_blank() => {}
            _ => return None,
        }
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Toward = Toward::Alone(ReadLevel::Session);

    fn asks(dialect: Dialect, text: &str) -> Result<Asks, String> {
        judge(dialect, text, ALONE).map_err(|trouble| trouble.code.clone().unwrap_or_default())
    }

    #[test]
    fn reads_go_to_one_and_everything_else_to_all() {
        for (text, wanted) in [
            ("select 1", Asks::Read),
            ("(select 1) union (select 2)", Asks::Read),
            ("with a as (select 1) select * from a", Asks::Read),
            ("values (1), (2)", Asks::Read),
            ("insert into t values (1) returning id", Asks::Write { defines: false }),
            ("update t set a = 1", Asks::Write { defines: false }),
            ("create table t (id int primary key)", Asks::Write { defines: true }),
            ("-- a comment\nselect 1", Asks::Read),
        ] {
            for dialect in Dialect::ALL {
                assert_eq!(asks(dialect, text), Ok(wanted), "{dialect:?} {text}");
            }
        }
        assert_eq!(asks(Dialect::Postgres, "explain delete from t"), Ok(Asks::Read));
        assert_eq!(asks(Dialect::Postgres, "show server_version"), Ok(Asks::Read));
        assert_eq!(asks(Dialect::MariaDb, "show tables"), Ok(Asks::Read));
        assert_eq!(asks(Dialect::Sqlite, "explain query plan select 1"), Ok(Asks::Read));
        assert_eq!(asks(Dialect::Sqlite, "select * from pragma_table_info('t')"), Ok(Asks::Read));
        let cte = "with gone as (delete from t returning *) select * from gone";
        assert_eq!(asks(Dialect::Postgres, cte), Ok(Asks::Write { defines: false }));
        assert_eq!(asks(Dialect::Postgres, "select * from t for update"), Ok(Asks::Write { defines: false }));
    }

    #[test]
    fn transactions_in_all_their_spellings() {
        for text in
            ["begin", "BEGIN;", "begin work", "start transaction", "begin isolation level serializable, read write"]
        {
            assert_eq!(asks(Dialect::Postgres, text), Ok(Asks::Begin), "{text}");
        }
        assert_eq!(asks(Dialect::Sqlite, "begin immediate transaction"), Ok(Asks::Begin));
        for text in ["commit", "end", "COMMIT WORK", "end transaction /* done */"] {
            assert_eq!(asks(Dialect::Postgres, text), Ok(Asks::Commit), "{text}");
        }
        for text in ["rollback", "abort", "rollback transaction"] {
            assert_eq!(asks(Dialect::Postgres, text), Ok(Asks::Rollback), "{text}");
        }
        for text in ["savepoint a", "rollback to a", "commit and chain", "release a"] {
            assert_eq!(asks(Dialect::Postgres, text), Err("transaction_control".into()), "{text}");
        }
        let hint = judge(Dialect::Sqlite, "savepoint a", ALONE).unwrap_err().hint.clone();
        assert_eq!(hint.as_deref(), Some(OUR_TRANSACTIONS));
        assert!(asks(Dialect::MariaDb, "begin not atomic select 1; end").is_err());
    }

    #[test]
    fn the_clock_is_free_in_a_read_of_one_node_and_refused_where_every_node_must_agree() {
        let text = "select now()";
        assert_eq!(judge(Dialect::Postgres, text, ALONE).unwrap(), Asks::Read);
        let ordered =
            judge(Dialect::Postgres, text, Toward::Alone(ReadLevel::Ordered)).map_err(|refused| refused.code.clone());
        let gathered = judge(Dialect::Postgres, text, Toward::Transaction).map_err(|refused| refused.code.clone());
        // Whether ALL binds or refuses a clock is the rules' to say; it must be the same for both.
        assert_eq!(ordered, gathered);
    }

    #[test]
    fn params_have_no_values_here() {
        assert_eq!(asks(Dialect::Sqlite, "select $1"), Err("wrong_params".into()));
        assert_eq!(asks(Dialect::Sqlite, "insert into t values ($1)"), Err("wrong_params".into()));
    }

    #[test]
    fn mariadb_ddl_is_kept_out_of_transactions() {
        let trouble = judge(Dialect::MariaDb, "create table t (id int)", Toward::Transaction).unwrap_err();
        assert_eq!(trouble.code.as_deref(), Some("not_transactional"));
        assert!(judge(Dialect::Postgres, "create table t (id int)", Toward::Transaction).is_ok());
    }
}
