//! Times long texts that would make a careless reader slow: `cargo run --release -p kluster-sql --example hostile [KIB]`.

use std::time::Instant;

use kluster_sql::{Dialect, admit, split};

fn main() {
    let parts = [
        "a ",
        "now ",
        "now.",
        "a,",
        "'w',",
        "'w'::a,",
        "date(1),",
        "date ",
        "age(",
        "engine innodb ",
        "engine=innodb,",
        "set a=1 then ",
        "x;",
        "signal sqlstate '45000' then ",
        "case ",
        "end ",
        "/**/",
        "$$",
        "$1,",
        "on f() ",
        "create index on a() ",
        "row_number() over (), ",
        "limit ",
        "execute '' ",
        "select ",
        "(select 1),",
        "/*",
        "'",
        "\"a\".",
        "begin ",
        "as $$ $$ ",
        "detach partition ",
        "concurrently ",
        "@@a,",
        "@",
        "use a;",
        "\\g ",
        "e'\\'',",
        "kluster.",
        "-- a\n",
        "''\n",
        "1..",
        "language sql ",
        "::a",
        ")",
        "for update ",
        "values ",
        "into ",
        "with ",
    ];
    let heads = [
        "select ",
        "insert into t ",
        "create table t ",
        "create function f() ",
        "create trigger r before insert on t for each row ",
        "do ",
        "create index i ",
        "alter table t ",
        "explain ",
        "",
        "create schema ",
    ];
    let kib = std::env::args().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(8 << 10_usize);
    let mut slowest = Vec::new();
    for dialect in Dialect::ALL {
        for (head, part) in heads.iter().flat_map(|head| parts.iter().map(move |part| (head, part))) {
            let sql = format!("{head}{}", part.repeat(((kib << 10) - head.len()) / part.len()));
            let start = Instant::now();
            let verdict = admit(dialect, &sql).map(|admitted| admitted.class).map_err(|refusal| refusal.code);
            let admitted = start.elapsed();
            let pieces = split(&sql, dialect).count();
            slowest
                .push((start.elapsed(), format!("{dialect:?} {head:?} {part:?}: {verdict:?} {admitted:?} {pieces}")));
        }
    }
    slowest.sort();
    for (time, what) in slowest.iter().rev().take(12) {
        println!("{time:?} {what}");
    }
}
