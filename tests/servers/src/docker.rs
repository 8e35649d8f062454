//! Servers as containers: the same images for everyone, where a Docker engine runs.
//!
//! All calls go through one runtime of this module, because a test's own runtime ends with the test while a shared server stays,
//! and the connection to the engine would die with it.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use testcontainers::core::{ContainerPort, IntoContainerPort};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt, TestcontainersError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::error::{ServerError, tail};
use crate::home;
use crate::parting::Parting;
use crate::port;

const READY_WITHIN: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);

/// How one sees that a container's server answers.
#[derive(Debug, Clone)]
pub(crate) enum Answers {
    /// A Kafka broker at this address answers the first request of every client.
    Kafka(SocketAddr),
    /// This command succeeds inside the container.
    Command(Vec<String>),
}

/// A container with one server; removed when dropped, and when the test process ends.
#[derive(Debug)]
pub(crate) struct Container {
    server: &'static str,
    inner: Option<Arc<ContainerAsync<GenericImage>>>,
    answers: Answers,
    paused: watch::Sender<bool>,
    /// What no destructor of a static does.
    _remover: Parting,
}

impl Container {
    /// Starts an image, its port mapped to a free one here that stays over restarts; `request` gets that port.
    pub(crate) async fn start<F>(
        server: &'static str,
        port_inside: u16,
        answers: F,
        image: GenericImage,
        set: Settings,
    ) -> Result<(Self, u16), ServerError>
    where
        F: FnOnce(u16) -> Answers,
    {
        let port = port::free(1)?;
        let mut request: ContainerRequest<GenericImage> = image
            .with_exposed_port(ContainerPort::Tcp(port_inside))
            .with_mapped_port(port, port_inside.tcp())
            .with_startup_timeout(READY_WITHIN)
            .with_cmd(set.arguments);
        for (name, value) in set.environment {
            request = request.with_env_var(name, value.replace("{port}", &port.to_string()));
        }
        let container = on_runtime(async move { request.start().await }).await?;
        let remover = Parting::command(&format!("docker rm -f -v {}", container.id()))?;
        let (inner, answers) = (Some(Arc::new(container)), answers(port));
        let container = Self { server, inner, answers, paused: watch::Sender::new(false), _remover: remover };
        container.answering().await?;
        Ok((container, port))
    }

    /// Kills the server without warning; its files stay.
    pub(crate) async fn kill9(&self) -> Result<(), ServerError> {
        // Not `stop` without a grace period: that would send the signal of an orderly end first.
        let mut kill = Command::new("docker");
        kill.args(["kill", "--signal", "KILL", self.inner()?.id()]);
        self.paused.send_replace(false);
        home::run_with_input(&mut kill, "").await.map(|_| ())
    }

    /// Ends the server in order, by the signal that its image names; its files stay.
    pub(crate) async fn end(&self) -> Result<(), ServerError> {
        let mut stop = Command::new("docker");
        stop.args(["stop", self.inner()?.id()]);
        home::run_with_input(&mut stop, "").await.map(|_| ())
    }

    pub(crate) async fn restart(&self) -> Result<(), ServerError> {
        let container = self.inner()?;
        if self.is_running().await? {
            self.kill9().await?;
        }
        on_runtime(async move { container.start().await }).await?;
        self.answering().await
    }

    pub(crate) async fn pause(&self) -> Result<(), ServerError> {
        let container = self.inner()?;
        on_runtime(async move { container.pause().await }).await?;
        self.paused.send_replace(true);
        Ok(())
    }

    pub(crate) async fn unpause(&self) -> Result<(), ServerError> {
        let container = self.inner()?;
        on_runtime(async move { container.unpause().await }).await?;
        self.paused.send_replace(false);
        Ok(())
    }

    /// Runs a command inside, with text on its stdin; its output, or an error with what it complained about. While the container is paused
    /// it waits, as a client of a stopped server does: the engine runs nothing in a paused container.
    pub(crate) async fn exec(&self, command: &[String], input: &str) -> Result<String, ServerError> {
        // The sender is our own, so the wait cannot fail.
        let _ = self.paused.subscribe().wait_for(|paused| !paused).await;
        let mut run = Command::new("docker");
        run.args(["exec", "--interactive", self.inner()?.id()]).args(command);
        home::run_with_input(&mut run, input).await
    }

    async fn answering(&self) -> Result<(), ServerError> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let answered = match &self.answers {
                Answers::Kafka(address) => kafka_answers(*address).await.is_ok(),
                Answers::Command(command) => self.exec(command, "").await.is_ok(),
            };
            if answered {
                return Ok(());
            }
            if !self.is_running().await? {
                return Err(self.not_ready("it ended".to_owned()).await?);
            }
            if Instant::now() > deadline {
                return Err(self.not_ready(format!("no answer within {READY_WITHIN:?}")).await?);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn is_running(&self) -> Result<bool, ServerError> {
        let container = self.inner()?;
        on_runtime(async move { container.is_running().await }).await
    }

    async fn not_ready(&self, why: String) -> Result<ServerError, ServerError> {
        let container = self.inner()?;
        let log = format!("container {}", container.id());
        let said =
            on_runtime(
                async move { Ok([container.stdout_to_vec().await?, container.stderr_to_vec().await?].concat()) },
            );
        let tail = tail(&String::from_utf8_lossy(&said.await?));
        Ok(ServerError::NotReady { server: self.server, why, log, tail })
    }

    fn inner(&self) -> Result<Arc<ContainerAsync<GenericImage>>, ServerError> {
        self.inner.clone().ok_or_else(|| ServerError::Docker("the container was removed".to_owned()))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let (Some(container), Ok(runtime)) = (self.inner.take(), runtime()) else {
            return;
        };
        // On a thread of its own: a drop may happen inside another runtime, which must not block on this one.
        let removal = std::thread::spawn(move || {
            let _inside = runtime.enter();
            drop(container);
        });
        let _ = removal.join();
    }
}

/// Command line and environment of a container; `{port}` in a value becomes the port on this machine.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
}

/// The image that `variable` names as `name:tag`, else `default`.
pub(crate) fn image(variable: &str, default: &str) -> GenericImage {
    let named = std::env::var(variable).ok().filter(|name| !name.is_empty()).unwrap_or_else(|| default.to_owned());
    // A registry's port has a colon too, but what follows it has a slash.
    match named.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => GenericImage::new(name, tag),
        _ => GenericImage::new(named.as_str(), "latest"),
    }
}

fn runtime() -> Result<&'static Runtime, ServerError> {
    static RUNTIME: LazyLock<std::io::Result<Runtime>> =
        LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build());
    RUNTIME.as_ref().map_err(|error| ServerError::Docker(format!("starting a runtime: {error}")))
}

async fn on_runtime<T, F>(work: F) -> Result<T, ServerError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, TestcontainersError>> + Send + 'static,
{
    let done = runtime()?.spawn(work).await.map_err(|error| ServerError::Docker(error.to_string()))?;
    done.map_err(|error| ServerError::Docker(error.to_string()))
}

/// Asks for the broker's API versions (key 18, version 0, no client id), as every client does first; any whole answer will do.
async fn kafka_answers(address: SocketAddr) -> std::io::Result<()> {
    const REQUEST: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
    let ask = async {
        let mut broker = TcpStream::connect(address).await?;
        broker.write_all(&REQUEST).await?;
        let length = broker.read_i32().await?;
        let correlation = broker.read_i32().await?;
        if length > 4 && correlation == 1 { Ok(()) } else { Err(std::io::ErrorKind::InvalidData.into()) }
    };
    tokio::time::timeout(Duration::from_secs(2), ask).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}
