//! Decoding: one row, as JSON text, becomes the caller's type by serde.
//!
//! The value encoding of `kluster_protocol::value` is undone where the type asked for says what is meant: an integer or a double may come as a
//! number or as text, bytes come as base64, a boolean may be 0 or 1 (MariaDB, SQLite), text may be a number (SQLite's numeric). A struct or map
//! takes columns by name, a tuple by place, a single value the only column. serde asks for no type inside `#[serde(flatten)]` and untagged
//! enums: there a cell is what its JSON is.
//!
//! Invariant: a cell is read from its text only when a type asks for it, so JSON is what the DBMS gave: to a `Box<RawValue>` every digit, key and
//! level of it, and what another type cannot hold is an error that names the column.

use crate::param;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::Error;
use serde_json::value::RawValue;
use std::fmt;

/// The name under which serde_json's `RawValue` asks for a value's own text. Not public there; a test holds it.
const RAW: &str = "$serde_json::private::RawValue";

/// Decodes one row.
pub(crate) fn row<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let fields: Fields<'_> = serde_json::from_str(text)?;
    T::deserialize(WholeRow { text, fields: &fields.0 })
}

/// The names and texts of an object, in its order.
struct Fields<'v>(Vec<(String, &'v RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::with_capacity(object.size_hint().unwrap_or_default());
                while let Some(field) = object.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// A row: by name, by place, or its only cell.
struct WholeRow<'v> {
    text: &'v str,
    fields: &'v [(String, &'v RawValue)],
}

impl<'v> WholeRow<'v> {
    fn only(&self) -> Result<Cell<'v>, Error> {
        match self.fields {
            [(_, cell)] => Ok(Cell(cell.get())),
            fields => Err(Error::custom(format_args!(
                "the row has {} columns ({}): decode it into a struct or a tuple",
                fields.len(),
                fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
            ))),
        }
    }
}

macro_rules! only_cell {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.only()?.$method(visitor)
        })*
    };
}

/// A tuple is read as a sequence: of a row and of a cell alike.
macro_rules! tuples_are_sequences {
    () => {
        fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
            self.deserialize_seq(visitor)
        }

        fn deserialize_tuple_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            _: usize,
            visitor: V,
        ) -> Result<V::Value, Error> {
            self.deserialize_seq(visitor)
        }
    };
}

impl<'de> Deserializer<'de> for WholeRow<'de> {
    type Error = Error;

    only_cell! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Columns::of(self.fields))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.only() {
            Ok(cell) => cell.deserialize_option(visitor),
            Err(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Cells(self.fields.iter().map(|(_, cell)| *cell)))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        match name {
            RAW => serde_json::Deserializer::from_str(self.text).deserialize_newtype_struct(name, visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    tuples_are_sequences!();

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.only()?.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! { unit unit_struct map struct identifier ignored_any }
}

/// One value of a row, or inside one: its JSON text.
struct Cell<'v>(&'v str);

/// What a text of JSON is, by its first character.
#[derive(PartialEq, Eq)]
enum Kind {
    Null,
    Text,
    Number,
    List,
    Object,
    Other,
}

impl<'v> Cell<'v> {
    fn kind(&self) -> Kind {
        match self.0.trim_start().as_bytes().first() {
            Some(b'n') => Kind::Null,
            Some(b'"') => Kind::Text,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            Some(b'[') => Kind::List,
            Some(b'{') => Kind::Object,
            _ => Kind::Other,
        }
    }

    /// Its content, if it is a text.
    fn text(&self) -> Result<Option<String>, Error> {
        (self.kind() == Kind::Text).then(|| serde_json::from_str(self.0)).transpose()
    }

    fn json(&self) -> Json<'v> {
        serde_json::Deserializer::from_str(self.0)
    }
}

type Json<'v> = serde_json::Deserializer<serde_json::de::StrRead<'v>>;

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.text()? {
                Some(text) => match text.parse::<$type>() {
                    Ok(number) => visitor.$visit(number),
                    Err(_) => Err(Error::custom(format_args!("{text:?} is no {}", stringify!($type)))),
                },
                None => self.json().$method(visitor),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Cell<'de> {
    type Error = Error;

    numbers! {
        deserialize_i8 visit_i8 i8; deserialize_i16 visit_i16 i16; deserialize_i32 visit_i32 i32; deserialize_i64 visit_i64 i64;
        deserialize_i128 visit_i128 i128; deserialize_u8 visit_u8 u8; deserialize_u16 visit_u16 u16; deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64; deserialize_u128 visit_u128 u128; deserialize_f32 visit_f32 f32; deserialize_f64 visit_f64 f64;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.json().deserialize_any(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.trim() {
            "0" => visitor.visit_bool(false),
            "1" => visitor.visit_bool(true),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.kind() {
            Kind::Number => visitor.visit_str(self.0.trim()),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.text()? {
            Some(text) => visitor.visit_byte_buf(param::decode(&text)?),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_byte_buf(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.kind() {
            Kind::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        match name {
            RAW => self.json().deserialize_newtype_struct(name, visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.kind() {
            Kind::List => {
                let cells: Vec<&RawValue> = serde_json::from_str(self.0)?;
                visitor.visit_seq(Cells(cells.into_iter()))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    tuples_are_sequences!();

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.kind() {
            Kind::Object => visitor.visit_map(Columns::of(&serde_json::from_str::<Fields<'_>>(self.0)?.0)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.kind() {
            Kind::Object => {
                let fields: Fields<'_> = serde_json::from_str(self.0)?;
                visitor.visit_enum(MapAccessDeserializer::new(Columns::of(&fields.0)))
            }
            _ => self.json().deserialize_enum(name, variants, visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { char unit unit_struct identifier }
}

/// Cells in order.
struct Cells<I>(I);

impl<'de, I: ExactSizeIterator<Item = &'de RawValue>> SeqAccess<'de> for Cells<I> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.next().map(|cell| seed.deserialize(Cell(cell.get()))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// Cells by name.
struct Columns<'f, 'v> {
    rest: std::slice::Iter<'f, (String, &'v RawValue)>,
    current: Option<&'f (String, &'v RawValue)>,
}

impl<'f, 'v> Columns<'f, 'v> {
    fn of(fields: &'f [(String, &'v RawValue)]) -> Self {
        Self { rest: fields.iter(), current: None }
    }
}

impl<'de> MapAccess<'de> for Columns<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.current = self.rest.next();
        self.current.map(|(name, _)| seed.deserialize(name.as_str().into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (name, cell) = self.current.take().ok_or_else(|| Error::custom("a value was asked for before its name"))?;
        let decoded = seed.deserialize(Cell(cell.get()));
        decoded.map_err(|error| Error::custom(format_args!("column {name:?}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bytes;
    use serde_json::Value;
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Everything {
        id: i64,
        big: u64,
        sum: Option<i128>,
        ratio: f64,
        nan: f32,
        price: String,
        flag: bool,
        raw: Bytes,
        doc: Doc,
        tags: Vec<i64>,
        mood: Mood,
        gone: Option<String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Doc {
        deep: i64,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mood {
        Happy,
    }

    #[test]
    fn values_are_undone_where_the_type_says_what_is_meant() {
        let text = r#"{"id":"9007199254740993","big":"18446744073709551615","sum":"12","ratio":"12.50","nan":"NaN","price":12.5,
            "flag":1,"raw":"AP8=","doc":{"deep":"7"},"tags":["1",2],"mood":"happy","gone":null,"more":[1]}"#;
        let everything: Everything = row(text).unwrap();
        assert!(everything.nan.is_nan());
        assert_eq!(
            Everything { nan: 0.0, ..everything },
            Everything {
                id: 9_007_199_254_740_993,
                big: u64::MAX,
                sum: Some(12),
                ratio: 12.5,
                nan: 0.0,
                price: "12.5".into(),
                flag: true,
                raw: Bytes(vec![0, 255]),
                doc: Doc { deep: 7 },
                tags: vec![1, 2],
                mood: Mood::Happy,
                gone: None,
            }
        );
    }

    #[test]
    fn a_row_is_a_tuple_or_a_single_value_too() {
        assert_eq!(row::<(i64, String)>(r#"{"b":"1","a":"x"}"#).unwrap(), (1, "x".to_owned()), "by place");
        assert_eq!(row::<i64>(r#"{"count":"3"}"#).unwrap(), 3);
        assert_eq!(row::<Option<i64>>(r#"{"max":null}"#).unwrap(), None);
        assert_eq!(row::<String>(r#"{"name":"x"}"#).unwrap(), "x");
        assert_eq!(
            row::<BTreeMap<String, i64>>(r#"{"a":1,"b":"2"}"#).unwrap(),
            [("a".into(), 1), ("b".into(), 2)].into()
        );
        assert_eq!(row::<Value>(r#"{"a":"1"}"#).unwrap(), serde_json::json!({"a": "1"}));
        assert_eq!(row::<Option<Doc>>(r#"{"deep":1,"b":2}"#).unwrap(), Some(Doc { deep: 1 }));
    }

    #[test]
    fn json_is_what_the_dbms_gave() {
        let deep = format!("{}{}", "[".repeat(3000), "]".repeat(3000));
        for json in ["1e400", "123456789012345678901234567890.5", r#"{"a":1, "a":[2]}"#, deep.as_str()] {
            let text = format!(r#"{{"id":1,"doc":{json}}}"#);
            let (id, doc): (i64, Box<RawValue>) = row(&text).unwrap();
            assert_eq!((id, doc.get()), (1, json));
            let columns: BTreeMap<String, Option<Box<RawValue>>> = row(&text).unwrap();
            assert_eq!(columns["doc"].as_ref().map(|doc| doc.get()), Some(json));
            assert_eq!(row::<Box<RawValue>>(&text).unwrap().get(), text);
            #[derive(Deserialize)]
            struct Other {
                id: i64,
            }
            assert_eq!(row::<Other>(&text).unwrap().id, 1, "what is not asked for is not read");
        }
        assert_eq!(
            row::<String>(r#"{"n":123456789012345678901234567890.50}"#).unwrap(),
            "123456789012345678901234567890.50"
        );
        assert_eq!(
            row::<i128>(r#"{"n":123456789012345678901234567890}"#).unwrap(),
            123_456_789_012_345_678_901_234_567_890
        );
        let error = row::<BTreeMap<String, Value>>(r#"{"doc":1e400}"#).unwrap_err().to_string();
        assert!(error.starts_with("column \"doc\": number out of range"), "{error}");
    }

    #[test]
    fn errors_name_the_column() {
        let error = row::<Doc>(r#"{"deep":"x"}"#).unwrap_err().to_string();
        assert_eq!(error, "column \"deep\": \"x\" is no i64");
        assert!(row::<i64>(r#"{"a":1,"b":2}"#).unwrap_err().to_string().contains("2 columns (a, b)"));
        assert!(row::<Doc>("{}").unwrap_err().to_string().contains("missing field `deep`"));
    }
}
