//! The server's own functions: its catalog does not say which of them are deterministic, so the table has all.

use crate::builtins::server_knows_no_other;
use crate::shared;
use kluster_sql::Dialect;

#[tokio::test]
async fn the_server_has_no_function_that_the_table_does_not_know() {
    let place = shared().await;
    let list = place.sql("select distinct lower(function) from information_schema.sql_functions").await;
    let is_name = |name: &&str| name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
    let functions = list.lines().filter(is_name).map(str::to_owned).collect();
    server_knows_no_other(Dialect::MariaDb, "mariadb.txt", &functions);
}
