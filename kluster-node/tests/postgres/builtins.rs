//! The server's functions that it does not call immutable, those of the extensions that it ships included.

use crate::builtins::server_knows_no_other;
use crate::shared;
use kluster_sql::Dialect;

/// Makes every extension that can be made; an extension may need a library or a language that this machine does not have.
const EXTENSIONS: &str = "do $$ declare e record; begin for e in select name from pg_available_extensions loop \
    begin execute format('create extension if not exists %I cascade', e.name); exception when others then null; end; \
    end loop; end $$";

#[tokio::test]
async fn the_server_has_no_changing_function_that_the_table_does_not_know() {
    let place = shared().await;
    place.sql(EXTENSIONS).await;
    let list = place
        .sql(
            "select distinct p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace \
             where p.provolatile <> 'i' and p.prokind <> 'p' and n.nspname !~ '^(kluster|information_schema)' \
             and p.proname ~ '^[a-z_0-9]+$'",
        )
        .await;
    let functions = list.lines().map(str::to_owned).collect();
    server_knows_no_other(Dialect::Postgres, "postgres.txt", &functions);
}
