//! Line: the editor of a line, on a thread of its own, for it waits for keys and cannot be told to stop.

use super::completion::complete;
use super::history::History;
use super::paint::paint;
use super::vocabulary::{Shared, Vocabulary};
use crate::sql::announce::Printer;
use crate::sql::script::is_complete;
use crate::sql::trouble::{Kind, Trouble};
use kluster_sql::Dialect;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::config::{Behavior, CompletionType};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Context, Editor, ExternalPrinter, Helper};
use std::borrow::Cow;
use std::fs::create_dir_all;
use std::io::{IsTerminal, stdout};
use std::sync::mpsc;
use tokio::sync::oneshot;

/// So many lines are remembered.
const REMEMBERED: usize = 10_000;
/// Shown on the empty line of a statement that is not closed.
const HINT: &str = "…; ends it, Ctrl-C drops it";

/// What a person did.
#[derive(Debug)]
pub enum Typed {
    /// Statements or a command, complete.
    Text(String),
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-D on an empty line.
    End,
    /// The terminal cannot be read.
    Failed(String),
}

/// The other end of the thread that reads lines.
pub struct LineReader {
    asked: mpsc::Sender<(String, oneshot::Sender<Typed>)>,
}

impl LineReader {
    /// Starts the thread. The printer writes lines above the one under way.
    pub fn start(dialect: Dialect, vocabulary: Shared, history: History) -> Result<(Self, Printer), Trouble> {
        let broken = |error: ReadlineError| Trouble::new(Kind::Output, format!("the terminal cannot be used: {error}"));
        let mut editor = editor(dialect, vocabulary).map_err(broken)?;
        let outside = editor.create_external_printer();
        let (asked, prompts) = mpsc::channel();
        std::thread::spawn(move || read_lines(editor, &history, &prompts));
        let printer: Printer = match outside {
            // A terminal that is gone reads nothing.
            Ok(mut outside) => Box::new(move |line| drop(outside.print(line))),
            // TERM=dumb and its kin: there is no line under way that could be moved.
            Err(_) => Box::new(|line| eprint!("{line}")),
        };
        Ok((Self { asked }, printer))
    }

    /// Awaits what the person does.
    pub async fn read(&mut self, prompt: String) -> Typed {
        let (typed, done) = oneshot::channel();
        match self.asked.send((prompt, typed)) {
            Ok(()) => done.await.unwrap_or_else(|_| Typed::Failed("its reader ended".to_owned())),
            Err(_) => Typed::Failed("its reader ended".to_owned()),
        }
    }
}

type LineEditor = Editor<Assistant, FileHistory>;

fn editor(dialect: Dialect, vocabulary: Shared) -> Result<LineEditor, ReadlineError> {
    // Where rows go to a file, the line under way still belongs on the terminal.
    let behavior = if stdout().is_terminal() { Behavior::Stdio } else { Behavior::PreferTerm };
    let config = Config::builder()
        .behavior(behavior)
        .completion_type(CompletionType::List)
        .max_history_size(REMEMBERED)?
        .history_ignore_dups(true)?
        // As shells have it: a line that begins with a blank is not remembered.
        .history_ignore_space(true)
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Assistant { dialect, vocabulary, files: FilenameCompleter::new() }));
    Ok(editor)
}

/// Reads a line for each prompt until nobody asks for one.
fn read_lines(mut editor: LineEditor, history: &History, prompts: &mpsc::Receiver<(String, oneshot::Sender<Typed>)>) {
    if let Some(file) = &history.0 {
        let made = file.parent().map_or(Ok(()), create_dir_all);
        // The first session has none yet.
        let _ = made.map_err(ReadlineError::from).and_then(|()| editor.load_history(file));
    }
    while let Ok((prompt, typed)) = prompts.recv() {
        let did = match editor.readline(&prompt) {
            Ok(line) => {
                remember(&mut editor, history, &line);
                Typed::Text(line)
            }
            Err(ReadlineError::Interrupted) => Typed::Interrupted,
            Err(ReadlineError::Eof) => Typed::End,
            Err(error) => Typed::Failed(error.to_string()),
        };
        if typed.send(did).is_err() {
            break;
        }
    }
}

/// Kept at once, so that two sessions and a killed one lose nothing.
fn remember(editor: &mut LineEditor, history: &History, line: &str) {
    let line = line.trim_end();
    if line.is_empty() || !editor.add_history_entry(line).unwrap_or(false) {
        return;
    }
    if let Some(file) = &history.0
        && let Err(error) = editor.append_history(file)
    {
        tracing::debug!(%error, "the line is not kept");
    }
}

/// What the editor asks while a line is typed.
struct Assistant {
    dialect: Dialect,
    vocabulary: Shared,
    files: FilenameCompleter,
}

impl Helper for Assistant {}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        match is_complete(context.input(), self.dialect) {
            true => Ok(ValidationResult::Valid(None)),
            false => Ok(ValidationResult::Incomplete),
        }
    }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, context: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let completion = complete(self.dialect, &Vocabulary::now(&self.vocabulary), line, at);
        if completion.file {
            return self.files.complete(line, at, context);
        }
        let pair = |word: String| Pair { display: word.clone(), replacement: word };
        Ok((completion.start, completion.words.into_iter().map(pair).collect()))
    }
}

impl Hinter for Assistant {
    type Hint = String;

    fn hint(&self, line: &str, at: usize, _: &Context<'_>) -> Option<String> {
        let wanted = at == line.len() && line.ends_with('\n') && !is_complete(line, self.dialect);
        wanted.then(|| HINT.to_owned())
    }
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        Cow::Owned(paint(self.dialect, line))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[2m{hint}\x1b[0m"))
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        kind != CmdKind::MoveCursor
    }
}
