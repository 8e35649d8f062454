//! Statements: what they return, count and are refused for.

use super::*;

/// The chain covers the code, so unlike DBMS must agree on it.
pub async fn mistakes_have_the_same_codes_everywhere(place: &impl Place) {
    let mut db = open(place).await;
    let child = ddl(
        &db,
        1,
        "create table child (id integer primary key, t integer not null, n integer check (n > 0), \
         constraint to_t foreign key (t) references t (id))",
    );
    assert!(one(&mut db, child).await.is_ok());
    one(&mut db, work(2, "insert into t values (1, 'a'), (2, 'b')")).await.unwrap();
    one(&mut db, work(3, "insert into child values (1, 1, 1)")).await.unwrap();
    for (n, (sql, expected)) in [
        ("insert into t values (1, 'a')", ErrorCode::UniqueViolation),
        ("insert into child values (2, null, 1)", ErrorCode::NotNullViolation),
        ("insert into child values (2, 9, 1)", ErrorCode::ForeignKeyViolation),
        ("delete from t where id = 1", ErrorCode::ForeignKeyViolation),
        ("insert into child values (2, 1, -1)", ErrorCode::CheckViolation),
        ("select * from nowhere", ErrorCode::UndefinedTable),
        ("select missing from t", ErrorCode::UndefinedColumn),
        ("insert into t (id, missing) values (5, 'a')", ErrorCode::UndefinedColumn),
        ("select no_such_thing(1)", ErrorCode::UndefinedFunction),
        ("selec 1", ErrorCode::SyntaxError),
    ]
    .into_iter()
    .enumerate()
    {
        let ran = one(&mut db, work(4 + n as u64, sql)).await;
        assert_eq!(code(&ran), Some(expected), "{sql}: {ran:?}");
    }
    let again = ddl(&db, 50, "create table t (id integer primary key)");
    assert_eq!(code(&one(&mut db, again).await), Some(ErrorCode::DuplicateObject));
    db.close().await;
}

/// The first statement that fails refuses all, and is named.
pub async fn statements_of_one_work_stand_and_fall_together(place: &impl Place) {
    let mut db = open(place).await;
    let expecting = |sql: &str, rows| WorkStatement { expect_rows: Some(rows), ..statement(sql) };
    let insert = "insert into t values (1, 'a')";
    let fails = work_of(
        1,
        vec![statement(insert), expecting("update t set name = 'b' where id = 2", 1), statement("nonsense")],
    );
    let refusal = one(&mut db, fails).await.unwrap_err();
    assert_eq!((refusal.code, refusal.statement_index), (ErrorCode::ExpectRows, Some(1)));
    let fails = work_of(2, vec![statement(insert), statement(insert)]);
    let refusal = one(&mut db, fails).await.unwrap_err();
    assert_eq!((refusal.code, refusal.statement_index), (ErrorCode::UniqueViolation, Some(1)));
    let refusal = one(&mut db, work_of(3, vec![expecting("select * from t", 1)])).await.unwrap_err();
    assert_eq!((refusal.code, refusal.statement_index), (ErrorCode::ExpectRows, None));
    let goes = work_of(4, vec![statement(insert), expecting("select * from t", 1), expecting("delete from t", 1)]);
    let results = one(&mut db, goes).await.unwrap();
    assert_eq!(results.iter().map(|rows| rows.affected).collect::<Vec<_>>(), [1, 1, 1]);
    db.close().await;
}

/// Rows matched count, changed or not; DDL counts none.
pub async fn rows_matched_are_counted(place: &impl Place) {
    let mut db = open(place).await;
    let create = ddl(&db, 1, "create table u (id integer primary key)");
    // Behind it lies a count, the node's own or the user's, that must not show.
    let drop_nothing = ddl(&db, 8, "drop table if exists absent");
    for (work, expected) in [
        (work(2, "insert into t values (1, 'a'), (2, 'a'), (3, 'b')"), 3),
        (work(3, "update t set name = 'a' where name = 'a'"), 2),
        (work(4, "select id from t"), 3),
        (create, 0),
        (drop_nothing, 0),
        (work(6, "delete from t where id = 9"), 0),
        (work(7, "delete from t"), 3),
    ] {
        let sql = work.statements[0].sql.clone();
        let results = one(&mut db, work).await.unwrap();
        assert_eq!(results[0].affected, expected, "{sql}");
    }
    db.close().await;
}

/// Params are values, never text.
pub async fn params_of_every_json_kind_arrive(place: &impl Place) {
    let mut db = open(place).await;
    let create = ddl(
        &db,
        1,
        "create table p (id integer primary key, i bigint, d double precision, s varchar(200), f integer, j varchar(200))",
    );
    assert!(one(&mut db, create).await.is_ok());
    let insert = "insert into p (id, i, d, s, j) values ($1, $2, $3, $4, $5)";
    let tricky = "it's \"quoted\" \\ $1 ; -- é\n😀";
    let params = json!([1, 9007199254740993_i64, 0.1, tricky, {"a": [1, null]}]);
    one(&mut db, bound(2, insert, params)).await.unwrap();
    one(&mut db, bound(3, insert, json!([2, null, null, null, null]))).await.unwrap();
    // Out of order and twice.
    one(&mut db, bound(4, "insert into p (id, s, j) values ($2, $1, $1)", json!(["x", 3]))).await.unwrap();
    let found = query(&mut db, 5, "select id, i, d, s, j from p order by id").await;
    assert_eq!(found[0]["i"], json!("9007199254740993"));
    assert_eq!(found[0]["d"], json!(0.1));
    assert_eq!(found[0]["s"], json!(tricky));
    let document: Value = serde_json::from_str(found[0]["j"].as_str().unwrap()).unwrap();
    assert_eq!(document, json!({"a": [1, null]}));
    assert_eq!(found[1], json!({"id": 2, "i": null, "d": null, "s": null, "j": null}));
    assert_eq!((&found[2]["s"], &found[2]["j"]), (&json!("x"), &json!("x")));
    for (offset, params) in [(6, json!([9])), (7, json!([9, "a", "b"]))] {
        let ran = one(&mut db, bound(offset, "insert into t (id, name) values ($1, $2)", params)).await;
        assert_eq!(code(&ran), Some(ErrorCode::WrongParams), "{ran:?}");
    }
    db.close().await;
}

/// RETURNING and queries give the query's columns in order, repeated names numbered.
pub async fn returned_rows_come_in_column_order(place: &impl Place) {
    let mut db = open(place).await;
    let mut results =
        one(&mut db, work(1, "insert into t values (2, 'b'), (1, 'a') returning name, id, name")).await.unwrap();
    let result = results.remove(0);
    let names: Vec<_> = result.columns.iter().map(|column| column.name.clone()).collect();
    assert_eq!((names, result.affected), (vec!["name".to_owned(), "id".into(), "name#2".into()], 2));
    let first = result.in_memory().unwrap()[0].get().to_owned();
    assert_eq!(first, r#"{"name":"b","id":2,"name#2":"b"}"#);
    let mut none = one(&mut db, work(2, "select id from t where id = 9")).await.unwrap();
    let none = none.remove(0);
    assert_eq!((none.columns.len(), none.affected), (1, 0));
    assert!(one(&mut db, work(3, "delete from t where id = 9")).await.unwrap()[0].columns.is_empty());
    db.close().await;
}

/// Beyond a record rows go to a file; beyond the limit the request is refused and had no effect.
pub async fn large_results_spool_and_too_large_ones_are_refused(place: &impl Place) {
    let mut db = open(place).await;
    let sql = numbers(&db, 100_000);
    let mut results = one(&mut db, work(1, &sql)).await.unwrap();
    let result = results.remove(0);
    assert!(result.in_memory().is_none());
    let all = rows(result);
    assert_eq!((all.len(), &all[99_999]), (100_000, &json!({"i": 100_000})));
    let insert = statement("insert into t values (1, 'a')");
    let too_large = Work { max_result_bytes: 1 << 16, ..work_of(2, vec![insert, statement(&sql)]) };
    let ran = one(&mut db, too_large).await;
    assert_eq!(code(&ran), Some(ErrorCode::ResultTooLarge));
    assert!(query(&mut db, 3, "select id from t").await.is_empty());
    db.close().await;
}

/// A statement that is kept prepared follows the schema.
pub async fn schema_changes_are_seen_at_once(place: &impl Place) {
    let mut db = open(place).await;
    let sql = "select * from t order by id";
    one(&mut db, work(1, "insert into t values (1, 'a')")).await.unwrap();
    assert_eq!(query(&mut db, 2, sql).await, [json!({"id": 1, "name": "a"})]);
    let add = ddl(&db, 3, "alter table t add column age integer");
    assert!(one(&mut db, add).await.is_ok());
    assert_eq!(query(&mut db, 4, sql).await, [json!({"id": 1, "name": "a", "age": null})]);
    let drop = ddl(&db, 5, "drop table t");
    assert!(one(&mut db, drop).await.is_ok());
    assert_eq!(code(&one(&mut db, work(6, sql)).await), Some(ErrorCode::UndefinedTable));
    db.close().await;
}

/// No DBMS rounds a param in silence: what its types cannot hold is refused, and the same digits
/// sent as a string are kept by a decimal (SQLite: a text) column.
pub async fn a_number_keeps_its_digits_or_is_refused(place: &impl Place) {
    let mut db = open(place).await;
    let create = match db.dialect() {
        Dialect::Sqlite => "create table exact (id integer primary key, n text)",
        _ => "create table exact (id integer primary key, n decimal(60, 20))",
    };
    let create = ddl(&db, 1, create);
    assert!(one(&mut db, create).await.is_ok());
    let digits = "12345678901234567890.01234567890123456789";
    let insert = |offset: u64, param: Param| {
        let insert = format!("insert into exact values ({offset}, $1)");
        work_of(offset, vec![WorkStatement { params: vec![param], ..statement(&insert) }])
    };
    let number: Param = serde_json::from_str(digits).unwrap();
    let stored = one(&mut db, insert(2, number)).await;
    match db.dialect() {
        Dialect::Postgres => assert!(stored.is_ok(), "{stored:?}"),
        _ => assert_eq!(code(&stored), Some(ErrorCode::InvalidValue)),
    }
    one(&mut db, insert(3, Param::Text(digits.into()))).await.unwrap();
    for row in query(&mut db, 4, "select n from exact").await {
        assert_eq!(row, json!({"n": digits}));
    }
    let huge: Param = serde_json::from_str("1e400").unwrap();
    let stored = one(&mut db, insert(5, huge)).await;
    assert!(stored.is_err(), "{stored:?}");
    db.close().await;
}

/// On request each cell says what it is, through ALL and ONE alike.
pub async fn typed_cells_name_the_type_of_each_value(place: &impl Place) {
    let mut db = open(place).await;
    let sql = "select id, name from t";
    let typed = || WorkStatement { cells: Cells::Typed, ..statement(sql) };
    one(&mut db, work(1, "insert into t values (7, null)")).await.unwrap();
    let (integer, text) = match db.dialect() {
        Dialect::Postgres => ("int4", "varchar"),
        Dialect::MariaDb => ("int", "varchar"),
        Dialect::Sqlite => ("integer", "null"),
    };
    let expected = json!({"id": {"type": integer, "value": 7}, "name": {"type": text, "value": null}});
    let ran = one(&mut db, work_of(2, vec![typed()])).await.unwrap().remove(0);
    assert_eq!(rows(ran), std::slice::from_ref(&expected));
    let wanted = Read { statements: vec![typed()], ..read_of(sql) };
    let (events, ended) = read(&db.reads(), &wanted).await;
    assert_eq!(ended, Ok(()));
    let row = events.iter().find_map(|event| match event {
        ReadEvent::Row(row) => Some(serde_json::from_str::<Value>(row.get()).unwrap()),
        _ => None,
    });
    assert_eq!(row, Some(expected));
    db.close().await;
}
