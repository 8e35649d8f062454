//! Names that cannot be mistaken for each other: of messages, clients, nodes and databases.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The name as given.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.to_owned())
            }
        }
    };
}

name! {
    /// Names one request for ever: made by the client, repeated on every retry. Responses repeat it as `requestId`.
    MessageId
}
name! {
    /// Names the sender of requests. With the [`MessageId`] it is the key under which a request takes effect once.
    ClientId
}
name! {
    /// Names one node of a cluster; it outlives the process.
    NodeId
}

impl MessageId {
    /// A new id: UUIDv7 (RFC 9562 §5.7), so that ids of one client sort by time.
    pub fn fresh() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }
}

/// Names a database of the cluster: one independent log with its own nodes. `[a-z0-9-]{1,60}`, so that no two collide in Kafka, where `.`
/// and `_` are one character in metric names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct DatabaseName(String);

/// A database name that breaks the rule of [`DatabaseName`].
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("{0:?} is no name for a database: use 1 to 60 of the characters a-z, 0-9 and -")]
pub struct BadDatabaseName(String);

impl DatabaseName {
    /// The name of the default database, whose topics carry no prefix of their own.
    pub const MAIN: &'static str = "main";

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for DatabaseName {
    fn default() -> Self {
        Self(Self::MAIN.to_owned())
    }
}

impl std::str::FromStr for DatabaseName {
    type Err = BadDatabaseName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        match (1..=60).contains(&name.len()) && name.chars().all(allowed) {
            true => Ok(Self(name.to_owned())),
            false => Err(BadDatabaseName(name.to_owned())),
        }
    }
}

impl<'de> Deserialize<'de> for DatabaseName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_names_are_checked() {
        assert_eq!("shop-1".parse::<DatabaseName>().unwrap().as_str(), "shop-1");
        for bad in ["", "Shop", "a.b", "a_b", "ä", &"x".repeat(61)] {
            assert!(bad.parse::<DatabaseName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn fresh_message_ids_sort_by_time() {
        let (first, second) = (MessageId::fresh(), MessageId::fresh());
        assert!(first < second);
    }
}
