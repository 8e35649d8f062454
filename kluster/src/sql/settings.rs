//! Settings: how statements are asked and how results are shown. Flags give the first values, the prompt's commands change them.

use clap::ValueEnum;
use kluster_client::{Ack, Level};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How statements are asked and how results are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What a read must have seen.
    pub read: ReadLevel,
    /// Whose answer a write waits for.
    pub ack: AckLevel,
    /// The form of rows.
    pub form: Form,
    /// Tables one column a line.
    pub expanded: bool,
    /// How long each statement took, where and by whom it was done.
    pub timing: bool,
    /// How long a statement is waited for.
    pub timeout: Duration,
}

/// What a read must have seen. From weak and fast to strong and dear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ReadLevel {
    /// One node, as far as it has come
    Eventual,
    /// One node that has come as far as this session has seen: it reads its own writes
    #[default]
    Session,
    /// One node that has applied every write acknowledged anywhere before
    Strong,
    /// Through the log like a write, executed by every node at the same place in the order
    Ordered,
}

/// Whose answer a write waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AckLevel {
    /// The first voter's.
    First,
    /// Equal answers of more than half of the voters.
    #[default]
    Quorum,
    /// Equal answers of all voters.
    All,
    /// Nobody's: durable and ordered in the log is enough.
    Logged,
    /// Equal answers of this many voters.
    Nodes(u32),
}

/// The form of rows on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Form {
    /// For people
    #[default]
    Table,
    /// One document for each statement, one a line
    Json,
    /// RFC 4180 with a header
    Csv,
}

impl ReadLevel {
    /// The client's level; `ordered` waits for as many as `ack` says.
    pub fn level(self, ack: AckLevel) -> Level {
        match self {
            Self::Eventual => Level::Eventual,
            Self::Session => Level::Session,
            Self::Strong => Level::Strong,
            Self::Ordered => Level::Ordered(ack.ack().unwrap_or(Ack::First)),
        }
    }
}

impl AckLevel {
    /// How many answers are awaited; None: none.
    pub fn ack(self) -> Option<Ack> {
        match self {
            Self::First => Some(Ack::First),
            Self::Quorum => Some(Ack::Quorum),
            Self::All => Some(Ack::All),
            Self::Nodes(count) => Some(Ack::Nodes(count)),
            Self::Logged => None,
        }
    }
}

impl FromStr for AckLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "first" => Ok(Self::First),
            "quorum" => Ok(Self::Quorum),
            "all" => Ok(Self::All),
            "logged" => Ok(Self::Logged),
            number => match number.parse() {
                Ok(count) if count > 0 => Ok(Self::Nodes(count)),
                _ => Err(format!("{text:?} is none of first, quorum, all, logged, or a number of nodes")),
            },
        }
    }
}

impl fmt::Display for AckLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("first"),
            Self::Quorum => f.write_str("quorum"),
            Self::All => f.write_str("all"),
            Self::Logged => f.write_str("logged"),
            Self::Nodes(count) => write!(f, "{count}"),
        }
    }
}

impl fmt::Display for ReadLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_value(self, f)
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_value(self, f)
    }
}

fn write_value(value: &impl ValueEnum, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    value.to_possible_value().map_or(Ok(()), |value| f.write_str(value.get_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_read_as_they_are_written() {
        for text in ["first", "quorum", "all", "logged", "2"] {
            assert_eq!(text.parse::<AckLevel>().unwrap().to_string(), text);
        }
        for text in ["0", "-1", "most", ""] {
            assert!(text.parse::<AckLevel>().unwrap_err().contains("none of first, quorum, all, logged"), "{text}");
        }
        for level in ReadLevel::value_variants() {
            assert_eq!(ReadLevel::from_str(&level.to_string(), false).unwrap(), *level);
        }
    }

    #[test]
    fn an_ordered_read_waits_for_as_many_as_writes_do() {
        assert_eq!(ReadLevel::Ordered.level(AckLevel::All), Level::Ordered(Ack::All));
        assert_eq!(ReadLevel::Ordered.level(AckLevel::Logged), Level::Ordered(Ack::First), "rows need an answer");
        assert_eq!(ReadLevel::Strong.level(AckLevel::All), Level::Strong);
    }
}
