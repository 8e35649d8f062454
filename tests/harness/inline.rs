//! Inline: nodes within this process, each on the thread that calls it, beside SQLite, on Tokio's clock.

use kluster_node::dbms::DbmsSettings;
use kluster_node::node::NodeSettings;
use kluster_node::step::Steps;
use std::sync::Arc;
use tokio::time::Instant;

/// A voter beside the SQLite at `url`; what a test wants otherwise it says with `..inline(…)`.
pub fn inline(name: &str, url: String, steps: Steps) -> NodeSettings {
    let epoch = Instant::now();
    NodeSettings {
        development: true,
        clock: Arc::new(move || epoch.elapsed().as_millis() as u64),
        instance_id: String::new(),
        ..NodeSettings::of(DbmsSettings { max_reads: 4, inline: true, steps, ..DbmsSettings::at(url, name) })
    }
}
