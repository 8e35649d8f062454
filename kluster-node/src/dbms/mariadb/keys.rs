//! Keys: which columns tell the rows of a table apart.
//!
//! Neighbours: `dbms/keys.rs` asks, before a batch's transaction. Kept until something runs that is no plain DML.

use super::errors;
use super::owner::Owner;
use super::session::params;
use crate::fault::Fault;
use kluster_sql::Keys;
use sqlx::Row;
use std::collections::HashMap;

/// The columns of each unique index without NULLs, the primary key's first.
const UNIQUE: &str = "select index_name, column_name from information_schema.statistics \
     where table_schema = ? and table_name = ? and non_unique = 0 and index_name not in \
       (select index_name from information_schema.statistics \
        where table_schema = ? and table_name = ? and non_unique = 0 and (nullable = 'YES' or column_name is null)) \
     order by index_name <> 'PRIMARY', index_name, seq_in_index";

/// The keys of tables, as far as they were asked for.
#[derive(Debug, Default)]
pub struct KeyBook {
    keys: HashMap<Vec<String>, Keys>,
}

impl KeyBook {
    /// Any table may have other keys now.
    pub fn clear(&mut self) {
        self.keys.clear();
    }

    /// The keys of a table, its primary key first; unqualified, it is one of `database`.
    pub async fn of(&mut self, owner: &mut Owner, database: &str, table: &[String]) -> Result<Keys, Fault> {
        if let Some(keys) = self.keys.get(table) {
            return Ok(keys.clone());
        }
        let (schema, name) = match table {
            [schema, name] => (schema.as_str(), name.as_str()),
            _ => (database, table.last().map_or("", String::as_str)),
        };
        let keys = read(owner, schema, name).await.map_err(errors::fault)?;
        self.keys.insert(table.to_vec(), keys.clone());
        Ok(keys)
    }
}

async fn read(owner: &mut Owner, schema: &str, name: &str) -> Result<Keys, sqlx::Error> {
    let rows = owner.session.rows(UNIQUE, params![schema, name, schema, name]).await?;
    let mut keys: Vec<(String, Vec<String>)> = Vec::new();
    for row in rows {
        let (index, column): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        match keys.last_mut() {
            Some((last, key)) if *last == index => key.push(column),
            _ => keys.push((index, vec![column])),
        }
    }
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}
