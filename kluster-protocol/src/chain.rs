//! Chain: the running hash of outcomes, by which two nodes at one offset know whether they did the same.

use crate::{Effects, ErrorCode, Offset};
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

/// What a record came to, as far as nodes must agree on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came<'a> {
    /// It took effect.
    Done {
        /// The rows that each statement matched.
        rows: &'a [u64],
        /// What it changed, where the means is part of the chain ([`crate::EffectsMeans::is_in_chain`]).
        effects: Option<Effects>,
    },
    /// The DBMS refused it. Why is left out: where two rows of a request fail, each node may meet another one first, and a refusal has no effect anywhere.
    Refused,
    /// Kluster refused it, before the DBMS saw it: by the bytes of the record and what is remembered, so with the same code on every node.
    Ruled(ErrorCode),
    /// It is the record at this offset once more, and was executed there.
    Repeated(Offset),
}

impl Came<'_> {
    /// It took effect, on no row that anyone counts.
    pub const PASSED: Self = Self::Done { rows: &[], effects: None };
}

impl Chain {
    /// The chain after the record at `offset`: SHA-256 over the chain before, the offset, the record, and what it came to: `OK`, the rows matched and,
    /// where they are known in the transaction, the effects; or `REFUSED`; or Kluster's own code of a refusal by rule. Texts, order of rows and
    /// values read are left out, for they may differ between DBMS.
    #[must_use]
    pub fn after(self, offset: Offset, record: &RecordHash, came: Came<'_>) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(offset.get().to_be_bytes());
        hash.update(record.0);
        match came {
            Came::Done { rows, effects } => {
                hash.update("OK");
                rows.iter().for_each(|count| hash.update(count.to_be_bytes()));
                if let Some(effects) = effects {
                    hash.update("effects");
                    hash.update(effects.to_bytes());
                }
            }
            Came::Refused => hash.update("REFUSED"),
            Came::Ruled(code) => hash.update(code.as_str()),
            Came::Repeated(first) => {
                hash.update("OK");
                hash.update(u64::MAX.to_be_bytes());
                hash.update(first.get().to_be_bytes());
            }
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
        let done = |rows: &'static [u64], effects| Came::Done { rows, effects };
        let base = start.after(Offset::new(1), &record, done(&[1], None));
        assert_eq!(base, start.after(Offset::new(1), &record, done(&[1], None)));
        let others = [
            start.after(Offset::new(2), &record, done(&[1], None)),
            start.after(Offset::new(1), &other, done(&[1], None)),
            start.after(Offset::new(1), &record, done(&[2], None)),
            start.after(Offset::new(1), &record, done(&[1], Some(Effects::NONE))),
            start.after(Offset::new(1), &record, done(&[1], Some(Effects::from(1)))),
            start.after(Offset::new(1), &record, Came::Refused),
            start.after(Offset::new(1), &record, Came::Ruled(ErrorCode::SyntaxError)),
            start.after(Offset::new(1), &record, Came::Repeated(Offset::ZERO)),
            base.after(Offset::new(1), &record, done(&[1], None)),
        ];
        for (n, chain) in others.iter().enumerate() {
            assert!(*chain != base && !others[n + 1..].contains(chain), "{n}");
        }
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
        let chain = Chain::default().after(Offset::ZERO, &RecordHash::default(), Came::PASSED);
        let json = serde_json::to_string(&chain).unwrap();
        assert_eq!(json.len(), 66);
        assert_eq!(serde_json::from_str::<Chain>(&json).unwrap(), chain);
        assert_eq!(chain.short().len(), 16);
    }
}
