//! COPY FROM STDIN and COPY TO STDOUT inside a pipeline: refused without hanging.
//!
//! In COPY FROM STDIN the server swallows Sync messages and waits for data; any other message but copy data is an error that ends the
//! COPY (PostgreSQL documentation 55.2.6). So the Sync that already went out is lost, and a new one must follow the refusal.
//! Invariant: as many Ready events as Syncs, whatever was swallowed.

use postgres_protocol::message::frontend;

use super::super::super::error::PgError;
use super::super::Connection;
use super::Expected;

/// How a statement turned out to be a COPY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copying {
    In,
    Out,
}

impl Copying {
    /// The refusal, in place of the server's 57014 or 08P01, which would read as a passing trouble.
    pub(super) fn error(self) -> Box<PgError> {
        let (message, hint) = match self {
            Self::In => ("COPY FROM STDIN is not supported here", "use INSERT with several rows"),
            Self::Out => ("COPY TO STDOUT is not supported here", "use SELECT"),
        };
        Box::new(PgError {
            severity: "ERROR".to_owned(),
            sqlstate: "0A000".to_owned(),
            message: message.to_owned(),
            hint: Some(hint.to_owned()),
            ..PgError::default()
        })
    }
}

impl Connection {
    /// Ends the COPY FROM STDIN at the front of the queue.
    pub(super) fn refuse_copy_in(&mut self) {
        let behind = self.replies.queue.iter_mut().skip(1);
        let mut syncs: Vec<_> = behind
            .map_while(|expected| match expected {
                Expected::Sync { swallowed } => Some(swallowed),
                Expected::Statement(_) | Expected::Close => None,
            })
            .collect();
        let count = syncs.len();
        syncs.iter_mut().for_each(|swallowed| **swallowed = true);
        if self.replies.queue.len() - 1 > count {
            return; // the next statement's first message ends the COPY, its segment's Sync ends the skipping
        }
        if let Some(Expected::Sync { swallowed }) = self.replies.queue.back_mut() {
            *swallowed = false;
            let _ = frontend::copy_fail("not supported", &mut self.transport.outgoing);
            frontend::sync(&mut self.transport.outgoing);
        }
    }
}
