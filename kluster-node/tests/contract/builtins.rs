//! Built-in functions whose result may not be the same everywhere, as the catalogs of the supported versions list them: what the rules of `kluster-sql` say of
//! each. A server that knows another one has a version that nobody has looked at yet.
//!
//! The tables: `kluster-sql/tests/builtins/*.txt`, a line for each name: `NAME refused:CODE`, where the rules refuse a call in a write, or `NAME WORD`,
//! why it is the same on every node. `make builtins` adds the names that a server lists; a person replaces `undecided`.

use kluster_sql::{Dialect, admit};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Why a call is the same on every node although the catalog does not call it so.
const WORDS: &[&str] = &[
    // Settings of the session decide it, and the node pins them.
    "pinned", // It depends on its arguments and on the rows and the schema at its place in the log.
    "data",
    // Users cannot call it: an argument is of a type that no expression has, or only an administrator may.
    "closed", // It differs, and a difference is found by comparing effects.
    "compared",
];

/// The table in this file has a line for each of the server's functions, and says of each what the rules do.
pub fn server_knows_no_other(dialect: Dialect, file: &str, server: &BTreeSet<String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kluster-sql/tests/builtins").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut table: BTreeMap<&str, &str> = lines.filter_map(|line| line.split_once(' ')).collect();
    let unknown: Vec<&str> = server.iter().map(String::as_str).filter(|name| !table.contains_key(name)).collect();
    if std::env::var_os("KLUSTER_UPDATE_BUILTINS").is_some() {
        table.extend(unknown.iter().map(|name| (*name, "undecided")));
        let refused: BTreeMap<&str, String> =
            table.keys().filter_map(|name| Some((*name, format!("refused:{}", refusal(dialect, name)?)))).collect();
        let said =
            |(name, word): (&&str, &&str)| format!("{name} {}\n", refused.get(name).map_or(*word, String::as_str));
        let head: String = text.lines().filter(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        std::fs::write(&path, head + &table.iter().map(said).collect::<String>()).unwrap();
        return;
    }
    assert!(server.len() > 3, "{server:?}");
    assert!(unknown.is_empty(), "run `make builtins`, and decide what is to be done about each: {unknown:?}");
    for (name, word) in table {
        match (word.strip_prefix("refused:"), refusal(dialect, name)) {
            (said, Some(code)) => assert_eq!(said, Some(code.as_str()), "{name}"),
            (None, None) => assert!(WORDS.contains(&word), "{name} {word}: say why it is the same on every node"),
            (Some(_), None) => panic!("{name}: the table says {word}, and no rule refuses it"),
        }
    }
}

/// The code with which a call in a write is refused, with some count of arguments.
fn refusal(dialect: Dialect, name: &str) -> Option<String> {
    ["", "a", "a, a"].iter().find_map(|arguments| {
        let sql = format!("insert into t select {name}({arguments}) from t");
        Some(admit(dialect, &sql).err()?.code.as_str().to_owned())
    })
}
