//! Bodies of triggers and routines without BEGIN: one statement to the rules, and to the server.

use crate::contract::*;
use crate::shared;
use kluster_sql::{Class, Dialect, RefusalCode, admit};
use serde_json::json;

/// Each is one statement, and leaves a trigger or routine behind.
const ONE: &[&str] = &[
    "create trigger r before insert on t for each row if new.name = 'a' then set new.name = if(new.id > 1, 'b', 'c'); elseif new.id < 0 then set new.id = 0; else set new.name = 'd'; end if",
    "create trigger s before update on t for each row case new.id when 1 then set new.name = case when new.id then 'e' else 'f' end; if new.id then set new.id = 1; end if; else set new.id = 3; end case",
    "create trigger q before insert on t for each row follows r if new.id then delete from u; end if",
    "create procedure p1(in a int, out b varchar(10)) sql security invoker comment 'while; loop' modifies sql data while a > 0 do set a = a - 1; insert into u values (a); end while",
    "create procedure p2() l: loop insert into u values (1); leave l; end loop l",
    "create procedure p3() repeat insert into u values (length(repeat('a', 3))); until (select count(*) > 3 from u) end repeat",
    "create procedure p4() for i in 1..3 do insert into u values (i); if i = 2 then insert into u values (if(i, 1, 2)); end if; end for",
    "create procedure p5(a int) if a then begin declare b int; declare exit handler for not found, sqlstate '45000', 1062 if b then set b = 1; end if; declare continue handler for sqlexception begin set b = 1; end; end; else if a then set a = 1; end if; end if",
    "create function f1(a int, b enum('x', 'y')) returns varchar(20) charset utf8mb4 collate utf8mb4_bin no sql deterministic if a then return 'b'; else return case a when 1 then 'x' else 'y' end; end if",
    "create or replace function f2() returns decimal(10, 2) unsigned deterministic return if(1, 2, 3)",
];

/// In each a second statement follows the first, which the server takes by itself.
const SEVERAL: &[&str] = &[
    "create trigger r before insert on t for each row set new.id = if(new.name, 1, 2); insert into u values (1); end if",
    "create trigger r before insert on t for each row set new.id = case when 1 then if(new.name, 1, 2) else 3 end; insert into u values (1)",
    "create procedure p1() select repeat('a', 3); insert into u values (1); end repeat",
    "create procedure p1() select id from t for update; insert into u values (1); end for",
    "create procedure p1() do case when 1 then if(1, 2, 3) end; insert into u values (1); end if",
    "create function f1() returns int return if(1, 2, 3); insert into u values (1); end if",
    "create procedure p1() with x as (select 1) select if(1, 2, 3); insert into u values (1); end if",
    "create procedure p1() l: begin end l; insert into u values (1); end",
    "create procedure p1(a int) while a do do if(1, 2, 3); end while; insert into u values (1); end if; end while",
    "create procedure p1() begin declare exit handler for not found set @a = if(1, 2, 3); end; insert into u values (1); end if; end",
    "create procedure p1() begin set @loop = 1; end; insert into u values (1); end loop",
];

#[tokio::test]
async fn bodies_without_begin_are_one_statement() {
    let place = shared().await;
    let mut db = open(&place).await;
    let made = "select (select count(*) from information_schema.triggers where trigger_schema = database()) \
                     + (select count(*) from information_schema.routines where routine_schema = database())";
    let create = ddl(&db, 1, "create table u (a int)");
    one(&mut db, create).await.unwrap();
    for (offset, sql) in (2..).zip(ONE) {
        assert_eq!(admit(Dialect::MariaDb, sql).unwrap_or_else(|refusal| panic!("{sql}: {refusal}")).class, Class::Ddl);
        let work = ddl(&db, offset, sql);
        one(&mut db, work).await.unwrap_or_else(|refusal| panic!("{sql}: {}", refusal.message));
        assert_eq!(place.sql(made).await, (offset - 1).to_string(), "{sql}");
    }
    one(&mut db, work(20, "insert into t values (1, 'a'), (2, 'a'), (-1, 'x'), (7, 'y')")).await.unwrap();
    one(&mut db, work(21, "update t set name = 'z' where id in (1, 2)")).await.unwrap();
    assert_eq!(
        query(&mut db, 22, "select id, name from t order by id").await,
        [
            json!({"id": 0, "name": "x"}),
            json!({"id": 1, "name": "e"}),
            json!({"id": 3, "name": "z"}),
            json!({"id": 7, "name": "d"})
        ]
    );
    db.close().await;
}

#[tokio::test]
async fn what_only_looks_like_a_body_is_several_statements() {
    let place = shared().await;
    open(&place).await.close().await;
    for sql in SEVERAL {
        let verdict = admit(Dialect::MariaDb, sql).map(|admitted| admitted.class).map_err(|refusal| refusal.code);
        assert_eq!(verdict, Err(RefusalCode::SeveralStatements), "{sql}");
        place.sql("create or replace table u (a int)").await;
        // What would have come of it.
        let _ = place.server.sql(&place.database, &format!("delimiter //\n{sql}//\n")).await;
        assert_eq!(place.sql("select count(*) from u").await, "1", "the server executes the second statement: {sql}");
        place.sql("drop trigger if exists r; drop procedure if exists p1; drop function if exists f1").await;
    }
}
