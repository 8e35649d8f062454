//! A server of this machine: its process may be killed, stopped and started again; its directory and port stay.

use tokio::sync::Mutex;

use crate::error::ServerError;
use crate::home;
use crate::port;
use crate::process::{Launch, Process};

const STARTS: usize = 4;
/// In the log of each of the three servers when another process was faster.
const PORT_TAKEN: &str = "Address already in use";

/// A server and, unless it was killed, its process.
#[derive(Debug)]
pub(crate) struct LocalServer {
    launch: Launch,
    process: Mutex<Option<Process>>,
}

impl LocalServer {
    /// Starts a server that needs `ports` free ports in a row; `launch` prepares a new directory for the first of them.
    pub(crate) async fn start<F>(ports: u16, launch: F) -> Result<(Self, u16), ServerError>
    where
        F: AsyncFn(u16) -> Result<Launch, ServerError>,
    {
        let mut tried = 0;
        loop {
            let port = port::free(ports)?;
            tried += 1;
            match Self::launched(launch(port).await?).await {
                Err(ServerError::NotReady { tail, .. }) if tail.contains(PORT_TAKEN) && tried < STARTS => {}
                Err(error) => return Err(error),
                Ok(server) => return Ok((server, port)),
            }
        }
    }

    async fn launched(launch: Launch) -> Result<Self, ServerError> {
        let process = Process::spawn(&launch)?;
        process.ready().await?;
        Ok(Self { launch, process: Mutex::new(Some(process)) })
    }

    pub(crate) async fn kill9(&self) -> Result<(), ServerError> {
        match self.process.lock().await.take() {
            Some(process) => process.kill9().await,
            None => Ok(()),
        }
    }

    pub(crate) async fn end(&self) -> Result<(), ServerError> {
        match self.process.lock().await.take() {
            Some(process) => process.end().await,
            None => Ok(()),
        }
    }

    /// Starts the server again where it was, after killing it if it runs.
    pub(crate) async fn restart(&self) -> Result<(), ServerError> {
        let mut process = self.process.lock().await;
        if let Some(running) = process.take() {
            running.kill9().await?;
        }
        let started = process.insert(Process::spawn(&self.launch)?);
        started.ready().await
    }

    pub(crate) async fn stop(&self) {
        if let Some(process) = self.process.lock().await.as_ref() {
            process.stop();
        }
    }

    pub(crate) async fn cont(&self) {
        if let Some(process) = self.process.lock().await.as_ref() {
            process.cont();
        }
    }

    /// The process id, while there is one.
    pub(crate) async fn id(&self) -> Option<u32> {
        self.process.lock().await.as_ref().filter(|process| process.is_running()).map(Process::id)
    }

    /// Where the server's output is.
    pub(crate) fn log(&self) -> std::path::PathBuf {
        self.launch.log()
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        // With a process, its watchdog removes the files; a server that was killed has none any more.
        if self.process.get_mut().is_none() && !home::kept() {
            let _ = std::fs::remove_dir_all(&self.launch.home);
        }
    }
}
