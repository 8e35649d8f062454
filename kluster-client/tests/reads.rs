//! Reads: the four levels, answers in parts, streams.

mod script;

use kluster_client::{Ack, Client, ClientError, ErrorCode, Level, Offset, Options};
use kluster_log::AppendFault;
use kluster_protocol::Topic;
use script::{Script, settle, start};
use std::time::Duration;
use tokio::time::Instant;

const SELECT: &str = "select n from t";

/// A client that has written at offset 4.
#[allow(clippy::unwrap_used, reason = "test code outside a test function")]
async fn writer(script: &mut Script) -> Client {
    for _ in 0..4 {
        script.fill().await;
    }
    let client = script.client().await;
    client.execute("insert into t values (1)").logged().await.unwrap();
    script.all().await;
    client
}

#[tokio::test(start_paused = true)]
async fn eventual_asks_for_nothing_and_session_for_what_it_has_seen() {
    let mut script = Script::new().await;
    let client = writer(&mut script).await;
    let eventual = start(client.query(SELECT).eventual().fetch::<i64>());
    let asked = script.one().await;
    assert_eq!((asked.request().min_offset, asked.request().timeout_ms), (None, Some(30_000)));
    assert!(asked.record.key.is_none(), "a key would pin the client to one node");
    script.say(&asked, asked.by("n1").members(0, false, 0).at(9).rows([1, 2])).await;
    assert_eq!(eventual.await.unwrap().unwrap(), [1, 2]);
    assert_eq!(client.seen(), Some(Offset::new(9)), "a session never goes back");

    for (handle, min_offset) in [(client.clone(), Some(9)), (client.new_session(), None)] {
        let session = start(handle.query(SELECT).bind(3).rows());
        let asked = script.one().await;
        assert_eq!(asked.request().min_offset, min_offset.map(Offset::new));
        assert_eq!(asked.request().statements()[0].params, [serde_json::json!(3).into()]);
        script.say(&asked, asked.by("n1").at(9).rows([1])).await;
        let read = session.await.unwrap().unwrap();
        assert_eq!((read.node_id.as_str(), read.offset, read.rows.len()), ("n1", Some(Offset::new(9)), 1));
        assert_eq!(read.rows.columns[0].type_name, "int8");
    }
}

#[tokio::test(start_paused = true)]
async fn fetch_one_and_fetch_optional_take_the_first_row() {
    let mut script = Script::new().await;
    let client = script.client().await;
    let one = start(client.query(SELECT).fetch_one::<(i64,)>());
    let none = start(client.query(SELECT).fetch_one::<i64>());
    let optional = start(client.query(SELECT).fetch_optional::<i64>());
    for rows in [vec![5, 6], vec![], vec![]] {
        let asked = script.one().await;
        script.say(&asked, asked.by("n1").rows(rows)).await;
    }
    assert_eq!(one.await.unwrap().unwrap(), (5,));
    assert!(matches!(none.await.unwrap(), Err(ClientError::NoRow)));
    assert_eq!(optional.await.unwrap().unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_barrier_is_shared_only_by_reads_that_wait_when_it_is_handed_over() {
    let mut script = Script::new().await;
    let client = writer(&mut script).await;
    script.faults(Topic::All, &[AppendFault::HoldAck(Duration::from_secs(1))]);
    let first = [(); 2].map(|()| start(client.query(SELECT).strong().fetch::<i64>()));
    let barrier = script.all().await;
    assert!(barrier.is_barrier());
    // These come while the first barrier is under way: it may lie before what they must see.
    let second = [(); 3].map(|()| start(client.query(SELECT).strong().fetch::<i64>()));
    script.all_stays_quiet(Duration::from_millis(900)).await;
    for _ in 0..2 {
        let asked = script.one().await;
        assert_eq!(asked.request().min_offset, Some(barrier.record.offset));
        script.say(&asked, asked.by("n1").at(5).rows([1])).await;
    }
    let barrier = script.all().await;
    assert!(barrier.is_barrier());
    for _ in 0..3 {
        let asked = script.one().await;
        assert_eq!(asked.request().min_offset, Some(barrier.record.offset));
        script.say(&asked, asked.by("n1").at(6).rows([1])).await;
    }
    for read in first.into_iter().chain(second) {
        read.await.unwrap().unwrap();
    }
    assert_eq!(client.seen(), Some(Offset::new(6)));
    script.all_stays_quiet(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_barrier_that_fails_is_written_again_and_a_read_that_ends_first_needs_none() {
    let mut script = Script::new().await;
    let client = script.client().await;
    script.faults(Topic::All, &[AppendFault::Lose, AppendFault::LoseOpen]);
    let read = start(client.query(SELECT).strong().fetch::<i64>());
    assert!(script.all().await.is_barrier());
    let asked = script.one().await;
    script.say(&asked, asked.by("n1").rows([1])).await;
    read.await.unwrap().unwrap();
    script.faults(Topic::All, &[AppendFault::Lose; 1000]);
    let error = client.query(SELECT).strong().timeout(Duration::from_secs(1)).rows().await.unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn ordered_goes_through_all_and_is_asked_anew_when_its_result_is_gone() {
    let mut script = Script::new().await;
    let client = script.client().await;
    let read = start(client.query(SELECT).ordered().fetch::<i64>());
    let first = script.all().await;
    script.say(&first, first.by("n1").gone()).await;
    let second = script.all().await;
    assert_ne!(first.id(), second.id());
    script.say(&second, second.by("n1").rows([4])).await;
    assert_eq!(read.await.unwrap().unwrap(), [4]);

    let quorum = start(client.query(SELECT).level(Level::Ordered(Ack::Quorum)).rows());
    let asked = script.all().await;
    script.say(&asked, asked.by("n1").rows([4])).await;
    settle().await;
    assert!(!quorum.is_finished());
    script.say(&asked, asked.by("n2").rows([4])).await;
    assert_eq!(quorum.await.unwrap().unwrap().rows.objects().unwrap()[0]["n"], 4);
}

#[tokio::test(start_paused = true)]
async fn what_no_node_answers_well_is_asked_under_a_new_id() {
    let mut script = Script::new().await;
    let client = script.client().await;
    script.faults(Topic::One, &[AppendFault::Lose, AppendFault::LoseOpen]);
    let read = start(client.query(SELECT).fetch::<i64>());
    let began = Instant::now();
    let first = script.one().await;
    assert_eq!(first.id(), "m3", "two attempts were lost");
    script.say(&first, first.by("n1").refused(ErrorCode::NotYet)).await;
    let second = script.one().await;
    script.say(&second, second.by("n1").refused(ErrorCode::Unavailable)).await;
    let third = script.one().await;
    assert!(began.elapsed() < Duration::from_secs(2));
    let fourth = script.one().await;
    assert!(began.elapsed() > Duration::from_secs(5), "no sign of an answer");
    assert_eq!([second.id(), third.id(), fourth.id()], ["m4", "m5", "m6"]);
    script.say(&third, third.by("n1").rows([8])).await;
    assert_eq!(read.await.unwrap().unwrap(), [8], "the earlier attempt may still answer");
    assert_eq!(client.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refused_read_is_not_asked_again() {
    let mut script = Script::new().await;
    let client = script.client().await;
    let read = start(client.query("insert").fetch::<i64>());
    let asked = script.one().await;
    script.say(&asked, asked.by("n1").refused(ErrorCode::ReadOnly)).await;
    let ClientError::Refused { error, .. } = read.await.unwrap().unwrap_err() else { panic!() };
    assert_eq!(error.code, ErrorCode::ReadOnly);
    let error = client.query(SELECT).timeout(Duration::from_secs(60)).rows().await.unwrap_err();
    assert!(error.to_string().ends_with("no answer in time; it has no effect"), "{error}");
    assert_eq!(client.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn parts_of_one_execution_are_joined_and_no_others() {
    let mut script = Script::new().await;
    let client = script.client().await;
    let read = start(client.query(SELECT).fetch::<i64>());
    let asked = script.one().await;
    script.say(&asked, asked.by("n1").execution("a").rows([1]).part(0, false)).await;
    // n1 dies; the group gives the request to n2, whose rows lie in another order.
    script.say(&asked, asked.by("n2").execution("b").rows([2]).part(0, false)).await;
    script.say(&asked, asked.by("n2").execution("b").rows([1]).part(1, false)).await;
    settle().await;
    assert!(!read.is_finished());
    script.say(&asked, asked.by("n2").execution("b").rows([0]).part(2, true)).await;
    assert_eq!(read.await.unwrap().unwrap(), [2, 1, 0]);

    let write = start(client.execute("insert … returning n").all());
    let asked = script.all().await;
    for part in 0..2 {
        for node in ["n1", "n2", "n3"] {
            script.say(&asked, asked.by(node).execution(node).rows([part]).part(part as u32, part == 1)).await;
        }
    }
    assert_eq!(write.await.unwrap().unwrap().fetch::<i64>().unwrap(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_result_beyond_the_memory_allowed_says_to_stream() {
    let mut script = Script::new().await;
    let client = script.client_with(Options { max_result_bytes: 2000, ..Options::default() }).await;
    let read = start(client.query(SELECT).fetch::<i64>());
    let asked = script.one().await;
    for part in 0..3 {
        script.say(&asked, asked.by("n1").rows(0..100).part(part, false)).await;
        settle().await;
    }
    let error = read.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("read it with stream()"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_gives_rows_as_their_parts_come() {
    let mut script = Script::new().await;
    let client = script.client().await;
    for ordered in [false, true] {
        let query = client.query(SELECT);
        let mut rows = if ordered { query.ordered() } else { query.eventual() }.stream::<i64>();
        let (first, asked) = tokio::join!(rows.next(), async {
            let asked = if ordered { script.all().await } else { script.one().await };
            script.say(&asked, asked.by("n1").execution("a").rows([1, 2]).part(0, false)).await;
            asked
        });
        assert_eq!(first.unwrap().unwrap(), 1);
        assert_eq!(rows.next().await.unwrap().unwrap(), 2);
        // Another execution begins: it is not this stream's.
        script.say(&asked, asked.by("n2").execution("b").rows([9]).part(0, false)).await;
        script.say(&asked, asked.by("n2").execution("b").rows([9]).part(1, true)).await;
        // Longer than one request waits, shorter than one part may take.
        tokio::time::sleep(Duration::from_secs(20)).await;
        script.say(&asked, asked.by("n1").execution("a").rows([3]).part(1, false)).await;
        assert_eq!(rows.next().await.unwrap().unwrap(), 3);
        tokio::time::sleep(Duration::from_secs(20)).await;
        script.say(&asked, asked.by("n1").execution("a").rows([4]).part(2, true)).await;
        assert_eq!(rows.next().await.unwrap().unwrap(), 4);
        assert!(rows.next().await.is_none());
        assert_eq!(client.waiting(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_stream_ends_in_an_error_and_never_goes_on_elsewhere() {
    let mut script = Script::new().await;
    let client = script.client().await;
    let mut rows = client.query(SELECT).stream::<i64>();
    let (first, asked) = tokio::join!(rows.next(), async {
        let asked = script.one().await;
        script.say(&asked, asked.by("n1").execution("a").rows([1]).part(0, false)).await;
        asked
    });
    assert_eq!(first.unwrap().unwrap(), 1);
    script.say(&asked, asked.by("n2").execution("b").rows([1]).part(0, false)).await;
    script.say(&asked, asked.by("n2").execution("b").rows([2]).part(1, true)).await;
    let error = rows.next().await.unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the result of node n1 broke off after 1 rows: no part came for 30s; start the read again"
    );
    assert!(rows.next().await.is_none());
    assert_eq!(client.waiting(), 0);

    let mut rows = client.query(SELECT).stream::<i64>();
    let (first, _) = tokio::join!(rows.next(), async {
        let asked = script.one().await;
        script.say(&asked, asked.by("n1").execution("c").rows([1]).part(0, false)).await;
        script.say(&asked, asked.by("n1").execution("c").rows([3]).part(2, true)).await;
    });
    assert_eq!(first.unwrap().unwrap(), 1);
    let error = rows.next().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("part 1 is missing"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_never_begins_is_asked_again_and_ends() {
    let mut script = Script::new().await;
    let client = script.client().await;
    let mut rows = client.query(SELECT).stream::<i64>();
    let (first, ()) = tokio::join!(rows.next(), async {
        script.one().await;
        let again = script.one().await;
        script.say(&again, again.by("n2").rows([7])).await;
    });
    assert_eq!(first.unwrap().unwrap(), 7);
    assert!(rows.next().await.is_none());
    let mut lost = client.query(SELECT).stream::<i64>();
    assert!(matches!(lost.next().await, Some(Err(ClientError::TimedOut { .. }))));
    assert!(lost.next().await.is_none());
}
