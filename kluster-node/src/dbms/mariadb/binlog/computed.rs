//! Computed: the columns whose values the server computes from other columns of the row, and which therefore are no part of its digest.
//!
//! MariaDB 11.8 writes them into the image of an inserted row, and leaves them out of the images of updated and deleted rows and of those that REPLACE
//! inserts; older versions write them always. An image does not say which they are. So each claim writes them into the log, for the batch
//! behind it. A table that CREATE TABLE … SELECT makes is not there at its claim: its columns are read from the definition that the server writes
//! into the log before its rows.
//!
//! Neighbours: [`super::super::app`] asks for them before a claim, and after each change of the schema anew; [`super::image`] leaves them out.

use super::super::session::{Session, params};
use super::definition::Definition;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use std::collections::BTreeMap;

/// Tables with generated columns, and those with a unique key over long values, for which InnoDB has a hidden column with their hash. The columns
/// of system versioning are times, and compared.
const ASK: &str = "select table_name, cast(max(ordinal_position) as unsigned), \
       cast(group_concat(case when generated then ordinal_position - 1 end order by ordinal_position) as char) \
     from (select table_name, ordinal_position, \
             is_generated = 'ALWAYS' and generation_expression not in ('ROW START', 'ROW END') as generated \
           from information_schema.columns where table_schema = ?) as columns \
     group by table_name \
     having max(generated) or table_name in \
       (select table_name from information_schema.statistics where table_schema = ? and index_type = 'HASH')";

/// The computed columns of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComputedColumns {
    /// How many columns users see; what is behind them is hidden and computed.
    visible: usize,
    /// Positions from 0 on of those among them that are computed.
    generated: Vec<usize>,
}

impl ComputedColumns {
    /// The column at this position is one of them.
    pub fn holds(&self, position: usize) -> bool {
        position >= self.visible || self.generated.contains(&position)
    }
}

impl From<&Definition> for ComputedColumns {
    fn from(table: &Definition) -> Self {
        Self { visible: table.columns, generated: table.generated.clone() }
    }
}

/// The computed columns of a database, by table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Computed(BTreeMap<String, ComputedColumns>);

impl Computed {
    /// Asks the server.
    pub async fn of(session: &mut Session, database: &str) -> Result<Self, sqlx::Error> {
        let rows = session.rows(ASK, params![database, database]).await?;
        let table = |row: &sqlx::mysql::MySqlRow| {
            let (name, visible, generated): (String, u64, Option<String>) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let generated = generated.iter().flat_map(|list| list.split(',')).map(str::parse);
            let generated =
                generated.collect::<Result<_, _>>().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            Ok((name, ComputedColumns { visible: visible as usize, generated }))
        };
        rows.iter().map(table).collect::<Result<_, _>>().map(Self)
    }

    /// Those of this table; none: it has none.
    pub fn of_table(&self, table: &str) -> Option<&ComputedColumns> {
        self.0.get(table)
    }

    /// Takes up a table that was made since, where it has such columns.
    pub fn made(&mut self, table: &Definition) {
        if !table.generated.is_empty() || table.hashed {
            self.0.insert(table.name.clone(), table.into());
        }
    }
}
