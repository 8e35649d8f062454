//! sql: a prompt and one-shot client.
//!
//! In the order of the data: what to say comes from flags, files, stdin or the prompt (here, `prompt`) → the cluster is reached (`cluster`) →
//! `session` cuts each text (`script`), tells what each statement asks for (`judge`) and sends it (`ask`) → rows and words (`show`, `status`,
//! `trouble` with its `place`, `screen`). Backslash commands are read by `command` and done by `commands`, which asks the `catalog`. `settings`
//! can be changed on the way; `ticket` names what was left open; `announce` says at once when nodes differ.
//!
//! Neighbours: everything asked of the cluster goes through `kluster-client`; heartbeats are read by `kluster-admin`.
//!
//! Invariants
//! 1. What a statement is, and where a text is cut, is decided by `kluster-sql` alone.
//! 2. Ctrl-C ends a read on the node that executes it. Of a write it ends the wait and never the outcome: what was sent can be asked again
//!    under its ticket.
//! 3. stdout holds rows only.

mod announce;
mod ask;
mod catalog;
mod cluster;
mod command;
mod commands;
mod judge;
mod place;
mod prompt;
mod screen;
mod script;
mod session;
mod settings;
mod show;
mod status;
mod ticket;
mod trouble;

pub use settings::{AckLevel, Form, ReadLevel};

use crate::error::KlusterError;
use crate::signals::Signals;
use announce::Announcer;
use clap::{Args, FromArgMatches};
use cluster::Cluster;
use kluster_admin::dialect::parse_dialect;
use kluster_log::LogSettings;
use kluster_sql::Dialect;
use prompt::History;
use screen::Screen;
use script::{What, cut};
use session::{Flow, Session};
use settings::Settings;
use std::io::{self, IsTerminal, Read, stderr, stdin, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ticket::SentTicket;
use tokio::sync::oneshot;
use trouble::{Kind, Trouble};

/// The manual of the command.
pub const MANUAL: &str = "\
Send SQL to a cluster: a prompt, or one text.

On a terminal and without SQL the prompt opens; \\? lists its commands. Otherwise statements come from SQL, then every -c, then every -f, or from \
stdin. Several in one text are parted by ; and sent in order; the first that fails ends it (see --continue). Scripts may hold the prompt's \
commands too.

SELECT and its kin are read by one node (--read); everything else goes through the log and is executed by every node (--ack). begin; … commit; \
sends what stands between as one transaction.

For example:
  kluster sql \"select 1\"
  kluster sql -f shop.sql --ack all
  kluster sql --output csv \"select * from person\" > person.csv
  echo 'select 1; select 2' | kluster sql --output json

Exit codes: 0 done; 2 wrong settings, or a file that cannot be read; 3 nodes differ; 4 no cluster answers; 5 refused; 6 not answered in time, for a \
write the outcome is open; 7 the output cannot be written; 130 ended by Ctrl-C or SIGTERM. At the prompt 0, and 3 once nodes were seen to differ.";

/// The wait was ended by hand at the very start.
const NOTHING_SENT: &str = "ended before anything was sent";

/// What `sql` is asked with.
#[derive(Debug, Clone, clap::Args)]
pub struct Sql {
    /// Statements to send
    #[arg(value_name = "SQL")]
    pub text: Option<String>,
    /// Statements to send, after SQL. Repeatable
    #[arg(long = "command", short, value_name = "SQL")]
    pub commands: Vec<String>,
    /// A script to run, after every -c; `-`: stdin. Repeatable
    #[arg(long = "file", short, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// What a read must have seen
    #[arg(long, env = "KLUSTER_SQL_READ", value_enum, default_value = "session", value_name = "LEVEL")]
    pub read: ReadLevel,
    /// Whose answers a write waits for: first, quorum, all, logged (nobody's), or a number of nodes
    #[arg(long, env = "KLUSTER_SQL_ACK", default_value = "quorum", value_name = "WHOM")]
    pub ack: AckLevel,
    /// Form of the rows on stdout
    #[arg(long, short, env = "KLUSTER_SQL_OUTPUT", value_enum, default_value = "table", value_name = "FORM")]
    pub output: Form,
    /// Tables one column a line
    #[arg(long, short = 'x')]
    pub expanded: bool,
    /// Say where each statement was done, by whom, and how long it took
    #[arg(long, env = "KLUSTER_SQL_TIMING")]
    pub timing: bool,
    /// Go on behind a statement that failed; the exit code is that of the first
    #[arg(long = "continue")]
    pub go_on: bool,
    /// How long a statement is waited for
    #[arg(long, env = "KLUSTER_SQL_TIMEOUT", value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// Ask again what was left open: the ticket that was printed, and the same SQL. It is executed once
    #[arg(long, value_name = "TICKET")]
    pub retry: Option<SentTicket>,
    /// File of the prompt's history; `none`: keep none [default: kluster/history in $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, env = "KLUSTER_SQL_HISTORY", value_name = "FILE")]
    pub history: Option<PathBuf>,
    /// Whose SQL is sent [default: the nodes' own]
    #[arg(long, value_name = "NAME", value_parser = parse_dialect)]
    pub dialect: Option<Dialect>,
}

impl Sql {
    /// The prompt as `kluster sql` without arguments opens it: its settings come from the environment. For a program that opens it by itself.
    pub fn of_environment() -> Result<Self, KlusterError> {
        let command = Self::augment_args(clap::Command::new("sql"));
        let parsed = command.try_get_matches_from(["sql"]).and_then(|matches| Self::from_arg_matches(&matches));
        parsed.map_err(|error| {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            KlusterError::Settings(format!("the prompt's settings in the environment (KLUSTER_SQL_…): {first}"))
        })
    }

    /// Sends what was given, or opens the prompt.
    pub async fn run(&self, log: &LogSettings, signals: &Signals) -> Result<(), KlusterError> {
        let texts = self.texts(signals).await.map_err(Trouble::end)?;
        let client_id = self.retry.as_ref().map(|sent| sent.client_id.clone());
        let reaching = Cluster::reach(log, self.dialect, client_id);
        let cluster = tokio::select! {
            biased;
            () = signals.asked_to_end() => return Err(KlusterError::Interrupted(NOTHING_SENT.to_owned())),
            cluster = reaching => cluster?,
        };
        let announcer = Announcer::watch(&cluster.client, screen().colour);
        let mut session = Session::new(cluster, self.settings(), screen(), signals.clone());
        session.go_on = self.go_on;
        let done = match texts {
            Some(texts) => self.one_shot(&mut session, &texts, signals).await.map_err(Trouble::end),
            None => prompt::open(&mut session, History::at(self.history.as_deref()), &announcer).await,
        };
        match done {
            Ok(()) => announcer.verdict(),
            failed => failed,
        }
    }

    fn settings(&self) -> Settings {
        Settings {
            read: self.read,
            ack: self.ack,
            form: self.output,
            expanded: self.expanded,
            timing: self.timing,
            timeout: Duration::from_secs(self.timeout),
        }
    }

    /// What there is to send, in order; None: the prompt is meant.
    async fn texts(&self, signals: &Signals) -> Result<Option<Vec<String>>, Trouble> {
        let mut texts: Vec<String> = self.text.iter().chain(&self.commands).cloned().collect();
        for file in &self.files {
            texts.push(if file == Path::new("-") { read_stdin(signals).await? } else { commands::read_script(file)? });
        }
        match texts.is_empty() {
            false => Ok(Some(texts)),
            true if stdin().is_terminal() => Ok(None),
            true => Ok(Some(vec![read_stdin(signals).await?])),
        }
    }

    async fn one_shot(&self, session: &mut Session, texts: &[String], signals: &Signals) -> Result<(), Trouble> {
        end_at_the_second(signals.clone());
        if self.dialect.is_none() {
            session.cluster.check_live().map_err(|error| Trouble::new(Kind::Log, error.to_string()))?;
        }
        if let Some(sent) = &self.retry {
            check_retry(texts, session.cluster.dialect)?;
            session.earlier = Some(sent.ticket.clone());
        }
        for text in texts {
            if session.run(text).await? == Flow::Leave {
                break;
            }
        }
        session.end()
    }
}

/// The first Ctrl-C ends a wait. Where there is none, for rows are written to someone who does not read them, the second ends the process.
fn end_at_the_second(signals: Signals) {
    let first = signals.interrupted();
    tokio::spawn(async move {
        first.await;
        signals.interrupted().await;
        std::process::exit(130);
    });
}

/// A ticket names one request: one statement, or one transaction.
fn check_retry(texts: &[String], dialect: Dialect) -> Result<(), Trouble> {
    let mut statements = 0;
    let mut lists = false;
    for text in texts {
        for part in cut(text, dialect)? {
            if let What::Statement(sql) = part.what {
                statements += 1;
                lists |= matches!(
                    judge::judge(dialect, sql, judge::Toward::Transaction),
                    Ok(judge::Asks::Begin | judge::Asks::Commit)
                );
            }
        }
    }
    match statements == 1 || lists {
        true => Ok(()),
        false => Err(Trouble::new(
            Kind::Settings,
            format!(
                "--retry asks one request again, and here are {statements} statements: give the same SQL as before, and only that"
            ),
        )),
    }
}

/// All of stdin. It is read by a thread that is left behind when the wait is ended: nobody can tell it to stop.
async fn read_stdin(signals: &Signals) -> Result<String, Trouble> {
    let (read, done) = oneshot::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        // Who asked may have ended.
        let _ = read.send(stdin().read_to_string(&mut text).map(|_| text));
    });
    let text = tokio::select! {
        biased;
        () = signals.asked_to_end() => return Err(Trouble::new(Kind::Interrupted, NOTHING_SENT)),
        text = done => text.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())),
    };
    text.map_err(|error| Trouble::new(Kind::Settings, format!("stdin cannot be read: {error}")))
}

/// The process's own stdout and stderr.
fn screen() -> Screen {
    let mut screen = Screen::new(Box::new(stdout()), Box::new(stderr()));
    (screen.shows_data, screen.shows_notes) = (stdout().is_terminal(), stderr().is_terminal());
    // https://no-color.org
    screen.colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    screen
}
