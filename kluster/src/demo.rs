//! demo: the point of a cluster, shown in a minute, with nothing in it that was not measured.
//!
//! The log is in this process; each node is a process of its own (`kluster demo-node`), so that `kill -9` is `kill -9`.
//!
//! The life of a story, and the modules in that order: the chapters (`story`) are told on a `screen`; nodes are started, killed and brought
//! back (`process`; `node` is what runs there); a `shop` is loaded and customers order (`orders`) while others read (`reads`); in the end each
//! node's tables are compared (`checksum`) with each other and with what was acknowledged (`books`).
//!
//! Neighbours: `crate::broker` is the log, `crate::up` has the data directory and what a node is told. All else is asked through
//! `kluster-client`, as any program would.
//!
//! Invariant: the story ends well only when every claim in it was checked and held.

mod books;
mod checksum;
mod node;
mod orders;
mod process;
mod reads;
mod screen;
mod shop;
mod story;

pub use node::DemoNode;

use crate::broker::{LogServer, Place};
use crate::error::KlusterError;
use crate::signals::Signals;
use crate::up::directory::{Directory, cannot_use};
use crate::up::ending::Ending;
use screen::Screen;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use story::Story;

/// The manual of the command.
pub const MANUAL: &str = "\
Show in about a minute what a cluster is good for.

It starts a log and three nodes, each a process of its own on a SQLite file; loads a small shop; lets several clients order at once; kills one node \
and shows that service goes on; brings it back and shows it catch up; then compares all tables of all nodes, and the orders with those that were \
acknowledged. Every number is measured, every claim is checked: the exit code is 0 only if all of them held.

Without a terminal it tells the same in plain lines, without pauses.";

/// `kluster demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct Demo {
    /// Where the files lie: a new or empty directory; else a temporary one
    #[arg(long, value_name = "DIRECTORY")]
    pub dir: Option<PathBuf>,
    /// Leave the files where they are, for `kluster up --dir`
    #[arg(long)]
    pub keep: bool,
    /// How long to stay with each chapter; without a terminal always fast
    #[arg(long, value_enum, default_value = "normal")]
    pub speed: Speed,
}

/// How long to stay with each chapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Speed {
    /// As long as it takes
    Fast,
    /// So that a person can follow: about a minute
    Normal,
}

impl Demo {
    /// Tells the story.
    pub async fn run(&self, signals: &Signals) -> Result<(), KlusterError> {
        let mut screen = Screen::new(self.speed);
        let dir = self.directory()?;
        let ended = self.tell(&dir, &mut screen, signals).await;
        self.leave(dir, &mut screen)?;
        ended
    }

    async fn tell(&self, dir: &Dir, screen: &mut Screen, signals: &Signals) -> Result<(), KlusterError> {
        let directory = Directory::open(dir.path())?;
        let place = Place {
            dir: dir.path().to_owned(),
            port: 0,
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            advertise: None,
            disk_faults: String::new(),
        };
        let ending = Ending::new(signals);
        let log = LogServer::open(&place, &directory).await?;
        let mut story = Story::new(&directory, &log, screen);
        let told = ending.unless_asked(story.tell()).await;
        ending.begins();
        story.end().await;
        told.and_then(|told| told.ok_or_else(before_its_end)).and(log.stop().await)
    }

    fn directory(&self) -> Result<Dir, KlusterError> {
        let Some(path) = &self.dir else {
            let made = tempfile::Builder::new().prefix("kluster-demo-").tempdir();
            return made.map(Dir::Temporary).map_err(|error| cannot_use(&std::env::temp_dir(), &error));
        };
        let used = std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
        match used {
            true => Err(KlusterError::OtherCluster(format!(
                "{} is not empty: the demo begins with a new cluster; choose another directory with --dir",
                path.display()
            ))),
            false => Ok(Dir::Given(path.clone())),
        }
    }

    /// Takes the files away, unless they are to stay.
    fn leave(&self, dir: Dir, screen: &mut Screen) -> Result<(), KlusterError> {
        let stays = match dir {
            Dir::Given(path) => Some(path),
            Dir::Temporary(made) if self.keep => Some(made.keep()),
            Dir::Temporary(made) => {
                let path = made.path().to_owned();
                made.close().map_err(|error| cannot_use(&path, &error))?;
                None
            }
        };
        screen.line(&match stays {
            Some(path) => format!("The cluster is kept: kluster up --dir {}", path.display()),
            None => "Nothing is left behind. A cluster to keep: kluster up".to_owned(),
        })?;
        Ok(())
    }
}

fn before_its_end() -> KlusterError {
    KlusterError::Interrupted("the story was ended before its end".to_owned())
}

/// Where the files lie.
enum Dir {
    Temporary(tempfile::TempDir),
    Given(PathBuf),
}

impl Dir {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(made) => made.path(),
            Self::Given(path) => path,
        }
    }
}
