//! Headers of records. Version and kind are read from here only, so that JSON typed by hand can never stop a node.

/// The version of the protocol. A node that meets a newer one in ALL stops.
pub const MAJOR_VERSION: u32 = 1;

/// Header: what the record is; absent: a request. See [`Kind`].
pub const KIND: &str = "kluster-kind";
/// Header: the major version of the protocol, a decimal number; absent: 1.
pub const VERSION: &str = "kluster-version";
/// Header: the partition of RESPONSES that the answer goes to, a decimal number.
pub const REPLY_PARTITION: &str = "kluster-reply-partition";

/// What a record of ALL is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// SQL to execute.
    Request,
    /// A control record: the cluster speaks about itself.
    Control,
    /// Known to a later version of Kluster only: the node must stop.
    Unknown(String),
}

impl Kind {
    /// The header's value for control records.
    pub const CONTROL: &'static str = "control";

    /// The header's value for records that end a read ([`crate::EndRead`]), in ONE.
    pub const END_READ: &'static str = "end-read";

    /// The header's value for reports of checks, in NODES. What has no such header there is a heartbeat.
    pub const CHECK: &'static str = "check";

    /// The header's value for the effects of each offset ([`crate::EffectsDetail`]), in NODES.
    pub const EFFECTS: &'static str = "effects";

    /// The header's value for fingerprints and what is allowed beside them ([`crate::Fingerprints`]), in NODES.
    pub const FINGERPRINT: &'static str = "fingerprint";

    /// Reads the value of the header [`KIND`].
    pub fn from_header(value: Option<&[u8]>) -> Self {
        match value {
            None | Some(b"request") => Self::Request,
            Some(b"control") => Self::Control,
            Some(other) => Self::Unknown(String::from_utf8_lossy(other).into_owned()),
        }
    }
}
