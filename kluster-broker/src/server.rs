//! The listening socket: accepts, bounds the number of connections, gives each a task.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::broker::Shared;
use crate::connection;

/// A peer that is gone without a word, by loss of power or network, is found after this long and gives its place back.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// After a failed accept (for want of file descriptors, say) the next try waits this long: a failure does not go away by asking at once.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Accepts until the broker stops. Each connection is a task of `tasks`, and ends at once when it is cut.
pub(crate) async fn accept(shared: Arc<Shared>, listener: TcpListener, tasks: TaskTracker, cut: CancellationToken) {
    let places = Arc::new(Semaphore::new(shared.settings.max_connections));
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            () = cut.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                if let Some(place) = admit(&shared, &places, &stream, peer) {
                    let serve = connection::serve(Arc::clone(&shared), stream, peer);
                    let cut = cut.clone();
                    tasks.spawn(async move {
                        tokio::select! {
                            () = serve => {}
                            () = cut.cancelled() => {}
                        }
                        drop(place);
                    });
                }
            }
            Err(reason) => {
                warn!(%reason, "can't accept a connection");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// A place among the connections, if there is one.
fn admit(
    shared: &Shared,
    places: &Arc<Semaphore>,
    stream: &TcpStream,
    peer: SocketAddr,
) -> Option<OwnedSemaphorePermit> {
    let Ok(place) = Arc::clone(places).try_acquire_owned() else {
        let bound = shared.settings.max_connections;
        warn!(%peer, bound, "connection refused: as many as max_connections allows are open");
        return None;
    };
    match prepare(stream) {
        Ok(()) => Some(place),
        Err(reason) => {
            warn!(%peer, %reason, "connection lost");
            None
        }
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))
}
