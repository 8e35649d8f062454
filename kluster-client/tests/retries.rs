//! Retries and deadlines: a request is executed once however often it is sent, and every wait ends.

mod script;

use kluster_client::{ClientError, LogError, Offset, Options, Outcome, Ticket};
use kluster_log::AppendFault;
use kluster_protocol::Topic;
use script::{Script, settle, start};
use std::time::Duration;
use tokio::time::Instant;

const INSERT: &str = "insert into t values (1)";

#[tokio::test(start_paused = true)]
async fn a_failed_append_is_sent_again_as_it_was() {
    let mut script = Script::new().await;
    script.fill().await;
    let client = script.client().await;
    script.faults(Topic::All, &[AppendFault::Lose, AppendFault::LoseOpen, AppendFault::LoseAck]);
    let done = start(client.execute(INSERT).first());
    let first = script.all().await;
    let second = script.all().await;
    assert_eq!(first.record.value, second.record.value);
    assert_eq!((first.id(), first.request().since_offset), ("m1", Some(Offset::ZERO)));
    script.say(&first, first.by("n1")).await;
    assert_eq!(done.await.unwrap().unwrap().offset, Some(Offset::new(1)));
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_request_is_sent_again_every_minute() {
    let mut script = Script::new().await;
    script.fill().await;
    let client = script.client().await;
    let done = start(client.execute(INSERT).timeout(Duration::from_secs(150)).first());
    let began = Instant::now();
    let first = script.all().await;
    let second = script.all().await;
    assert_eq!(began.elapsed().as_secs(), 60);
    let third = script.all().await;
    assert_eq!(began.elapsed().as_secs(), 120);
    assert_eq!(first.record.value, second.record.value);
    assert_eq!(first.record.value, third.record.value);
    let error = done.await.unwrap().unwrap_err();
    assert_eq!(began.elapsed().as_secs(), 150);
    let ClientError::TimedOut { ticket, outcome, answered } = error else { panic!("{error}") };
    assert_eq!(ticket, Ticket { message_id: "m1".into(), since_offset: Some(Offset::ZERO) });
    assert_eq!((outcome, answered.len()), (Outcome::Open, 0));
    assert_eq!(client.waiting(), 0, "nothing is left behind");
}

#[tokio::test(start_paused = true)]
async fn a_retry_by_hand_repeats_id_and_since_offset() {
    let mut script = Script::new().await;
    script.fill().await;
    let client = script.client().await;
    let request = client.execute(INSERT);
    let began = Instant::now();
    let lost = start(request.clone().all());
    let first = script.all().await;
    script.say(&first, first.by("n1")).await;
    let error = lost.await.unwrap().unwrap_err();
    assert_eq!(began.elapsed().as_secs(), 30, "the default");
    assert_eq!(
        error.to_string(),
        "request m1: no answer in time (answered: n1); it may have taken effect: ask again with the same ticket, it is executed once"
    );
    let again = start(request.retry(error.ticket().unwrap().clone()).first());
    let second = script.all().await;
    assert_eq!(first.record.value, second.record.value);
    script.say(&second, second.by("n1").at(1).gone()).await;
    let done = again.await.unwrap().unwrap();
    assert!(done.result_gone);
    assert!(matches!(done.fetch::<i64>(), Err(ClientError::ResultGone)));
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_can_ask_again_with_the_ticket_settled_before() {
    let mut script = Script::new().await;
    script.fill().await;
    let client = script.client().await;
    let (request, ticket) = client.execute(INSERT).ticketed().await.unwrap();
    script.all_stays_quiet(Duration::from_secs(5)).await;
    let waiting = start(request.all());
    let first = script.all().await;
    waiting.abort();
    assert_eq!(ticket, Ticket { message_id: "m1".into(), since_offset: Some(Offset::ZERO) });
    let again = start(client.execute(INSERT).retry(ticket).first());
    let second = script.all().await;
    assert_eq!(first.record.value, second.record.value);
    script.say(&second, second.by("n1").at(1)).await;
    assert_eq!(again.await.unwrap().unwrap().offset, Some(Offset::new(1)));
}

#[tokio::test(start_paused = true)]
async fn what_never_reached_the_log_has_no_effect() {
    let script = Script::new().await;
    let client = script.client().await;
    script.faults(Topic::All, &[AppendFault::Lose; 1000]);
    let error = client.execute(INSERT).first().await.unwrap_err();
    let ClientError::TimedOut { outcome, .. } = error else { panic!("{error}") };
    assert_eq!(outcome, Outcome::NoEffect);
    let large = client.execute("x".repeat(9 << 20)).first().await.unwrap_err();
    assert!(large.to_string().contains("split it"), "{large}");
}

#[tokio::test(start_paused = true)]
async fn an_append_of_open_outcome_leaves_the_outcome_open() {
    let script = Script::new().await;
    let client = script.client().await;
    script.faults(Topic::All, &[AppendFault::HoldAck(Duration::from_secs(3600))]);
    let error = client.execute(INSERT).logged().await.unwrap_err();
    let ClientError::TimedOut { outcome, .. } = error else { panic!("{error}") };
    assert_eq!(outcome, Outcome::Open);
}

#[tokio::test(start_paused = true)]
async fn since_offset_lies_below_every_attempt_and_close_to_it() {
    let mut script = Script::new().await;
    let client = script.client().await;
    let logged = client.execute(INSERT).logged().await.unwrap();
    assert_eq!((logged.message_id.as_str(), logged.offset), ("m1", Offset::ZERO));
    assert_eq!(script.all().await.request().since_offset, None, "the log was empty");

    client.execute(INSERT).logged().await.unwrap();
    assert_eq!(script.all().await.request().since_offset, Some(Offset::ZERO), "the place of the one before");

    for _ in 0..5 {
        script.fill().await;
    }
    client.execute(INSERT).logged().await.unwrap();
    assert_eq!(script.all().await.request().since_offset, Some(Offset::new(1)), "known less than a second ago");

    for _ in 0..5 {
        script.fill().await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    client.execute(INSERT).logged().await.unwrap();
    assert_eq!(script.all().await.request().since_offset, Some(Offset::new(12)), "the log's end - 1");

    client.execute(INSERT).message_id("mine").logged().await.unwrap();
    let asked = script.all().await;
    assert_eq!((asked.id(), asked.request().since_offset), ("mine", None), "an earlier attempt may lie in the log");
    client.execute(INSERT).message_id("mine").since_offset(Offset::new(3)).logged().await.unwrap();
    assert_eq!(script.all().await.request().since_offset, Some(Offset::new(3)));
}

#[tokio::test(start_paused = true)]
async fn a_bad_id_is_refused_before_anything_is_sent() {
    let mut script = Script::new().await;
    let client = script.client().await;
    for id in [String::new(), "x".repeat(201)] {
        let error = client.execute(INSERT).message_id(kluster_client::MessageId::new(id)).first().await.unwrap_err();
        assert!(matches!(error, ClientError::Invalid(_)), "{error}");
    }
    script.all_stays_quiet(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_leaves_no_entry() {
    let mut script = Script::new().await;
    let client = script.client().await;
    let waiting: Vec<_> = (0..100).map(|_| start(client.execute(INSERT).all())).collect();
    let read = start(client.query("select 1").rows());
    for _ in 0..100 {
        script.all().await;
    }
    let asked = script.one().await;
    assert_eq!(client.waiting(), 101);
    for request in &waiting {
        request.abort();
    }
    read.abort();
    settle().await;
    assert_eq!(client.waiting(), 0);
    script.say(&asked, asked.by("n1")).await; // late: nobody's
    settle().await;
    assert_eq!(client.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn two_attempts_at_once_under_one_id_are_both_answered() {
    let mut script = Script::new().await;
    let client = script.client().await;
    let attempts = [(); 2].map(|()| start(client.execute(INSERT).message_id("mine").first()));
    let asked = script.all().await;
    script.all().await;
    script.say(&asked, asked.by("n1")).await;
    for attempt in attempts {
        attempt.await.unwrap().unwrap();
    }
    assert_eq!(client.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn close_ends_every_wait() {
    let mut script = Script::new().await;
    let client = script.client().await;
    let write = start(client.execute(INSERT).all());
    let logged = client.execute(INSERT).message_id("x").logged();
    logged.await.unwrap();
    let read = start(client.query("select 1").fetch::<i64>());
    script.all().await;
    script.one().await;
    client.close();
    let error = write.await.unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the client was closed; request m1: it may have taken effect: ask again with the same ticket, it is executed once"
    );
    let ClientError::Closed { outcome, .. } = read.await.unwrap().unwrap_err() else { panic!() };
    assert_eq!(outcome, Outcome::NoEffect);
    for error in [
        client.execute(INSERT).first().await.unwrap_err(),
        client.query("select 1").strong().rows().await.unwrap_err(),
        client.query("select 1").rows().await.unwrap_err(),
    ] {
        assert!(matches!(error, ClientError::Closed { outcome: Outcome::NoEffect, .. }), "{error}");
    }
    assert_eq!(client.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_missing_is_said_at_once() {
    let memory = kluster_log::MemoryLog::without_topics(std::sync::Arc::new(|| 0));
    let log = kluster_client::Log::memory(memory);
    let error = kluster_client::Client::over(log, Options::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::Log { source: LogError::MissingTopic { .. }, .. }), "{error}");
}
