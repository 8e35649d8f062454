//! Every cell of the value table, and what sessions pin so that values do not depend on the server.

use crate::contract::*;
use crate::{alone, settings, shared};
use kluster_node::dbms::{Dbms, How, ReadEvent, Work};
use kluster_node::rows::Rows;
use kluster_protocol::ErrorCode;
use kluster_test_servers::{PostgresOptions, PostgresServer};
use serde_json::{Value, json};

const TABLE: &str = "create table v (
    id int primary key, b bool, s smallint, g bigint, g2 bigint, n numeric, nan numeric, f real, d double precision, dn double precision, di float8,
    c char(3), vc varchar(50), tx text, ba bytea, da date, bc date, far date, inf date, ti time, tz timetz, ts timestamp, tsi timestamp,
    tt timestamptz, old timestamptz, iv interval, js json, jb jsonb, jn jsonb, u uuid, ip inet, po point, mo money, bi bit(3), ar int[], at text[],
    two int[], abi bigint[], atz timestamptz[], m mood, am mood[], dom small, com pair, ra int4range, x xml, o oid, fn real, fi real, fm real,
    dp float8, tpi timestamptz, tmi timestamptz, bct timestamp, mda date, pts timestamp, niv interval, mix interval)";

const FULL: &str = "insert into v values (1, true, -32768, 9007199254740993, 9007199254740991, 12.50, 'NaN', 0.1, 1e300, 'NaN', '-Infinity',
    'ab', 'é', 'te\"xt', '\\x00ff', '2024-02-29', '0044-03-15 BC', '12024-01-01', 'infinity', '12:34:56.500', '12:34:56+02',
    '2024-02-29 12:34:56.500', '-infinity', '2024-02-29 14:34:56.5+02', '0001-01-01 00:00:00+00 BC', '1 year 2 months 3 days 4 hours',
    '{\"b\": 1, \"a\": [null]}', '{\"a\": [1]}', 'null', '123e4567-e89b-12d3-a456-426655440000', '10.0.0.1/8', '(1,2)', '12.50', '101',
    '{1,null}', '{a,\"b,c\",\"NULL\"}', '{{1,2},{3,4}}', '{9007199254740993}', '{2024-02-29 12:00:00+00}', 'ok', '{ok,bad}', 7,
    '(1,\"a b\")', '[1,5)', '<a/>', 42, 'NaN', 'Infinity', '-Infinity', 'Infinity', 'infinity', '-infinity', '0044-03-15 12:00:00 BC', '-infinity',
    'infinity', '-1 year -2 days -03:04:05.5', '1 year -1 day 00:00:01')";

fn expected() -> Value {
    json!({
        "id": 1, "b": true, "s": -32768, "g": "9007199254740993", "g2": 9007199254740991_i64, "n": "12.50", "nan": "NaN", "f": 0.1,
        "d": 1e300, "dn": "NaN", "di": "-Infinity", "c": "ab ", "vc": "é", "tx": "te\"xt", "ba": "AP8=", "da": "2024-02-29",
        "bc": "-0043-03-15", "far": "+12024-01-01", "inf": "infinity", "ti": "12:34:56.5", "tz": "12:34:56+02",
        "ts": "2024-02-29T12:34:56.5", "tsi": "-infinity", "tt": "2024-02-29T12:34:56.5Z", "old": "0000-01-01T00:00:00Z", "iv": "P1Y2M3DT4H",
        "js": {"b": 1, "a": [null]}, "jb": {"a": [1]}, "jn": null, "u": "123e4567-e89b-12d3-a456-426655440000", "ip": "10.0.0.1/8",
        "po": "(1,2)", "mo": "$12.50", "bi": "101", "ar": [1, null], "at": ["a", "b,c", "NULL"], "two": [[1, 2], [3, 4]],
        "abi": ["9007199254740993"], "atz": ["2024-02-29T12:00:00Z"], "m": "ok", "am": ["ok", "bad"], "dom": 7, "com": "(1,\"a b\")",
        "ra": "[1,5)", "x": "<a/>", "o": 42, "fn": "NaN", "fi": "Infinity", "fm": "-Infinity", "dp": "Infinity", "tpi": "infinity",
        "tmi": "-infinity", "bct": "-0043-03-15T12:00:00", "mda": "-infinity", "pts": "infinity", "niv": "P-1Y-2DT-3H-4M-5.5S",
        "mix": "P1Y-1DT1S"
    })
}

async fn make(db: &mut Dbms) {
    for (offset, sql) in [
        "create type mood as enum ('ok', 'bad')",
        "create domain small as int check (value < 10)",
        "create type pair as (a int, b text)",
        TABLE,
        FULL,
    ]
    .into_iter()
    .enumerate()
    {
        one(db, alone(offset as u64, sql)).await.unwrap();
    }
}

async fn check(db: &mut Dbms) {
    let mut result = one(db, work(5, "select * from v")).await.unwrap();
    let result = result.remove(0);
    let types: Vec<_> = result.columns.iter().map(|column| (column.name.clone(), column.type_name.clone())).collect();
    let found = rows(result).remove(0);
    let wanted = expected();
    assert_eq!(found.as_object().unwrap().len(), wanted.as_object().unwrap().len(), "no column is left out");
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(&found[name], value, "{name}");
    }
    let type_of = |name: &str| types.iter().find(|(column, _)| column == name).unwrap().1.as_str();
    for (column, name) in [
        ("g", "int8"),
        ("tt", "timestamptz"),
        ("ar", "int4[]"),
        ("m", "mood"),
        ("am", "mood[]"),
        ("dom", "int4"),
        ("com", "pair"),
        ("ra", "int4range"),
    ] {
        assert_eq!(type_of(column), name, "{column}");
    }
    let (events, ended) = read(&db.reads(), &read_of("select * from v")).await;
    assert_eq!(ended, Ok(()));
    let told = events.iter().find_map(|event| match event {
        ReadEvent::Row(row) => serde_json::from_str::<Value>(row.get()).ok(),
        _ => None,
    });
    assert_eq!(told, Some(found), "ONE gives the forms of ALL");
}

#[tokio::test]
async fn every_type_has_its_form() {
    let place = shared().await;
    let mut db = Dbms::open(&place.settings()).await.unwrap();
    make(&mut db).await;
    check(&mut db).await;
    db.close().await;
}

/// JSON that a reader into numbers and maps would change, and how it is given: `json` as it was written, `jsonb` as PostgreSQL keeps it.
fn hard_json() -> Vec<(String, String, String)> {
    let deep = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
    let same = [
        "18446744073709551616",
        "0.123456789012345678901234567890",
        "-123456789012345678901234567890.10",
        deep.as_str(),
    ];
    let mut all: Vec<_> = same.map(|text| (text.to_owned(), text.to_owned(), text.to_owned())).to_vec();
    all.push(("1e400".into(), "1e400".into(), format!("1{}", "0".repeat(400))));
    all.push((
        r#"{"b":1,  "a":[1.0], "b":2.50}"#.into(),
        r#"{"b":1,  "a":[1.0], "b":2.50}"#.into(),
        r#"{"a": [1.0], "b": 2.50}"#.into(),
    ));
    all.push(("{\n\"a\":\r\n\"b\\n\"}".into(), "{ \"a\":  \"b\\n\"}".into(), r#"{"a": "b\n"}"#.into()));
    all
}

#[tokio::test]
async fn json_keeps_its_digits_keys_and_depth() {
    let place = shared().await;
    let mut db = open(&place).await;
    one(&mut db, alone(1, "create table j (id int primary key, js json, jb jsonb, ajs json[])")).await.unwrap();
    let mut wanted = Vec::new();
    for (n, (given, js, jb)) in hard_json().into_iter().enumerate() {
        let insert = "insert into j values ($1::int, $2::json, $2::text::jsonb, array[$2::json, null])";
        let insert = insert.replace("$2::json,", "$2::text::json,");
        let ran = one(&mut db, bound(2 + n as u64, &insert, json!([n, given]))).await;
        ran.unwrap();
        wanted.push(format!(r#"{{"id":{n},"js":{js},"jb":{jb},"ajs":[{js},null]}}"#));
    }
    let texts = |rows: Rows| rows.into_rows().unwrap().map(|row| row.unwrap().get().to_owned()).collect::<Vec<_>>();
    let mut ran = one(&mut db, work(100, "select * from j order by id")).await.unwrap();
    assert_eq!(texts(ran.remove(0)), wanted);

    let (events, ended) = read(&db.reads(), &read_of("select * from j order by id")).await;
    assert_eq!(ended, Ok(()));
    let told = events.iter().filter_map(|event| match event {
        ReadEvent::Row(row) => Some(row.get().to_owned()),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), wanted, "ONE gives the bytes of ALL");

    let many = "select j.* from generate_series(1, 1000) as n, j order by n, id";
    let rows = one(&mut db, work(101, many)).await.unwrap().remove(0);
    assert!(rows.in_memory().is_none(), "they lie in the spool");
    let back = texts(rows);
    assert_eq!(back.len(), 1000 * wanted.len());
    assert!(back.chunks(wanted.len()).all(|chunk| chunk == wanted));
    db.close().await;
}

#[tokio::test]
async fn the_servers_own_settings_change_nothing() {
    let settings_of_server = [
        ("timezone", "America/New_York"),
        ("datestyle", "SQL, DMY"),
        ("intervalstyle", "postgres"),
        ("extra_float_digits", "-5"),
        ("bytea_output", "escape"),
        ("default_transaction_isolation", "serializable"),
        ("default_transaction_read_only", "on"),
        ("statement_timeout", "1h"),
        ("search_path", "nowhere"),
        ("standard_conforming_strings", "off"),
        ("lc_monetary", "C"),
        ("array_nulls", "off"),
        ("xmloption", "document"),
        ("backslash_quote", "on"),
    ];
    let settings_of_server = settings_of_server.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let server =
        PostgresServer::start_with(PostgresOptions { settings: settings_of_server, ..PostgresOptions::default() })
            .await
            .unwrap();
    server.sql("postgres", "set default_transaction_read_only = off; create database shop").await.unwrap();
    let mut db = Dbms::open(&settings(server.url("shop"))).await.unwrap();
    make(&mut db).await;
    check(&mut db).await;
    db.close().await;
}

#[tokio::test]
async fn types_made_and_changed_in_between_are_named_anew() {
    let place = shared().await;
    let mut db = open(&place).await;
    one(&mut db, alone(1, "create type mood as enum ('ok')")).await.unwrap();
    let name = async |db: &mut Dbms, offset| {
        one(db, work(offset, "select 'ok'::mood as m from (select 1) as one")).await.unwrap()[0].columns[0]
            .type_name
            .clone()
    };
    assert_eq!(name(&mut db, 2).await, "mood");
    one(&mut db, alone(3, "alter type mood rename to temper")).await.unwrap();
    one(&mut db, alone(4, "create domain mood as int")).await.unwrap();
    let ran = one(&mut db, work(5, "select 'ok'::temper as m")).await.unwrap();
    assert_eq!(ran[0].columns[0].type_name, "temper");
    db.close().await;
}

#[tokio::test]
async fn types_made_and_changed_in_the_same_request_are_named_too() {
    let place = shared().await;
    let mut db = open(&place).await;
    one(&mut db, alone(1, "create type mood as enum ('ok')")).await.unwrap();
    let list = |offset, texts: &[&str]| {
        let statements = texts.iter().map(|text| statement(text)).collect();
        Work { how: How::Alone, ..work_of(offset, statements) }
    };
    let undone = ["alter type mood rename to temper", "select 'ok'::temper as m", "select 1/0"];
    assert_eq!(code(&one(&mut db, list(2, &undone)).await), Some(ErrorCode::DivisionByZero));
    let texts = [
        "create type fresh as enum ('a')",
        "create domain small as int[]",
        "select 'a'::fresh as f, array['a'::fresh] as fs, '{1}'::small as s, 'ok'::mood as m",
        "alter type mood rename to temper",
        "create table pair (a int, b text)",
        "insert into pair values (1, 'x') returning pair as p, array[pair] as ps, 'ok'::temper as m",
    ];
    let ran = one(&mut db, list(3, &texts)).await.unwrap();
    let types = |rows: &Rows| rows.columns.iter().map(|column| column.type_name.clone()).collect::<Vec<_>>();
    assert_eq!(types(&ran[2]), ["fresh", "fresh[]", "int4[]", "mood"]);
    assert_eq!(types(&ran[5]), ["pair", "pair[]", "temper"]);
    let mut ran = ran.into_iter();
    assert_eq!(rows(ran.nth(2).unwrap()), [json!({"f": "a", "fs": ["a"], "s": [1], "m": "ok"})]);
    assert_eq!(rows(ran.nth(2).unwrap()), [json!({"p": "(1,x)", "ps": ["(1,x)"], "m": "ok"})]);
    db.close().await;
}

#[tokio::test]
async fn params_take_the_type_that_the_statement_gives_them() {
    let place = shared().await;
    let mut db = open(&place).await;
    let text = "select $1::int as i, $2::numeric as n, $3::bool as b, $4::jsonb as j, $5::int[] as a, $6::timestamptz as t, $7 as x, $8::float8 as d";
    let params = json!([1, 12.5, true, {"a": 1}, "{1,2}", "2024-02-29T12:00:00+02:00", "free", 0.30000000000000004]);
    let mut ran = one(&mut db, bound(1, text, params)).await.unwrap();
    assert_eq!(
        rows(ran.remove(0)),
        [
            json!({"i": 1, "n": "12.5", "b": true, "j": {"a": 1}, "a": [1, 2], "t": "2024-02-29T10:00:00Z", "x": "free", "d": 0.30000000000000004})
        ]
    );
    db.close().await;
}
