//! Every cell of the value table, and what sessions pin so that values do not depend on the server.

use crate::contract::*;
use crate::{alone, shared};
use kluster_node::dbms::{Dbms, How, ReadEvent, Work};
use serde_json::{Value, json};

const TABLE: &str = "create table v (
    id int primary key, b bool, t tinyint, tu tinyint unsigned, s smallint, m mediumint, i int, iu int unsigned zerofill, g bigint,
    gu bigint unsigned, n decimal(30, 2), f float, d double, bits bit(12), c char(4), vc varchar(50), bin_text varchar(50) collate utf8mb4_bin,
    tx text, lt longtext, bin binary(2), vb varbinary(9), bl blob, e enum('x', 'y'), st set('p', 'q'), j json,
    da date, ti time(6), dt datetime(6), ts timestamp(6) null, y year, u uuid, ip inet6, po point)";

#[tokio::test]
async fn every_type_has_its_form() {
    let place = shared().await;
    let mut db = Dbms::open(&place.settings()).await.unwrap();
    let create = ddl(&db, 0, TABLE);
    one(&mut db, create).await.unwrap();
    let full = "insert into v values (1, true, -128, 255, -32768, 8388607, -1, 7, 9007199254740992, 18446744073709551615,
        12.50, 0.1, 1e300, b'101', 'ab', 'é', 'bin', 'text', 'long', x'00ff', x'00', x'ff00', 'y', 'p,q', '{\"a\": [1]}',
        '2024-02-29', '-838:59:59', '2024-02-29 12:34:56.5', '2024-02-29 12:34:56.000001', 2024,
        '123e4567-e89b-12d3-a456-426655440000', '::1', point(1, 2))";
    one(&mut db, work(1, full)).await.unwrap();
    let mut result = one(&mut db, work(2, "select * from v")).await.unwrap();
    let result = result.remove(0);
    let types: Vec<_> = result.columns.iter().map(|column| (column.name.clone(), column.type_name.clone())).collect();
    let found = rows(result).remove(0);
    let expected = json!({
        "id": 1, "b": 1, "t": -128, "tu": 255, "s": -32768, "m": 8388607, "i": -1, "iu": 7, "g": "9007199254740992",
        "gu": "18446744073709551615", "n": "12.50", "f": 0.1, "d": 1e300, "bits": 5, "c": "ab", "vc": "é", "bin_text": "bin",
        "tx": "text", "lt": "long", "bin": "AP8=", "vb": "AA==", "bl": "/wA=", "e": "y", "st": "p,q", "j": "{\"a\": [1]}",
        "da": "2024-02-29", "ti": "-838:59:59", "dt": "2024-02-29T12:34:56.5", "ts": "2024-02-29T12:34:56.000001Z", "y": 2024,
        "u": "123e4567-e89b-12d3-a456-426655440000", "ip": "::1",
        // SRID 0 in four bytes, then the point (1, 2) in OGC's binary form.
        "po": "AAAAAAEBAAAAAAAAAAAA8D8AAAAAAAAAQA==",
    });
    assert_eq!(found, expected);
    let type_of = |name: &str| types.iter().find(|(column, _)| column == name).unwrap().1.as_str();
    for (column, name) in [
        ("b", "tinyint"),
        ("tu", "tinyint unsigned"),
        ("gu", "bigint unsigned"),
        ("n", "decimal"),
        ("bin_text", "varchar"),
        ("tx", "text"),
        ("bl", "blob"),
        ("vb", "varbinary"),
        ("bin", "binary"),
        ("ts", "timestamp"),
        ("e", "enum"),
        ("po", "geometry"),
    ] {
        assert_eq!(type_of(column), name, "{column}");
    }
    let reads = db.reads();
    let (events, ended) = read(&reads, &read_of("select * from v")).await;
    assert_eq!(ended, Ok(()));
    let told = events.iter().find_map(|event| match event {
        ReadEvent::Row(row) => serde_json::from_str::<Value>(row.get()).ok(),
        _ => None,
    });
    assert_eq!(told, Some(expected), "ONE gives the forms of ALL");
    db.close().await;
}

#[tokio::test]
async fn json_is_the_text_that_was_stored() {
    let place = shared().await;
    let mut db = open(&place).await;
    let create = ddl(&db, 1, "create table j (id int primary key, js json)");
    one(&mut db, create).await.unwrap();
    let texts = [
        "18446744073709551616",
        "0.123456789012345678901234567890",
        "1e400",
        "{\"a\":1,\n \"a\" : 2.50}",
        "[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]",
    ];
    for (n, text) in texts.into_iter().enumerate() {
        one(&mut db, bound(2 + n as u64, "insert into j values ($1, $2)", json!([n, text]))).await.unwrap();
    }
    let found = query(&mut db, 10, "select js from j order by id").await;
    assert_eq!(found, texts.map(|text| json!({"js": text})));
    db.close().await;
}

#[tokio::test]
async fn a_geometry_is_its_bytes_and_has_a_text_on_request() {
    let place = shared().await;
    let mut db = open(&place).await;
    let sql = "select st_geomfromtext('LINESTRING(0 0,1 2)', 4326) as g, st_astext(st_geomfromtext('LINESTRING(0 0,1 2)')) as t";
    let mut result = one(&mut db, work(1, sql)).await.unwrap();
    let result = result.remove(0);
    assert_eq!(result.columns[0].type_name, "geometry");
    let found = rows(result);
    assert_eq!(found[0]["t"], "LINESTRING(0 0,1 2)");
    assert_eq!(found[0]["g"], "5hAAAAECAAAAAgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAADwPwAAAAAAAABA");
    db.close().await;
}

#[tokio::test]
async fn nulls_zeros_and_edges() {
    let place = shared().await;
    let mut db = open(&place).await;
    let create = ddl(
        &db,
        1,
        "create table z (id int primary key, da date, dt datetime, ts timestamp null, ti time, s varchar(10), j json)",
    );
    one(&mut db, create).await.unwrap();
    one(&mut db, work(2, "insert into z values (1, '0000-00-00', '0000-00-00', '0000-00-00', 0, '', '[]')"))
        .await
        .unwrap();
    one(&mut db, work(3, "insert into z (id) values (2)")).await.unwrap();
    let found = query(&mut db, 4, "select * from z order by id").await;
    assert_eq!(
        found,
        [
            json!({"id": 1, "da": "0000-00-00", "dt": "0000-00-00T00:00:00", "ts": "0000-00-00T00:00:00Z", "ti": "00:00:00",
                   "s": "", "j": "[]"}),
            json!({"id": 2, "da": null, "dt": null, "ts": null, "ti": null, "s": null, "j": null}),
        ]
    );
    let found = query(
        &mut db,
        5,
        "select null as n, 1 = 1 as t, 1 / 3 as q, cast(-5 as time) as past, sum(1) as s, 1e0 / 0 as nothing",
    )
    .await;
    assert_eq!(found, [json!({"n": null, "t": 1, "q": "0.3333", "past": "-00:00:05", "s": "1", "nothing": null})]);
    db.close().await;
}

#[tokio::test]
async fn sessions_do_not_depend_on_the_servers_settings() {
    let server = kluster_test_servers::MariaDbServer::start_with(kluster_test_servers::MariaDbOptions {
        settings: [
            ("sql_mode", "ANSI,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT"),
            ("default_time_zone", "+05:00"),
            ("character_set_server", "latin1"),
            ("collation_server", "latin1_swedish_ci"),
            ("group_concat_max_len", "8"),
            ("div_precision_increment", "9"),
            ("auto_increment_increment", "7"),
            ("transaction_isolation", "SERIALIZABLE"),
            ("default_storage_engine", "MyISAM"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
        ..Default::default()
    })
    .await
    .unwrap();
    server.create_database("shop").await.unwrap();
    let mut db = Dbms::open(&crate::settings(server.url("shop"))).await.unwrap();
    let create = ddl(&db, 0, "create table t (id int primary key auto_increment, name varchar(9)) engine = MyISAM");
    one(&mut db, create).await.unwrap();
    one(&mut db, work(1, "insert into t (name) values ('a'), ('b')")).await.unwrap();
    let sql = "select 'a' || 'b' as o, \"x\" as s, '\\t' as b, 1 / 3 as q, cast(from_unixtime(1) as char) as z, \
               group_concat(name, '-------' order by id) as g, max(id) as i, @@tx_isolation as l from t";
    assert_eq!(
        query(&mut db, 2, sql).await,
        [
            json!({"o": 0, "s": "x", "b": "\t", "q": "0.3333", "z": "1970-01-01 00:00:01", "g": "a-------,b-------", "i": 2,
                "l": "READ-COMMITTED"})
        ]
    );
    let made = server
        .sql("shop", "select engine, table_collation from information_schema.tables where table_name = 't'")
        .await
        .unwrap();
    assert_eq!(made.trim_end(), "InnoDB\tutf8mb4_unicode_ci");
    db.close().await;
}

#[tokio::test]
async fn nothing_of_a_work_that_ran_alone_is_left_in_the_session() {
    let place = shared().await;
    let mut db = open(&place).await;
    one(&mut db, alone(1, "set @a = 1, session sql_mode = ''")).await.unwrap();
    let found = query(&mut db, 2, "select @a as a, @@sql_mode <> '' as strict").await;
    assert_eq!(found, [json!({"a": null, "strict": 1})]);
    let (_, ended) = read(&db.reads(), &read_of("select @a := 5")).await;
    assert_eq!(ended, Ok(()));
    let (events, _) = read(&db.reads(), &read_of("select @a as a")).await;
    assert!(events.iter().any(|event| matches!(event, ReadEvent::Row(row) if row.get() == r#"{"a":null}"#)));
    db.close().await;
}

/// The time of 2001-02-03 04:05:06.789.
const TIME_MS: i64 = 981_173_106_789;

fn timed(offset: u64, sql: &str) -> Work {
    Work { time_ms: TIME_MS + offset as i64, ..work(offset, sql) }
}

#[tokio::test]
async fn columns_that_fill_themselves_get_the_time_of_the_record() {
    let place = shared().await;
    // As an import may leave it behind; texts that say this are refused.
    place
        .sql("create table made (id int primary key, at timestamp(3) not null default now(3) on update now(3), n int)")
        .await;
    let mut db = open(&place).await;
    let create = "create table filled (id int, at timestamp(3) not null, due timestamp not null default '2020-01-01')";
    let create = ddl(&db, 1, create);
    one(&mut db, create).await.unwrap();
    // Of one batch, each its own; and the batch decides nothing.
    let works = [
        timed(2, "insert into filled values (1, null, null)"),
        timed(3, "insert into made (id) values (1), (2)"),
        timed(4, "update made set n = 1 where id = 2"),
        timed(5, "insert into filled select 2, null, nullif(1, 1)"),
    ];
    for ran in apply(&mut db, &works).await {
        ran.unwrap();
    }
    let alone = Work { how: How::Alone, ..timed(6, "insert into filled values (3, null, null)") };
    one(&mut db, alone).await.unwrap();
    let copy = "create table copy (at timestamp(3) not null) as select 1 as id, cast(null as datetime) as at";
    let copy = Work { time_ms: TIME_MS, ..ddl(&db, 7, copy) };
    one(&mut db, copy).await.unwrap();
    let due = "2001-02-03T04:05:06Z";
    let filled = |id: u64, at: &str| json!({"id": id, "at": at, "due": due});
    let found = query(&mut db, 8, "select * from filled order by id").await;
    let times = ["2001-02-03T04:05:06.791Z", "2001-02-03T04:05:06.794Z", "2001-02-03T04:05:06.795Z"];
    assert_eq!(found, [filled(1, times[0]), filled(2, times[1]), filled(3, times[2])]);
    let found = query(&mut db, 9, "select id, at from made order by id").await;
    let made = [("2001-02-03T04:05:06.792Z", 1), ("2001-02-03T04:05:06.793Z", 2)];
    assert_eq!(found, made.map(|(at, id)| json!({"id": id, "at": at})));
    let found = query(&mut db, 10, "select at from copy").await;
    assert_eq!(found, [json!({"at": "2001-02-03T04:05:06.789Z"})]);
    db.close().await;
}
