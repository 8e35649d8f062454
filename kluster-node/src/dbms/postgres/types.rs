//! Which PostgreSQL type has which name and which JSON form: the built-in ones by a table, the others (enums, domains, composites,
//! arrays of them) learnt from `pg_type`.
//!
//! Neighbours: `value` writes cells by [`Type`]; the adapter asks [`TypeNames::unknown`] and executes [`LOOKUP`].
//! Invariant: a built-in type's entry never depends on the database.

mod builtin;

use std::borrow::Cow;
use std::collections::HashMap;

use super::connection::{Column, Row};

pub use builtin::builtin;

/// The JSON form of a value (design of the records: one form per SQL type, the same from every DBMS).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JSON true or false.
    Bool,
    /// JSON number; beyond 2⁵³−1 its digits as a string.
    Integer,
    /// JSON number; `NaN`, `Infinity` and `-Infinity` as strings.
    Float,
    /// A string with the exact digits, `NaN`, `Infinity` or `-Infinity`.
    Numeric,
    /// The JSON value itself.
    Json,
    /// Base64.
    Bytes,
    /// ISO 8601 with signed years.
    Date,
    /// ISO 8601 without zone.
    Timestamp,
    /// RFC 3339 in UTC.
    TimestampTz,
    /// The server's text.
    Text,
}

/// What is to be known of a column's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    /// `int4`, `text`, `int4[]`, `mood`.
    pub name: Cow<'static, str>,
    /// Of the value, or of an array's elements.
    pub form: Form,
    /// Between the elements, if it is an array: a comma, but for `box` a semicolon.
    pub array: Option<u8>,
}

impl Type {
    /// For what is not known: the text, and a name that says so.
    fn unknown() -> Self {
        Self { name: Cow::Borrowed("unknown"), form: Form::Text, array: None }
    }
}

/// Finds types by a condition on `t`, a row of `pg_type`: oid, name, the built-in oid that decides the form (through domains), whether it is an
/// array, the delimiter. For [`TypeNames::learn`].
macro_rules! types_where {
    ($condition:literal) => {
        concat!(
            "\
with recursive base(oid, at, depth) as (
    select t.oid, case when e.oid is null then t.oid else e.oid end, 0
      from pg_catalog.pg_type t
      left join pg_catalog.pg_type e
        on e.oid operator(pg_catalog.=) t.typelem and t.typoutput operator(pg_catalog.=) 'pg_catalog.array_out'::pg_catalog.regproc
     where ",
            $condition,
            "
    union all
    select b.oid, d.typbasetype, b.depth operator(pg_catalog.+) 1
      from base b join pg_catalog.pg_type d on d.oid operator(pg_catalog.=) b.at
     where d.typtype operator(pg_catalog.=) 'd'
)
select distinct on (b.oid) b.oid, coalesce(e.typname, t.typname), b.at, e.oid is not null, coalesce(e.typdelim, t.typdelim)
  from base b
  join pg_catalog.pg_type t on t.oid operator(pg_catalog.=) b.oid
  left join pg_catalog.pg_type e
    on e.oid operator(pg_catalog.=) t.typelem and t.typoutput operator(pg_catalog.=) 'pg_catalog.array_out'::pg_catalog.regproc
 order by b.oid, b.depth desc"
        )
    };
}

/// Finds types by oid: `$1` is an array of oids as text, `{1,2}`.
pub const LOOKUP: &str = types_where!("t.oid operator(pg_catalog.=) any ($1::pg_catalog.oid[])");

/// Finds the types that this transaction has made or changed, in a savepoint or not, and perhaps some that are as new. Asked in the very
/// session: nobody else sees them.
pub const MADE_HERE: &str = types_where!("pg_catalog.age(t.xmin) operator(pg_catalog.<=) 0");

/// The types of one database, as far as results have shown them.
#[derive(Debug, Default)]
pub struct TypeNames {
    learnt: HashMap<u32, Type>,
}

impl TypeNames {
    /// The oids in `columns` that must be looked up first, as the parameter of [`LOOKUP`]; `None` if all are known, here or in `made`.
    pub fn unknown(&self, columns: &[Column], made: &Self) -> Option<String> {
        let known =
            |oid: &u32| builtin(*oid).is_some() || self.learnt.contains_key(oid) || made.learnt.contains_key(oid);
        let mut oids: Vec<u32> = columns.iter().map(|column| column.type_oid).filter(|oid| !known(oid)).collect();
        oids.sort_unstable();
        oids.dedup();
        let oids: Vec<String> = oids.iter().map(u32::to_string).collect();
        (!oids.is_empty()).then(|| format!("{{{}}}", oids.join(",")))
    }

    /// Takes the rows of [`LOOKUP`].
    pub fn learn(&mut self, rows: &[Row]) {
        self.learnt.extend(rows.iter().filter_map(learnt));
    }

    /// Forgets what was learnt: types can be renamed or dropped by schema changes.
    pub fn clear(&mut self) {
        self.learnt.clear();
    }

    /// The type with this oid, if it was learnt.
    pub fn learnt(&self, oid: u32) -> Option<Type> {
        self.learnt.get(&oid).cloned()
    }

    /// The type of a column; one never looked up gives its text under the name `unknown`.
    pub fn get(&self, oid: u32) -> Type {
        builtin(oid).or_else(|| self.learnt(oid)).unwrap_or_else(Type::unknown)
    }
}

fn learnt(row: &Row) -> Option<(u32, Type)> {
    let oid = row.text(0)?.parse().ok()?;
    let name = row.text(1)?;
    let form = match builtin(row.text(2)?.parse().ok()?) {
        Some(Type { form, array: None, .. }) => form,
        // A domain over an array inside an array, or a type that is nobody's alias.
        _ => Form::Text,
    };
    let array = (row.text(3)? == "t").then_some(*row.text(4)?.as_bytes().first()?);
    let name = if array.is_some() { format!("{name}[]") } else { name.into_owned() };
    Some((oid, Type { name: name.into(), form, array }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(type_oid: u32) -> Column {
        Column { name: "c".into(), type_oid, type_modifier: -1 }
    }

    #[test]
    fn only_strangers_are_asked_for_once_each() {
        let types = TypeNames::default();
        assert_eq!(types.unknown(&[column(23), column(1007)], &types), None);
        let strangers = [column(90001), column(23), column(90000), column(90001)];
        assert_eq!(types.unknown(&strangers, &types).unwrap(), "{90000,90001}");
        assert_eq!(types.get(90000), Type::unknown());
    }
}
