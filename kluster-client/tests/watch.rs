//! What the client sees beside its answers: alarms, strange records, and the same run from the same start.

mod script;

use kluster_client::{Alarm, Offset};
use kluster_log::NewRecord;
use kluster_protocol::{Came, Chain, NodeState, RecordHash, Topic};
use script::{Script, settle, start};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_later_differing_answer_raises_an_alarm() {
    let mut script = Script::new().await;
    let client = script.client().await;
    let mut alarms = client.alarms();
    let done = start(client.execute("x").first());
    let asked = script.all().await;
    script.say(&asked, asked.by("n1")).await;
    done.await.unwrap().unwrap();
    script.say(&asked, asked.by("n2")).await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    script.say(&asked, asked.by("n3").chain("bb")).await;
    let Some(Alarm::Diverged { offset, one, other }) = alarms.next().await else { panic!() };
    assert_eq!((offset, one.node_id.as_str(), other.node_id.as_str()), (Offset::ZERO, "n1", "n3"));
    client.close();
    drop(client);
    settle().await;
    assert_eq!(alarms.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_differs_raises_an_alarm_too() {
    let mut script = Script::new().await;
    let client = script.client().await;
    let mut alarms = client.alarms();
    let chains = ["a", "b"].map(|text| {
        Chain::default().after(Offset::ZERO, &RecordHash::of(None, [], Some(text.as_bytes())), Came::PASSED)
    });
    let done = start(client.execute("x").first());
    let asked = script.all().await;
    script.say(&asked, asked.by("n1").chain(&chains[0].short())).await;
    done.await.unwrap().unwrap();
    script.beat_of("n2", NodeState::Ready, Some(Offset::ZERO), Some(chains[0])).await;
    script.beat_of("n3", NodeState::Ready, Some(Offset::ZERO), Some(chains[1])).await;
    let Some(Alarm::Diverged { other, .. }) = alarms.next().await else { panic!() };
    assert_eq!(other.node_id.as_str(), "n3");
}

#[tokio::test(start_paused = true)]
async fn strange_records_are_passed_over() {
    let mut script = Script::new().await;
    let client = script.client().await;
    let done = start(client.execute("x").first());
    let asked = script.all().await;
    for strange in ["", "{}", "[1]", "hello"] {
        script.log.append(Topic::Responses, Some(asked.reply_partition()), NewRecord::of(strange)).await.unwrap();
        script.log.append(Topic::Nodes, None, NewRecord::of(strange).keyed("n1")).await.unwrap();
    }
    let tombstone = NewRecord::default().keyed("n1");
    script.log.append(Topic::Nodes, None, tombstone).await.unwrap();
    script.say(&asked, asked.by("n1")).await;
    done.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn answers_that_were_trimmed_away_are_an_alarm_and_reading_goes_on() {
    let mut script = Script::new().await;
    let client = script.client().await;
    let mut alarms = client.alarms();
    let done = start(client.execute("x").first());
    let asked = script.all().await;
    let partition = asked.reply_partition();
    script.memory.recreate(Topic::Responses);
    for _ in 0..3 {
        script.log.append(Topic::Responses, Some(partition), NewRecord::of("other")).await.unwrap();
    }
    script.memory.trim(Topic::Responses, partition, Offset::new(2));
    assert!(matches!(alarms.next().await, Some(Alarm::AnswersMissed { .. })));
    script.say(&asked, asked.by("n1")).await;
    done.await.unwrap().unwrap();
}

/// Writes from many tasks on many threads, answered by three nodes as they come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_are_all_answered() {
    const COUNT: usize = 5000;
    let mut script = Script::new().await;
    let client = script.client().await;
    let writes: Vec<_> = (0..COUNT).map(|n| start(client.execute("x").bind(n).all())).collect();
    for _ in 0..COUNT {
        let asked = script.all().await;
        for node in ["n1", "n2", "n3"] {
            script.say(&asked, asked.by(node)).await;
        }
    }
    for write in writes {
        assert_eq!(write.await.unwrap().unwrap().answered.len(), 3);
    }
    assert_eq!(client.waiting(), 0);
}

/// What a run of many requests at once, with losses, put into the log.
#[allow(clippy::unwrap_used, reason = "test code outside a test function")]
async fn run() -> Vec<(String, Option<Offset>)> {
    let mut script = Script::new().await;
    let client = script.client().await;
    script.faults(Topic::All, &[kluster_log::AppendFault::Lose, kluster_log::AppendFault::LoseAck]);
    let writes: Vec<_> = (0..20).map(|n| start(client.execute("x").bind(n).all())).collect();
    let mut seen = Vec::new();
    for n in 0..20 {
        let asked = script.all().await;
        seen.push((asked.id().to_owned(), asked.request().since_offset));
        for node in ["n1", "n2", "n3"].iter().take(if n % 2 == 0 { 3 } else { 2 }) {
            script.say(&asked, asked.by(node)).await;
        }
    }
    for write in writes {
        seen.push((
            format!("{:?}", write.await.unwrap().map(|done| done.offset).map_err(|error| error.to_string())),
            None,
        ));
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn the_same_start_gives_the_same_run() {
    assert_eq!(run().await, run().await);
}
