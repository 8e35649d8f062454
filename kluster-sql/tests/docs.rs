//! `docs/sql-rules.md` says what the rule table says. `UPDATE=1 cargo test -p kluster-sql --test docs` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use kluster_sql::{
    Dialect, Form, MAX_DEPTH, MAX_JOINS, MAX_OPERATORS, MAX_PARAMS, MAX_TERMS, MAX_TEXT, ORDER_FORMS, RULE_SET_VERSION,
    RefusalCode, Rule, Scope, Treatment, rules,
};

const HEAD: &str = "# What SQL may say

This page is made from the rule table of `kluster-sql`; a test keeps it true. Every node applies these rules to every
request, by the text alone, so that all nodes refuse the same.

Each refusal has one of the codes below, says at which character it begins, and what to do instead. Names count in any
case, with comments and blanks around them, with a schema before them, and in quotes where the database would take them
for the same name. They do not count in strings, in comments, as columns, or as names given by AS. The bodies of
functions, procedures, triggers and DO blocks are read as well. A `*` at the end of a name stands for any rest of it.

## How a statement is run
| class | statements |
|---|---|
| read | SELECT, VALUES, TABLE, WITH … SELECT, SHOW, EXPLAIN |
| write | INSERT, UPDATE, DELETE, MERGE, REPLACE, WITH … of these, SELECT … FOR UPDATE or SHARE |
| alone | all else: DDL, TRUNCATE, DO, CALL, and what is not known here, in a transaction of its own |
| ddl | MariaDB's CREATE, ALTER, DROP, RENAME, TRUNCATE and ANALYZE TABLE, which commit by themselves |

Parameters are `$1`, `$2`, … in every dialect. PostgreSQL's CONCURRENTLY is taken out before the statement runs. One
text holds one statement; a `;` may end it.

## The order of rows
Nodes hold equal rows and store them in unlike order, so a statement that writes may take nothing from that order. Where
SQL leaves an order open, an ORDER BY is added or goes on, so that the result is one that the statement allows, and the same
one on every node. A stated order is never changed. An error's position is a place in the text as it was written.

- An aggregate that follows the order of its rows is ordered by its own arguments.
- LIMIT, OFFSET, FETCH, DISTINCT ON and `array(select …)` order rows that tie by all that the query selects. With `*`, and
  in a window, rows that tie are ordered by their whole text (PostgreSQL), or by the primary key of the one table that is
  read (MariaDB, SQLite), which the node looks up when it executes the statement.
- What cannot be made total so is refused as `order_dependent`. What no text shows is executed, and a difference between
  nodes is found by comparing effects.
- Views, routines and triggers keep the text that their author wrote: there LIMIT, DISTINCT ON and numbering windows need an
  ORDER BY, and the rest is found by comparing effects.
";

fn form(form: Form) -> &'static str {
    match form {
        Form::Call => "call",
        Form::EmptyCall => "call without arguments",
        Form::SingleCall => "call with one argument",
        Form::PresentCall => "call without a time, or with 'now'",
        Form::Keyword => "reserved word",
        Form::Name => "name",
        Form::Qualifier => "schema",
        Form::Type => "type of a column",
        Form::Phrase => "words",
        Form::Statement => "first words",
        Form::Checked => "as described",
    }
}

fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Everywhere => "everywhere",
        Scope::Ordered => "ALL",
        Scope::Writes => "writes in ALL",
    }
}

fn dialects(dialects: &[Dialect]) -> String {
    if dialects.len() == Dialect::ALL.len() {
        return "all".to_owned();
    }
    dialects.iter().map(|dialect| dialect.name()).collect::<Vec<_>>().join(", ")
}

/// Pipes would end a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn forms(page: &mut String) {
    page.push_str("\n| form | dialect | what is done | an example |\n|---|---|---|---|\n");
    for form in ORDER_FORMS {
        let done = match form.treatment {
            Treatment::Total => "made total",
            Treatment::Refused => "refused",
            Treatment::Compared => "effects compared",
        };
        let (what, dialects, sql) = (cell(form.what), dialects(form.dialects), cell(form.sql));
        let _ = writeln!(page, "| {what} | {dialects} | {done} | `{sql}` |");
    }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    forms(&mut page);
    let _ = write!(
        page,
        "
## The clock of PostgreSQL, fenced on the server
PostgreSQL makes the present of the words `now`, `today`, `tomorrow` and `yesterday` wherever a text becomes a time. The
rules see them in a text, in a body and in a bound value that is cast. They do not see a word that comes about while the
statement runs: composed (`('no' || 'w')::timestamptz`), taken from a column, out of JSON, in a range. A file on the
server fences these too. It names the words as abbreviations of time zones, which PostgreSQL looks for first; such a
text is then an invalid value, on every node. The operator puts it on the server of every node, and the node uses it
from its next start:

```sh
printf '@INCLUDE Default\\nnow 0\\ntoday 0\\ntomorrow 0\\nyesterday 0\\n' > \"$(pg_config --sharedir)/timezonesets/kluster\"
```

Without the file such a statement may store another time on each node. Nodes find that where effects are compared.

## The clock of MariaDB, bound
MariaDB fills some columns from its clock without a word in the statement: a `timestamp not null` that is given NULL
(whatever `explicit_defaults_for_timestamp` says), and the DEFAULT and ON UPDATE of a table that was made elsewhere and
imported. They get the time of the request's record in ALL, which is the same on every node. It has milliseconds, never
falls, and ends at 2038-01-19 03:14:07. `sysdate()` is not covered; the node names such columns when it starts.

## Limits
| what | most |
|---|---|
| bytes of a text | {MAX_TEXT} |
| parentheses or CASEs within one another | {MAX_DEPTH} |
| operators in one expression | {MAX_OPERATORS} |
| AND, OR, UNION in a row | {MAX_TERMS} |
| joins in one query | {MAX_JOINS} |
| the number of a parameter | {MAX_PARAMS} |

## Refused, by code
Rule set {RULE_SET_VERSION}. *Where* is where the text is sent: `ALL` means reads and writes there, `everywhere` means reads on ONE
as well, which otherwise are free to ask for time and chance, and answer a write with `read_only`.
"
    );
    let mut by_code: BTreeMap<RefusalCode, Vec<&Rule>> = BTreeMap::new();
    for rule in rules() {
        by_code.entry(rule.code).or_default().push(rule);
    }
    for (code, rules) in by_code {
        let _ = write!(
            page,
            "\n### `{code}`\n| name | how it stands | dialect | where | because it | instead |\n|---|---|---|---|---|---|\n"
        );
        for rule in rules {
            let names = rule.names.iter().map(|name| format!("`{}`", cell(name))).collect::<Vec<_>>().join(" ");
            let (form, dialects, scope) = (form(rule.form), dialects(rule.dialects), scope(rule.scope));
            let (reason, instead) = (cell(rule.reason), cell(rule.instead));
            let _ = writeln!(page, "| {names} | {form} | {dialects} | {scope} | {reason} | {instead} |");
        }
    }
    page.push_str(
        "
### Without a row of their own
- `syntax`: a string, comment or quoted name that does not end; a NUL character; no statement at all.
- `several_statements`: more than one statement in one text.
- `too_large`: a limit from above.
- `read_only`: anything but a read on ONE.
- `unsupported`: `?`, `:name` and other forms of a parameter than `$1`; EXPLAIN ANALYZE of a write; SELECT … INTO in MariaDB
  and SQLite; REINDEX (CONCURRENTLY).

## What the text cannot show
A column's type, what a function of your own does, a value that is bound: there the databases' own fences hold. A string
such as `'now'` that is stored in a column of times without a cast is read as the node's own time; bind times as parameters.
",
    );
    page
}

#[test]
fn the_page_says_what_the_table_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sql-rules.md");
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &page).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == page, "docs/sql-rules.md is stale: run UPDATE=1 cargo test -p kluster-sql --test docs");
}
