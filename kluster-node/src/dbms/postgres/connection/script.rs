//! Several commands in one text by the simple protocol: for Kluster's own schema only.
//!
//! Neighbours: the adapter's migrations. User SQL never comes here, for a text could end the transaction it runs in.
//! Invariant: dropped while outstanding, it leaves the connection broken.

use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

use super::super::error::{Error, PgError, Unsendable};
use super::Connection;
use super::reply::TransactionStatus;
use super::transport::Incoming;

impl Connection {
    /// Executes all commands; without BEGIN in the text or an open transaction they are one transaction. Rows are dropped.
    ///
    /// # Errors
    /// [`Error::Server`] with the first refusal: the server does not go on behind it.
    pub async fn execute_script(&mut self, sql: &str) -> Result<(), Error> {
        if self.broken {
            return Err(Error::Broken);
        }
        frontend::query(sql, &mut self.transport.outgoing).map_err(|_| {
            self.transport.outgoing.clear();
            Unsendable::ZeroByte
        })?;
        self.broken = true; // until everything is answered
        let refused = self.finish_script().await?;
        self.broken = false;
        refused.map_or(Ok(()), |error| Err(Error::Server(error)))
    }

    async fn finish_script(&mut self) -> Result<Option<Box<PgError>>, Error> {
        let mut refused = None;
        loop {
            match self.receive().await? {
                Incoming::Message(Message::ErrorResponse(body)) => refused = Some(Self::refusal(&body)?),
                Incoming::Message(Message::CopyInResponse(_)) => {
                    let _ = frontend::copy_fail("a script cannot COPY FROM STDIN", &mut self.transport.outgoing);
                }
                Incoming::Message(Message::ReadyForQuery(body)) => {
                    self.session.status = TransactionStatus::from_byte(body.status())?;
                    return Ok(refused);
                }
                Incoming::Message(_) | Incoming::OversizedRow { .. } | Incoming::CopyBoth => {}
            }
        }
    }
}
