//! The server's functions that it does not call immutable, those of the extensions that it ships included.

use crate::builtins::server_knows_no_other;
use crate::shared;
use kluster_sql::{Dialect, admit};
use std::collections::BTreeSet;

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

/// Functions that a call can reach and that take the number of an object.
const OF_NUMBERS: &str = "select distinct p.proname from pg_proc p \
    where p.pronamespace = 'pg_catalog'::regnamespace and p.prokind in ('f', 'w') \
    and not (p.proargtypes::oid[] || p.prorettype) && array['internal'::regtype::oid, 'cstring'::regtype::oid] \
    and exists (select from unnest(p.proargtypes) as type where type::regtype::text ~ '^(oid|oidvector|reg[a-z]+)$') order by 1";

/// Those that the rules take in a statement that writes, and why.
const TAKEN: [(&str, &[&str]); 3] = [
    // An object is named by its name, as the conversion of a string makes it.
    (
        "named",
        &[
            "json_to_tsvector",
            "jsonb_to_tsvector",
            "phraseto_tsquery",
            "plainto_tsquery",
            "to_tsquery",
            "to_tsvector",
            "ts_debug",
            "ts_headline",
            "ts_lexize",
            "ts_parse",
            "ts_token_type",
            "websearch_to_tsquery",
        ],
    ),
    // A number that becomes one of another type: refused where it is that of an object.
    ("number", &["int8"]),
    // Nobody but the superuser, or nobody at all, may call it.
    (
        "closed",
        &[
            "btequalimage",
            "btvarstrequalimage",
            "fmgr_c_validator",
            "fmgr_internal_validator",
            "fmgr_sql_validator",
            "plpgsql_validator",
            "postgresql_fdw_validator",
            "pg_extension_config_dump",
        ],
    ),
];

#[tokio::test]
async fn functions_of_object_numbers_are_refused_where_a_statement_writes() {
    let list = shared().await.sql(OF_NUMBERS).await;
    let taken: BTreeSet<&str> = TAKEN.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let writes = |name: &str| format!("insert into t select {name}(a) from u");
    let reached = |name: &&str| !name.starts_with("binary_upgrade") && admit(Dialect::Postgres, &writes(name)).is_ok();
    let reached: BTreeSet<&str> = list.lines().filter(reached).collect();
    assert!(list.lines().count() > 100, "{list}");
    let undecided: Vec<_> = reached.difference(&taken).collect();
    assert!(undecided.is_empty(), "refuse them (kluster-sql, postgres.rs: OF_OBJECTS), or say why not: {undecided:?}");
}
