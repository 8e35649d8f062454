//! Text: a script as blocks of commands with what they said, and a command as words.

use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Commands, and what was recorded of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// Every line up to `---`, remarks and empty lines included.
    pub before: Vec<String>,
    /// Every line between `---` and the empty line.
    pub recorded: Vec<String>,
}

/// Cuts a script into its blocks.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    loop {
        let before: Vec<String> = lines.by_ref().take_while(|line| *line != "---").map(str::to_owned).collect();
        if before.iter().all(|line| line.trim().is_empty()) {
            return blocks;
        }
        let recorded = lines.by_ref().take_while(|line| !line.is_empty()).map(str::to_owned).collect();
        blocks.push(Block { before, recorded });
    }
}

/// The script of these blocks.
pub fn script(blocks: &[Block]) -> String {
    let block = |block: &Block| {
        let lines =
            block.before.iter().map(String::as_str).chain(["---"]).chain(block.recorded.iter().map(String::as_str));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    blocks.iter().map(block).collect::<Vec<_>>().join("\n")
}

impl Block {
    /// The lines that are commands.
    pub fn commands(&self) -> impl Iterator<Item = &str> {
        self.before.iter().map(|line| line.trim()).filter(|line| !line.is_empty() && !line.starts_with('#'))
    }
}

/// A command: its verb, plain words, options and statements.
#[derive(Debug, Default, PartialEq)]
pub struct Command {
    /// What is done.
    pub verb: String,
    /// Words without `=` that are no JSON.
    pub words: Vec<String>,
    /// `name=value`, but for `expect=`.
    pub options: BTreeMap<String, String>,
    /// SQL texts and what stands behind each.
    pub statements: Vec<Asked>,
}

/// A statement as written in a script.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The text.
    pub sql: String,
    /// The values of `$1`, `$2`, …
    pub params: Vec<Value>,
    /// `expect=`.
    pub expect: Option<u64>,
}

impl Command {
    /// Reads a line: the first text that stands alone or behind `;` is a statement, JSON behind it are its params.
    pub fn parse(line: &str) -> Self {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut command = Self { verb: verb.to_owned(), ..Self::default() };
        let (mut rest, mut open) = (rest.trim_start(), false);
        while !rest.is_empty() {
            let (word, tail) =
                if rest.starts_with('"') { json_text(rest) } else { rest.split_once(' ').unwrap_or((rest, "")) };
            open = command.take(word, open);
            rest = tail.trim_start();
        }
        command
    }

    /// Takes a word; says whether the words behind it belong to a statement.
    fn take(&mut self, word: &str, open: bool) -> bool {
        match (word, self.statements.last_mut()) {
            (";", _) => return false,
            (_, Some(statement)) if open => match word.strip_prefix("expect=") {
                Some(count) => statement.expect = Some(count.parse().expect("expect= is followed by a number")),
                None => {
                    statement.params.push(serde_json::from_str(word).unwrap_or_else(|_| panic!("{word} is no JSON")))
                }
            },
            _ if word.starts_with('"') => {
                let sql = serde_json::from_str(word).expect("the text was read as JSON");
                self.statements.push(Asked { sql, params: Vec::new(), expect: None });
                return true;
            }
            _ => match word.split_once('=') {
                Some((name, value)) => drop(self.options.insert(name.to_owned(), value.to_owned())),
                None => self.words.push(word.to_owned()),
            },
        }
        open
    }

    /// The word at this place.
    pub fn word(&self, place: usize) -> &str {
        self.words.get(place).unwrap_or_else(|| panic!("{} needs {} words", self.verb, place + 1))
    }

    /// The option, where it is given.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// `timeout=` in seconds.
    pub fn timeout(&self) -> Option<Duration> {
        let seconds = self.option("timeout")?.strip_suffix('s').expect("a timeout is given as 2s");
        Some(Duration::from_secs_f64(seconds.parse().expect("a timeout is given as 2s")))
    }
}

/// The JSON text at the beginning, and what stands behind it.
fn json_text(text: &str) -> (&str, &str) {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let first = values.next().expect("a text has a beginning");
    first.unwrap_or_else(|error| panic!("{text}: {error}"));
    text.split_at(values.byte_offset())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_script_is_written_as_it_was_read() {
        let text = "# Why.\ncluster nodes=3\n---\n\n# More.\n\nask all \"a\"\nwait\n---\nOK\nn1 OK\n";
        let read = blocks(text);
        assert_eq!(read[1].commands().collect::<Vec<_>>(), ["ask all \"a\"", "wait"]);
        assert_eq!(read[1].recorded, ["OK", "n1 OK"]);
        assert_eq!(script(&read), text);
    }

    #[test]
    fn a_command_has_words_options_and_statements() {
        let command = Command::parse(r#"ask all id=m1 "update t set a = $1" 7 "x y" expect=1 ; "select \"b\"""#);
        assert_eq!((command.verb.as_str(), command.word(0), command.option("id")), ("ask", "all", Some("m1")));
        let first = Asked { sql: "update t set a = $1".into(), params: vec![json!(7), json!("x y")], expect: Some(1) };
        let second = Asked { sql: "select \"b\"".into(), params: vec![], expect: None };
        assert_eq!(command.statements, [first, second]);
    }
}
