//! Bodies that PostgreSQL keeps in strings: of functions, procedures and DO, and the strings that they EXECUTE.

use crate::head::Head;
use crate::order;
use crate::refusal::{Refusal, RefusalCode};
use crate::scan::{Scan, Use};
use crate::statement::Statement;
use crate::token::{Kind, Token};

/// Strings within strings that are followed; each level doubles its quotes, so that few are written.
const MAX_NESTING: usize = 8;

/// Checks every body that the statement with this head keeps in a string.
pub(crate) fn check_bodies(statement: &Statement<'_>, head: &Head<'_>) -> Result<(), Refusal> {
    let block = head.is("do");
    if !block && !head.is("create function") && !head.is("create procedure") {
        return Ok(());
    }
    for at in 0..statement.len() {
        let body = statement.follows(at, &["as"]) || block && !statement.follows(at, &["language"]);
        if body && let (Some(token), Some(text)) = (statement.token(at), statement.value(at)) {
            check_body(statement, &text, head, 0).map_err(|refusal| moved(statement, token, refusal))?;
        }
    }
    Ok(())
}

/// A refusal inside a body, blaming its place in the whole text: exact in dollar quotes, else the string's beginning.
fn moved(statement: &Statement<'_>, token: &Token, refusal: Refusal) -> Refusal {
    let (start, inside) = (token.start as usize, refusal.position);
    let raw = token.text(statement.sql);
    let outside = refusal.at(statement.sql, start);
    match (token.kind, inside, outside.position) {
        (Kind::Dollar, Some(inside), Some(start)) => {
            let tag = crate::literal::dollar_tag(raw);
            Refusal { position: Some(start + tag.chars().count() + inside - 1), ..outside }
        }
        _ => outside,
    }
}

fn check_body(outer: &Statement<'_>, text: &str, head: &Head<'_>, nesting: usize) -> Result<(), Refusal> {
    let body = Statement::read_body(outer.dialect, text)?;
    let scan = Scan { statement: &body, using: Use::Write, body: true, head };
    scan.run()?;
    order::check_body(&scan, false)?;
    let mut executing = false;
    for at in 0..body.len() {
        match body.kind(at) {
            Some(Kind::Word) if body.is(at, "execute") => executing = true,
            Some(Kind::Symbol) if body.is_symbol(at, ";") => executing = false,
            // In a body, what stands in dollars is seldom data: another body, or SQL to be executed.
            Some(Kind::Text | Kind::Dollar)
                if executing || body.kind(at) == Some(Kind::Dollar) || body.follows(at, &["do", "as"]) =>
            {
                let Some(sql) = body.value(at) else { continue };
                check_executed(&body, &sql, head, nesting + 1)
                    .map_err(|refusal| refusal.at(text, offset(&body, at)))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// A string in a body may be a part of a statement only: what cannot be read is left to the server.
fn check_executed(outer: &Statement<'_>, text: &str, head: &Head<'_>, nesting: usize) -> Result<(), Refusal> {
    if nesting > MAX_NESTING {
        let message = format!("more than {MAX_NESTING} strings of SQL within one another");
        return Err(Refusal::whole(RefusalCode::TooLarge, message, "write the statements themselves"));
    }
    match check_body(outer, text, head, nesting) {
        Err(refusal) if refusal.code == RefusalCode::Syntax => Ok(()),
        checked => checked,
    }
}

fn offset(statement: &Statement<'_>, at: usize) -> usize {
    statement.token(at).map_or(0, |token| token.start as usize)
}
