//! Keys: which columns tell the rows of a table apart.
//!
//! Neighbours: `dbms/keys.rs` asks, before a batch's transaction.

use super::errors;
use super::session::Session;
use crate::fault::Fault;
use kluster_sql::Keys;
use rusqlite::params;

/// An ordinary table, and whether it has no rowid.
const TABLE: &str = "SELECT wr FROM pragma_table_list(?1) WHERE schema = 'main' AND type = 'table'";

/// The columns of the primary key, in order; whether each can be NULL, and whether it is the rowid.
const PRIMARY: &str = r#"
    SELECT name, "notnull" = 0, upper(type) = 'INTEGER' FROM pragma_table_info(?1, 'main') WHERE pk > 0 ORDER BY pk"#;

/// The columns of each unique index of all rows that none of its columns' NULLs escape.
const UNIQUE: &str = r#"
    SELECT l.seq, i.name FROM pragma_index_list(?1, 'main') AS l, pragma_index_info(l.name, 'main') AS i
    WHERE l."unique" AND NOT l.partial AND l.origin <> 'pk' AND NOT EXISTS (
        SELECT 1 FROM pragma_index_info(l.name, 'main') AS n
        LEFT JOIN pragma_table_info(?1, 'main') AS c ON c.name = n.name WHERE c."notnull" IS NOT 1)
    ORDER BY l.seq DESC, i.seqno"#;

/// Names of the rowid, of which a table's columns may take some.
const ROWID: &str = r#"
    SELECT r.name FROM (SELECT 'rowid' AS name UNION ALL SELECT '_rowid_' UNION ALL SELECT 'oid') AS r
    WHERE NOT EXISTS (SELECT 1 FROM pragma_table_info(?1, 'main') AS c WHERE lower(c.name) = r.name)"#;

impl Session {
    /// The keys of a table, its primary key first. SQLite lets a primary key hold NULLs; behind it comes the rowid then.
    pub fn keys(&self, table: &str) -> Result<Keys, Fault> {
        self.clear()?;
        self.read_keys(table).map_err(|error| errors::own_fault(&error))
    }

    fn read_keys(&self, table: &str) -> rusqlite::Result<Keys> {
        let mut found = self.conn.prepare_cached(TABLE)?;
        let Some(row) = found.query_map(params![table], |row| row.get::<_, bool>(0))?.next() else {
            return Ok(Keys::new());
        };
        let without_rowid = row?;
        let mut primary = self.conn.prepare_cached(PRIMARY)?;
        let columns = primary.query_map(params![table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let columns: Vec<(String, bool, bool)> = columns.collect::<Result<_, _>>()?;
        let rowid = matches!(columns.as_slice(), [(_, _, true)]);
        let nullable = !without_rowid && !rowid && columns.iter().any(|(_, null, _)| *null);
        let mut key: Vec<String> = columns.into_iter().map(|(name, ..)| name).collect();
        if nullable {
            let mut names = self.conn.prepare_cached(ROWID)?;
            match names.query_map(params![table], |row| row.get(0))?.next() {
                Some(name) => key.push(name?),
                None => key.clear(),
            }
        }
        let mut keys = if key.is_empty() { Keys::new() } else { vec![key] };
        keys.extend(self.unique(table)?);
        Ok(keys)
    }

    fn unique(&self, table: &str) -> rusqlite::Result<Keys> {
        let mut unique = self.conn.prepare_cached(UNIQUE)?;
        let columns = unique.query_map(params![table], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut keys: Vec<(i64, Vec<String>)> = Vec::new();
        for column in columns {
            let (index, name): (i64, String) = column?;
            match keys.last_mut() {
                Some((last, key)) if *last == index => key.push(name),
                _ => keys.push((index, vec![name])),
            }
        }
        Ok(keys.into_iter().map(|(_, key)| key).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::session::Session;

    #[test]
    fn keys_are_unique_and_never_null() {
        let dir = tempfile::tempdir().unwrap();
        let session = Session::connect(&dir.path().join("a.db"), "n1", true).unwrap();
        let schema = r#"
            CREATE TABLE number (a, id INTEGER PRIMARY KEY);
            CREATE TABLE text (id TEXT PRIMARY KEY, mail TEXT NOT NULL UNIQUE, a, b NOT NULL, UNIQUE (a, b), UNIQUE (b, mail));
            CREATE TABLE pair (b INT NOT NULL, a INT NOT NULL, PRIMARY KEY (a, b));
            CREATE TABLE bare (id TEXT PRIMARY KEY) WITHOUT ROWID;
            CREATE TABLE taken (id TEXT PRIMARY KEY, rowid);
            CREATE TABLE keyless (a);
            CREATE UNIQUE INDEX part ON keyless (a) WHERE a > 1;
            CREATE VIEW v AS SELECT * FROM number;"#;
        session.conn.execute_batch(schema).unwrap();
        let key = |columns: &[&str]| columns.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
        let keys = |table| session.keys(table).unwrap();
        assert_eq!(keys("NUMBER"), [key(&["id"])]);
        assert_eq!(keys("text"), [key(&["id", "rowid"]), key(&["mail"]), key(&["b", "mail"])]);
        assert_eq!(keys("pair"), [key(&["a", "b"])]);
        assert_eq!(keys("bare"), [key(&["id"])]);
        assert_eq!(keys("taken"), [key(&["id", "_rowid_"])]);
        for none in ["keyless", "v", "missing"] {
            assert!(keys(none).is_empty(), "{none}");
        }
    }
}
