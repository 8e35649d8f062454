//! What is admitted, as what, and with which words taken out.

use kluster_sql::{Class, Dialect, RefusalCode, admit, admit_read, implicit_commit, placeholders};

use Class::{Alone, Ddl, Read, Write};
use Dialect::{MariaDb, Postgres, Sqlite};

#[track_caller]
fn admits(dialect: Dialect, class: Class, texts: &[&str]) {
    for sql in texts {
        match admit(dialect, sql) {
            Ok(admitted) => assert_eq!(admitted.class, class, "{dialect:?}: {sql}"),
            Err(refusal) => panic!("{dialect:?}: {sql}: {refusal}"),
        }
    }
}

#[track_caller]
fn refuses(dialect: Dialect, code: RefusalCode, texts: &[&str]) {
    for sql in texts {
        match admit(dialect, sql) {
            Ok(admitted) => panic!("{dialect:?}: {sql}: admitted as {:?}", admitted.class),
            Err(refusal) => assert_eq!(refusal.code, code, "{dialect:?}: {sql}: {refusal}"),
        }
    }
}

#[test]
fn reads() {
    for dialect in Dialect::ALL {
        admits(
            dialect,
            Read,
            &[
                "select 1",
                "SELECT a.b, c FROM t AS a WHERE d = $1 ORDER BY e LIMIT 5;",
                "(select 1) union (select 2)",
                "values (1), (2)",
                "with x as (select 1) select * from x limit 1",
                "explain select 1",
                "explain insert into t values (1)",
                "/* a */ select 1 -- b\n ; ",
                "select now_or_never, \"random\", `x` from t".replace("`x`", "x").as_str(),
                "select 'now()', ' random() ; commit ' from t",
                "select replace(a, 'x', 'y'), lower(replace(a, 'x', 'y')), insert_x from t",
            ],
        );
    }
    admits(
        Postgres,
        Read,
        &["table t", "show timezone", "explain (analyze, costs off) select 1", "explain analyze select 1"],
    );
    admits(Postgres, Read, &["select a ? 'b', a @> '{}', @ -5 from t", "select version(), current_user, ctid from t"]);
    admits(Postgres, Read, &["select lower(update), max(delete) from t", "select (insert) from t where (merge) > 1"]);
    admits(
        Postgres,
        Read,
        &["select t.now, age(a, b), t.current_date from t", "select 1 as now", "select 'yesterday'"],
    );
    admits(
        MariaDb,
        Read,
        &[
            "describe t",
            "desc t",
            "show tables",
            "explain format=json select 1",
            "analyze select 1",
            "checksum table t",
        ],
    );
    admits(MariaDb, Read, &["select @@version", "select unix_timestamp(a) from t", "select \"now()\""]);
    admits(
        Sqlite,
        Read,
        &["explain query plan select 1", "select date(a), strftime('%Y', a) from t", "select rowid from t"],
    );
    admits(Sqlite, Read, &["select * from pragma_table_info('t')"]);
}

#[test]
fn plain_writes() {
    for dialect in Dialect::ALL {
        admits(
            dialect,
            Write,
            &[
                "insert into t values ($1, 'now()', ';')",
                "insert into version(version) select a from u order by a limit 3",
                "update t set a = (select b from u where u.id = t.id), c = 'commit' where d in (1, 2)",
                "delete from t where exists (select 1 from u limit 1)",
                "insert into date (a) values (1) returning a",
            ],
        );
    }
    admits(
        Postgres,
        Write,
        &[
            "with x as (delete from t returning *) select * from x",
            "with x as materialized (update t set a = 1 returning *) select * from x",
            "with x as (select 1) insert into t select * from x",
        ],
    );
    admits(
        Postgres,
        Write,
        &[
            "select 1 from t for update",
            "select a from t for no key update",
            "merge into t using u on t.a = u.a when matched then delete",
        ],
    );
    admits(
        Postgres,
        Write,
        &[
            "insert into t values ('Yesterday'), ('now'), (text 'now')",
            "insert into t select distinct on (a) a from u order by a",
        ],
    );
    admits(Postgres, Write, &["insert into t select a from u limit all", "insert into t values ($$now() ; commit$$)"]);
    admits(Postgres, Write, &["insert into t values (1) on conflict (a) do update set b = excluded.b"]);
    admits(
        MariaDb,
        Write,
        &[
            "replace into t values (1)",
            "select 1 from t lock in share mode",
            "insert into t set a = 1 on duplicate key update b = values(b)",
        ],
    );
    admits(MariaDb, Write, &["update t set a = 1 order by id limit 1", "insert into t values (_utf8'a', \"b\")"]);
    admits(
        Sqlite,
        Write,
        &[
            "replace into t values (1)",
            "insert or ignore into t values (1)",
            "with x as (select 1) replace into t select * from x",
        ],
    );
    admits(
        Sqlite,
        Write,
        &["update t set a = date(b, '+1 day')", "insert into t values (date('2020-01-01'), strftime('%Y', b))"],
    );
}

#[test]
fn what_runs_alone() {
    admits(
        Postgres,
        Alone,
        &[
            "create table t (a int primary key, version int, \"now\" text)",
            "truncate t",
            "select 1 into t",
            "analyze",
            "call p(1)",
        ],
    );
    admits(
        Postgres,
        Alone,
        &["do $$ begin raise exception 'no' using errcode = '40001'; end $$", "frobnicate the database", "notify a"],
    );
    admits(
        Postgres,
        Alone,
        &[
            "create table version (a int)",
            "create index i on version (a)",
            "create table t (uuid uuid, unique (uuid), foreign key (uuid) references uuid (a))",
        ],
    );
    admits(
        Postgres,
        Alone,
        &[
            "create function f(a int) returns int language plpgsql as $$ declare b int; begin b := $1; update t set c = b; return b; end $$",
        ],
    );
    admits(
        Postgres,
        Alone,
        &["create procedure p() begin atomic insert into t values (1); select case when true then 1 end; end"],
    );
    admits(
        Postgres,
        Alone,
        &[
            "create rule r as on insert to t do also (insert into u values (1); delete from v;)",
            "create table t (serial text, code serial_number)",
        ],
    );
    admits(
        Postgres,
        Alone,
        &[
            "create schema s create table t (a int) create view v as select a from t",
            "refresh materialized view concurrently v",
        ],
    );
    admits(
        Sqlite,
        Alone,
        &[
            "create table t (id integer primary key autoincrement, date text)",
            "drop table t",
            "reindex",
            "create virtual table t using fts5(a)",
        ],
    );
    admits(
        Sqlite,
        Alone,
        &[
            "create trigger r after insert on t begin update u set a = case when new.a then 1 end; delete from v; end;",
            "create index i on date (a)",
        ],
    );
}

#[test]
fn ddl_of_mariadb_commits_by_itself() {
    let texts = [
        "create table t (a int) engine=InnoDB",
        "create table t (engine varchar(20), `uuid` uuid, key `uuid` (`uuid`), unique key version (version), primary key (a))",
        "alter table t add engine int",
        "alter table t engine innodb, partition by range (a) (partition p values less than (5) engine = InnoDB)",
        "drop table if exists t",
        "truncate table t",
        "rename table a to b, c to d",
        "analyze table t",
        "create or replace algorithm = merge sql security invoker view v as select 1",
        "create trigger r before insert on t for each row begin if new.a > 1 then set new.a = 1; end if; set new.b = case when 1 then 2 end; end",
        "create trigger r before insert on t for each row begin signal sqlstate value '45000' set message_text = 'no'; end",
        // Bodies without BEGIN.
        "create trigger r before insert on t for each row if new.a > 1 then set new.a = 1; elseif new.a < 0 then set new.a = 0; else set new.b = 2; end if",
        "create trigger r before insert on t for each row follows other if (new.a > 1) and new.b then set new.a = if(new.a, 1, 2); end if;",
        "create trigger r before insert on t for each row precedes `other` case new.a when 1 then set new.b = case when new.c then 1 else 2 end; if new.b then set new.c = 1; end if; else set new.b = 3; end case",
        "create trigger r before insert on t for each row case when new.a then if (new.b) then set new.c = 1; end if; end case",
        "create procedure p(in a int, out b varchar(10)) sql security invoker comment 'while; loop' modifies sql data while a > 0 do set a = a - 1; insert into t values (a); end while",
        "create procedure p() l: loop insert into t values (1); leave l; end loop l",
        "create procedure p() repeat insert into t values (repeat('a', 3)); until (select count(*) > 3 from t) end repeat",
        "create procedure p() for i in 1..3 do insert into t values (i); if i = 2 then insert into u values (if(i, 1, 2)); end if; end for",
        "create procedure p() if a then begin declare exit handler for not found, sqlstate '45000', 1062, mine if b then set c = 1; end if; declare continue handler for sqlexception begin set d = 1; end; end; else if e then set f = 1; end if; end if",
        "create function f(a int, b enum('x', 'y')) returns varchar(20) charset utf8mb4 collate utf8mb4_bin no sql deterministic if a then return 'b'; else return case a when 1 then 'x' else 'y' end; end if",
        "create or replace function if not exists f() returns decimal(10, 2) unsigned return if(1, 2, 3)",
        "create function f(a int) returns int deterministic begin declare b int default 0; while b < 3 do set b = b + 1; end while; return b; end",
    ];
    admits(MariaDb, Ddl, &texts);
    assert!(texts.iter().all(|sql| implicit_commit(sql)));
    assert!(!implicit_commit("insert into t values (1)"));
}

#[test]
fn one_statement_only() {
    for dialect in Dialect::ALL {
        refuses(
            dialect,
            RefusalCode::SeveralStatements,
            &["select 1; commit", "insert into t values (1);;select 1", "select 1;;"],
        );
        refuses(dialect, RefusalCode::Syntax, &["", " -- a\n", ";", "select 'a", "select \0 1", "/* a"]);
    }
    refuses(
        Postgres,
        RefusalCode::SeveralStatements,
        &[r"select 'a\'; commit; --'", "create function f() language sql as $$select 1$$; commit"],
    );
    refuses(
        MariaDb,
        RefusalCode::SeveralStatements,
        &[
            "select (1; commit)",
            "create trigger r before insert on t for each row begin end; commit",
            "create trigger begin before insert on t for each row set new.a = 1; insert into u values (1); end",
            "create function f() returns int return begin; insert into u values (1); end",
            // IF and REPEAT as functions, CASE as an expression, FOR as anything but a loop open nothing.
            "create trigger r before insert on t for each row set new.a = if(new.b, 1, 2); insert into u values (1); end if",
            "create trigger r before insert on t for each row set new.a = case when 1 then if(new.b, 1, 2) else 3 end; insert into u values (1)",
            "create trigger r before insert on t for each row set new.a = case when 1 then 2 else if(new.b, 1, 2) end; insert into u values (1); end if; end",
            "create procedure p() select repeat('a', 3); insert into u values (1); end repeat",
            "create procedure p() select if(1, 2, 3); insert into u values (1); end if",
            "create procedure p() select a from t for update; insert into u values (1); end for",
            "create procedure p() do if(1, 2, 3); insert into u values (1); end if",
            "create procedure p() do case when 1 then if(1, 2, 3) end; insert into u values (1); end if",
            "create function f() returns int return if(1, 2, 3); insert into u values (1); end if",
            "create function f() returns int deterministic return repeat('a', 3); insert into u values (1); end repeat",
            "create procedure p() update t set a = if(1, 2, 3); insert into u values (1); end if",
            "create procedure p() with x as (select 1) select if(1, 2, 3); insert into u values (1); end if",
            "create procedure p() begin declare exit handler for not found set a = if(1, 2, 3); end; insert into u values (1); end if; end",
            "create procedure p() begin declare exit handler for mine set a = if(1, 2, 3); end; insert into u values (1); end if; end",
            "create procedure p() l: begin end l; insert into u values (1); end",
            "create procedure p() if a then set b = 1; end if; insert into u values (1); end if",
            "create procedure p() if a then while b do set c = 1; end while; end if; insert into u values (1)",
            "create procedure p() while a do do if(1, 2, 3); end while; insert into u values (1); end if; end while",
            "create procedure p() begin set @loop = 1; set @while = 2; end; insert into u values (1); end loop",
            "create procedure p() begin set a.loop = 1; end; insert into u values (1); end loop",
        ],
    );
    refuses(
        Sqlite,
        RefusalCode::SeveralStatements,
        &["create trigger r after insert on t begin select 1; end; commit", "select (1; commit)"],
    );
    let refusal = admit(Postgres, "select 'é'; commit").unwrap_err();
    assert_eq!(refusal.position, Some(13));
}

#[test]
fn reads_on_one() {
    for dialect in Dialect::ALL {
        for sql in [
            "insert into t values (1)",
            "create table t (a int)",
            "frobnicate",
            "explain analyze insert into t values (1)",
        ] {
            assert!(admit_read(dialect, sql).is_err(), "{dialect:?}: {sql}");
        }
        let code = |sql| admit_read(dialect, sql).unwrap_err().code;
        assert_eq!(code("update t set a = 1"), RefusalCode::ReadOnly);
        assert_eq!(code("begin"), RefusalCode::TransactionControl);
        assert_eq!(code("select * from kluster_state.x"), RefusalCode::KlusterSchema);
        assert!(admit_read(dialect, "select current_timestamp, 'now' from t limit 1").is_ok());
    }
    assert!(admit_read(Postgres, "select now(), random(), 'now'::date, gen_random_uuid()").is_ok());
    assert!(admit_read(Sqlite, "select datetime(), random()").is_ok());
    assert_eq!(admit_read(Postgres, "select pg_sleep(1)").unwrap_err().code, RefusalCode::Environment);
    assert_eq!(admit_read(Postgres, "select 1 from t for update").unwrap_err().code, RefusalCode::ReadOnly);
    assert_eq!(admit_read(Postgres, "set transaction read write").unwrap_err().code, RefusalCode::TransactionControl);
    assert_eq!(admit_read(Postgres, "select set_config('a', 'b', false)").unwrap_err().code, RefusalCode::SessionState);
}

#[test]
fn concurrently_is_blanked_out() {
    let sql = |sql| admit(Postgres, sql).unwrap().sql.into_owned();
    assert_eq!(sql("create index concurrently i on t (a)"), "create index              i on t (a)");
    assert_eq!(
        sql("CREATE UNIQUE INDEX CONCURRENTLY ON t (concurrently)"),
        "CREATE UNIQUE INDEX              ON t (concurrently)"
    );
    assert_eq!(sql("drop index concurrently i"), "drop index              i");
    assert_eq!(sql("reindex table concurrently t"), "reindex table              t");
    assert_eq!(sql("alter table t detach partition p concurrently"), "alter table t detach partition p             ");
    refuses(Postgres, RefusalCode::Unsupported, &["reindex (concurrently) table t"]);
}

#[test]
fn parameters() {
    assert_eq!(admit(Postgres, "select $2, '$9', $1").unwrap().params, 2);
    assert_eq!(admit(Postgres, "create function f(a int) returns int begin atomic select $1; end").unwrap().params, 0);
    refuses(Postgres, RefusalCode::TooLarge, &["select $0", "select $32767", "select $99999999999"]);
    refuses(MariaDb, RefusalCode::Unsupported, &["select ?"]);
    refuses(Sqlite, RefusalCode::Unsupported, &["select ?1", "select :a", "select @a", "select $a"]);
    assert_eq!(placeholders(Postgres, "select $2, $1"), ("select $2, $1".into(), vec![0, 1]));
    assert_eq!(placeholders(MariaDb, "select $2, '$1', $1, $1"), ("select ?, '$1', ?, ?".into(), vec![1, 0, 0]));
    assert_eq!(placeholders(Sqlite, "select $2, $1, $2"), ("select ?2, ?1, ?2".into(), vec![0, 1]));
    assert_eq!(placeholders(Sqlite, "select 1"), ("select 1".into(), vec![]));
}

#[test]
fn limits() {
    let nested = |n: usize| format!("select {}1{}", "(".repeat(n), ")".repeat(n));
    let cases = |n: usize| format!("select {}1{}", "case when true then ".repeat(n), " end".repeat(n));
    for dialect in Dialect::ALL {
        admits(dialect, Read, &[&nested(128), &format!("select {}", vec!["1"; 257].join("+")), &cases(128)]);
        admits(dialect, Read, &[&format!("select 1 where {}", vec!["a = 1"; 5000].join(" or "))]);
        admits(dialect, Write, &[&format!("insert into t values {}", vec!["(-1, 'a' || 'b')"; 5000].join(","))]);
        let too_large = [
            nested(129),
            cases(129),
            format!("select {}", vec!["1"; 258].join("+")),
            format!("select 1 where {}", vec!["a = 1"; 5002].join(" or ")),
            format!("select 1 from t{}", " join t using (a)".repeat(101)),
            vec!["select 1"; 5002].join(" union "),
            format!("select {}1", "not ".repeat(257)),
            format!("select '{}'", "a".repeat(8 << 20)),
        ];
        for sql in &too_large {
            refuses(dialect, RefusalCode::TooLarge, &[sql]);
        }
    }
}

#[test]
fn a_refusal_says_where_and_what_to_do() {
    let refusal = admit(Postgres, "insert into t(at) values ('é', NOW())").unwrap_err();
    assert_eq!(refusal.position, Some(32));
    assert_eq!(
        refusal.to_string(),
        "now() reads the clock of one node; let the client take the time and bind it as a parameter ($1)"
    );
    let body = admit(Postgres, "do $é$ begin perform now(); end $é$").unwrap_err();
    assert_eq!((body.code, body.position), (RefusalCode::Clock, Some(22)));
}
