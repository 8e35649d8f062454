//! The head of a request: which API, which version, whose answer. Read by hand, because it must be understood even where the rest is not: a
//! newer ApiVersions is answered, and a key that is not served is named in the log.

use bytes::{Buf, Bytes};
use kafka_protocol::messages::ApiKey;

use super::shape::{Malformed, Walk};

/// Bytes of API key, version and correlation id, which every version has.
const FIXED_BYTES: usize = 8;

/// Which request a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) api_key: i16,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
}

impl Head {
    /// Reads what stands first in every request.
    pub(crate) fn read(frame: &[u8]) -> Result<Self, Malformed> {
        let mut walk = Walk::of(frame);
        Ok(Self {
            api_key: i16::from_be_bytes(walk.number()?),
            version: i16::from_be_bytes(walk.number()?),
            correlation_id: i32::from_be_bytes(walk.number()?),
        })
    }

    /// Takes the whole header off `frame`, which begins with this head, and gives the client's name for itself ("" when it has none).
    pub(crate) fn take_off(&self, key: ApiKey, frame: &mut Bytes) -> Result<String, Malformed> {
        let mut walk = Walk::of(frame.get(FIXED_BYTES..).ok_or(Malformed::CutOff)?);
        let mut client_id = String::new();
        // Header version 0 has no client id; version 2 has tagged fields, but its client id is as it always was.
        let header_version = key.request_header_version(self.version);
        if header_version >= 1 {
            client_id = walk.short_text()?.map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default();
        }
        if header_version >= 2 {
            walk.tagged()?;
        }
        let body = frame.len() - walk.rest.len();
        frame.advance(body);
        Ok(client_id)
    }
}
