//! Reads: the door of ONE.

use super::*;

/// A read begins with the state row of its snapshot, and each statement says columns, rows, done.
pub async fn reads_see_one_snapshot_and_say_its_offset(place: &impl Place) {
    let mut db = open(place).await;
    one(&mut db, work(7, "insert into t values (1, 'a'), (2, 'b')")).await.unwrap();
    let reads = db.reads();
    let mut both = read_of("select name from t order by id");
    both.statements
        .push(WorkStatement { params: vec![json!(2).into()], ..statement("select id, id from t where id = $1") });
    let (events, ended) = read(&reads, &both).await;
    assert_eq!(ended, Ok(()));
    let said: Vec<String> = events
        .iter()
        .map(|event| match event {
            ReadEvent::Snapshot(row) => format!("at {}", row.as_ref().unwrap().applied),
            ReadEvent::Columns(columns) => {
                columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>().join(" ")
            }
            ReadEvent::Row(row) => row.get().to_owned(),
            ReadEvent::Done { rows } => format!("{rows} rows"),
        })
        .collect();
    let expected =
        ["at 7", "name", r#"{"name":"a"}"#, r#"{"name":"b"}"#, "2 rows", "id id#2", r#"{"id":2,"id#2":2}"#, "1 rows"];
    assert_eq!(said, expected);
    db.close().await;
}

/// A write in ONE is refused, whatever form it takes, and errors name their statement.
pub async fn reads_do_not_write(place: &impl Place) {
    let mut db = open(place).await;
    let reads = db.reads();
    for sql in ["insert into t values (1, 'a')", "delete from t", "create table u (id integer)", "drop table t"] {
        let (_, ended) = read(&reads, &read_of(sql)).await;
        assert_eq!(refused_read(&ended), Some(ErrorCode::ReadOnly), "{sql}: {ended:?}");
    }
    let mut second = read_of("select 1");
    second.statements.push(statement("select * from nowhere"));
    let (_, ended) = read(&reads, &second).await;
    let Err(ReadError::Refused(refusal)) = ended else { panic!("{ended:?}") };
    assert_eq!((refusal.code, refusal.statement_index), (ErrorCode::UndefinedTable, Some(1)));
    assert!(query(&mut db, 1, "select id from t").await.is_empty());
    db.close().await;
}

/// Rows come one by one while the receiver takes them.
pub async fn reads_stream_a_million_rows(place: &impl Place) {
    let db = open(place).await;
    let (reads, sql) = (db.reads(), read_of(&numbers(&db, 1_000_000)));
    let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
    let reading = tokio::spawn(async move { reads.read(&sql, &sender).await });
    let (mut count, mut done) = (0_u64, 0);
    while let Some(event) = receiver.recv().await {
        match event {
            ReadEvent::Row(_) => count += 1,
            ReadEvent::Done { rows } => done = rows,
            _ => {}
        }
    }
    assert_eq!(reading.await.unwrap(), Ok(()));
    assert_eq!((count, done), (1_000_000, 1_000_000));
    db.close().await;
}

/// The DBMS itself ends what takes too long, and the session serves the next read.
pub async fn reads_end_in_time(place: &impl Place) {
    let db = open(place).await;
    let reads = db.reads();
    let n = numbers(&db, 100_000);
    let endless = format!("select count(*) from ({n}) as a cross join ({n}) as b where a.i + b.i < 0");
    let slow = Read { timeout: Duration::from_millis(200), ..read_of(&endless) };
    let (_, ended) = read(&reads, &slow).await;
    assert_eq!(refused_read(&ended), Some(ErrorCode::TimedOut), "{ended:?}");
    assert_eq!(read(&reads, &read_of("select 1 as one")).await.1, Ok(()));
    db.close().await;
}

/// Neither a dropped receiver nor a dropped future keeps one of the bounded sessions.
pub async fn reads_end_when_nobody_waits(place: &impl Place) {
    let db = open(place).await;
    let many = read_of(&numbers(&db, 1_000_000));
    for _ in 0..2 * place.settings().max_reads {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        let (reads, slow) = (db.reads(), many.clone());
        let reading = tokio::spawn(async move { reads.read(&slow, &sender).await });
        assert!(matches!(receiver.recv().await, Some(ReadEvent::Snapshot(_))));
        drop(receiver);
        assert_eq!(reading.await.unwrap(), Err(ReadError::Abandoned));
    }
    for _ in 0..2 * place.settings().max_reads {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        let (reads, slow) = (db.reads(), many.clone());
        let reading = tokio::spawn(async move { reads.read(&slow, &sender).await });
        assert!(matches!(receiver.recv().await, Some(ReadEvent::Snapshot(_))));
        reading.abort();
        assert!(reading.await.unwrap_err().is_cancelled());
        // Kept alive, unread: only the dropped future may end the read.
        std::mem::forget(receiver);
    }
    assert_eq!(read(&db.reads(), &read_of("select 1 as one")).await.1, Ok(()));
    db.close().await;
}
