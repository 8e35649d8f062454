//! What a writing statement becomes, so that the order of rows decides nothing.

use kluster_sql::Dialect::{self, MariaDb, Postgres, Sqlite};
use kluster_sql::{RefusalCode, admit, fulfil};

/// The text that is executed, where every table's key is `id`, except that of `keyless`.
#[track_caller]
fn made(dialect: Dialect, sql: &str) -> String {
    let admitted = admit(dialect, sql).unwrap_or_else(|refusal| panic!("{dialect:?}: {sql}: {refusal}"));
    let keys = |table: &[String]| match table.last().is_some_and(|name| name == "keyless") {
        true => vec![],
        false => vec![vec!["id".to_owned()]],
    };
    fulfil(&admitted.sql, &admitted.wants, keys).unwrap_or_else(|refusal| panic!("{sql}: {refusal}")).0
}

#[track_caller]
fn becomes(dialect: Dialect, pairs: &[(&str, &str)]) {
    for (sql, expected) in pairs {
        assert_eq!(made(dialect, sql), *expected, "{dialect:?}: {sql}");
    }
}

#[track_caller]
fn untouched(dialect: Dialect, texts: &[&str]) {
    for sql in texts {
        assert_eq!(made(dialect, sql), *sql, "{dialect:?}");
    }
}

#[track_caller]
fn refused(dialect: Dialect, texts: &[&str]) {
    for sql in texts {
        let refusal = match admit(dialect, sql) {
            Ok(admitted) => fulfil(&admitted.sql, &admitted.wants, |_| vec![]).expect_err(sql),
            Err(refusal) => refusal,
        };
        assert_eq!(refusal.code, RefusalCode::OrderDependent, "{dialect:?}: {sql}: {refusal}");
    }
}

#[test]
fn aggregates_are_ordered_by_their_arguments() {
    becomes(
        Postgres,
        &[
            (
                "insert into t select k, string_agg(name, ',') from u group by k",
                "insert into t select k, string_agg(name, ',' order by (name)::text collate \"C\") from u group by k",
            ),
            (
                "update t set a = (select array_agg(b order by c desc) from u)",
                "update t set a = (select array_agg(b order by c desc, (b)::text collate \"C\") from u)",
            ),
            (
                "insert into t select json_object_agg(k, v) filter (where v > 1) from u",
                "insert into t select json_object_agg(k, v order by (k)::text collate \"C\", (v)::text collate \"C\") \
                 filter (where v > 1) from u",
            ),
            (
                "create table t as select sum(all a /* b */) as s, corr(a, b), pg_catalog.avg(c) from u",
                "create table t as select sum(all a order by (a) /* b */) as s, corr(a, b order by (a), (b)), \
                 pg_catalog.avg(c order by (c)) from u",
            ),
            (
                "insert into t select json_agg(json_build_object('i', (select json_agg(i) from i))) from u",
                "insert into t select json_agg(json_build_object('i', (select json_agg(i order by (i)::text collate \"C\") \
                 from i)) order by (json_build_object('i', (select json_agg(i order by (i)::text collate \"C\") from i)))\
                 ::text collate \"C\") from u",
            ),
            (
                "insert into t select array(select a from u), array(select distinct a from u order by 1 desc)",
                "insert into t select array(select a from u order by (a)::text collate \"C\"), \
                 array(select distinct a from u order by 1 desc, 1)",
            ),
        ],
    );
    untouched(
        Postgres,
        &[
            "insert into t select string_agg(distinct a, ',' order by a), count(a), max(a) from u",
            "select string_agg(a, ',') from u",
            "insert into sum (a) values (1)",
            "insert into t select own.sum(a), sum(1) from u",
            "insert into t select 'sum(a)' from u -- sum(a)",
            "create view v as select string_agg(a, ',') from u",
            "insert into t select sum(a) over (order by b) from u",
            "insert into t values (array[1, 2])",
        ],
    );
    becomes(
        MariaDb,
        &[
            (
                "insert into t select group_concat(distinct a, 'x', b order by c separator ';') from u",
                "insert into t select group_concat(distinct a, 'x', b order by c, binary (a), binary (b) separator ';') from u",
            ),
            (
                "insert into t select json_arrayagg(a limit 3) from u",
                "insert into t select json_arrayagg(a order by binary (a) limit 3) from u",
            ),
        ],
    );
    refused(MariaDb, &["insert into t select json_objectagg(a, b) from u"]);
    becomes(
        Sqlite,
        &[(
            "insert into t select group_concat(a, $1), sum(b) from u",
            "insert into t select group_concat(a, $1 order by (a) collate binary, typeof(a)), sum(b order by (b)) from u",
        )],
    );
}

#[test]
fn rows_are_taken_by_all_that_is_selected() {
    becomes(
        Postgres,
        &[
            (
                "update job set owner = $1 where id in (select id from job where state = 'free' order by created limit 1)",
                "update job set owner = $1 where id in (select id from job where state = 'free' order by created, \
                 (id)::text collate \"C\" limit 1)",
            ),
            (
                "select id, 1, a + b from job j order by at for update limit 1",
                "select id, 1, a + b from job j order by at, (id)::text collate \"C\", 3 for update limit 1",
            ),
            (
                "insert into t select * from u x join lateral (select 1) as \"Y\" on true left join s.v using (a) \
                 order by a fetch first 3 rows only",
                "insert into t select * from u x join lateral (select 1) as \"Y\" on true left join s.v using (a) \
                 order by a, (x.*)::text collate \"C\", (\"Y\".*)::text collate \"C\", (v.*)::text collate \"C\" \
                 fetch first 3 rows only",
            ),
            (
                "insert into t select a, b from u union select a, b from v order by a limit 3",
                "insert into t select a, b from u union select a, b from v order by a, 1, 2 limit 3",
            ),
            (
                "insert into t select a as b, b as a from u order by a limit 3",
                "insert into t select a as b, b as a from u order by a, (a)::text collate \"C\", (b)::text collate \"C\" limit 3",
            ),
            (
                "insert into t select distinct on (a) a, b as c from u",
                "insert into t select distinct on (a) a, b as c from u order by a, (a)::text collate \"C\", \
                 (b)::text collate \"C\"",
            ),
            (
                "insert into t select distinct on (a) * from u order by a, b desc",
                "insert into t select distinct on (a) * from u order by a, b desc, (u.*)::text collate \"C\"",
            ),
            (
                "with top as (select a, count(*) from u group by a order by 2 desc limit 3) insert into t select a from top",
                "with top as (select a, count(*) from u group by a order by 2 desc, (a)::text collate \"C\", 2 limit 3) \
                 insert into t select a from top",
            ),
        ],
    );
    untouched(
        Postgres,
        &[
            "insert into t select id from u order by id limit 1",
            "delete from t where exists (select 1 from u limit 1)",
            "insert into t select a from u limit all",
            "insert into t select a from u order by a fetch first 3 rows with ties",
            "update t set a = extract(year from b) where t.limit = 2",
            "insert into t (a) values ($1) on conflict (a) do update set a = excluded.a returning *",
            "select * from t limit 1",
        ],
    );
    refused(
        Postgres,
        &[
            "insert into t select distinct * from u limit 1",
            "insert into t select a from u order by a offset 1 fetch first 3 rows with ties",
            "insert into t (select a from u) union (select a from v) limit 1",
            "insert into t select * from (u join v using (a)) limit 1",
        ],
    );
    for dialect in [MariaDb, Sqlite] {
        let quote = if dialect == MariaDb { "`" } else { "\"" };
        let by_bytes = if dialect == MariaDb { "binary a" } else { "1 collate binary" };
        let expected = |sql: &str| sql.replace('"', quote).replace("BY_BYTES", by_bytes);
        for (sql, made) in [
            ("insert into t select * from u limit 3", "insert into t select * from u order by u.\"id\" limit 3"),
            (
                "insert into t select x.* from u as x order by é, x.b desc limit 3",
                "insert into t select x.* from u as x order by é, x.b desc, x.\"id\" limit 3",
            ),
            (
                "insert into t select * from u order by u.ID limit 3",
                "insert into t select * from u order by u.ID limit 3",
            ),
            (
                "insert into t select a from u order by b limit 3",
                "insert into t select a from u order by b, BY_BYTES limit 3",
            ),
            ("delete from u where a = 1 limit 3", "delete from u where a = 1 order by \"id\" limit 3"),
            ("update u set a = 1 order by b limit 3", "update u set a = 1 order by b, \"id\" limit 3"),
        ] {
            becomes(dialect, &[(sql, &expected(made))]);
        }
        refused(
            dialect,
            &[
                "insert into t select * from keyless limit 1",
                "insert into t select * from u join v limit 1",
                "insert into t select * from (select 1) x limit 1",
                "with u as (select 1) insert into t select * from u limit 1",
                "delete from keyless limit 1",
            ],
        );
    }
}

#[test]
fn windows_tell_all_rows_apart() {
    becomes(
        Postgres,
        &[
            (
                "create table t as select a from u limit 3",
                "create table t as select a from u order by (a)::text collate \"C\" limit 3",
            ),
            (
                "delete from p where id in (select id from (select id, row_number() over (partition by mail order by at) n from p) x where n > 1)",
                "delete from p where id in (select id from (select id, row_number() over (partition by mail order by at, (p.*)::text collate \"C\") n from p) x where n > 1)",
            ),
            (
                "insert into t select lag(a) over w, lead(a) over w from u, (select 1) v window w as (partition by b)",
                "insert into t select lag(a) over w, lead(a) over w from u, (select 1) v window w as (partition by b \
                 order by (u.*)::text collate \"C\", (v.*)::text collate \"C\")",
            ),
            (
                "insert into t select sum(a) filter (where a > 1) over (order by b rows 3 preceding) from u",
                "insert into t select sum(a) filter (where a > 1) over (order by b, (u.*)::text collate \"C\" rows 3 preceding) from u",
            ),
            (
                "insert into t select a, row_number() over (order by count(*) desc) from u group by a, b",
                "insert into t select a, row_number() over (order by count(*) desc, a, b) from u group by a, b",
            ),
        ],
    );
    for dialect in Dialect::ALL {
        untouched(
            dialect,
            &[
                "insert into t select rank() over (order by a), sum(a) over (order by b), count(*) over () from u",
                "select row_number() over () from u",
            ],
        );
        refused(
            dialect,
            &[
                "insert into t select last_value(a) over (order by b) from u",
                "insert into t select first_value(a) over (order by b range between current row and unbounded following) from u",
                "insert into t select row_number() over (order by b rows between 1 preceding and current row exclude ties) from u",
                "insert into t select rank() over w, row_number() over w from u window w as (order by a)",
            ],
        );
    }
    refused(Postgres, &["insert into t select string_agg(a, ',') over (order by b) from u"]);
    becomes(
        MariaDb,
        &[(
            "insert into t select first_value(a) over (partition by b) from u",
            "insert into t select first_value(a) over (partition by b order by u.`id`) from u",
        )],
    );
    refused(
        Sqlite,
        &[
            "insert into t select row_number() over (order by a) from u join v",
            "insert into t select row_number() over (order by a) from keyless",
        ],
    );
}

#[test]
fn places_are_those_of_the_text_as_written() {
    let sql = "insert into t select string_agg(naïve, ','), missing from u group by k";
    let admitted = admit(Postgres, sql).unwrap();
    let place = |text: &str, part: &str| text[..text.find(part).unwrap()].chars().count() as u32 + 1;
    for part in ["string_agg", "naïve", "','", "), missing", "missing", "group"] {
        assert_eq!(admitted.edits.place(place(&admitted.sql, part)), place(sql, part), "{part}");
    }
    assert_eq!(admitted.edits.place(place(&admitted.sql, "::text")), place(sql, "string_agg"));
}

#[test]
fn aggregates_within_aggregates_end_somewhere() {
    let deep = |levels: usize| {
        format!("insert into t select {}a{} from u", "sum((select ".repeat(levels), "))".repeat(levels))
    };
    assert!(admit(Postgres, &deep(4)).is_ok());
    assert_eq!(admit(Postgres, &deep(40)).unwrap_err().code, RefusalCode::TooLarge);
}
