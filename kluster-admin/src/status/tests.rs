use super::*;
use crate::fixture::{Cluster, START_MS, Written, astray, chain, members, node};
use crate::output::Format;
use kluster_protocol::{EffectsMeans, EffectsReport, Halt, Membership, NodeState, Offset, Running, RunningEffects};

async fn status(cluster: &Cluster, format: Format) -> (Written, Result<(), AdminError>) {
    let mut written = Written::default();
    let ended = Status { watch: false }
        .run(&cluster.log, &cluster.clock, &mut written.output(format), &CancellationToken::new())
        .await;
    (written, ended)
}

#[tokio::test(start_paused = true)]
async fn three_healthy_nodes_with_one_chain() {
    let cluster = Cluster::new();
    cluster.fill(10).await;
    for name in ["n1", "n2", "n3"] {
        cluster.beat(&node(name).applied(9)).await;
    }
    cluster.pass(1_000);
    let (written, ended) = status(&cluster, Format::Table).await;
    ended.unwrap();
    let chain = chain(9).short();
    let expected = format!(
        "\
NODE  ROLE   DBMS         STATE  APPLIED  LAG  CHAIN             AGREEMENT  HEARD   INSTANCE
n1    voter  SQLite 3.50  ready        9    0  {chain}  same at 9  1s ago  n1-8a5c1
n2    voter  SQLite 3.50  ready        9    0  {chain}  same at 9  1s ago  n2-8a5c1
n3    voter  SQLite 3.50  ready        9    0  {chain}  same at 9  1s ago  n3-8a5c1

3 voters, one chain at offset 9
"
    );
    assert_eq!(written.data(), expected);
    assert_eq!(written.notes(), "");
}

#[tokio::test(start_paused = true)]
async fn nodes_that_differ_are_named_and_exit_code_is_3() {
    let cluster = Cluster::new();
    cluster.fill(600).await;
    cluster.beat(&node("n1").applied(599).point(256, chain(256)).point(512, chain(512))).await;
    cluster.beat(&node("n2").on(598, astray(598)).point(256, chain(256)).point(512, astray(512))).await;
    cluster.beat(&node("n3").applied(590).point(256, chain(256)).point(512, chain(512))).await;
    let (written, ended) = status(&cluster, Format::Table).await;
    let error = ended.unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("Stop writing"), "{error}");
    assert!(
        written.data().ends_with("\nn2 differs from n1, n3 since between offsets 256 and 512\n"),
        "{}",
        written.data()
    );
    assert!(written.data().contains("differs, 256 to 512"), "{}", written.data());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stopped_because_it_differed_is_named_when_the_others_have_gone_on() {
    let cluster = Cluster::new();
    cluster.fill(600).await;
    let stopped = NodeState::Stopped { offset: Offset::new(8), round: 0, code: "diverged".into() };
    cluster.beat(&node("n1").applied(599)).await;
    cluster.beat(&node("n2").on(7, astray(7)).state(stopped)).await;
    cluster.beat(&node("n3").applied(599)).await;
    let (written, ended) = status(&cluster, Format::Table).await;
    let error = ended.unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("then empty it and start the node"), "{error}");
    assert!(
        written.data().contains("\nn2 stopped because its data are not those of the others\n"),
        "{}",
        written.data()
    );
    assert!(written.data().contains("stopped at 8, round 0 (diverged)"), "{}", written.data());
}

#[tokio::test(start_paused = true)]
async fn how_effects_are_compared_is_said_of_each_node() {
    let cluster = Cluster::new();
    cluster.fill(10).await;
    let counted = |means| EffectsReport::of(&RunningEffects::begin(means, None));
    let off = EffectsReport::none("the server writes no binary log: set log_bin = ON");
    cluster.beat(&node("n1").applied(9).effects(counted(EffectsMeans::Binlog))).await;
    cluster.beat(&node("n2").applied(9).effects(counted(EffectsMeans::Binlog))).await;
    cluster.beat(&node("n3").applied(9).effects(off)).await;
    let (written, ended) = status(&cluster, Format::Table).await;
    ended.unwrap();
    let end = "
3 voters, one chain at offset 9
effects are compared by the server's log: n1, n2
n3: effects not compared: the server writes no binary log: set log_bin = ON
";
    assert!(written.data().ends_with(end), "{}", written.data());
    let json = status(&cluster, Format::Json).await.0.json();
    let said = |n: usize| (json["nodes"][n]["effects"]["means"].clone(), json["nodes"][n]["effects"]["how"].clone());
    assert_eq!(said(0), ("binlog".into(), "by the server's log".into()));
    assert_eq!(said(2), ("none".into(), "not compared: the server writes no binary log: set log_bin = ON".into()));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stopped_for_its_effects_is_named_with_the_offset() {
    let cluster = Cluster::new();
    cluster.fill(600).await;
    let stopped = NodeState::Stopped { offset: Offset::new(8), round: 0, code: "diverged".into() };
    let effects = EffectsReport::of(&RunningEffects::begin(EffectsMeans::Wrapped, None));
    let effects = EffectsReport { differs_at: Some(Offset::new(5)), ..effects };
    cluster.beat(&node("n1").applied(599)).await;
    cluster.beat(&node("n2").applied(7).effects(effects).state(stopped)).await;
    cluster.beat(&node("n3").applied(599)).await;
    let (written, ended) = status(&cluster, Format::Json).await;
    assert_eq!(ended.unwrap_err().exit_code(), 3);
    let json = written.json();
    let text =
        "n2 stopped because its data are not those of the others: the request at offset 5 changed other rows there";
    assert_eq!((&json["text"], &json["nodes"][1]["effects"]["differsAt"]), (&text.into(), &5.into()));
}

#[tokio::test(start_paused = true)]
async fn voters_in_trouble_are_named_and_exit_code_is_1() {
    let cluster = Cluster::new();
    cluster.fill(3).await;
    cluster.beat(&node("n1").applied(2)).await;
    cluster.pass(10_000);
    let retrying = NodeState::Retrying { since_ms: START_MS, code: "08006".into() };
    cluster.beat(&node("n2").applied(1).state(retrying)).await;
    cluster.beat(&node("n4").applied(2)).await;
    let (written, ended) = status(&cluster, Format::Table).await;
    assert_eq!(ended.unwrap_err().exit_code(), 1);
    let text = written.data();
    assert!(text.contains("gone, was ready"), "{text}");
    assert!(text.contains("retrying since 2026-03-04T05:06:07Z (08006)"), "{text}");
    assert!(text.contains("n3    voter  –            never heard of"), "{text}");
    assert!(text.contains("n4    –      SQLite 3.50  ready"), "{text}");
    let end = "
3 voters, one chain at offset 2; n2 shares no offset with the others yet
voter n1 is gone, heard of 10s ago: start it, or take it out with kluster-admin leave n1
voter n2 is retrying since 2026-03-04T05:06:07Z (08006): kluster-admin tail errors --from beginning says why
voter n3 was never heard of on NODES: start it, or take it out with kluster-admin leave n3
";
    assert!(text.ends_with(end), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_node_stopped_in_order_is_no_mystery() {
    let cluster = Cluster::new();
    cluster.fill(1).await;
    for name in ["n1", "n2"] {
        cluster.beat(&node(name).applied(0)).await;
    }
    cluster.beat(&node("n3").applied(0).state(NodeState::Leaving)).await;
    let (written, ended) = status(&cluster, Format::Table).await;
    assert_eq!(ended.unwrap_err().exit_code(), 1);
    let end = "\nvoter n3 was stopped, heard of 0s ago: start it, or take it out with kluster-admin leave n3\n";
    assert!(written.data().ends_with(end), "{}", written.data());
}

#[tokio::test(start_paused = true)]
async fn newer_heartbeats_of_a_busy_cluster_are_waited_for() {
    let cluster = Cluster::new();
    cluster.fill(9).await;
    let voters = members(2, &["n1", "n2"]);
    cluster.beat(&node("n1").applied(3).members(voters.clone())).await;
    cluster.beat(&node("n2").applied(5).members(voters.clone())).await;
    let ((written, ended), ()) = tokio::join!(status(&cluster, Format::Table), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        cluster.beat(&node("n1").applied(8).members(voters.clone())).await;
        cluster.beat(&node("n2").applied(8).members(voters.clone())).await;
    });
    ended.unwrap();
    assert!(written.data().ends_with("\n2 voters, one chain at offset 8\n"), "{}", written.data());
}

#[tokio::test(start_paused = true)]
async fn json_holds_everything() {
    let cluster = Cluster::new();
    cluster.fill(20).await;
    let one = members(1, &["n1"]);
    let stopped = NodeState::Stopped { offset: Offset::new(12), round: 0, code: "XX000".into() };
    cluster.beat(&node("n1").applied(11).members(one).state(stopped)).await;
    let (written, ended) = status(&cluster, Format::Json).await;
    assert_eq!(ended.unwrap_err().exit_code(), 1);
    let json = written.json();
    assert_eq!((json["end"].as_u64(), json["verdict"].as_str()), (Some(20), Some("trouble")));
    assert_eq!(json["text"], "1 voter, nothing to compare with");
    let node = &json["nodes"][0];
    assert_eq!((node["lag"].as_u64(), node["state"]["offset"].as_u64()), (Some(8), Some(12)));
    assert_eq!((node["role"].as_str(), node["agreement"]["is"].as_str()), (Some("voter"), Some("unknown")));
    assert_eq!(node["chain"].as_str().unwrap().len(), 64);
}

#[tokio::test(start_paused = true)]
async fn an_empty_cluster_says_what_to_do() {
    let (written, ended) = status(&Cluster::new(), Format::Table).await;
    assert_eq!(ended.unwrap_err().exit_code(), 1);
    assert!(written.data().starts_with("no node was ever heard of: start one with kluster-node"), "{}", written.data());
}

#[tokio::test(start_paused = true)]
async fn before_the_first_join_nodes_are_compared_all_the_same() {
    let cluster = Cluster::new();
    cluster.fill(1).await;
    for name in ["n1", "n2"] {
        cluster.beat(&node(name).applied(0).members(Membership::default())).await;
    }
    let (written, ended) = status(&cluster, Format::Table).await;
    ended.unwrap();
    assert!(written.data().ends_with("\nno voters yet, 2 nodes, one chain at offset 0\n"), "{}", written.data());
}

#[tokio::test(start_paused = true)]
async fn watch_looks_anew_until_stopped() {
    let cluster = Cluster::new();
    cluster.fill(2).await;
    let one = members(1, &["n1"]);
    cluster.beat(&node("n1").applied(0).members(one.clone())).await;
    let (mut written, stop) = (Written::default(), CancellationToken::new());
    let (ended, ()) = tokio::join!(
        async {
            Status { watch: true }.run(&cluster.log, &cluster.clock, &mut written.output(Format::Json), &stop).await
        },
        async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            cluster.beat(&node("n1").applied(1).members(one)).await;
            tokio::time::sleep(Duration::from_millis(1000)).await;
            stop.cancel();
        }
    );
    ended.unwrap();
    let applied: Vec<_> = written
        .data()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["nodes"][0]["applied"].as_u64())
        .collect();
    assert_eq!(applied, [Some(0), Some(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_waits_and_a_request_that_takes_long_are_named() {
    let cluster = Cluster::new();
    cluster.fill(9).await;
    let mut waits =
        node("n1").applied(6).state(NodeState::Stopped { offset: Offset::new(7), round: 0, code: "a".into() });
    waits.0.halt = Some(Halt {
        offset: Offset::new(7),
        round: 0,
        code: "a".into(),
        message: String::new(),
        request_id: "m7".into(),
        since_ms: START_MS,
    });
    cluster.beat(&waits).await;
    for name in ["n2", "n3"] {
        let mut busy = node(name).applied(6);
        busy.0.running = Some(Running { offset: Offset::new(7), request_id: "m7".into(), since_ms: START_MS - 7_000 });
        cluster.beat(&busy).await;
    }
    let (written, ended) = status(&cluster, Format::Table).await;
    assert_eq!(ended.unwrap_err().exit_code(), 1);
    let end = "\nvoter n1 waits at 7, round 0 (a): kluster-admin errors shows what to do\n\
        n2 has been executing offset 7 (request m7) for 7s: kluster-admin cancel 7 ends it on all nodes\n\
        n3 has been executing offset 7 (request m7) for 7s: kluster-admin cancel 7 ends it on all nodes\n";
    assert!(written.data().ends_with(end), "{}", written.data());
}
