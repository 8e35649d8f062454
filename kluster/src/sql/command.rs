//! Command: what begins with a backslash: for the prompt itself, not for the cluster. No I/O.

use super::settings::{AckLevel, Form, ReadLevel};
use super::trouble::{Kind, Trouble};
use clap::ValueEnum;
use std::path::PathBuf;
use strsim::damerau_levenshtein;

/// A command and what it is asked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `\?`, `\h`: these commands.
    Help,
    /// `\q`: leave.
    Quit,
    /// `\d TABLE`: columns, keys and indexes of a table or view.
    Describe(String),
    /// `\d`: tables and views.
    Relations,
    /// `\dt`: tables.
    Tables,
    /// `\dv`: views.
    Views,
    /// `\di`: indexes.
    Indexes,
    /// `\nodes`: the members and how far they are.
    Nodes,
    /// `\settings`: what is set.
    Settings,
    /// `\read LEVEL`.
    Read(ReadLevel),
    /// `\ack WHOM`.
    Ack(AckLevel),
    /// `\output FORM`.
    Output(Form),
    /// `\x`: tables one column a line; None: the other way round.
    Expanded(Option<bool>),
    /// `\timing`; None: the other way round.
    Timing(Option<bool>),
    /// `\i FILE`: runs a script.
    Include(PathBuf),
    /// `\o FILE`: rows go to a file; without one, to the screen again.
    Out(Option<PathBuf>),
    /// `\retry`: asks again what was left open.
    Retry,
}

/// A command for people: what is typed, and what it does.
pub struct Entry {
    /// The command, backslash first.
    pub name: &'static str,
    /// What may stand behind it.
    pub arguments: &'static str,
    /// What it does.
    pub does: &'static str,
}

const fn entry(name: &'static str, arguments: &'static str, does: &'static str) -> Entry {
    Entry { name, arguments, does }
}

/// Every command, in the order in which help lists them.
pub const COMMANDS: &[Entry] = &[
    entry("\\?", "", "these commands"),
    entry("\\h", "", "the same"),
    entry("\\q", "", "leave; Ctrl-D does the same"),
    entry("\\d", "[TABLE]", "tables and views, or the columns, keys and indexes of one"),
    entry("\\dt", "", "tables"),
    entry("\\dv", "", "views"),
    entry("\\di", "", "indexes"),
    entry("\\nodes", "", "the members: what they do, how far they are, whether they agree"),
    entry("\\read", "eventual|session|strong|ordered", "what a read must have seen"),
    entry("\\ack", "first|quorum|all|logged|N", "whose answers a write waits for"),
    entry("\\output", "table|json|csv", "the form of rows"),
    entry("\\x", "[on|off]", "tables one column a line"),
    entry("\\timing", "[on|off]", "where each statement was done, by whom, and how long it took"),
    entry("\\settings", "", "what is set"),
    entry("\\i", "FILE", "run a script"),
    entry("\\o", "[FILE]", "write rows to a file; without one, to the screen again"),
    entry("\\retry", "", "ask again what was left open: it is executed once"),
];

/// Reads a command line.
pub fn parse(line: &str) -> Result<Command, Trouble> {
    let (name, arguments) = words(line)?;
    if let Some(table) = table_to_describe(line) {
        return Ok(Command::Describe(table));
    }
    let Some(entry) = COMMANDS.iter().find(|entry| entry.name == name) else { return Err(unknown(&name)) };
    let usage = || {
        let synopsis = format!("{} {}", entry.name, entry.arguments);
        Trouble::new(Kind::Refused, format!("usage: {}  ({})", synopsis.trim_end(), entry.does))
    };
    let mut arguments = arguments.into_iter();
    let first = arguments.next();
    if arguments.next().is_some() {
        return Err(usage());
    }
    known(entry.name, first).ok_or_else(usage)
}

/// What stands behind `\d`, as it was typed: its quotes belong to the name.
fn table_to_describe(line: &str) -> Option<String> {
    let table = line.trim().strip_prefix("\\d")?.strip_prefix(char::is_whitespace)?.trim_end_matches(';').trim();
    (!table.is_empty()).then(|| table.to_owned())
}

/// The command of this name; None: not with this argument.
fn known(name: &str, argument: Option<String>) -> Option<Command> {
    match (name, argument) {
        ("\\?" | "\\h", None) => Some(Command::Help),
        ("\\q", None) => Some(Command::Quit),
        ("\\d", None) => Some(Command::Relations),
        ("\\dt", None) => Some(Command::Tables),
        ("\\dv", None) => Some(Command::Views),
        ("\\di", None) => Some(Command::Indexes),
        ("\\nodes", None) => Some(Command::Nodes),
        ("\\settings", None) => Some(Command::Settings),
        ("\\read", Some(level)) => ReadLevel::from_str(&level, true).ok().map(Command::Read),
        ("\\ack", Some(level)) => level.parse().ok().map(Command::Ack),
        ("\\output", Some(form)) => Form::from_str(&form, true).ok().map(Command::Output),
        ("\\x", switch) => on_or_off(switch).map(Command::Expanded),
        ("\\timing", switch) => on_or_off(switch).map(Command::Timing),
        ("\\i", Some(file)) => Some(Command::Include(file.into())),
        ("\\o", file) => Some(Command::Out(file.map(PathBuf::from))),
        ("\\retry", None) => Some(Command::Retry),
        _ => None,
    }
}

fn on_or_off(switch: Option<String>) -> Option<Option<bool>> {
    match switch.as_deref() {
        None => Some(None),
        Some("on") => Some(Some(true)),
        Some("off") => Some(Some(false)),
        Some(_) => None,
    }
}

/// The name and the words behind it; `'…'` and `"…"` hold words with blanks. A `;` at the end is a habit and passed over.
fn words(line: &str) -> Result<(String, Vec<String>), Trouble> {
    let line = line.trim().trim_end_matches(';').trim_end();
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, behind) = match first {
            '\'' | '"' => rest[1..]
                .split_once(first)
                .ok_or_else(|| Trouble::new(Kind::Refused, format!("{line}: a {first} is opened and not closed")))?,
            _ => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        words.push(word.to_owned());
        rest = behind.trim_start();
    }
    let name = if words.is_empty() { String::new() } else { words.remove(0) };
    Ok((name, words))
}

/// Names the command that was probably meant.
fn unknown(name: &str) -> Trouble {
    let distance = |entry: &&Entry| damerau_levenshtein(&name.to_lowercase(), entry.name);
    let nearest = COMMANDS.iter().min_by_key(distance).filter(|entry| distance(entry) <= 2);
    let trouble = Trouble::new(Kind::Refused, format!("there is no command {name}"));
    match nearest {
        Some(entry) => trouble.hinted(format!("did you mean {}? \\? lists all", entry.name)),
        None => trouble.hinted("\\? lists those there are"),
    }
}

/// What `\?` says.
pub fn help() -> String {
    let mut text = String::from("Statements end with ; and may go over several lines.\n\n");
    for entry in COMMANDS {
        let synopsis = format!("{} {}", entry.name, entry.arguments);
        text.push_str(&format!("  {synopsis:<42} {}\n", entry.does));
    }
    text.push_str(
        "\nSELECT and its kin are read by one node; everything else goes through the log and is executed by every node.\n\
         begin; … commit; gathers statements and sends them as one transaction, SELECTs among them included; rollback; drops them.\n\
         Tab completes, Ctrl-R searches the history, Ctrl-C drops the line or ends a wait, Ctrl-D leaves.",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        for (line, wanted) in [
            ("\\q", Command::Quit),
            ("\\?", Command::Help),
            ("\\d", Command::Relations),
            ("\\d person;", Command::Describe("person".into())),
            ("  \\d \"My Table\" ; ", Command::Describe("\"My Table\"".into())),
            ("\\read Strong", Command::Read(ReadLevel::Strong)),
            ("\\ack 2", Command::Ack(AckLevel::Nodes(2))),
            ("\\ack logged", Command::Ack(AckLevel::Logged)),
            ("\\output csv", Command::Output(Form::Csv)),
            ("\\x", Command::Expanded(None)),
            ("\\timing on", Command::Timing(Some(true))),
            ("\\i 'a file.sql'", Command::Include("a file.sql".into())),
            ("\\o", Command::Out(None)),
            ("\\o out.csv", Command::Out(Some("out.csv".into()))),
            ("\\retry", Command::Retry),
        ] {
            assert_eq!(parse(line), Ok(wanted), "{line}");
        }
    }

    #[test]
    fn every_command_in_the_help_is_known() {
        for entry in COMMANDS {
            let arguments = entry.arguments.trim_matches(['[', ']']);
            let argument = arguments.split('|').next().filter(|argument| !argument.is_empty());
            let line = format!("{} {}", entry.name, argument.unwrap_or_default());
            assert!(parse(&line).is_ok(), "{line}");
            assert!(help().contains(entry.name) && help().contains(entry.does));
        }
    }

    #[test]
    fn the_page_lists_the_commands_as_they_are() {
        let page = include_str!("../../../docs/sql.md");
        for entry in COMMANDS {
            let synopsis = format!("{} {}", entry.name, entry.arguments.replace('|', "\\|"));
            let row = format!("| `{}` | {} |", synopsis.trim_end(), entry.does);
            assert!(page.contains(&row), "docs/sql.md lacks {row}");
        }
    }

    #[test]
    fn an_unknown_command_names_the_nearest() {
        let hint = |line: &str| parse(line).unwrap_err().hint.clone().unwrap_or_default();
        assert!(hint("\\node").contains("did you mean \\nodes?"), "{}", hint("\\node"));
        assert!(hint("\\Timing").contains("did you mean \\timing?"));
        assert!(hint("\\quit").contains("\\? lists"), "{}", hint("\\quit"));
        assert_eq!(parse("\\nonsense").unwrap_err().message, "there is no command \\nonsense");
    }

    #[test]
    fn a_wrong_argument_shows_the_usage() {
        for line in ["\\read", "\\read never", "\\ack none", "\\output xml", "\\i", "\\q now", "\\x maybe"] {
            let trouble = parse(line).unwrap_err();
            assert!(trouble.message.starts_with("usage: \\"), "{line}: {}", trouble.message);
        }
        assert!(parse("\\i 'a").unwrap_err().message.contains("not closed"));
    }
}
