//! One connection: requests in, answers out, in the same order.
//!
//! As with Kafka, a request is executed when those before it on its connection are answered. Only produce requests overtake that: one may
//! begin while others still wait for the disk, so that one flush serves them all. They are begun in order, so their records are too.
//!
//! Invariants
//! 1. Answers leave in the order of their requests, each in one write.
//! 2. At most one request is read ahead. Its memory is granted before, and given back with its answer.
//! 3. Nothing that a peer sends ends more than its own connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use kafka_protocol::messages::ApiKey;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, warn};

use crate::api::{self, Call, CallError, Peer, Reply};
use crate::broker::Shared;
use crate::fault::Effect;
use crate::frame::shape::SMALL_ELEMENTS;
use crate::frame::{Frame, FrameError, Frames, grant};

/// Produce requests of one connection that may wait for the disk together. Kafka's clients send at most 5 ahead unless told otherwise.
const MAX_TOGETHER: usize = 32;

/// Why a connection was closed by us.
#[derive(Debug, thiserror::Error)]
enum Closed {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("no byte of an answer was taken for {0:?}, or it was taken too slowly")]
    NotTaken(Duration),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("a fault rule says so")]
    Fault,
    #[error("a request that wants no answer failed")]
    Unanswered,
}

/// Serves one client until it goes, does wrong, or the broker stops.
pub(crate) async fn serve(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    match Connection::new(shared, stream, peer).run().await {
        Ok(()) => debug!(%peer, "connection ended"),
        Err(Closed::Io(reason)) => debug!(%peer, %reason, "connection lost"),
        Err(reason @ (Closed::Fault | Closed::Unanswered)) => debug!(%peer, %reason, "connection closed"),
        Err(reason) => warn!(%peer, %reason, "connection closed"),
    }
}

struct Connection {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    frames: Frames<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

/// A request that was read and may not begin yet.
struct Next {
    call: Call,
    frame: Frame,
}

/// What a request holds until its answer was taken.
struct Held {
    _memory: OwnedSemaphorePermit,
    /// Of a large request: its answer is as large.
    _turn: Option<OwnedSemaphorePermit>,
}

impl Connection {
    fn new(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr) -> Self {
        let (reader, writer) = stream.into_split();
        let settings = &shared.settings;
        let frames =
            Frames::new(reader, settings.max_frame_bytes, settings.patience(), Arc::clone(&shared.request_memory));
        Self { shared, peer: Arc::new(Peer::at(peer)), frames, writer }
    }

    async fn run(mut self) -> Result<(), Closed> {
        let mut under_way = FuturesOrdered::new();
        let mut only_produce = true;
        let mut next = None;
        loop {
            let together = only_produce && under_way.len() < MAX_TOGETHER;
            let may_begin = |next: &mut Next| under_way.is_empty() || (together && next.call.small_produce());
            if let Some(Next { call, frame }) = next.take_if(may_begin) {
                only_produce = call.small_produce();
                let turn = self.turn(&call).await;
                let effect = self.shared.faults().strike(call.key);
                self.suffer(effect).await?;
                under_way.push_back(begin(call, frame, effect, turn));
            }
            tokio::select! {
                biased;
                Some((reply, held)) = under_way.next() => {
                    self.reply(reply?).await?;
                    drop(held);
                }
                frame = self.frames.next(), if next.is_none() && !self.shared.stop.is_cancelled() => match frame? {
                    Some(frame) => next = Some(self.open(frame)?),
                    None => return Ok(()),
                },
                () = self.shared.stop.cancelled(), if next.is_none() && under_way.is_empty() => return Ok(()),
            }
        }
    }

    fn open(&self, mut frame: Frame) -> Result<Next, CallError> {
        let call = Call::open(&self.shared, &self.peer, &mut frame.bytes)?;
        Ok(Next { call, frame })
    }

    /// A large request waits for its turn. It begins alone on its connection, so what it waits for can't be waiting for it.
    async fn turn(&self, call: &Call) -> Option<OwnedSemaphorePermit> {
        if call.elements <= SMALL_ELEMENTS {
            return None;
        }
        Some(grant(&self.shared.large_elements, call.elements).await)
    }

    /// The faults that befall the connection before a request begins.
    async fn suffer(&mut self, effect: Option<Effect>) -> Result<(), Closed> {
        match effect {
            Some(Effect::Delay(time)) => sleep(time).await,
            Some(Effect::CloseBefore) => return Err(Closed::Fault),
            Some(Effect::Drop) => {
                // TCP loses no single answer. A peer sees a connection on which nothing is answered any more, until it gives up.
                self.frames.discard().await?;
                return Err(Closed::Fault);
            }
            _ => {}
        }
        Ok(())
    }

    async fn reply(&mut self, reply: Reply) -> Result<(), Closed> {
        match reply {
            Reply::Send { frame, memory } => {
                self.write(frame).await?;
                drop(memory);
                Ok(())
            }
            Reply::Nothing => Ok(()),
            Reply::Close => Err(Closed::Unanswered),
            Reply::Fault => Err(Closed::Fault),
        }
    }

    /// Writes an answer, in one write where the socket has room. The peer must go on taking it: it holds memory that others may wait for.
    async fn write(&mut self, mut frame: BytesMut) -> Result<(), Closed> {
        let (begun, patience) = (Instant::now(), self.shared.settings.patience());
        let until = patience.frame(frame.len());
        while frame.has_remaining() {
            let written = timeout_at(patience.byte(until), self.writer.write_buf(&mut frame)).await;
            if written.map_err(|_| Closed::NotTaken(begun.elapsed()))?? == 0 {
                return Err(io::Error::from(io::ErrorKind::WriteZero).into());
            }
        }
        self.frames.pardon(begun.elapsed());
        Ok(())
    }
}

impl Call {
    /// Whether it may begin while others like it wait for the disk.
    fn small_produce(&self) -> bool {
        self.key == ApiKey::Produce && self.elements <= SMALL_ELEMENTS
    }
}

async fn begin(
    call: Call,
    frame: Frame,
    effect: Option<Effect>,
    turn: Option<OwnedSemaphorePermit>,
) -> (Result<Reply, CallError>, Held) {
    let Frame { bytes, memory } = frame;
    let reply = match effect {
        Some(Effect::Reject(code)) => api::refuse(&call, bytes, code),
        Some(Effect::Duplicate) => match api::answer(&call, bytes.clone()).await {
            Ok(_) => api::answer(&call, bytes).await,
            refused => refused,
        },
        Some(Effect::CloseAfter) => api::answer(&call, bytes).await.map(|_| Reply::Fault),
        _ => api::answer(&call, bytes).await,
    };
    (reply, Held { _memory: memory, _turn: turn })
}
