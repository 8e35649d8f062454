//! How many answers make a write done: `first`, `nodes`, `quorum`, `all`, and what ends them early.

mod script;

use kluster_client::{ClientError, ErrorCode, Offset, Outcome};
use kluster_protocol::NodeState;
use script::{Script, settle, start};
use std::time::Duration;
use tokio::time::Instant;

const INSERT: &str = "insert into t values ($1)";

fn stopped() -> NodeState {
    NodeState::Stopped { offset: Offset::new(1), round: 0, code: "53100".into() }
}

fn names(answered: &[kluster_client::Answered]) -> Vec<&str> {
    answered.iter().map(|answered| answered.node_id.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn first_is_the_first_answer_of_a_voter() {
    let mut script = Script::new().await;
    let client = script.client().await;
    let done = start(client.execute(INSERT).bind(7).first());
    let asked = script.all().await;
    assert_eq!(asked.request().statements()[0].params, [serde_json::json!(7).into()]);
    assert!(asked.record.key.is_none());
    script.say(&asked, asked.by("watcher").members(3, false, 3)).await;
    settle().await;
    assert!(!done.is_finished(), "an observer's answer does not count");
    script.say(&asked, asked.by("n2").rows([7])).await;
    let done = done.await.unwrap().unwrap();
    assert_eq!((done.message_id.as_str(), done.offset, done.rows_affected()), ("m1", Some(Offset::ZERO), 1));
    assert_eq!(names(&done.answered), ["n2"]);
    assert_eq!(done.fetch::<i64>().unwrap(), [7]);
    assert_eq!(client.seen(), Some(Offset::ZERO));
    assert_eq!(client.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn before_the_first_join_first_works_and_the_others_end_as_no_voters() {
    let mut script = Script::new().await;
    let client = script.client().await;
    let first = start(client.execute(INSERT).first());
    let asked = script.all().await;
    script.say(&asked, asked.by("n1").members(0, false, 0)).await;
    first.await.unwrap().unwrap();
    for waiting in [
        start(client.execute(INSERT).all()),
        start(client.execute(INSERT).quorum()),
        start(client.execute(INSERT).nodes(1)),
    ] {
        let asked = script.all().await;
        script.say(&asked, asked.by("n1").members(0, false, 0)).await;
        let error = waiting.await.unwrap().unwrap_err();
        assert!(matches!(error, ClientError::NoVoters { .. }), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_quorum_and_nodes_count_distinct_voters() {
    let mut script = Script::new().await;
    let client = script.client().await;
    let all = start(client.execute(INSERT).all());
    let quorum = start(client.execute(INSERT).quorum());
    let two = start(client.execute(INSERT).nodes(2));
    let asked = [script.all().await, script.all().await, script.all().await];
    for asked in &asked {
        script.say(asked, asked.by("n1")).await;
        script.say(asked, asked.by("n1")).await;
        script.say(asked, asked.by("n1").execution("after a restart")).await;
    }
    settle().await;
    assert!(!quorum.is_finished() && !two.is_finished(), "one node counts once");
    for asked in &asked {
        script.say(asked, asked.by("n3")).await;
    }
    assert_eq!(names(&quorum.await.unwrap().unwrap().answered), ["n1", "n3"]);
    assert_eq!(names(&two.await.unwrap().unwrap().answered), ["n1", "n3"]);
    assert!(!all.is_finished());
    script.say(&asked[0], asked[0].by("n2")).await;
    assert_eq!(names(&all.await.unwrap().unwrap().answered), ["n1", "n2", "n3"]);
    assert_eq!(client.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn answers_under_different_memberships_are_not_counted_together() {
    let mut script = Script::new().await;
    let client = script.client().await;
    let quorum = start(client.execute(INSERT).quorum());
    let asked = script.all().await;
    script.say(&asked, asked.by("n1").members(2, true, 2).at(1)).await;
    script.say(&asked, asked.by("n2")).await;
    settle().await;
    assert!(!quorum.is_finished());
    script.say(&asked, asked.by("n1")).await;
    assert_eq!(names(&quorum.await.unwrap().unwrap().answered), ["n1", "n2"]);
}

#[tokio::test(start_paused = true)]
async fn differing_chains_end_as_diverged() {
    let mut script = Script::new().await;
    let client = script.client().await;
    for waiting in [
        start(client.execute(INSERT).all()),
        start(client.execute(INSERT).quorum()),
        start(client.execute(INSERT).nodes(3)),
    ] {
        let asked = script.all().await;
        script.say(&asked, asked.by("n1")).await;
        script.say(&asked, asked.by("n2").chain("bb")).await;
        let error = waiting.await.unwrap().unwrap_err();
        let ClientError::Diverged { offset, one, other, .. } = &error else { panic!("{error}") };
        assert_eq!(*offset, asked.record.offset);
        assert_eq!((one.node_id.as_str(), other.node_id.as_str()), ("n1", "n2"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_needs_as_many_answers() {
    let mut script = Script::new().await;
    let client = script.client().await;
    let first = start(client.execute(INSERT).first());
    let asked = script.all().await;
    script.say(&asked, asked.by("n1").refused(ErrorCode::UniqueViolation)).await;
    let error = first.await.unwrap().unwrap_err();
    let ClientError::Refused { error, offset, nodes } = error else { panic!("{error}") };
    assert_eq!((error.code, offset), (ErrorCode::UniqueViolation, Some(Offset::ZERO)));
    assert_eq!(nodes, ["n1".into()]);

    let quorum = start(client.execute(INSERT).quorum());
    let asked = script.all().await;
    script.say(&asked, asked.by("n1").refused(ErrorCode::UniqueViolation)).await;
    settle().await;
    assert!(!quorum.is_finished());
    script.say(&asked, asked.by("n2").refused(ErrorCode::UniqueViolation)).await;
    let error = quorum.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "refused as unique_violation at offset 1: no");
}

#[tokio::test(start_paused = true)]
async fn all_ends_early_when_a_voter_says_it_has_stopped() {
    let mut script = Script::new().await;
    let client = script.client().await;
    for node in ["n1", "n2", "n3"] {
        script.beat(node, NodeState::Ready).await;
    }
    let all = start(client.execute(INSERT).all());
    let quorum = start(client.execute(INSERT).quorum());
    let asked = [script.all().await, script.all().await];
    for asked in &asked {
        script.say(asked, asked.by("n1")).await;
    }
    script.beat("n3", stopped()).await;
    let start = Instant::now();
    let error = all.await.unwrap().unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(3), "early, not at the deadline");
    let ClientError::VotersGone(gone) = &error else { panic!("{error}") };
    assert_eq!(names(&gone.answered), ["n1"]);
    assert_eq!((gone.wanted, gone.outcome), (3, Outcome::Open));
    assert_eq!(gone.missing, [("n3".into(), "stopped at offset 1: 53100".into())]);
    assert!(error.to_string().contains("n3 (stopped at offset 1: 53100)"), "{error}");
    assert!(!quorum.is_finished(), "two of three are still there");
    script.beat("n2", NodeState::Retrying { since_ms: 0, code: "08006".into() }).await;
    let error = quorum.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("n2 (retrying: 08006), n3"), "{error}");
    assert_eq!(client.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_voter_not_heard_of_counts_as_gone() {
    let mut script = Script::new().await;
    for node in ["n1", "n2", "n3"] {
        script.beat(node, NodeState::Ready).await;
    }
    let client = script.client().await;
    let all = start(client.execute(INSERT).all());
    let asked = script.all().await;
    let start = Instant::now();
    for second in 0..4 {
        tokio::time::sleep_until(start + Duration::from_secs(second)).await;
        for node in ["n1", "n2"] {
            script.beat(node, NodeState::Ready).await;
        }
    }
    script.say(&asked, asked.by("n1")).await;
    script.say(&asked, asked.by("n2")).await;
    let error = all.await.unwrap().unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 6, "5 s of silence and 1 s of grace");
    assert!(error.to_string().contains("n3 (not heard of for 5s)"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_under_way_or_a_voter_that_comes_back_is_waited_for() {
    let mut script = Script::new().await;
    let client = script.client().await;
    for node in ["n1", "n2"] {
        script.beat(node, NodeState::Ready).await;
    }
    script.beat("n3", stopped()).await;
    let back = start(client.execute(INSERT).all());
    let asked = script.all().await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    script.beat("n3", NodeState::CatchingUp).await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    for node in ["n1", "n2", "n3"] {
        script.say(&asked, asked.by(node)).await;
    }
    back.await.unwrap().unwrap();

    let late = start(client.execute(INSERT).all());
    let asked = script.all().await;
    script.beat("n3", stopped()).await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    for node in ["n1", "n2", "n3"] {
        script.say(&asked, asked.by(node)).await;
    }
    late.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn more_nodes_than_there_are_voters_ends_when_all_have_answered() {
    let mut script = Script::new().await;
    let client = script.client().await;
    let five = start(client.execute(INSERT).nodes(5));
    let asked = script.all().await;
    for node in ["n1", "n2", "n3"] {
        script.say(&asked, asked.by(node)).await;
    }
    let error = five.await.unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "request m1: 5 answers were wanted (answered: n1, n2, n3), and there are no more voters; it is decided, and the others will follow"
    );
}

#[tokio::test(start_paused = true)]
async fn a_transaction_is_one_request_and_answers_for_each_statement() {
    let mut script = Script::new().await;
    let client = script.client().await;
    let transaction =
        client.transaction().statement("update a set x = $1").bind(1).expect_rows(1).statement("delete from b");
    let done = start(transaction.first());
    let asked = script.all().await;
    let json: serde_json::Value = serde_json::from_slice(asked.record.value.as_ref().unwrap()).unwrap();
    assert_eq!(
        json["statements"],
        serde_json::json!([{"sqlString": "update a set x = $1", "params": [1], "expectRows": 1}, {"sqlString": "delete from b"}])
    );
    let mut answer = asked.by("n1");
    (answer.0.result, answer.0.rows_affected) = (None, None);
    answer.0.results =
        Some(serde_json::from_str(r#"[{"result":[],"rowsAffected":1},{"result":[],"rowsAffected":4}]"#).unwrap());
    script.say(&asked, answer).await;
    let done = done.await.unwrap().unwrap();
    assert_eq!((done.results.len(), done.rows_affected()), (2, 5));
    let empty = client.transaction().all().await.unwrap_err();
    assert!(matches!(empty, ClientError::Invalid(_)), "{empty}");
    let misuse = client.transaction().bind(1).statement("x").all().await.unwrap_err();
    assert_eq!(misuse.to_string(), "bind() stands before the first statement()");
}
