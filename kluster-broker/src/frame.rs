//! A connection's bytes as frames: four bytes of length, then that many bytes. In: one request each, bounded in length, and in memory over
//! all connections. Out: one answer each.
//!
//! Invariants
//! 1. No buffer is made for a length that is over the bound, or before the memory for it is granted.
//! 2. [`Frames::next`] may be dropped at any await and called again: no byte is lost.
//! 3. A frame's bytes stay in the buffer that they were read into: its records reach the log as slices of it. Nothing else keeps a large one
//!    alive, so that the memory is free when the request is answered.
//! 4. A frame that has begun comes to its end at [`Patience`]'s rate, or the connection does.

pub(crate) mod head;
mod patience;
pub(crate) mod shape;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ResponseHeader;
use kafka_protocol::protocol::{Encodable, HeaderVersion};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

pub(crate) use patience::Patience;

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
    #[error("a request of {length} bytes came too slowly: {missing} of them are missing")]
    Slow { length: usize, missing: usize },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The requests of one connection.
pub(crate) struct Frames<R> {
    reader: R,
    buffer: BytesMut,
    begun: Option<Begun>,
    bound: usize,
    patience: Patience,
    memory: Arc<Semaphore>,
}

/// A frame whose length is known and whose memory is granted.
struct Begun {
    length: usize,
    memory: OwnedSemaphorePermit,
    until: Instant,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// Reads frames of at most `bound` bytes, which share `memory` (one permit is one byte).
    pub(crate) fn new(reader: R, bound: usize, patience: Patience, memory: Arc<Semaphore>) -> Self {
        Self { reader, buffer: BytesMut::new(), begun: None, bound, patience, memory }
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
        if self.begun.is_none() {
            let memory = grant(&self.memory, length).await;
            self.begun = Some(Begun { length, memory, until: self.patience.frame(length) });
        }
        let whole = LENGTH_BYTES + length;
        while self.buffer.len() < whole {
            let missing = whole - self.buffer.len();
            self.buffer.reserve(missing);
            if self.read(true).await? == 0 {
                return Err(FrameError::CutOff { missing });
            }
        }
        let mut bytes = self.take(whole);
        bytes.advance(LENGTH_BYTES);
        Ok(self.begun.take().map(|Begun { memory, .. }| Frame { bytes, memory }))
    }

    /// The first bytes of the buffer. What came behind a large frame is moved to a buffer of its own, which would otherwise keep the frame's.
    fn take(&mut self, bytes: usize) -> Bytes {
        if self.buffer.capacity() <= SMALL_READ {
            return self.buffer.split_to(bytes).freeze();
        }
        let behind = BytesMut::from(&self.buffer[bytes..]);
        let mut taken = std::mem::replace(&mut self.buffer, behind);
        taken.truncate(bytes);
        taken.freeze()
    }

    /// The peer may take so much longer over the frame that it has begun: so long the broker did not read.
    pub(crate) fn pardon(&mut self, time: Duration) {
        if let Some(begun) = &mut self.begun {
            begun.until += time;
        }
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
        let Self { reader, buffer, patience, begun, .. } = self;
        let had = buffer.len();
        let read = reader.read_buf(buffer);
        if !within_frame {
            return Ok(read.await?);
        }
        let by = begun.as_ref().map_or_else(|| patience.frame(0), |begun| patience.byte(begun.until));
        match timeout_at(by, read).await {
            Ok(read) => Ok(read?),
            Err(_) => Err(match begun {
                Some(Begun { length, until, .. }) if by == *until => {
                    FrameError::Slow { length: *length, missing: LENGTH_BYTES + *length - had }
                }
                _ => FrameError::Stalled(patience.stall),
            }),
        }
    }
}

/// Waits for `bytes` of `memory`, of which there are `all`; more than that takes all of it. So each is granted some day, and at most one at a
/// time is larger than the bound.
pub(crate) async fn grant_of(memory: &Arc<Semaphore>, all: usize, bytes: usize) -> OwnedSemaphorePermit {
    grant(memory, bytes.min(all)).await
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

#[cfg(test)]
mod tests {
    use super::*;

    fn frames<R: AsyncRead + Unpin>(reader: R) -> Frames<R> {
        let patience = Patience { stall: Duration::from_secs(1), bytes_per_second: 1_000_000 };
        Frames::new(reader, 10_000_000, patience, Arc::new(Semaphore::new(10_000_000)))
    }

    fn sent(sizes: &[usize]) -> Vec<u8> {
        let frame = |size: &usize| [&u32::try_from(*size).unwrap().to_be_bytes()[..], &vec![7; *size]].concat();
        sizes.iter().flat_map(frame).collect()
    }

    #[tokio::test]
    async fn nothing_keeps_a_large_frame_but_its_reader() {
        let sent = sent(&[100, 1_000_000, 10, 9_000, 0, 2_000_000]);
        let mut frames = frames(&sent[..]);
        for size in [100, 1_000_000, 10, 9_000, 0, 2_000_000] {
            let frame = frames.next().await.unwrap().unwrap();
            assert_eq!(frame.bytes, vec![7; size]);
            assert!(size <= SMALL_READ || frame.bytes.is_unique(), "{size}: its buffer outlives it");
        }
        assert!(frames.next().await.unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_has_time_for_its_bytes_and_no_more() {
        let (mut peer, broker) = tokio::io::duplex(100);
        let mut frames = frames(broker);
        let sending = async {
            use tokio::io::AsyncWriteExt;
            peer.write_all(&5_000_000_u32.to_be_bytes()).await.unwrap();
            loop {
                tokio::time::sleep(Duration::from_millis(900)).await;
                if peer.write_all(b"x").await.is_err() {
                    return;
                }
            }
        };
        let begun = Instant::now();
        let reading = async {
            let slow = frames.next().await.unwrap_err();
            assert!(matches!(slow, FrameError::Slow { length: 5_000_000, missing: 4_999_994 }), "{slow}");
            drop(frames);
        };
        tokio::join!(sending, reading);
        let seconds = begun.elapsed().as_secs_f64();
        assert!((6.0..8.0).contains(&seconds), "a second, and five for the bytes: {seconds}");
    }
}
