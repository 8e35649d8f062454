//! Chain: the running hash of outcomes, by which two nodes at one offset know whether they did the same.

use crate::{ErrorCode, Offset};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

macro_rules! hash {
    ($(#[$doc:meta])* $name:ident, $shown:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The hash as bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(&self.0[..$shown]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&hex::encode(self.0))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let mut bytes = [0; 32];
                hex::decode_to_slice(&text, &mut bytes).map_err(serde::de::Error::custom)?;
                Ok(Self(bytes))
            }
        }
    };
}

hash! {
    /// The hash of one record: its key, its headers and its value. A node compares it with the stored one at its applied offset on start,
    /// which catches another log, a rewritten one and a truncated one.
    RecordHash, 32
}
hash! {
    /// The running hash of outcomes up to an offset (shown short: its first 8 bytes). Equal chains at one offset: every outcome so far was the same.
    Chain, 8
}

impl RecordHash {
    /// SHA-256 over key, headers and value, each preceded by its length, so that no two records share a form.
    pub fn of<'a>(
        key: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        value: Option<&[u8]>,
    ) -> Self {
        let mut hash = Sha256::new();
        let mut field = |bytes: Option<&[u8]>| match bytes {
            Some(bytes) => {
                hash.update((bytes.len() as i64).to_be_bytes());
                hash.update(bytes);
            }
            None => hash.update((-1i64).to_be_bytes()),
        };
        field(key);
        for (name, value) in headers {
            field(Some(name.as_bytes()));
            field(Some(value));
        }
        field(value);
        Self(hash.finalize().into())
    }
}

impl Chain {
    /// The chain after the record at `offset`: SHA-256 over the chain before, the offset, the record, Kluster's own code of the outcome
    /// (none: OK) and the rows matched. Text, order of rows and values read are left out, for they may differ between DBMS.
    #[must_use]
    pub fn after(self, offset: Offset, record: &RecordHash, code: Option<ErrorCode>, rows: &[u64]) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(offset.get().to_be_bytes());
        hash.update(record.0);
        hash.update(code.map_or("OK", ErrorCode::as_str));
        for count in rows {
            hash.update(count.to_be_bytes());
        }
        Self(hash.finalize().into())
    }

    /// The short form that responses carry: the first 8 bytes, hexadecimal.
    pub fn short(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_covers_each_of_its_inputs() {
        let record = RecordHash::of(None, [], Some(b"a"));
        let other = RecordHash::of(None, [], Some(b"b"));
        let start = Chain::default();
        let base = start.after(Offset::new(1), &record, None, &[1]);
        assert_eq!(base, start.after(Offset::new(1), &record, None, &[1]));
        assert_ne!(base, start.after(Offset::new(2), &record, None, &[1]));
        assert_ne!(base, start.after(Offset::new(1), &other, None, &[1]));
        assert_ne!(base, start.after(Offset::new(1), &record, Some(ErrorCode::SyntaxError), &[1]));
        assert_ne!(base, start.after(Offset::new(1), &record, None, &[2]));
        assert_ne!(base, base.after(Offset::new(1), &record, None, &[1]));
    }

    #[test]
    fn record_hash_tells_absent_from_empty_and_key_from_value() {
        let hashes = [
            RecordHash::of(None, [], None),
            RecordHash::of(None, [], Some(b"")),
            RecordHash::of(Some(b""), [], None),
            RecordHash::of(Some(b"a"), [], Some(b"")),
            RecordHash::of(Some(b""), [], Some(b"a")),
            RecordHash::of(None, [("a", b"".as_slice())], None),
        ];
        for (n, hash) in hashes.iter().enumerate() {
            assert!(!hashes[n + 1..].contains(hash), "{n}");
        }
    }

    #[test]
    fn chain_is_written_as_hex() {
        let chain = Chain::default().after(Offset::ZERO, &RecordHash::default(), None, &[]);
        let json = serde_json::to_string(&chain).unwrap();
        assert_eq!(json.len(), 66);
        assert_eq!(serde_json::from_str::<Chain>(&json).unwrap(), chain);
        assert_eq!(chain.short().len(), 16);
    }
}
