//! Scripts, cut as the database's own tool would.

use kluster_sql::{Class, Dialect, Role, admit, split};

use Dialect::{MariaDb, Postgres, Sqlite};

/// The pieces, one per line: line, `!` for those passed over, text with its line ends as `⏎`.
fn pieces(dialect: Dialect, script: &str) -> String {
    let pieces = split(script, dialect).map(|piece| match piece {
        Ok(piece) => {
            assert_eq!(&script[piece.span.clone()], piece.text);
            let mark = if piece.role == Role::Statement { ' ' } else { '!' };
            format!("{}{mark}{}\n", piece.line, piece.text.replace('\n', "⏎"))
        }
        Err(error) => format!("{error}\n"),
    });
    pieces.collect()
}

#[test]
fn statements_end_at_semicolons_outside_strings_and_comments() {
    let script = "-- a;\nselect ';' /* ; */;\n\n;;select 2 -- ;\n;\nselect \"a;b\";select 3";
    for dialect in Dialect::ALL {
        assert_eq!(pieces(dialect, script), "2 select ';'\n4 select 2\n6 select \"a;b\"\n6 select 3\n");
        assert_eq!(pieces(dialect, " -- only comments\n/* ; */ "), "");
        assert_eq!(pieces(dialect, "\u{feff}select 1;"), "1 select 1\n");
        assert_eq!(
            pieces(dialect, "select 1;\nselect 'a;\nselect 2;"),
            "1 select 1\nline 2: a string, begun there, does not end; close it\n"
        );
    }
}

#[test]
fn postgres_bodies_and_commands() {
    let script = r"\c shop;
\echo it's
do $$ begin; end $$;
create function f() returns int begin atomic select case when true then 1 end; select 2; end; select 1 \g
create rule r as on insert to t do (select 1; select 2);
drop database shop;
set client_encoding = 'UTF8';
select 3
";
    assert_eq!(
        pieces(Postgres, script),
        r"1!\c shop;
2!\echo it's
3 do $$ begin; end $$
4 create function f() returns int begin atomic select case when true then 1 end; select 2; end
4 select 1
4!\g
5 create rule r as on insert to t do (select 1; select 2)
6!drop database shop
7!set client_encoding = 'UTF8'
8 select 3
"
    );
}

#[test]
fn postgres_rows_of_copy_are_passed_over() {
    let script = "copy public.t (a) from stdin;\nit's\n;\n\\.\n\nselect 1;";
    assert_eq!(pieces(Postgres, script), "1 copy public.t (a) from stdin\n2!it's⏎;⏎\\.\n6 select 1\n");
}

#[test]
fn mariadb_delimiters_and_commands() {
    let script = "use shop
USE `shop`; select 1\\G
DELIMITER $$
create procedure p() begin select 1; end$$
select 2 $$
delimiter ;
insert into t values (\\N);
create trigger r before insert on t for each row begin if new.a then set new.a = 1; end if; set new.end = 2; end; select 3;
create trigger q before insert on t for each row if new.a then set new.a = if(new.b, 1, 2); else set new.b = 1; end if; select 4;
create procedure p() while a do set b = 1; end while; create procedure q() repeat set b = 1; until a end repeat; select 5;
/*!40101 SET @old = @@character_set_client */;
/*!40000 ALTER TABLE `t` DISABLE KEYS */;
/*!50001 create view v as select 1 */;
set names utf8mb4; create schema x;
";
    assert_eq!(
        pieces(MariaDb, script),
        "1!use shop
2!USE `shop`
2 select 1
2!\\G
3!DELIMITER $$
4 create procedure p() begin select 1; end
5 select 2
6!delimiter ;
7 insert into t values (\\N)
8 create trigger r before insert on t for each row begin if new.a then set new.a = 1; end if; set new.end = 2; end
8 select 3
9 create trigger q before insert on t for each row if new.a then set new.a = if(new.b, 1, 2); else set new.b = 1; end if
9 select 4
10 create procedure p() while a do set b = 1; end while
10 create procedure q() repeat set b = 1; until a end repeat
10 select 5
11!/*!40101 SET @old = @@character_set_client */
12!/*!40000 ALTER TABLE `t` DISABLE KEYS */
13 /*!50001 create view v as select 1 */
14!set names utf8mb4
14!create schema x
"
    );
}

#[test]
fn sqlite_triggers_and_commands() {
    let script = ".mode list\ncreate trigger r after insert on [a;b] begin update t set a = case 1 when 1 then 2 end; select 1; end; select 2;";
    assert_eq!(
        pieces(Sqlite, script),
        "1!.mode list\n2 create trigger r after insert on [a;b] begin update t set a = case 1 when 1 then 2 end; select 1; end\n2 select 2\n"
    );
    assert_eq!(pieces(Sqlite, "select 1;\n\\d person;\nselect 2"), "1 select 1\n2!\\d person;\n3 select 2\n");
}

/// A shop in the manner of the public sample databases: header, DROP/CREATE DATABASE, tables, keys, long INSERTs.
fn sample(dialect: Dialect, rows: usize) -> String {
    let name = |name: &str| match dialect {
        Postgres => name.to_lowercase(),
        MariaDb => format!("`{name}`"),
        Sqlite => format!("[{name}]"),
    };
    let (shop, artist, album, title) = (name("Shop"), name("Artist"), name("Album"), name("Title"));
    let mut script = format!(
        "\n/*****\n   Sample; made by a tool's generator\n*****/\nDROP DATABASE IF EXISTS {shop};\n\nCREATE DATABASE {shop};\n\n\n"
    );
    match dialect {
        Postgres => script.push_str("\\c shop;\n"),
        MariaDb => script.push_str("USE `Shop`;\n"),
        Sqlite => script = script.replace("DROP DATABASE IF EXISTS [Shop];", "").replace("CREATE DATABASE [Shop];", ""),
    }
    for table in [&artist, &album] {
        script.push_str(&format!(
            "CREATE TABLE {table}\n(\n    {}Id INT NOT NULL,\n    {title} VARCHAR(160)\n);\n\n",
            "A"
        ));
    }
    if dialect != Sqlite {
        script.push_str(&format!(
            "ALTER TABLE {album} ADD CONSTRAINT fk FOREIGN KEY (AId) REFERENCES {artist} (AId) ON DELETE NO ACTION;\n"
        ));
    }
    script.push_str(&format!("CREATE INDEX i ON {album} (AId);\n"));
    for batch in 0..rows.div_ceil(1000) {
        script.push_str(&format!("INSERT INTO {album} (AId, {title}) VALUES\n"));
        let values: Vec<_> = (0..1000).map(|row| format!("    ({}, N'Ain''t; é {row}')", batch * 1000 + row)).collect();
        script.push_str(&values.join(",\n").replace("N'", if dialect == Sqlite { "'" } else { "N'" }));
        script.push_str(";\n");
    }
    script
}

#[test]
fn a_sample_database_is_cut_and_admitted() {
    for (dialect, passed, kept, ddl) in
        [(Postgres, 3, 4 + 3, Class::Alone), (MariaDb, 3, 4 + 3, Class::Ddl), (Sqlite, 0, 3 + 3, Class::Alone)]
    {
        let script = sample(dialect, 3000);
        let pieces: Vec<_> = split(&script, dialect).map(Result::unwrap).collect();
        let (statements, tool): (Vec<_>, Vec<_>) = pieces.into_iter().partition(|piece| piece.role == Role::Statement);
        assert_eq!((tool.len(), statements.len()), (passed, kept), "{dialect:?}");
        for piece in statements {
            let class = admit(dialect, piece.text)
                .unwrap_or_else(|refusal| panic!("{dialect:?} line {}: {refusal}", piece.line))
                .class;
            assert_eq!(class, if piece.text.starts_with("INSERT") { Class::Write } else { ddl });
        }
    }
}
