//! SQLite's functions that it does not call deterministic.

use crate::builtins::server_knows_no_other;
use kluster_sql::Dialect;
use rusqlite::Connection;
use std::collections::BTreeSet;

/// SQLITE_DETERMINISTIC.
const DETERMINISTIC: i64 = 0x800;

#[test]
fn sqlite_has_no_changing_function_that_the_table_does_not_know() {
    let connection = Connection::open_in_memory().unwrap();
    let sql = "select distinct name from pragma_function_list where flags & ?1 = 0 and name glob '[a-z]*'";
    let mut statement = connection.prepare(sql).unwrap();
    let names = statement.query_map([DETERMINISTIC], |row| row.get::<_, String>(0)).unwrap();
    let functions: BTreeSet<String> = names.map(Result::unwrap).collect();
    server_knows_no_other(Dialect::Sqlite, "sqlite.txt", &functions);
}
