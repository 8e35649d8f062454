//! Prompt: reads what a person types, line by line, and hands it to the session.
//!
//! In the order of the data: keys become a text (`line`, on a thread of its own, with `completion` from the `vocabulary` and colours from
//! `paint`) → the session runs it → the next prompt says what is gathered.
//!
//! Invariant: however the prompt ends, the terminal is left as it was found (`terminal`).

mod completion;
mod history;
mod line;
mod paint;
mod terminal;
mod vocabulary;

pub use history::History;

use super::announce::Announcer;
use super::session::{Flow, Session, output};
use super::trouble::{Kind, Trouble};
use crate::error::KlusterError;
use kluster_admin::output::Tone;
use line::{LineReader, Typed};
use terminal::Terminal;
use vocabulary::Vocabulary;

/// Opens the prompt; ends when the person leaves.
pub async fn open(session: &mut Session, history: History, announcer: &Announcer) -> Result<(), KlusterError> {
    session.at_prompt = true;
    let terminal = Terminal::remember();
    let done = talk(session, history, announcer).await;
    terminal.restore();
    done.map_err(Trouble::end)
}

async fn talk(session: &mut Session, history: History, announcer: &Announcer) -> Result<(), Trouble> {
    greet(session)?;
    let vocabulary = Vocabulary::shared();
    vocabulary::refresh(&vocabulary, session, false);
    let (mut reader, printer) = LineReader::start(session.cluster.dialect, vocabulary.clone(), history)?;
    announcer.print_by(printer);
    announcer.follow(session.cluster.log.clone(), session.cluster.clock.clone());
    let mut interrupts = 0;
    loop {
        let terminated = session.signals.terminated().clone();
        let typed = tokio::select! {
            biased;
            () = terminated.cancelled() => return Ok(()),
            typed = reader.read(prompt(session, announcer.differ())) => typed,
        };
        match typed {
            Typed::Text(text) => {
                interrupts = 0;
                session.interrupts = session.signals.interrupts();
                if answer(session, &text).await? == Flow::Leave {
                    return leave(session);
                }
                if std::mem::take(&mut session.redefined) {
                    vocabulary::refresh(&vocabulary, session, true);
                }
            }
            Typed::Interrupted => {
                interrupts += 1;
                if interrupts > 1 {
                    note(session, "\\q or Ctrl-D leaves")?;
                }
            }
            Typed::End => return leave(session),
            Typed::Failed(why) => {
                return Err(Trouble::new(Kind::Output, format!("the terminal cannot be read: {why}")));
            }
        }
    }
}

/// Runs what was typed. A trouble is shown, and the conversation goes on; only a terminal that is gone ends it.
async fn answer(session: &mut Session, text: &str) -> Result<Flow, Trouble> {
    match session.run(text).await {
        Ok(flow) => Ok(flow),
        Err(trouble) if trouble.kind == Kind::Output && trouble.broken_pipe => Err(trouble),
        Err(trouble) => {
            // The terminal has written ^C where the cursor was.
            let gap = if trouble.kind == Kind::Interrupted { "\n" } else { "" };
            session.screen.note(&format!("{gap}{}", trouble.text()), Tone::Bad).map_err(output)?;
            match session.signals.terminated().is_cancelled() {
                true => Ok(Flow::Leave),
                false => Ok(Flow::On),
            }
        }
    }
}

fn greet(session: &mut Session) -> Result<(), Trouble> {
    let names = session.cluster.log.names();
    let greeting = format!(
        "Kluster {} · database {} · {} · \\? helps, \\q leaves",
        env!("CARGO_PKG_VERSION"),
        names.database,
        session.cluster.about
    );
    note(session, &greeting)?;
    match session.cluster.check_live() {
        Ok(()) => Ok(()),
        Err(error) => session.screen.note(&error.to_string(), Tone::Warning).map_err(output),
    }
}

fn leave(session: &mut Session) -> Result<(), Trouble> {
    match session.left_over() {
        Some(left) => session.screen.note(&left, Tone::Warning).map_err(output),
        None => Ok(()),
    }
}

fn note(session: &mut Session, text: &str) -> Result<(), Trouble> {
    session.screen.note(text, Tone::Faint).map_err(output)
}

/// What stands before the line: the database, how many statements are gathered, and that nodes differ.
fn prompt(session: &Session, differ: bool) -> String {
    let database = &session.cluster.log.names().database;
    let gathered = session.gathering().map(|count| format!(" begin+{count}")).unwrap_or_default();
    let differ = if differ { " NODES DIFFER" } else { "" };
    format!("{database}{gathered}{differ}> ")
}
