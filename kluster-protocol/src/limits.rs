//! Limits of the protocol: the same constants on all nodes, for a limit that differed would make their outcomes differ.

/// A `messageId` or `clientId` has at most this many bytes.
pub const MAX_ID_BYTES: usize = 200;

/// A record of ALL or ONE has at most this many bytes of value; topics are created with `max.message.bytes` to match.
pub const MAX_REQUEST_BYTES: usize = 8 * 1024 * 1024;

/// What a topic must carry beyond [`MAX_REQUEST_BYTES`]: key, headers and the batch around one record.
pub const RECORD_OVERHEAD_BYTES: usize = 64 * 1024;

/// A response is cut into parts of about this many bytes of rows.
pub const PART_BYTES: usize = 512 * 1024;

/// One row of a result has at most this many bytes as JSON, so that it fits a record; beyond it the request is refused.
pub const MAX_ROW_BYTES: usize = MAX_REQUEST_BYTES - PART_BYTES;

/// A result of a request in ALL has at most this many bytes of rows; beyond it the request is refused and has no effect.
pub const MAX_RESULT_BYTES: u64 = 1024 * 1024 * 1024;

/// A request has at most this many statements.
pub const MAX_STATEMENTS: usize = 1000;

/// A statement has at most this many params: what SQLite allows (`SQLITE_MAX_VARIABLE_NUMBER`); PostgreSQL's and MariaDB's limits lie above.
pub const MAX_PARAMS: usize = 32_766;

/// Outcomes are remembered for this many offsets (W) unless the cluster is configured otherwise.
pub const DEFAULT_WINDOW: u64 = 1 << 18;

/// Rows of one outcome are kept up to this many bytes.
pub const MAX_KEPT_ROWS_BYTES: usize = 64 * 1024;

/// Rows of all kept outcomes together have at most this many bytes; the oldest are dropped first.
pub const MAX_KEPT_BYTES: usize = 64 * 1024 * 1024;

/// One transaction applies at most this many requests: PostgreSQL's snapshots overflow beyond 64 subtransactions.
pub const MAX_BATCH: usize = 60;
