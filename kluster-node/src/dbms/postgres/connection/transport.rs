//! The socket with its two buffers: bytes to messages and back.
//!
//! Neighbours: `handshake`, `pipeline` and `script` put messages into [`Transport::outgoing`] and take the answers with
//! [`Transport::receive`].
//! Invariants: nothing is written before somebody waits for an answer, so a pipeline leaves in one flush; while writing, answers are
//! read as well, so that neither side can block the other with full buffers; `receive` may be dropped at any time and called again.

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use postgres_protocol::message::backend::{COPY_DATA_TAG, DATA_ROW_TAG, Header, Message};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::super::address::{Address, Host};
use super::super::error::Error;

/// Room made for one read of the socket.
const READ_CHUNK: usize = 64 * 1024;
/// A read is worth its system call with at least this much room.
const READ_MINIMUM: usize = 8 * 1024;
/// A buffer that held more than this is given back once it is empty.
const KEPT_CAPACITY: usize = 1024 * 1024;
/// PostgreSQL builds no message above MaxAllocSize (1 GiB); a longer one means that we lost our place in the stream.
const LONGEST_MESSAGE: usize = 1024 * 1024 * 1024;
/// A server that vanished without a word (a machine switched off) is noticed after 90 s, however long its statement may take.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(10)).with_retries(3);
/// Tag and length.
const HEADER: usize = 5;
/// CopyBothResponse, which the library does not know: a stream of changes begins.
const COPY_BOTH_TAG: u8 = b'W';

/// One message from the server.
pub(super) enum Incoming {
    Message(Message),
    /// A row above the limit: its bytes were thrown away as they came.
    OversizedRow {
        bytes: usize,
    },
    /// The server streams from now on.
    CopyBoth,
}

/// A row that is being thrown away.
struct Discard {
    total: usize,
    left: usize,
}

/// The socket of one session.
pub(super) struct Transport {
    reader: Box<dyn AsyncRead + Send + Sync + Unpin>,
    writer: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    incoming: BytesMut,
    /// Messages to be sent; `postgres_protocol::message::frontend` appends to it.
    pub(super) outgoing: BytesMut,
    largest_incoming: usize,
    largest_outgoing: usize,
    discard: Option<Discard>,
    /// Held back until the server's last words have been read.
    write_error: Option<io::Error>,
    /// Rows above this many bytes are thrown away.
    pub(super) row_limit: usize,
}

impl Transport {
    /// Opens the socket; no byte is sent yet.
    pub(super) async fn open(address: &Address, row_limit: usize) -> Result<Self, Error> {
        let unreachable = |source| Error::Unreachable { place: address.place(), source };
        match &address.host {
            Host::Tcp(host) => {
                let stream = TcpStream::connect((host.as_str(), address.port)).await.map_err(unreachable)?;
                stream.set_nodelay(true).map_err(unreachable)?;
                SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE).map_err(unreachable)?;
                let (reader, writer) = stream.into_split();
                Ok(Self::over(reader, writer, row_limit))
            }
            Host::SocketDirectory(directory) => {
                let stream = UnixStream::connect(address.socket_file(directory)).await.map_err(unreachable)?;
                let (reader, writer) = stream.into_split();
                Ok(Self::over(reader, writer, row_limit))
            }
        }
    }

    fn over(
        reader: impl AsyncRead + Send + Sync + Unpin + 'static,
        writer: impl AsyncWrite + Send + Sync + Unpin + 'static,
        row_limit: usize,
    ) -> Self {
        Self {
            reader: Box::new(reader),
            writer: Box::new(writer),
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
            largest_incoming: 0,
            largest_outgoing: 0,
            discard: None,
            write_error: None,
            row_limit,
        }
    }

    /// Sends what is outgoing and gives the next message.
    pub(super) async fn receive(&mut self) -> Result<Incoming, Error> {
        loop {
            if let Some(message) = self.next_buffered()? {
                return Ok(message);
            }
            self.exchange().await?;
        }
    }

    /// Sends all that is outgoing without waiting for an answer.
    pub(super) async fn send(&mut self) -> Result<(), Error> {
        while !self.outgoing.is_empty() {
            self.writer.write_buf(&mut self.outgoing).await?;
        }
        Ok(())
    }

    /// Waits until the server has closed its end.
    pub(super) async fn closed(&mut self) {
        // An error is an end as well.
        while let Ok(1..) = self.reader.read_buf(&mut self.incoming).await {
            self.incoming.clear();
        }
    }

    /// Gives back the memory of large values; called when no reply is outstanding.
    pub(super) fn settle(&mut self) {
        if self.largest_incoming > KEPT_CAPACITY && self.incoming.is_empty() {
            self.incoming = BytesMut::new();
            self.largest_incoming = 0;
        }
        if self.largest_outgoing > KEPT_CAPACITY && self.outgoing.is_empty() {
            self.outgoing = BytesMut::new();
            self.largest_outgoing = 0;
        }
    }

    fn next_buffered(&mut self) -> Result<Option<Incoming>, Error> {
        if let Some(discard) = &mut self.discard {
            let here = discard.left.min(self.incoming.len());
            self.incoming.advance(here);
            discard.left -= here;
            if discard.left > 0 {
                return Ok(None);
            }
            let bytes = discard.total;
            self.discard = None;
            return Ok(Some(Incoming::OversizedRow { bytes }));
        }
        let Some(header) = Header::parse(&self.incoming).map_err(not_understood)? else {
            return Ok(None);
        };
        let length = usize::try_from(header.len()).unwrap_or(usize::MAX);
        if length > LONGEST_MESSAGE {
            return Err(Error::Protocol(format!("a message of {length} bytes")));
        }
        if matches!(header.tag(), DATA_ROW_TAG | COPY_DATA_TAG) && length > self.row_limit {
            self.discard = Some(Discard { total: length, left: length + 1 });
            return self.next_buffered();
        }
        self.largest_incoming = self.largest_incoming.max(HEADER + length);
        if header.tag() == COPY_BOTH_TAG {
            if self.incoming.len() <= length {
                return Ok(None);
            }
            self.incoming.advance(length + 1);
            return Ok(Some(Incoming::CopyBoth));
        }
        Ok(Message::parse(&mut self.incoming).map_err(not_understood)?.map(Incoming::Message))
    }

    /// Writes if there is something to write, and reads, whichever can be done first.
    async fn exchange(&mut self) -> Result<(), Error> {
        if self.incoming.capacity() - self.incoming.len() < READ_MINIMUM {
            self.incoming.reserve(READ_CHUNK);
        }
        if self.outgoing.is_empty() || self.write_error.is_some() {
            let read = self.reader.read_buf(&mut self.incoming).await;
            return self.after_read(read);
        }
        self.largest_outgoing = self.largest_outgoing.max(self.outgoing.len());
        tokio::select! {
            biased;
            written = self.writer.write_buf(&mut self.outgoing) => {
                self.write_error = written.err();
                Ok(())
            }
            read = self.reader.read_buf(&mut self.incoming) => self.after_read(read),
        }
    }

    fn after_read(&mut self, read: io::Result<usize>) -> Result<(), Error> {
        match (read, self.write_error.take()) {
            (Ok(1..), write_error) => {
                self.write_error = write_error;
                Ok(())
            }
            (Ok(0), None) => Err(Error::Closed),
            (Ok(0) | Err(_), Some(error)) | (Err(error), None) => Err(Error::Io(error)),
        }
    }
}

pub(super) fn not_understood(error: io::Error) -> Error {
    Error::Protocol(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BufMut;
    use tokio::io::DuplexStream;

    fn pair(row_limit: usize) -> (Transport, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(1024);
        let (reader, writer) = tokio::io::split(ours);
        (Transport::over(reader, writer, row_limit), theirs)
    }

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        bytes.put_u32(u32::try_from(body.len()).unwrap() + 4);
        bytes.extend_from_slice(body);
        bytes
    }

    fn row(cell: &[u8]) -> Vec<u8> {
        let mut body = vec![0, 1];
        body.put_u32(u32::try_from(cell.len()).unwrap());
        body.extend_from_slice(cell);
        message(b'D', &body)
    }

    #[tokio::test]
    async fn a_large_write_does_not_block_on_a_server_that_writes_too() {
        let (mut transport, mut server) = pair(READ_CHUNK);
        transport.outgoing.put_bytes(b'x', 100_000);
        let serve = async {
            // Answers before it has read everything, with more than the pipe holds.
            for _ in 0..100 {
                server.write_all(&row(&[b'r'; 1000])).await.unwrap();
            }
            let mut read = vec![0; 100_000];
            server.read_exact(&mut read).await.unwrap();
            server.write_all(&message(b'Z', b"I")).await.unwrap();
            server
        };
        let ask = async {
            for _ in 0..100 {
                assert!(matches!(transport.receive().await.unwrap(), Incoming::Message(Message::DataRow(_))));
            }
            assert!(matches!(transport.receive().await.unwrap(), Incoming::Message(Message::ReadyForQuery(_))));
        };
        tokio::join!(serve, ask);
    }

    #[tokio::test]
    async fn a_row_above_the_limit_is_thrown_away_and_its_size_told() {
        let (mut transport, mut server) = pair(50);
        let serve = async move {
            server.write_all(&row(&[b'r'; 5000])).await.unwrap();
            server.write_all(&row(b"small")).await.unwrap();
            server
        };
        let ask = async {
            assert!(matches!(transport.receive().await.unwrap(), Incoming::OversizedRow { bytes: 5010 }));
            assert!(matches!(transport.receive().await.unwrap(), Incoming::Message(Message::DataRow(_))));
        };
        tokio::join!(serve, ask);
    }

    #[tokio::test]
    async fn garbage_and_ends_are_errors() {
        let (mut transport, mut server) = pair(50);
        server.write_all(b"HTTP/1.1 400 Bad Request").await.unwrap();
        assert!(matches!(transport.receive().await, Err(Error::Protocol(_))));
        let (mut transport, server) = pair(50);
        drop(server);
        assert!(matches!(transport.receive().await, Err(Error::Closed)));
    }

    #[tokio::test]
    async fn the_memory_of_a_large_value_is_given_back() {
        let (mut transport, mut server) = pair(usize::MAX);
        let large = vec![b'r'; 3 * KEPT_CAPACITY];
        let (_, received) = tokio::join!(async { server.write_all(&row(&large)).await.unwrap() }, transport.receive());
        drop(received.unwrap());
        transport.settle();
        assert_eq!(transport.incoming.capacity(), 0);
    }
}
