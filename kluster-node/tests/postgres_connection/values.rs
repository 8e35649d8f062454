use kluster_node::dbms::postgres::connection::{Connection, NO_PARAMS, Rows};
use kluster_node::dbms::postgres::types::{LOOKUP, TypeNames, builtin};
use kluster_node::dbms::postgres::value::to_json;
use serde_json::{Value, json};

use super::server::server;

/// As the adapter pins it.
async fn pinned() -> Connection {
    let mut address = server().superuser();
    for (name, value) in [
        ("TimeZone", "UTC"),
        ("DateStyle", "ISO, MDY"),
        ("IntervalStyle", "iso_8601"),
        ("bytea_output", "hex"),
        ("extra_float_digits", "1"),
    ] {
        address = address.with_parameter(name, value);
    }
    Connection::connect(&address).await.unwrap()
}

fn json_of(rows: &Rows, types: &TypeNames) -> Vec<(String, Value)> {
    let cells = rows.rows[0].cells();
    let typed = rows.columns.iter().map(|column| types.get(column.type_oid));
    typed
        .zip(cells)
        .map(|(kind, cell)| (kind.name.to_string(), serde_json::to_value(to_json(cell, &kind)).unwrap()))
        .collect()
}

/// Type name and JSON of one expression.
async fn shown(connection: &mut Connection, types: &mut TypeNames, expression: &str) -> (String, Value) {
    let rows = connection.query(&format!("select {expression}"), NO_PARAMS).await.unwrap();
    if let Some(oids) = types.unknown(&rows.columns, types) {
        types.learn(&connection.query(LOOKUP, [Some(oids)]).await.unwrap().rows);
    }
    json_of(&rows, types).remove(0)
}

#[tokio::test]
async fn every_type_has_its_published_form() {
    let table = [
        ("true", "bool", json!(true)),
        ("false", "bool", json!(false)),
        ("null::bool", "bool", Value::Null),
        ("(-32768)::int2", "int2", json!(-32768)),
        ("2147483647", "int4", json!(2147483647)),
        ("4294967295::oid", "oid", json!(4294967295_u32)),
        ("9007199254740991", "int8", json!(9_007_199_254_740_991_i64)),
        ("9007199254740992", "int8", json!("9007199254740992")),
        ("(-9223372036854775807-1)::int8", "int8", json!("-9223372036854775808")),
        ("1.10::numeric", "numeric", json!("1.10")),
        ("1e40::numeric", "numeric", json!("10000000000000000000000000000000000000000")),
        ("'NaN'::numeric", "numeric", json!("NaN")),
        ("'-Infinity'::numeric", "numeric", json!("-Infinity")),
        ("0.1::float4", "float4", json!(0.1)),
        ("(1.0/3)::float8", "float8", json!(0.3333333333333333)),
        ("1e300::float8", "float8", json!(1e300)),
        ("'-0'::float8", "float8", json!(-0.0)),
        ("'NaN'::float8", "float8", json!("NaN")),
        ("'infinity'::float4", "float4", json!("Infinity")),
        ("'-infinity'::float8", "float8", json!("-Infinity")),
        ("'{\"a\":[1,null]}'::json", "json", json!({"a": [1, null]})),
        ("'{\"b\":1,\"a\":\"x\"}'::jsonb", "jsonb", json!({"a": "x", "b": 1})),
        ("'\\x00ff'::bytea", "bytea", json!("AP8=")),
        ("''::bytea", "bytea", json!("")),
        ("'ä'::text", "text", json!("ä")),
        ("'x'::varchar(5)", "varchar", json!("x")),
        ("'x'::char(3)", "bpchar", json!("x  ")),
        ("'x'::\"char\"", "char", json!("x")),
        ("'x'::name", "name", json!("x")),
        ("'6F3B7A4E-0b0a-4b6e-9d4e-000000000001'::uuid", "uuid", json!("6f3b7a4e-0b0a-4b6e-9d4e-000000000001")),
        ("'2024-02-29'::date", "date", json!("2024-02-29")),
        ("'0001-01-01 BC'::date", "date", json!("0000-01-01")),
        ("'0044-03-15 BC'::date", "date", json!("-0043-03-15")),
        ("'4713-01-01 BC'::date", "date", json!("-4712-01-01")),
        ("'10000-01-01'::date", "date", json!("+10000-01-01")),
        ("'5874897-12-31'::date", "date", json!("+5874897-12-31")),
        ("'infinity'::date", "date", json!("infinity")),
        ("'-infinity'::date", "date", json!("-infinity")),
        ("'12:34:56'::time", "time", json!("12:34:56")),
        ("'24:00'::time", "time", json!("24:00:00")),
        ("'12:34:56.789+02'::timetz", "timetz", json!("12:34:56.789+02")),
        ("'2024-02-29 12:34:56.789'::timestamp", "timestamp", json!("2024-02-29T12:34:56.789")),
        ("'0044-03-15 12:00 BC'::timestamp", "timestamp", json!("-0043-03-15T12:00:00")),
        ("'294276-12-31 23:59:59.999999'::timestamp", "timestamp", json!("+294276-12-31T23:59:59.999999")),
        ("'infinity'::timestamp", "timestamp", json!("infinity")),
        ("'2024-02-29 12:34:56+02'::timestamptz", "timestamptz", json!("2024-02-29T10:34:56Z")),
        ("'0044-03-15 12:00:00+00 BC'::timestamptz", "timestamptz", json!("-0043-03-15T12:00:00Z")),
        ("'-infinity'::timestamptz", "timestamptz", json!("-infinity")),
        ("'1 year 2 mons 3 days 04:05:06.7'::interval", "interval", json!("P1Y2M3DT4H5M6.7S")),
        ("'0'::interval", "interval", json!("PT0S")),
        ("'10.0.0.1/8'::inet", "inet", json!("10.0.0.1/8")),
        ("'10.0.0.0/8'::cidr", "cidr", json!("10.0.0.0/8")),
        ("'08:00:2b:01:02:03'::macaddr", "macaddr", json!("08:00:2b:01:02:03")),
        ("'[1,5)'::int4range", "int4range", json!("[1,5)")),
        ("'(1,2)'::point", "point", json!("(1,2)")),
        ("row(1,'a b')", "record", json!("(1,\"a b\")")),
        ("'<a/>'::xml", "xml", json!("<a/>")),
        ("B'101'", "bit", json!("101")),
        ("'pg_class'::regclass", "regclass", json!("pg_class")),
        ("'1 2'::int2vector", "int2vector", json!("1 2")),
        ("'{}'::int[]", "int4[]", json!([])),
        ("'{1,NULL,3}'::int[]", "int4[]", json!([1, null, 3])),
        ("'{{1,2},{3,4}}'::int8[]", "int8[]", json!([[1, 2], [3, 4]])),
        ("'[0:1]={5,6}'::int2[]", "int2[]", json!("[0:1]={5,6}")),
        ("array['a \"b\" \\ ,{}', 'NULL', '', null]", "text[]", json!(["a \"b\" \\ ,{}", "NULL", "", null])),
        ("array[true,false]", "bool[]", json!([true, false])),
        ("array['NaN'::float8, 1.5]", "float8[]", json!(["NaN", 1.5])),
        ("array['\\x00ff'::bytea]", "bytea[]", json!(["AP8="])),
        ("array['{\"a\": \"b\"}'::jsonb]", "jsonb[]", json!([{"a": "b"}])),
        ("array['0044-03-15 12:00:00+00 BC'::timestamptz]", "timestamptz[]", json!(["-0043-03-15T12:00:00Z"])),
        ("array['(1,1),(0,0)'::box, '(3,3),(2,2)'::box]", "box[]", json!(["(1,1),(0,0)", "(3,3),(2,2)"])),
        ("array['1 day'::interval]", "interval[]", json!(["P1D"])),
    ];
    let (mut connection, mut types) = (pinned().await, TypeNames::default());
    for (expression, name, value) in table {
        let expected = (name.to_owned(), value);
        assert_eq!(shown(&mut connection, &mut types, expression).await, expected, "{expression}");
    }
}

#[tokio::test]
async fn users_types_are_learnt() {
    let mut connection = pinned().await;
    connection
        .execute_script(
            "create schema users_types; set search_path = users_types;
             create type mood as enum ('sad', 'o k');
             create domain age as int check (value > 0);
             create domain old as age check (value > 60);
             create domain matrix as int[];
             create type pair as (a int, b text)",
        )
        .await
        .unwrap();
    let mut types = TypeNames::default();
    for (expression, name, value) in [
        ("'sad'::mood", "mood", json!("sad")),
        ("array['sad', 'o k']::mood[]", "mood[]", json!(["sad", "o k"])),
        ("7::age", "int4", json!(7)),
        ("array[70, null]::old[]", "old[]", json!([70, null])),
        ("'{1,2}'::matrix", "int4[]", json!([1, 2])),
        ("array['{1,2}'::matrix]", "matrix[]", json!(["{1,2}"])),
        ("row(1, 'x')::pair", "pair", json!("(1,x)")),
        ("array[row(1, 'x')::pair]", "pair[]", json!(["(1,x)"])),
    ] {
        let expected = (name.to_owned(), value);
        assert_eq!(shown(&mut connection, &mut types, expression).await, expected, "{expression}");
    }
}

#[tokio::test]
async fn the_table_of_built_in_types_agrees_with_the_server() {
    let mut connection = pinned().await;
    let sql = "select t.oid, coalesce(e.typname || '[]', t.typname), coalesce(e.typdelim, t.typdelim)
                 from pg_type t
                 left join pg_type e on e.oid = t.typelem and t.typoutput = 'array_out'::regproc";
    let rows = connection.query(sql, NO_PARAMS).await.unwrap();
    let mut known = 0;
    for row in &rows.rows {
        let oid = row.text(0).unwrap().parse().unwrap();
        if let Some(kind) = builtin(oid) {
            known += 1;
            assert_eq!(kind.name, row.text(1).unwrap(), "{oid}");
            assert_eq!(
                kind.array.unwrap_or(b','),
                if kind.array.is_some() { row.text(2).unwrap().as_bytes()[0] } else { b',' }
            );
        }
    }
    assert_eq!(known, 136);
}
