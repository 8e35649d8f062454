//! Admission: whether a text may be run, how, and with which few words taken out.

use std::borrow::Cow;

use crate::classify::{self, Class, classify};
use crate::dialect::Dialect;
use crate::edits::{Edit, Edits};
use crate::head::{self, Head};
use crate::limits::check_text;
use crate::refusal::{Refusal, RefusalCode};
use crate::scan::{Scan, Use};
use crate::statement::Statement;
use crate::want::Want;
use crate::{mariadb, order, routine};

/// A text that may be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted<'a> {
    /// How it must be run.
    pub class: Class,
    /// What to send to the DBMS: the text itself, or the text as [`Admitted::edits`] made it.
    pub sql: Cow<'a, str>,
    /// What was put into the text or taken out of it (PostgreSQL's CONCURRENTLY).
    pub edits: Edits,
    /// Keys that must be put into it before it is executed, see [`crate::fulfil`].
    pub wants: Vec<Want>,
    /// The number of the highest `$n`; 0 without parameters.
    pub params: u32,
}

/// Whether a text may be run in ALL, by every node alike.
///
/// A pure function of its arguments and `RULE_SET_VERSION`.
///
/// # Errors
/// The refusal that every node answers.
pub fn admit(dialect: Dialect, sql: &str) -> Result<Admitted<'_>, Refusal> {
    judge(dialect, sql, false)
}

/// Whether a text may be run on ONE: reads only; time and chance are free there, since one node answers.
///
/// # Errors
/// The refusal to answer; `read_only` for a write.
pub fn admit_read(dialect: Dialect, sql: &str) -> Result<Admitted<'_>, Refusal> {
    judge(dialect, sql, true)
}

fn judge(dialect: Dialect, sql: &str, one: bool) -> Result<Admitted<'_>, Refusal> {
    check_text(sql)?;
    let statement = Statement::read(dialect, sql)?;
    head::check(&statement, 0, false)?;
    let classified = classify(&statement)?;
    let (class, from) = (classified.class, classified.from);
    head::check(&statement, from, false)?;
    let head = Head::read(&statement, from);
    if one && class != Class::Read {
        let hint = "send it to ALL; ONE answers reads only";
        return Err(statement.refuse(from, RefusalCode::ReadOnly, "this is not a read", hint));
    }
    let using = match class {
        _ if one => Use::One,
        Class::Read => Use::Read,
        Class::Write | Class::Alone | Class::Ddl => Use::Write,
    };
    let params = check(&statement, &head, class, using)?;
    let (mut edits, mut wants) = (Vec::new(), Vec::new());
    if using == Use::Write {
        (edits, wants) = order::made_total(&statement, &head, class)?;
        edits.extend(without_concurrently(&statement, &head, from)?);
        wants.iter_mut().for_each(|want| want.move_behind(&edits));
    }
    let (sql, edits) = match edits.is_empty() {
        true => (Cow::Borrowed(sql), Edits::default()),
        false => {
            let (edited, edits) = Edits::apply(sql, edits);
            (Cow::Owned(edited), edits)
        }
    };
    Ok(Admitted { class, sql, edits, wants, params })
}

/// Meets the whole statement with the rules; gives the number of the highest parameter.
fn check(statement: &Statement<'_>, head: &Head<'_>, class: Class, using: Use) -> Result<u32, Refusal> {
    let scan = Scan { statement, using, body: classify::has_body(head), head };
    let params = scan.run()?;
    classify::check_into(statement, class)?;
    if using == Use::Write {
        order::check_body(&scan, false)?;
    }
    match statement.dialect {
        Dialect::MariaDb if class == Class::Ddl => {
            mariadb::check_engine(statement, head)?;
            mariadb::check_several(statement, head)?;
        }
        Dialect::Postgres if class == Class::Alone => routine::check_bodies(statement, head)?,
        _ => {}
    }
    // In a routine of PostgreSQL, $1 is its first argument.
    Ok(if scan.body && statement.dialect == Dialect::Postgres { 0 } else { params })
}

/// PostgreSQL refuses CONCURRENTLY in a transaction. It is blanked out: the node is the only writer anyway.
fn without_concurrently(statement: &Statement<'_>, head: &Head<'_>, from: usize) -> Result<Option<Edit>, Refusal> {
    if statement.dialect != Dialect::Postgres {
        return Ok(None);
    }
    let reindexes = head.is("reindex");
    let found = if reindexes || head.is("create index") || head.is("drop index") {
        (from..statement.len().min(from + 16)).find(|at| statement.is(*at, "concurrently"))
    } else if head.is("alter table") {
        let partition = (from..statement.len()).find(|at| statement.is_phrase(*at, "detach partition"));
        partition.and_then(|at| (at..statement.len()).find(|at| statement.is(*at, "concurrently")))
    } else {
        None
    };
    let Some((at, token)) = found.and_then(|at| statement.token(at).map(|token| (at, token))) else {
        return Ok(None);
    };
    if reindexes && !statement.follows(at, &["index", "table", "schema", "database", "system"]) {
        let hint = "leave CONCURRENTLY out of the options";
        return Err(statement.refuse(
            at,
            RefusalCode::Unsupported,
            "REINDEX (CONCURRENTLY) cannot run in a transaction",
            hint,
        ));
    }
    let (start, end) = (token.start as usize, token.end as usize);
    Ok(Some(Edit { start, end, text: " ".repeat(end - start), blame: start }))
}

/// Whether a text of MariaDB commits by itself, so that the node needs its intent protocol. False for what is refused.
#[must_use]
pub fn implicit_commit(sql: &str) -> bool {
    admit(Dialect::MariaDb, sql).is_ok_and(|admitted| admitted.class == Class::Ddl)
}
