//! What is said: every record of a Kluster cluster, as JSON, and the rules that tie them together.
//!
//! | topic | written by | read by | record |
//! |---|---|---|---|
//! | ALL | clients; nodes and operators (control records) | every node, serially | [`Request`], [`Control`] |
//! | ONE | clients | one node each, in parallel | [`Request`], [`EndRead`] |
//! | RESPONSES | nodes | clients | [`Response`] |
//! | ERRORS | nodes | operators | [`SystemError`] |
//! | NODES | nodes | nodes, clients, operators | [`Heartbeat`], [`EffectsDetail`], [`CheckReport`] |
//! | DECISIONS | nodes, operators | nodes, operators | [`Decision`] |
//!
//! Neighbours: everything depends on this crate and this crate on none of ours; outsiders may depend on it alone.
//!
//! How a message may change: a field may be added at any time, for readers ignore fields they do not know. Any other change is a new
//! [`MAJOR_VERSION`], carried in a header, and a node that meets a newer major version in ALL stops: it must not skip what newer nodes run.

mod chain;
mod chains;
pub mod check;
mod control;
mod decision;
mod effects;
mod end_read;
mod error_code;
mod fingerprint;
pub mod header;
mod heartbeat;
mod id;
mod limits;
mod offset;
mod param;
mod request;
mod response;
mod system_error;
mod topic;
pub mod value;

pub use chain::{Came, Chain, RecordHash};
pub use chains::{Chains, Shared};
pub use check::{CheckMark, CheckReport, Progress};
pub use control::{Control, Membership, Role};
pub use decision::{CANCELLED, Decision, Decisions, HELD, Halt, Hold, Ruled, Ruling, Running, SERVER_LOST};
pub use effects::{ChangedRow, Effects, EffectsDetail, EffectsMeans, EffectsPoint, EffectsReport, RunningEffects};
pub use end_read::EndRead;
pub use error_code::ErrorCode;
pub use fingerprint::{
    Allowance, Difference, Fingerprint, Fingerprints, Presented, UNLIKE, Unlike, Weight, admitted_key, presented_key,
};
pub use header::{Kind, MAJOR_VERSION};
pub use heartbeat::{ChainPoint, Heartbeat, NodeState};
pub use id::{ClientId, DatabaseName, MessageId, NodeId};
pub use limits::*;
pub use offset::Offset;
pub use param::{MAX_PARAM_DEPTH, Number, Param};
pub use request::{BadRequest, Body, Cells, Request, Statement};
pub use response::{Column, Members, RequestTopic, Response, ResponseError, Row, StatementResult};
pub use system_error::{DIVERGED, ErrorClass, SystemError};
pub use topic::{Topic, TopicNames, partition_of};
