//! What the HTTP port says in each state of the node.

use crate::running::*;
use kluster_log::{AppendFault, Log, LogError};
use kluster_node::node::{Node, NodeSettings};
use kluster_node::status::Now;
use kluster_node::step::Steps;
use kluster_protocol::{NodeState, Topic};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn health_readiness_and_figures_follow_the_node() {
    let (memory, home) = (memory(), Home::new());
    let settings = NodeSettings {
        http: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        ..home.settings("n1", Steps::default())
    };
    // It answers while it waits for what it needs.
    let node = Node::start(settings, Log::memory(memory.user("n1"))).await.unwrap();
    let port = node.http().unwrap();
    assert_eq!(get(port, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(port, "/readyz").await, (503, "starting\n".to_owned()));

    let node = Running::run(node);
    node.until(|now| now.is_ready() && !now.membership.voters.is_empty()).await;
    let at = write(&memory, "a", "create table t(id integer)").await;
    memory.leave_hole(Topic::All, 0, 3);
    let at = at.max(write(&memory, "b", "insert into t values (1)").await);
    node.applied(at).await;
    assert_eq!(node.get("/readyz").await, (200, "ready\n".to_owned()));
    let (status, figures) = node.get("/metrics").await;
    assert_eq!(status, 200);
    for figure in [
        format!("kluster_applied_offset{{node=\"n1\"}} {at}"),
        "kluster_ready{node=\"n1\"} 1".to_owned(),
        "kluster_stopped{node=\"n1\"} 0".to_owned(),
        "kluster_holes_total{node=\"n1\"} 3".to_owned(),
        "kluster_voters{node=\"n1\"} 1".to_owned(),
        "# TYPE kluster_holes_total counter".to_owned(),
        format!("kluster_effects_offset{{node=\"n1\"}} {at}"),
        "kluster_effects_compared{node=\"n1\",means=\"transaction\",how=\"in the chain\"} 1".to_owned(),
    ] {
        assert!(figures.lines().any(|line| line == figure), "{figure} is missing in\n{figures}");
    }

    memory.go_away();
    node.until(|now| matches!(now.state, NodeState::Retrying { .. })).await;
    assert_eq!(node.get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(node.get("/readyz").await, (503, "retrying: log_unreachable\n".to_owned()));
    memory.come_back();
    node.until(Now::is_ready).await;
    assert_eq!(node.get("/readyz").await, (200, "ready\n".to_owned()));

    memory.on_append(Arc::new(|context| match context.topic {
        Topic::Nodes => AppendFault::HoldAck(Duration::from_secs(60)),
        _ => AppendFault::None,
    }));
    node.until(|now| now.unheard.is_some()).await;
    assert_eq!(node.status.now().state, NodeState::Ready);
    assert_eq!(node.get("/readyz").await, (503, "heartbeats are not taken: log_unreachable\n".to_owned()));
    memory.clear_hooks();
    node.until(Now::is_ready).await;
    assert_eq!(node.get("/readyz").await, (200, "ready\n".to_owned()));

    let denied = || LogError::Denied { doing: "reading".into(), reason: "on command".into() };
    memory.refuse(Topic::One, Some(denied()));
    node.until(|now| now.reads_away.is_some()).await;
    assert_eq!(node.get("/readyz").await, (503, "reads are not answered: log\n".to_owned()));

    memory.refuse(Topic::All, Some(denied()));
    assert_eq!(node.stopped().await, "log");
    assert_eq!(node.get("/healthz").await, (503, format!("stopped at offset {}: log\n", at.next())));
    assert_eq!(node.get("/readyz").await, (503, "stopped: log\n".to_owned()));
    let (_, figures) = node.get("/metrics").await;
    assert!(figures.contains("kluster_stopped{node=\"n1\"} 1"), "{figures}");
    assert!(node.end().await.is_err());
}
