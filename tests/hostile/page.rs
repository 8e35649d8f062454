//! The page: the table for readers.

use super::table::{CASES, Case, Code, Give};
use kluster_tests::cluster::Kind;
use std::fmt::Write;
use std::path::Path;

/// The page is what the table makes of it; `UPDATE=1` writes it.
pub fn is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/hostile-input.md");
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &page).expect("the page can be written");
    }
    let stands = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        stands == page,
        "docs/hostile-input.md is old: run `UPDATE=1 cargo test -p kluster-tests --test hostile page`"
    );
}

fn page() -> String {
    let mut page = String::from(HEAD);
    for case in CASES {
        let _ = writeln!(page, "| {} | {} | {} |", given(case), code(case.all), code(case.one));
    }
    page
}

const HEAD: &str = "# Hostile and broken input

What Kluster makes of records that no good client sends. Whoever may write to Kafka may send anything, so every input has one outcome: this code
(`error.code` of the response; `OK` where it is served), the same on every node, and the next request is served. No input below stops a node, and
none is passed without an answer. A test sends each of them to three nodes of each kind and compares their answers:
`cargo test -p kluster-tests --test hostile`, which also writes this page (`UPDATE=1`).

The answer to a record in which no `messageId` can be read is called by its place: `requestId` is `@` and the offset.

Not in the table, for it stops nodes on purpose: a header `kluster-version` with a newer version than the node's, or a `kluster-kind` it does not
know. An old node must not pass what newer ones execute. Whoever may write ALL is the cluster's administrator; access lists in Kafka are the fence.

| input | on ALL | on ONE |
|---|---|---|
";

fn given(case: &Case) -> String {
    let sql = |sql: &str| format!("`{}`", sql.replace('|', "\\|"));
    let text = match case.give {
        Give::Sql([postgres, mariadb, sqlite]) if postgres == mariadb && mariadb == sqlite => sql(postgres),
        Give::Sql([postgres, mariadb, sqlite]) => {
            format!("PostgreSQL {}, MariaDB {}, SQLite {}", sql(postgres), sql(mariadb), sql(sqlite))
        }
        Give::Header(name, value) => sql(&format!("{name}: {value}")),
        Give::Text(text) if !text.is_empty() => sql(&text.replace('%', "m")),
        Give::Twice(first, second) => format!("{}, then {}", sql(first), sql(second)),
        Give::Text(_) | Give::Tombstone | Give::Made(_) => return case.input.to_owned(),
    };
    format!("{}: {text}", case.input)
}

fn code(code: Code) -> String {
    match code {
        Code::Same(code) => format!("`{code}`"),
        Code::Each(_) => {
            let each = Kind::EACH.map(|kind| format!("{} `{}`", name(kind), code.on(kind)));
            each.join(", ")
        }
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => "PostgreSQL",
        Kind::MariaDb => "MariaDB",
        Kind::Sqlite => "SQLite",
    }
}
