//! Params: Rust values as the JSON values that stand for `$1`, `$2`, … in a statement; and bytes, which JSON lacks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kluster_protocol::value;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use std::fmt;

/// The value of one `$n`.
#[derive(Debug, Clone, PartialEq)]
pub struct Param(pub(crate) kluster_protocol::Param);

impl From<Value> for Param {
    /// Arrays and objects are bound as their JSON text.
    fn from(value: Value) -> Self {
        Self(value.into())
    }
}

macro_rules! as_json {
    ($($type:ty),*) => {
        $(impl From<$type> for Param {
            fn from(value: $type) -> Self {
                Self::from(Value::from(value))
            }
        })*
    };
}

as_json!(bool, i8, i16, i32, i64, isize, u8, u16, u32, u64, usize, &str, String);

impl From<&String> for Param {
    fn from(value: &String) -> Self {
        Self::from(value.as_str())
    }
}

impl From<i128> for Param {
    fn from(value: i128) -> Self {
        Self::from(value::integer(value))
    }
}

impl From<f32> for Param {
    /// NaN and the infinities, which JSON lacks, go as text.
    fn from(number: f32) -> Self {
        Self::from(value::real(number))
    }
}

impl From<f64> for Param {
    /// NaN and the infinities, which JSON lacks, go as text.
    fn from(number: f64) -> Self {
        Self::from(value::double(number))
    }
}

impl From<uuid::Uuid> for Param {
    fn from(value: uuid::Uuid) -> Self {
        Self::from(Value::from(value.to_string()))
    }
}

impl From<Bytes> for Param {
    /// Goes as base64 text: let the statement decode it (`decode($1, 'base64')`, `from_base64($1)`).
    fn from(bytes: Bytes) -> Self {
        Self::from(value::bytes(&bytes.0))
    }
}

impl<T: Into<Param>> From<Option<T>> for Param {
    /// None is NULL.
    fn from(value: Option<T>) -> Self {
        value.map_or(Self(kluster_protocol::Param::Null), Into::into)
    }
}

/// Bytes of a result (`bytea`, `blob`), which JSON carries as base64.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Base64)
    }
}

struct Base64;

impl Visitor<'_> for Base64 {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes as base64")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
        decode(text).map(Bytes)
    }
}

/// Base64 as in the value encoding (RFC 4648 §4, padded).
pub(crate) fn decode<E: Error>(text: &str) -> Result<Vec<u8>, E> {
    STANDARD.decode(text).map_err(|error| E::custom(format_args!("{text:?} is not base64: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_become_json() {
        for (param, expected) in [
            (Param::from(7_i64), json!(7)),
            (Param::from(u64::MAX), json!(u64::MAX)),
            (Param::from("a"), json!("a")),
            (Param::from(&"a".to_owned()), json!("a")),
            (Param::from(true), json!(true)),
            (Param::from(None::<i32>), json!(null)),
            (Param::from(Some("x")), json!("x")),
            (Param::from(f64::NAN), json!("NaN")),
            (Param::from(0.1_f32), json!(0.1)),
            (Param::from(i128::MAX), json!("170141183460469231731687303715884105727")),
            (Param::from(Bytes(vec![0, 255])), json!("AP8=")),
            (Param::from(json!({"a": [1]})), json!({"a": [1]})),
        ] {
            assert_eq!(param, Param::from(expected));
        }
    }

    #[test]
    fn bytes_read_back() {
        let bytes = Bytes(vec![0, 255, 7]);
        let json = serde_json::to_string(&bytes).unwrap();
        assert_eq!(serde_json::from_str::<Bytes>(&json).unwrap(), bytes);
        assert!(serde_json::from_str::<Bytes>("\"*\"").unwrap_err().to_string().contains("base64"));
    }
}
