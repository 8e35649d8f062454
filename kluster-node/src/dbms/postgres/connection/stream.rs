//! The changes that the server decodes of its own log, as it sends them: the streaming replication protocol (PostgreSQL documentation 55.4), for one
//! logical slot.
//!
//! Neighbours: `follower` reads the stream and says how far it is done.
//! Invariants: a stream is a session of its own, on an address with the parameter `replication=database`; dropping it closes the socket, and the slot
//! stays. Nothing is confirmed to the server but what [`Stream::confirm`] was given.

use bytes::{Buf, Bytes};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

use super::super::address::Address;
use super::super::error::{Error, Unsendable};
use super::Connection;
use super::transport::{Incoming, not_understood};

/// The time of a status, which the server only shows.
const NO_TIME: i64 = 0;

/// What the server says in a stream.
#[derive(Debug)]
pub enum Said {
    /// One piece of the plugin's output, and the place in the log that it belongs to: of the change, or of the end of a transaction.
    Piece {
        /// The place.
        place: u64,
        /// The output.
        data: Bytes,
    },
    /// A piece above the connection's row limit; its content is gone.
    Oversized,
    /// Nothing up to this place is left to send.
    Alive {
        /// The end of the log as far as the server has read it.
        place: u64,
        /// It waits for an answer.
        asks: bool,
    },
}

/// A session that streams.
#[derive(Debug)]
pub struct Stream(Connection);

impl Stream {
    /// Streams the slot from where it was confirmed last. `options` go to the plugin. Pieces above `limit` bytes come as [`Said::Oversized`].
    ///
    /// # Errors
    /// The connection's, and the server's refusal: [`Error::Server`] with 42704 for no such slot, 55006 for one in use, 55000 for one that was lost.
    pub async fn start(address: &Address, slot: &str, options: &str, limit: usize) -> Result<Self, Error> {
        let address = address.clone().with_parameter("replication", "database");
        let mut connection = super::super::seat::connect(&address).await?;
        connection.set_row_limit(limit);
        let command = format!("START_REPLICATION SLOT {slot} LOGICAL 0/0 ({options})");
        frontend::query(&command, &mut connection.transport.outgoing).map_err(|_| Unsendable::ZeroByte)?;
        // Nothing else can be said on it from here on.
        connection.broken = true;
        loop {
            match connection.receive().await? {
                Incoming::CopyBoth => return Ok(Self(connection)),
                Incoming::Message(Message::ErrorResponse(body)) => {
                    return Err(Error::Server(Connection::refusal(&body)?));
                }
                Incoming::Message(_) | Incoming::OversizedRow { .. } => {}
            }
        }
    }

    /// The next that the server says. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The connection is lost, or the server has ended the stream.
    pub async fn next(&mut self) -> Result<Said, Error> {
        loop {
            match self.0.receive().await? {
                Incoming::Message(Message::CopyData(body)) => return read(body.into_bytes()),
                Incoming::Message(Message::ErrorResponse(body)) => {
                    return Err(Error::Server(Connection::refusal(&body)?));
                }
                Incoming::OversizedRow { .. } => return Ok(Said::Oversized),
                Incoming::Message(Message::CopyDone | Message::ReadyForQuery(_)) => return Err(Error::Closed),
                Incoming::Message(_) | Incoming::CopyBoth => {}
            }
        }
    }

    /// Says that everything up to this place is done with: the server need not keep it.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn confirm(&mut self, place: u64) -> Result<(), Error> {
        let mut status = Vec::with_capacity(34);
        status.push(b'r');
        // Written, flushed, applied.
        [place; 3].iter().for_each(|place| status.extend_from_slice(&place.to_be_bytes()));
        status.extend_from_slice(&NO_TIME.to_be_bytes());
        status.push(0);
        let data = frontend::CopyData::new(Bytes::from(status)).map_err(not_understood)?;
        data.write(&mut self.0.transport.outgoing);
        self.0.transport.send().await
    }
}

fn read(mut data: Bytes) -> Result<Said, Error> {
    match data.first() {
        Some(b'w') if data.len() >= 25 => {
            data.advance(1);
            let place = data.get_u64();
            data.advance(16);
            Ok(Said::Piece { place, data })
        }
        Some(b'k') if data.len() >= 18 => {
            data.advance(1);
            let place = data.get_u64();
            data.advance(8);
            Ok(Said::Alive { place, asks: data.get_u8() == 1 })
        }
        _ => Err(Error::Protocol("a message of the stream that is neither data nor a sign of life".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_and_signs_of_life_are_read() {
        let piece = [&b"w"[..], &7_u64.to_be_bytes(), &[0; 16], b"COMMIT"].concat();
        assert!(matches!(read(piece.into()), Ok(Said::Piece { place: 7, data }) if data == "COMMIT"));
        let alive = [&b"k"[..], &9_u64.to_be_bytes(), &[0; 8], &[1]].concat();
        assert!(matches!(read(alive.into()), Ok(Said::Alive { place: 9, asks: true })));
        assert!(read(Bytes::from_static(b"x")).is_err());
        assert!(read(Bytes::from_static(b"w1234")).is_err());
    }
}
