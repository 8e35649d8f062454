//! A connection's bytes as frames: four bytes of length, then that many bytes. In: one request each, bounded in length, and in memory over
//! all connections. Out: one answer each.
//!
//! Invariants
//! 1. No buffer is made for a length that is over the bound, or before the memory for it is granted.
//! 2. [`Frames::next`] may be dropped at any await and called again: no byte is lost.
//! 3. A frame's bytes are never copied; its records reach the log as slices of the buffer that they were read into.

pub(crate) mod head;
pub(crate) mod shape;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ResponseHeader;
use kafka_protocol::protocol::{Encodable, HeaderVersion};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Bytes of the length before each frame.
const LENGTH_BYTES: usize = 4;
/// Room for what an idle connection sends next; larger frames get a buffer of their own size.
const SMALL_READ: usize = 8 * 1024;

/// One request as it came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Bytes,
    /// Given back when the request is answered.
    pub(crate) memory: OwnedSemaphorePermit,
}

/// Why no further frame can be read from a connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error(
        "a request of {length} bytes is over the bound of {bound} bytes (max_frame_bytes), or none of Kafka's (TLS, HTTP)"
    )]
    TooLong { length: u32, bound: usize },
    #[error("the connection ended within a request, {missing} bytes before its end")]
    CutOff { missing: usize },
    #[error("no byte of a half-sent request came for {0:?}")]
    Stalled(Duration),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The requests of one connection.
pub(crate) struct Frames<R> {
    reader: R,
    buffer: BytesMut,
    granted: Option<OwnedSemaphorePermit>,
    bound: usize,
    stall: Duration,
    memory: Arc<Semaphore>,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// Reads frames of at most `bound` bytes, which share `memory` (one permit is one byte).
    pub(crate) fn new(reader: R, bound: usize, stall: Duration, memory: Arc<Semaphore>) -> Self {
        Self { reader, buffer: BytesMut::new(), granted: None, bound, stall, memory }
    }

    /// The next frame; `None` when the peer closed the connection between two frames.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        while self.buffer.len() < LENGTH_BYTES {
            self.buffer.reserve(SMALL_READ);
            let partial = !self.buffer.is_empty();
            if self.read(partial).await? == 0 {
                let missing = LENGTH_BYTES - self.buffer.len();
                return if partial { Err(FrameError::CutOff { missing }) } else { Ok(None) };
            }
        }
        let length = self.length()?;
        if self.granted.is_none() {
            self.granted = Some(grant(&self.memory, length).await);
        }
        let whole = LENGTH_BYTES + length;
        while self.buffer.len() < whole {
            let missing = whole - self.buffer.len();
            self.buffer.reserve(missing);
            if self.read(true).await? == 0 {
                return Err(FrameError::CutOff { missing });
            }
        }
        let mut bytes = self.buffer.split_to(whole).freeze();
        bytes.advance(LENGTH_BYTES);
        Ok(self.granted.take().map(|memory| Frame { bytes, memory }))
    }

    /// Reads and forgets until the peer closes.
    pub(crate) async fn discard(&mut self) -> io::Result<()> {
        loop {
            self.buffer.clear();
            self.buffer.reserve(SMALL_READ);
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                return Ok(());
            }
        }
    }

    /// The length that the buffer begins with. A negative one is a very long one here.
    fn length(&self) -> Result<usize, FrameError> {
        let length = self.buffer.as_ref().get_u32();
        usize::try_from(length)
            .ok()
            .filter(|fits| *fits <= self.bound)
            .ok_or(FrameError::TooLong { length, bound: self.bound })
    }

    /// Reads what is there. Within a frame the peer must go on sending: it holds memory that others may wait for.
    async fn read(&mut self, within_frame: bool) -> Result<usize, FrameError> {
        let read = self.reader.read_buf(&mut self.buffer);
        if !within_frame {
            return Ok(read.await?);
        }
        timeout(self.stall, read).await.map_err(|_| FrameError::Stalled(self.stall))?.map_err(FrameError::from)
    }
}

/// Waits for `bytes` of `memory`, which is never closed.
pub(crate) async fn grant(memory: &Arc<Semaphore>, bytes: usize) -> OwnedSemaphorePermit {
    let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
    let granted = Arc::clone(memory).acquire_many_owned(permits).await;
    granted.expect("the memory of a broker outlives its connections and is never closed")
}

/// An answer as one frame, ready to be written at once.
///
/// # Errors
/// When the message holds a field that its version can't carry, in the codec's words: an error in this crate.
pub(crate) fn encode<R: Encodable + HeaderVersion>(
    correlation_id: i32,
    version: i16,
    response: &R,
) -> Result<BytesMut, String> {
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    let header_version = R::header_version(version);
    let size = header.compute_size(header_version).and_then(|head| Ok(head + response.compute_size(version)?));
    let size = size.map_err(|reason| reason.to_string())?;
    let length = u32::try_from(size).map_err(|_| format!("{size} bytes do not fit a frame"))?;
    let mut frame = BytesMut::with_capacity(LENGTH_BYTES + size);
    frame.put_u32(length);
    header
        .encode(&mut frame, header_version)
        .and_then(|()| response.encode(&mut frame, version))
        .map_err(|reason| reason.to_string())?;
    Ok(frame)
}
