//! What runs a server: a process here, a container, or somebody else. The same disturbances for all.

use std::path::PathBuf;

use crate::docker::Container;
use crate::error::ServerError;
use crate::local::LocalServer;

#[derive(Debug)]
pub(crate) enum Engine {
    Local(Box<LocalServer>),
    Docker(Box<Container>),
    /// Runs already; its address, for messages.
    External(String),
}

impl Engine {
    pub(crate) async fn kill9(&self) -> Result<(), ServerError> {
        match self {
            Self::Local(server) => server.kill9().await,
            Self::Docker(container) => container.kill9().await,
            Self::External(address) => Err(not_ours(address)),
        }
    }

    pub(crate) async fn end(&self) -> Result<(), ServerError> {
        match self {
            Self::Local(server) => server.end().await,
            Self::Docker(container) => container.end().await,
            Self::External(address) => Err(not_ours(address)),
        }
    }

    pub(crate) async fn restart(&self) -> Result<(), ServerError> {
        match self {
            Self::Local(server) => server.restart().await,
            Self::Docker(container) => container.restart().await,
            Self::External(address) => Err(not_ours(address)),
        }
    }

    pub(crate) async fn stop(&self) -> Result<(), ServerError> {
        match self {
            Self::Local(server) => {
                server.stop().await;
                Ok(())
            }
            Self::Docker(container) => container.pause().await,
            Self::External(address) => Err(not_ours(address)),
        }
    }

    pub(crate) async fn cont(&self) -> Result<(), ServerError> {
        match self {
            Self::Local(server) => {
                server.cont().await;
                Ok(())
            }
            Self::Docker(container) => container.unpause().await,
            Self::External(address) => Err(not_ours(address)),
        }
    }

    pub(crate) async fn id(&self) -> Option<u32> {
        match self {
            Self::Local(server) => server.id().await,
            Self::Docker(_) | Self::External(_) => None,
        }
    }

    pub(crate) fn log(&self) -> Option<PathBuf> {
        match self {
            Self::Local(server) => Some(server.log()),
            Self::Docker(_) | Self::External(_) => None,
        }
    }
}

/// What a test may do to a server, whatever runs it: the methods of each kind, over its field `engine`.
macro_rules! disturbed {
    ($server:ident) => {
        impl $server {
            /// Kills it with all its sessions, without warning. What it acknowledged stays (the machine does not crash). An error when it is not ours.
            pub async fn kill9(&self) -> Result<(), $crate::error::ServerError> {
                self.engine.kill9().await
            }

            /// Ends it as its administrator does: its sessions are told, and what it holds is written. `restart` starts it again.
            pub async fn end(&self) -> Result<(), $crate::error::ServerError> {
                self.engine.end().await
            }

            /// Starts it again at the same address with the same data, killing it first if it runs; it has recovered when this returns. A killed
            /// Kafka is back in about 3 s: the controller lets a broker in again only when its old session has ended (2 s).
            pub async fn restart(&self) -> Result<(), $crate::error::ServerError> {
                self.engine.restart().await
            }

            /// Stops it with all its sessions where they are (SIGSTOP): connections stay open, nothing answers.
            pub async fn stop(&self) -> Result<(), $crate::error::ServerError> {
                self.engine.stop().await
            }

            /// Lets it go on (SIGCONT).
            pub async fn cont(&self) -> Result<(), $crate::error::ServerError> {
                self.engine.cont().await
            }

            /// Its process id (not a session's), while it runs as a process of this machine.
            pub async fn id(&self) -> Option<u32> {
                self.engine.id().await
            }

            /// Its log file, when it runs as a process of this machine.
            pub fn log(&self) -> Option<std::path::PathBuf> {
                self.engine.log()
            }
        }
    };
}
pub(crate) use disturbed;

/// What a server of databases does for each test: a macro, because their `sql` and `url` are their own.
macro_rules! databases {
    ($server:ident) => {
        impl $server {
            /// Starts a private server with the default options.
            pub async fn start() -> Result<Self, $crate::error::ServerError> {
                Self::start_with(Default::default()).await
            }

            /// The port on 127.0.0.1; the same after a restart.
            pub fn port(&self) -> u16 {
                self.port
            }

            /// Makes an empty database whose name begins with `prefix` and that no other test has; its name is the answer.
            pub async fn new_database(&self, prefix: &str) -> Result<String, $crate::error::ServerError> {
                let database = $crate::name::unique(prefix);
                self.create_database(&database).await?;
                Ok(database)
            }
        }
    };
}
pub(crate) use databases;

fn not_ours(address: &str) -> ServerError {
    ServerError::NotOurs(format!(
        "the server at {address} was given from outside: a test that disturbs its server starts its own (…Server::start)"
    ))
}
