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

fn not_ours(address: &str) -> ServerError {
    ServerError::NotOurs(format!(
        "the server at {address} was given from outside: a test that disturbs its server starts its own (…Server::start)"
    ))
}
