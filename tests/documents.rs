//! The documents say what the code does: no link leads nowhere, and the tables and examples of docs/protocol.md are the protocol's own.
#![cfg(test)]

use kluster_protocol::{
    Came, Chain, CheckReport, Control, Decision, Effects, EndRead, ErrorCode, Heartbeat, MAX_ID_BYTES, MAX_PARAMS,
    MAX_REQUEST_BYTES, MAX_ROW_BYTES, MAX_STATEMENTS, Offset, RECORD_OVERHEAD_BYTES, RecordHash, Request, Response,
    SystemError, partition_of,
};
use kluster_test_servers::require;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Directories that hold nothing of ours.
const FOREIGN: [&str; 4] = [".git", ".cache", "target", "node_modules"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn protocol() -> String {
    std::fs::read_to_string(root().join("docs/protocol.md")).unwrap()
}

/// The text between this heading and the next one.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading:?}"));
    rest.split("\n## ").next().unwrap()
}

/// The cells of a section's tables, row by row, without backticks.
fn rows(section: &str) -> Vec<Vec<String>> {
    let lines = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    lines.map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect()).collect()
}

/// The blocks of code in a section that are JSON.
fn examples(section: &str) -> Vec<&str> {
    let blocks = section.split("```json\n").skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap()).collect()
}

#[test]
fn error_codes_are_all_there_in_order() {
    let text = protocol();
    let codes = rows(section(&text, "Error codes")).into_iter().map(|row| row[0].clone());
    let documented: Vec<String> = codes.filter(|code| !code.is_empty() && code != "code").collect();
    let published: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(documented, published);
}

#[test]
fn partitions_are_as_computed() {
    let text = protocol();
    let table = rows(section(&text, "Partitions"));
    assert_eq!(table.len(), 8);
    for row in &table[1..] {
        let found = [4, 12].map(|count| partition_of(row[0].as_bytes(), count).to_string());
        assert_eq!(found.as_slice(), &row[2..4], "{}", row[0]);
    }
}

#[test]
fn the_chain_is_as_computed() {
    let text = protocol();
    let table = rows(section(&text, "The chain"));
    let mut chain = Chain::default();
    assert_eq!(table.len(), 7);
    for row in &table[1..] {
        let [offset, key, header, value, code, counts, effects, hash, wanted] = row.as_slice() else {
            panic!("{row:?}")
        };
        let given = |cell: &'static str| move |text: &&String| text.as_str() != cell;
        let header = Some(header).filter(given("–")).map(|header| header.split_once(": ").unwrap());
        let record = RecordHash::of(
            Some(key).filter(given("–")).map(|key| key.as_bytes()),
            header.map(|(name, value)| (name, value.as_bytes())),
            Some(value).filter(given("–")).map(|value| value.as_bytes()),
        );
        assert_eq!(record.to_string(), *hash, "record at {offset}");
        let effects: Option<Effects> =
            Some(effects).filter(given("–")).map(|hex| serde_json::from_value(hex.as_str().into()).unwrap());
        let counts: Vec<u64> =
            counts.split(", ").filter(|count| *count != "–").map(|count| count.parse().unwrap()).collect();
        let came = match (code.as_str(), counts.as_slice()) {
            ("OK", [u64::MAX, first]) => Came::Repeated(Offset::new(*first)),
            ("OK", rows) => Came::Done { rows, effects },
            ("REFUSED", []) => Came::Refused,
            (code, []) => Came::Ruled(ErrorCode::from_text(code)),
            wrong => panic!("{wrong:?}"),
        };
        chain = chain.after(Offset::new(offset.parse().unwrap()), &record, came);
        assert_eq!(serde_json::to_value(chain).unwrap(), wanted.as_str(), "chain at {offset}");
    }
}

/// Reading an example and writing it again gives the example: no field is misspelt, none is unknown.
fn holds<T: serde::Serialize>(json: &str, read: impl FnOnce(&str) -> T) {
    let wanted: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_value(read(json)).unwrap(), wanted);
}

#[test]
fn examples_are_records() {
    let text = protocol();
    for json in examples(section(&text, "Request")) {
        holds(json, |json| Request::parse(Some(json.as_bytes())).unwrap());
    }
    for json in examples(section(&text, "Response")) {
        holds(json, |json| serde_json::from_str::<Response>(json).unwrap());
    }
    for json in examples(section(&text, "Heartbeats (NODES)")) {
        holds(json, |json| serde_json::from_str::<Heartbeat>(json).unwrap());
    }
    for json in examples(section(&text, "ERRORS")) {
        holds(json, |json| serde_json::from_str::<SystemError>(json).unwrap());
    }
    for json in examples(section(&text, "Decisions")) {
        holds(json, |json| serde_json::from_str::<Decision>(json).unwrap());
    }
    for json in examples(section(&text, "Checks (NODES)")) {
        holds(json, |json| serde_json::from_str::<CheckReport>(json).unwrap());
    }
    for json in examples(section(&text, "The end of a read")) {
        holds(json, |json| serde_json::from_str::<EndRead>(json).unwrap());
    }
    let controls = rows(section(&text, "Control records"));
    assert_eq!(controls.len(), 5);
    for row in &controls[1..] {
        holds(&row[0], |json| serde_json::from_str::<Control>(json).unwrap());
    }
    let count = ["Request", "Response", "The end of a read", "Heartbeats (NODES)", "ERRORS", "Decisions"]
        .map(|name| examples(section(&text, name)).len());
    assert_eq!(count, [3, 4, 1, 1, 1, 1]);
}

#[test]
fn limits_are_named_as_they_are() {
    let text = protocol();
    let limits = [
        MAX_REQUEST_BYTES,
        MAX_REQUEST_BYTES + RECORD_OVERHEAD_BYTES,
        MAX_ROW_BYTES,
        MAX_ID_BYTES,
        MAX_STATEMENTS,
        MAX_PARAMS,
    ];
    for limit in limits {
        assert!(text.contains(&limit.to_string()), "{limit}");
    }
}

#[test]
fn no_link_leads_nowhere() {
    let mut broken = Vec::new();
    for page in pages(&root()) {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            if !leads_somewhere(&page, &link) {
                broken.push(format!("{}: {link}", page.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// A merge that was not finished leaves its marks.
#[test]
fn no_page_and_no_source_holds_marks_of_a_merge() {
    let marks = ["<".repeat(7), ">".repeat(7)].map(|mark| format!("{mark} "));
    for file in pages(&root()).into_iter().chain(sources(&root())) {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let marked = text.lines().find(|line| marks.iter().any(|mark| line.starts_with(mark.as_str())));
        assert_eq!(marked, None, "{}", file.display());
    }
}

/// Every Markdown file of the repository.
fn pages(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        match path.is_dir() {
            true if FOREIGN.iter().any(|foreign| name == *foreign) => {}
            true => found.extend(pages(&path)),
            false => found.extend(path.extension().is_some_and(|ending| ending == "md").then_some(path)),
        }
    }
    found
}

/// Targets of links and pictures, outside of code blocks.
fn links(text: &str) -> Vec<String> {
    let prose: String = text.split("```").step_by(2).collect();
    prose.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
}

fn leads_somewhere(page: &Path, link: &str) -> bool {
    if link.contains("://") {
        return true;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if path.is_empty() { page.to_owned() } else { page.parent().unwrap().join(path) };
    match anchor {
        "" => target.exists(),
        anchor => std::fs::read_to_string(target).is_ok_and(|text| anchors(&text).any(|found| found == anchor)),
    }
}

/// Headings as GitHub names them: lower case, no punctuation, dashes for blanks.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    headings.map(|heading| {
        let kept = heading.to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

/// A bug that no longer fits the code would be one that nothing proves to be caught.
#[test]
fn every_bug_of_the_mutants_can_be_planted() {
    require!(Program("python3"));
    let checked = Command::new("python3").arg(root().join("scripts/mutants")).arg("--check").output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

/// Variables that no person sets: a test hands them to a process of its own, or a script to the next. KLUSTER_STATE is a schema, in capitals.
const INTERNAL: [&str; 10] = [
    "KLUSTER_BROKER_DISK_FAULTS",
    "KLUSTER_BROKER_FAULTS",
    "KLUSTER_BROKER_TEST_DIR",
    "KLUSTER_BROKER_TEST_FAULTS",
    "KLUSTER_BROKER_TEST_ROUND",
    "KLUSTER_KAFKA_ARCHIVE_TO",
    "KLUSTER_SKIP_TEST_CHILD",
    "KLUSTER_STATE",
    "KLUSTER_TEST_STEP",
    "KLUSTER_WATCHDOG_TEST_CHILD",
];

#[test]
fn every_variable_of_the_environment_is_documented() {
    let mut documented = String::new();
    for page in pages(&root()) {
        documented.push_str(&std::fs::read_to_string(page).unwrap());
    }
    let documented = variables(&documented);
    let mut used = BTreeSet::new();
    for file in sources(&root()) {
        used.extend(variables(&std::fs::read_to_string(file).unwrap_or_default()));
    }
    assert!(used.len() > 50, "{used:?}");
    let missing: Vec<_> = used.difference(&documented).filter(|name| !INTERNAL.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "in no document: {missing:?}");
}

/// Rust's files and the scripts.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        match path.is_dir() {
            true if FOREIGN.iter().any(|foreign| name == *foreign) => {}
            true => found.extend(sources(&path)),
            false => {
                let script = path.starts_with(root().join("scripts")) || path.starts_with(root().join("compose"));
                found.extend((script || path.extension().is_some_and(|end| end == "rs")).then_some(path));
            }
        }
    }
    found
}

/// Every `KLUSTER_…` in a text. A bare prefix is none.
fn variables(text: &str) -> BTreeSet<String> {
    let rests = text.match_indices("KLUSTER_").map(|(at, _)| &text[at..]);
    let end = |rest: &str| rest.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
    rests.map(|rest| rest[..end(rest).unwrap_or(rest.len())].to_owned()).filter(|name| !name.ends_with('_')).collect()
}
