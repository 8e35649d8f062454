//! Asks the server, over a second socket, to stop what a session executes.
//!
//! Neighbours: `connection` hands out tokens; they outlive the borrow of a running pipeline.

use postgres_protocol::message::frontend;

use super::super::address::Address;
use super::super::error::Error;
use super::transport::Transport;

/// Names one session to the server.
#[derive(Debug, Clone)]
pub struct CancelToken {
    address: Address,
    process_id: i32,
    secret_key: SecretKey,
}

#[derive(Clone)]
struct SecretKey(i32);

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl CancelToken {
    pub(super) fn new(address: Address, process_id: i32, secret_key: i32) -> Self {
        Self { address, process_id, secret_key: SecretKey(secret_key) }
    }

    /// Returns when the server has passed the request on. The session's statement then fails with 57014, unless it was quicker: the
    /// request does not say which statement it means.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn cancel(&self) -> Result<(), Error> {
        let mut transport = Transport::open(&self.address, usize::MAX).await?;
        frontend::cancel_request(self.process_id, self.secret_key.0, &mut transport.outgoing);
        transport.send().await?;
        transport.closed().await;
        Ok(())
    }
}
