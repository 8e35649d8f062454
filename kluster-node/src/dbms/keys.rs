//! Keys: what the text of a statement does not show and its order needs, put in just before it is executed.
//!
//! Neighbours: `kluster_sql` says which keys are wanted and where they go; the adapters say which keys a table has.
//!
//! Invariant: a table's keys are read between two transactions of the ALL lane. All that changes them runs alone, and a
//! list in which a definition precedes a want was refused by admission. So they are those of the place in the log, and every
//! node completes the text alike.

use super::{Dbms, Work, WorkStatement};
use crate::admit::by_rule;
use crate::fault::{Cause, Fault, Refusal};
use kluster_sql::{Keys, fulfil};
use std::collections::HashMap;

/// What becomes of the works of a batch.
pub(super) enum Completed {
    /// They want nothing.
    AsTheyAre,
    /// With all that they want.
    Works(Vec<Work>),
    /// The only work wants a key that is not there.
    Refused(Refusal),
}

/// Puts the keys that `works` want into their texts.
pub(super) async fn complete(dbms: &mut Dbms, works: &[Work]) -> Result<Completed, Fault> {
    let wants = || works.iter().flat_map(|work| &work.statements).flat_map(|statement| &statement.wants);
    if wants().next().is_none() {
        return Ok(Completed::AsTheyAre);
    }
    let mut keys: HashMap<Vec<String>, Keys> = HashMap::new();
    for want in wants() {
        if !keys.contains_key(want.table()) {
            let found = dbms.keys(want.table()).await?;
            keys.insert(want.table().to_vec(), found);
        }
    }
    match works.iter().map(|work| completed(work, &keys)).collect() {
        Ok(works) => Ok(Completed::Works(works)),
        Err(refusal) if works.len() == 1 => Ok(Completed::Refused(refusal)),
        // Alone it becomes its own outcome, and its neighbours are executed.
        Err(refusal) => Err(Fault::RunAlone(Cause::new("order_dependent", refusal.message))),
    }
}

fn completed(work: &Work, keys: &HashMap<Vec<String>, Keys>) -> Result<Work, Refusal> {
    let mut work = work.clone();
    let several = work.statements.len() > 1;
    for (index, statement) in work.statements.iter_mut().enumerate() {
        put_in(statement, keys)
            .map_err(|refusal| Refusal { statement_index: u32::try_from(index).ok().filter(|_| several), ..refusal })?;
    }
    Ok(work)
}

fn put_in(statement: &mut WorkStatement, keys: &HashMap<Vec<String>, Keys>) -> Result<(), Refusal> {
    let wants = std::mem::take(&mut statement.wants);
    if wants.is_empty() {
        return Ok(());
    }
    let of = |table: &[String]| keys.get(table).cloned().unwrap_or_default();
    let (sql, edits) = fulfil(&statement.sql, &wants, of).map_err(by_rule)?;
    statement.sql = sql;
    statement.edits = std::mem::take(&mut statement.edits).then(edits);
    Ok(())
}
