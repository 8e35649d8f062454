//! Http: the port by which people and machines ask a node how it is: `/healthz`, `/readyz`, `/metrics`.
//!
//! Neighbours: reads `status`. It knows no SQL and changes nothing.

use crate::status::Status;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use kluster_protocol::{NodeId, NodeState};
use std::fmt::Write;
use std::net::SocketAddr;
use tokio::net::TcpListener;

#[derive(Clone)]
struct Asked {
    node: NodeId,
    status: Status,
}

/// Binds the port and serves until dropped. Gives the address that was bound.
pub async fn bind(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// Serves until dropped.
pub async fn serve(listener: TcpListener, node: NodeId, status: Status) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Asked { node, status });
    axum::serve(listener, routes).await
}

/// 200 while the process runs and has not stopped for good; else 503 and why.
async fn healthz(State(asked): State<Asked>) -> impl IntoResponse {
    let now = asked.status.now();
    match &now.state {
        NodeState::Stopped { offset, code, .. } if now.has_stopped() => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("stopped at offset {offset}: {code}\n"))
        }
        _ => (StatusCode::OK, "ok\n".to_owned()),
    }
}

/// 200 while the node is at the end of the log, answers reads, and the log takes its heartbeats; else 503 and what it is doing.
async fn readyz(State(asked): State<Asked>) -> impl IntoResponse {
    let now = asked.status.now();
    if now.is_ready() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    match (&now.state, &now.reads_away) {
        (NodeState::Ready, Some(away)) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("reads are not answered: {}\n", away.code))
        }
        (NodeState::Ready, None) => {
            let code = now.unheard.map(|away| away.code).unwrap_or_default();
            (StatusCode::SERVICE_UNAVAILABLE, format!("heartbeats are not taken: {code}\n"))
        }
        (NodeState::Stopped { offset, code, .. }, _) if !now.has_stopped() => {
            let text = format!("waits for a decision at offset {offset}: {code}; see kluster-admin errors\n");
            (StatusCode::SERVICE_UNAVAILABLE, text)
        }
        (state @ (NodeState::Retrying { code, .. } | NodeState::Stopped { code, .. }), _) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{}: {code}\n", word(state)))
        }
        (state, _) => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", word(state))),
    }
}

/// The node's figures in the text format of Prometheus.
async fn metrics(State(asked): State<Asked>) -> impl IntoResponse {
    let now = asked.status.now();
    let node = &asked.node;
    let mut text = String::new();
    let mut figure = |name: &str, kind: &str, help: &str, value: u64| {
        let _ = writeln!(
            text,
            "# HELP kluster_{name} {help}\n# TYPE kluster_{name} {kind}\nkluster_{name}{{node=\"{node}\"}} {value}"
        );
    };
    figure(
        "applied_offset",
        "gauge",
        "The last offset of ALL in this node's database.",
        now.applied.map_or(0, |applied| applied.get()),
    );
    let ready = u64::from(now.is_ready());
    figure("ready", "gauge", "1 while the node is at the end of the log, answers reads and is heard.", ready);
    figure("stopped", "gauge", "1 once the ALL lane has stopped for good.", u64::from(now.has_stopped()));
    figure("waiting", "gauge", "1 while the ALL lane waits for a decision.", u64::from(now.halt.is_some()));
    figure(
        "retrying",
        "gauge",
        "1 while the ALL lane tries a record again.",
        u64::from(matches!(now.state, NodeState::Retrying { .. })),
    );
    figure("holes_total", "counter", "Offsets of ALL that no record came for.", now.holes);
    figure(
        "reads_undecodable_total",
        "counter",
        "How often a batch of ONE could not be decoded.",
        now.reads_undecodable,
    );
    let effects = asked.status.effects().report();
    let counted = effects.as_ref().and_then(|effects| effects.at).map_or(0, |at| at.get());
    figure("effects_offset", "gauge", "Effects of requests are known up to this offset.", counted);
    figure("membership_version", "gauge", "Rises with each change of members.", now.membership.version);
    figure("voters", "gauge", "Nodes whose answers count.", now.membership.voters.len() as u64);
    if let Some(effects) = effects {
        let (compared, how) = (u8::from(effects.means.compares()), escaped(&effects.how()));
        let _ = writeln!(
            text,
            "# HELP kluster_effects_compared 1 while the rows that requests change are compared with the other nodes'.\n# TYPE kluster_effects_compared gauge\nkluster_effects_compared{{node=\"{node}\",means=\"{}\",how=\"{how}\"}} {compared}",
            effects.means.as_str()
        );
    }
    text
}

/// A label's value as Prometheus reads it
/// (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The one word for a state.
pub fn word(state: &NodeState) -> &'static str {
    match state {
        NodeState::Starting => "starting",
        NodeState::CatchingUp => "catching up",
        NodeState::Ready => "ready",
        NodeState::Retrying { .. } => "retrying",
        NodeState::Stopped { .. } => "stopped",
        NodeState::Leaving => "leaving",
    }
}
