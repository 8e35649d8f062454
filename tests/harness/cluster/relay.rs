//! A relay before a server: connections go through it unchanged, until a client says what is to be held back. That, and all that the
//! connection says behind it, reaches the server when the test lets go.

use super::PATIENCE;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// See the module. Dropped, it ends with its connections.
pub struct Relay {
    port: u16,
    state: watch::Sender<State>,
    _accepting: JoinSet<()>,
}

#[derive(Debug, Default)]
struct State {
    holds: bool,
    let_go: bool,
}

impl Relay {
    /// A relay before the server at this port of this machine that holds back `text` and what follows it.
    pub async fn holding_back(server: u16, text: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port can be had");
        let port = listener.local_addr().expect("it has a port").port();
        let state = watch::Sender::new(State::default());
        let shared = state.clone();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(relay(client, server, text, shared.clone()));
            }
        });
        Self { port, state, _accepting: accepting }
    }

    /// Where it listens, on this machine.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until it holds something back.
    pub async fn holds(&self) {
        let mut state = self.state.subscribe();
        let holds = tokio::time::timeout(PATIENCE, state.wait_for(|state| state.holds)).await;
        holds.expect("nothing came that is to be held back").expect("the sender lives");
    }

    /// From now on everything goes through.
    pub fn lets_go(&self) {
        self.state.send_modify(|state| state.let_go = true);
    }
}

async fn relay(client: TcpStream, server: u16, text: &str, state: watch::Sender<State>) {
    let server = TcpStream::connect(("127.0.0.1", server)).await.expect("the server listens");
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    // Either side may be gone at any time, which ends that direction.
    let answers = async {
        let _ = copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::join!(pass(from_client, to_server, text.as_bytes(), &state), answers);
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, text: &[u8], state: &watch::Sender<State>) {
    let mut chunk = vec![0; 64 * 1024];
    let mut before = Vec::new();
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        // The text may have come in two parts; then a first part that means nothing by itself has gone through.
        before.extend_from_slice(&chunk[..length]);
        if before.windows(text.len()).any(|window| window == text) {
            state.send_modify(|state| state.holds = true);
            let _ = state.subscribe().wait_for(|state| state.let_go).await;
        }
        before.drain(..before.len().saturating_sub(text.len() - 1));
        if to.write_all(&chunk[..length]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}
