//! The built-in types (oids of PostgreSQL's `pg_type.dat`, which never change).

use std::borrow::Cow;

use super::{Form, Type};

/// oid, oid of its array, name, name of its array, form.
type Entry = (u32, u32, &'static str, &'static str, Form);

/// Common types first; sorted for reading, searched linearly (once per column, not per cell).
const TABLE: &[Entry] = &[
    (16, 1000, "bool", "bool[]", Form::Bool),
    (21, 1005, "int2", "int2[]", Form::Integer),
    (23, 1007, "int4", "int4[]", Form::Integer),
    (20, 1016, "int8", "int8[]", Form::Integer),
    (26, 1028, "oid", "oid[]", Form::Integer),
    (700, 1021, "float4", "float4[]", Form::Float),
    (701, 1022, "float8", "float8[]", Form::Float),
    (1700, 1231, "numeric", "numeric[]", Form::Numeric),
    (25, 1009, "text", "text[]", Form::Text),
    (1043, 1015, "varchar", "varchar[]", Form::Text),
    (1042, 1014, "bpchar", "bpchar[]", Form::Text),
    (18, 1002, "char", "char[]", Form::Text),
    (19, 1003, "name", "name[]", Form::Text),
    (2950, 2951, "uuid", "uuid[]", Form::Text),
    (17, 1001, "bytea", "bytea[]", Form::Bytes),
    (114, 199, "json", "json[]", Form::Json),
    (3802, 3807, "jsonb", "jsonb[]", Form::Json),
    (1082, 1182, "date", "date[]", Form::Date),
    (1083, 1183, "time", "time[]", Form::Text),
    (1266, 1270, "timetz", "timetz[]", Form::Text),
    (1114, 1115, "timestamp", "timestamp[]", Form::Timestamp),
    (1184, 1185, "timestamptz", "timestamptz[]", Form::TimestampTz),
    // ISO 8601 by the session's IntervalStyle.
    (1186, 1187, "interval", "interval[]", Form::Text),
    (869, 1041, "inet", "inet[]", Form::Text),
    (650, 651, "cidr", "cidr[]", Form::Text),
    (829, 1040, "macaddr", "macaddr[]", Form::Text),
    (774, 775, "macaddr8", "macaddr8[]", Form::Text),
    (790, 791, "money", "money[]", Form::Text),
    (142, 143, "xml", "xml[]", Form::Text),
    (1560, 1561, "bit", "bit[]", Form::Text),
    (1562, 1563, "varbit", "varbit[]", Form::Text),
    (600, 1017, "point", "point[]", Form::Text),
    (628, 629, "line", "line[]", Form::Text),
    (601, 1018, "lseg", "lseg[]", Form::Text),
    (603, 1020, "box", "box[]", Form::Text),
    (602, 1019, "path", "path[]", Form::Text),
    (604, 1027, "polygon", "polygon[]", Form::Text),
    (718, 719, "circle", "circle[]", Form::Text),
    (3614, 3643, "tsvector", "tsvector[]", Form::Text),
    (3615, 3645, "tsquery", "tsquery[]", Form::Text),
    (4072, 4073, "jsonpath", "jsonpath[]", Form::Text),
    (3904, 3905, "int4range", "int4range[]", Form::Text),
    (3926, 3927, "int8range", "int8range[]", Form::Text),
    (3906, 3907, "numrange", "numrange[]", Form::Text),
    (3912, 3913, "daterange", "daterange[]", Form::Text),
    (3908, 3909, "tsrange", "tsrange[]", Form::Text),
    (3910, 3911, "tstzrange", "tstzrange[]", Form::Text),
    (4451, 6150, "int4multirange", "int4multirange[]", Form::Text),
    (4536, 6157, "int8multirange", "int8multirange[]", Form::Text),
    (4532, 6151, "nummultirange", "nummultirange[]", Form::Text),
    (4535, 6155, "datemultirange", "datemultirange[]", Form::Text),
    (4533, 6152, "tsmultirange", "tsmultirange[]", Form::Text),
    (4534, 6153, "tstzmultirange", "tstzmultirange[]", Form::Text),
    (27, 1010, "tid", "tid[]", Form::Text),
    (28, 1011, "xid", "xid[]", Form::Text),
    (29, 1012, "cid", "cid[]", Form::Text),
    (5069, 271, "xid8", "xid8[]", Form::Text),
    (3220, 3221, "pg_lsn", "pg_lsn[]", Form::Text),
    (24, 1008, "regproc", "regproc[]", Form::Text),
    (2202, 2207, "regprocedure", "regprocedure[]", Form::Text),
    (2205, 2210, "regclass", "regclass[]", Form::Text),
    (2206, 2211, "regtype", "regtype[]", Form::Text),
    (4089, 4090, "regnamespace", "regnamespace[]", Form::Text),
    (4096, 4097, "regrole", "regrole[]", Form::Text),
    // Arrays of an older kind, written with blanks and without braces.
    (22, 1006, "int2vector", "int2vector[]", Form::Text),
    (30, 1013, "oidvector", "oidvector[]", Form::Text),
    (2249, 2287, "record", "record[]", Form::Text),
    (705, 0, "unknown", "", Form::Text),
    (2278, 0, "void", "", Form::Text),
];

/// `pg_type.oid` of `box`, the one type whose arrays are not separated by commas.
const BOX: u32 = 603;

/// A built-in type, or an array of one.
pub fn builtin(oid: u32) -> Option<Type> {
    TABLE.iter().find_map(|&(scalar, array, name, array_name, form)| {
        let delimiter = if scalar == BOX { b';' } else { b',' };
        match oid {
            _ if oid == scalar => Some(Type { name: Cow::Borrowed(name), form, array: None }),
            _ if oid == array => Some(Type { name: Cow::Borrowed(array_name), form, array: Some(delimiter) }),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_their_arrays_are_found() {
        let int4 = builtin(23).unwrap();
        assert_eq!((int4.name.as_ref(), int4.form, int4.array), ("int4", Form::Integer, None));
        let arrays = builtin(1007).unwrap();
        assert_eq!((arrays.name.as_ref(), arrays.form, arrays.array), ("int4[]", Form::Integer, Some(b',')));
        assert_eq!(builtin(1020).unwrap().array, Some(b';'));
        assert_eq!(builtin(123_456), None);
    }

    #[test]
    fn no_oid_stands_twice() {
        let mut oids: Vec<u32> = TABLE.iter().flat_map(|entry| [entry.0, entry.1]).filter(|oid| *oid != 0).collect();
        let count = oids.len();
        oids.sort_unstable();
        oids.dedup();
        assert_eq!(oids.len(), count);
    }
}
