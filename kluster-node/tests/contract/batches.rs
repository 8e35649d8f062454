//! Batches: state, claim, commit, and what becomes of a batch that is given up.

use super::*;

/// An empty database has applied nothing; what was committed is there after a restart.
pub async fn remembers_state_and_outcomes(place: &impl Place) {
    let mut db = Dbms::open(&place.settings()).await.unwrap();
    assert_eq!(db.load().await, Ok(None));
    assert_eq!(db.outcome_rows(at(0), 10).await, Ok(Vec::new()));
    let row = |first, last, rows: Option<&str>| OutcomeRow {
        first: at(first),
        last: at(last),
        outcomes: format!("[{first}]"),
        rows: rows.map(str::to_owned),
    };
    for (predecessor, kept) in
        [(None, row(3, 5, Some("[{\"a\":\"é\"}]"))), (Some(5), row(6, 6, None)), (Some(6), row(9, 12, None))]
    {
        assert!(db.run(predecessor.map(at), &[]).await.unwrap().is_empty());
        let finish = Finish { outcomes: Some(kept.clone()), ..finish(predecessor, kept.last.get()) };
        assert_eq!(db.commit(&finish).await, Ok(None));
    }
    db.close().await;
    let mut db = Dbms::open(&place.settings()).await.unwrap();
    assert_eq!(db.load().await, Ok(Some(StateRow { applied: at(12), state: "{\"applied\":12}".into() })));
    let found = db.outcome_rows(at(5), 10).await.unwrap();
    assert_eq!(found.iter().map(|row| row.first.get()).collect::<Vec<_>>(), [3, 6, 9]);
    assert_eq!(found[0], row(3, 5, Some("[{\"a\":\"é\"}]")));
    assert_eq!(db.outcome_rows(at(6), 1).await.unwrap(), [row(6, 6, None)]);
    assert_eq!(db.outcome_row(at(10)).await.unwrap(), Some(row(9, 12, None)));
    assert_eq!(db.outcome_row(at(8)).await.unwrap(), None);
    assert_eq!(db.outcome_row(at(13)).await.unwrap(), None);
    db.close().await;
}

/// Rows are dropped, then outcomes, by their last offset.
pub async fn prunes_outcomes_and_kept_rows(place: &impl Place) {
    let mut db = Dbms::open(&place.settings()).await.unwrap();
    for last in [2, 4, 6] {
        let predecessor = (last > 2).then_some(last - 2);
        db.run(predecessor.map(at), &[]).await.unwrap();
        let outcomes =
            OutcomeRow { first: at(last - 1), last: at(last), outcomes: "[]".into(), rows: Some("[]".into()) };
        let finish = Finish {
            outcomes: Some(outcomes),
            prune_below: (last == 6).then_some(at(4)),
            drop_rows_below: (last == 6).then_some(at(6)),
            ..finish(predecessor, last)
        };
        db.commit(&finish).await.unwrap();
    }
    let left = db.outcome_rows(at(0), 10).await.unwrap();
    let left: Vec<_> = left.iter().map(|row| (row.last.get(), row.rows.is_some())).collect();
    assert_eq!(left, [(4, false), (6, true)]);
    db.close().await;
}

/// Nothing is executed behind a claim that raised, and the session can go on at once.
pub async fn claim_raises_on_another_predecessor(place: &impl Place) {
    let mut db = open(place).await;
    for wrong in [None, Some(at(1)), Some(at(u64::from(u32::MAX)))] {
        let ran = db.run(wrong, &[work(1, "insert into t values (1, 'a')")]).await;
        assert!(matches!(ran, Err(Fault::ClaimRaised(_))), "{ran:?}");
    }
    assert_eq!(query(&mut db, 1, "select id from t").await, [] as [Value; 0]);
    db.close().await;
}

/// The session lock holds as long as the node lives, and is given back.
pub async fn a_second_node_is_kept_away(place: &impl Place) {
    let db = open(place).await;
    assert!(Dbms::open(&place.settings()).await.is_err());
    db.close().await;
    Dbms::open(&place.settings()).await.unwrap().close().await;
}

/// A refusal is the outcome of its own work only, wherever it stands in the batch.
pub async fn a_refused_work_leaves_its_neighbours(place: &impl Place) {
    let mut db = open(place).await;
    let ran = apply(
        &mut db,
        &[
            work(1, "insert into t values (1, 'a')"),
            work(2, "insert into t values (2, 'b'), (1, 'again')"),
            work(3, "insert into t values (3, 'c')"),
            work(4, "insert into nowhere values (1)"),
            work(5, "insert into t values (2, 'd')"),
        ],
    )
    .await;
    let codes: Vec<_> = ran.iter().map(code).collect();
    assert_eq!(codes, [None, Some(ErrorCode::UniqueViolation), None, Some(ErrorCode::UndefinedTable), None]);
    let left = query(&mut db, 6, "select id, name from t order by id").await;
    assert_eq!(left, [json!({"id": 1, "name": "a"}), json!({"id": 2, "name": "d"}), json!({"id": 3, "name": "c"})]);
    db.close().await;
}

/// What a dropped future leaves is rolled back by whatever comes next.
pub async fn an_abandoned_batch_is_rolled_back(place: &impl Place) {
    let mut db = open(place).await;
    let works = [work(1, "insert into t values (1, 'a')")];
    for micros in [0, 1, 10, 100, 1000, 10_000] {
        let run = db.run(Some(at(0)), &works);
        tokio::time::timeout(Duration::from_micros(micros), run).await.ok();
        let state = loop {
            match db.load().await {
                Err(Fault::Lost(_)) => db.recover().await.unwrap(),
                state => break state,
            }
        };
        assert_eq!(state.unwrap().map(|row| row.applied), Some(at(0)));
    }
    assert_eq!(apply(&mut db, &works).await.iter().map(code).collect::<Vec<_>>(), [None]);
    db.close().await;
}

/// Holes and control records advance the applied offset without works.
pub async fn an_empty_batch_advances(place: &impl Place) {
    let mut db = open(place).await;
    assert!(apply(&mut db, &[]).await.is_empty());
    assert_eq!(db.load().await.unwrap().map(|row| row.applied), Some(at(1)));
    assert!(matches!(db.commit(&finish(Some(1), 2)).await, Err(Fault::Fatal(_))));
    db.close().await;
}

/// A session that is made anew reads the state and goes on from it.
pub async fn recovered_sessions_go_on(place: &impl Place) {
    let mut db = open(place).await;
    db.run(Some(at(0)), &[work(1, "insert into t values (1, 'lost')")]).await.unwrap();
    db.recover().await.unwrap();
    assert_eq!(db.load().await.unwrap().map(|row| row.applied), Some(at(0)));
    one(&mut db, work(1, "insert into t values (1, 'kept')")).await.unwrap();
    assert_eq!(query(&mut db, 2, "select name from t").await, [json!({"name": "kept"})]);
    db.close().await;
}
