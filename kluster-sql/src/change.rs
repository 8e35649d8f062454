//! What a plain write of PostgreSQL changes, and how its text is made to return the rows.
//!
//! Neighbours: the node's adapter sends the longer text and digests the rows; `statement` answers the questions about tokens.
//!
//! Invariant: the text is only made longer, behind its last token, so that positions in the server's errors are those of the text as written. Whether
//! a text is made longer depends on the text alone, so every node does the same.

use std::borrow::Cow;

use crate::dialect::Dialect;
use crate::statement::Statement;
use crate::token::Kind;

/// What a plain write does to the rows of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// INSERT, also one that updates where a key is there already.
    Insert,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
}

/// A plain write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<'a> {
    /// What it does.
    pub verb: Verb,
    /// The table, as it is written.
    pub table: Cow<'a, str>,
    /// The text that returns every changed row, all columns; none: the text has a RETURNING of its own.
    pub returning: Option<String>,
}

/// Reads the outermost INSERT, UPDATE or DELETE of a PostgreSQL text, also behind WITH.
///
/// None for any other text, for MERGE, and for a form of the table that is not known here: such a text is sent as it is. What the parts of a WITH
/// change is not returned.
#[must_use]
pub fn change(sql: &str) -> Option<Change<'_>> {
    let statement = Statement::read(Dialect::Postgres, sql).ok()?;
    let main = main(&statement)?;
    let verb = match statement.word(main)?.to_ascii_lowercase().as_str() {
        "insert" => Verb::Insert,
        "update" => Verb::Update,
        "delete" => Verb::Delete,
        _ => return None,
    };
    let target = target(&statement, main, verb)?;
    let returns = statement.outermost(target.end).any(|at| {
        statement.is(at, "returning") && !statement.follows(at, &["as"]) && !statement.follows_symbol(at, ".")
    });
    let returning = (!returns).then(|| longer(&statement, &target));
    Some(Change { verb, table: target.name, returning })
}

/// The first word of the write: the text's own, or behind the parts of a WITH.
fn main(statement: &Statement<'_>) -> Option<usize> {
    if !statement.is(0, "with") {
        return Some(0);
    }
    let writes = |at: &usize| statement.is_any(*at, &["insert", "update", "delete"]);
    statement.outermost(1).find(|at| writes(at) && statement.follows_symbol(*at, ")"))
}

/// The table that a write names.
struct Target<'a> {
    name: Cow<'a, str>,
    /// All its columns, as RETURNING names them.
    columns: String,
    /// The token behind it.
    end: usize,
}

fn target<'a>(statement: &Statement<'a>, main: usize, verb: Verb) -> Option<Target<'a>> {
    let mut at = main + 1;
    match verb {
        Verb::Insert if statement.is(at, "into") => at += 1,
        Verb::Delete if statement.is(at, "from") => at += 1,
        Verb::Update => {}
        Verb::Insert | Verb::Delete => return None,
    }
    let names = |at: usize| matches!(statement.kind(at), Some(Kind::Word | Kind::Quoted));
    if verb != Verb::Insert && statement.is(at, "only") {
        at += 1;
    }
    if !names(at) {
        return None;
    }
    let first = at;
    while statement.is_symbol(at + 1, ".") && names(at + 2) {
        at += 2;
    }
    let name = (first..=at).map(|token| statement.raw(token)).collect::<String>();
    at += 1;
    if verb == Verb::Insert {
        return Some(Target { name: Cow::Owned(name), columns: "*".to_owned(), end: at });
    }
    if statement.is_symbol(at, "*") {
        at += 1;
    }
    let behind: &[&str] = if verb == Verb::Update { &["set"] } else { &["using", "where", "returning"] };
    let columns = match statement.is(at, "as") {
        true => Some(at + 1),
        false => (names(at) && !statement.is_any(at, behind)).then_some(at),
    };
    let end = columns.map_or(at, |alias| alias + 1);
    let columns = columns.map_or_else(|| format!("{name}.*"), |alias| format!("{}.*", statement.raw(alias)));
    Some(Target { name: Cow::Owned(name), columns, end })
}

/// The text with RETURNING behind its last token.
fn longer(statement: &Statement<'_>, target: &Target<'_>) -> String {
    let last = statement.len().checked_sub(1).and_then(|last| statement.token(last));
    let (written, rest) = statement.sql.split_at(last.map_or(0, |token| token.end as usize));
    format!("{written} returning {}{rest}", target.columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longer(sql: &str) -> Option<String> {
        change(sql).and_then(|change| change.returning)
    }

    #[test]
    fn plain_writes_return_their_table_and_nothing_joined_to_it() {
        for (sql, returning) in [
            ("insert into t values (1)", "insert into t values (1) returning *"),
            (
                "INSERT INTO s.\"T\" AS x (a) select 1; -- end",
                "INSERT INTO s.\"T\" AS x (a) select 1 returning *; -- end",
            ),
            ("update t set a = 1", "update t set a = 1 returning t.*"),
            ("update only s.t * set a = 1 /* all */;", "update only s.t * set a = 1 returning s.t.* /* all */;"),
            ("update t as x set a = y.a from y", "update t as x set a = y.a from y returning x.*"),
            ("update t \"X\" set a = 1", "update t \"X\" set a = 1 returning \"X\".*"),
            ("delete from t", "delete from t returning t.*"),
            ("delete from t x using y where x.a = y.a", "delete from t x using y where x.a = y.a returning x.*"),
            ("delete from only t where a = 1", "delete from only t where a = 1 returning t.*"),
            (
                "with d as (delete from a returning *) insert into t select * from d",
                "with d as (delete from a returning *) insert into t select * from d returning *",
            ),
            ("insert into t select a as returning from x", "insert into t select a as returning from x returning *"),
            (
                "insert into t values (1) on conflict (a) do update set a = 2 -- done",
                "insert into t values (1) on conflict (a) do update set a = 2 returning * -- done",
            ),
        ] {
            assert_eq!(longer(sql).as_deref(), Some(returning), "{sql}");
        }
    }

    #[test]
    fn a_returning_of_the_texts_own_is_left_as_it_is() {
        let change = change("update s.t set a = (select 1) returning id, (select 2)").unwrap();
        assert_eq!(change, Change { verb: Verb::Update, table: "s.t".into(), returning: None });
        assert_eq!(longer("with x as (select 1) delete from t returning *"), None);
    }

    #[test]
    fn other_texts_are_no_plain_writes() {
        for sql in [
            "select 1",
            "with x as (insert into t values (1) returning *) select * from x",
            "merge into t using x on t.a = x.a when matched then delete",
            "update only (t) set a = 1",
            "explain insert into t values (1)",
            "create table t (a int)",
            "insert",
            "delete from",
            "update",
            "",
        ] {
            assert_eq!(change(sql), None, "{sql}");
        }
    }
}
