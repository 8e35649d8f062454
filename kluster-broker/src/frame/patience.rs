//! How long a peer may take over a frame, its own or the broker's. As long as it takes, it holds memory that others may wait for; so it must go
//! on at all, and get on.

use std::time::Duration;

use tokio::time::Instant;

/// How long a peer may take over a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For the next byte. Also what a frame may take beyond what its bytes need.
    pub(crate) stall: Duration,
    /// The least that a peer must take or send, over a whole frame.
    pub(crate) bytes_per_second: usize,
}

impl Patience {
    /// By when a frame of so many bytes must be through.
    pub(crate) fn frame(self, bytes: usize) -> Instant {
        let milliseconds = bytes as u64 * 1000 / self.bytes_per_second.max(1) as u64;
        Instant::now() + self.stall + Duration::from_millis(milliseconds)
    }

    /// By when the next byte of a frame must be through that must be through by `frame`.
    pub(crate) fn byte(self, frame: Instant) -> Instant {
        frame.min(Instant::now() + self.stall)
    }
}
