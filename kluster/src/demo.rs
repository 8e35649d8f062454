//! demo: shows in a minute what a cluster is good for.

/// The manual of the command.
pub const MANUAL: &str = "Show in a minute what a cluster is good for.";

/// `kluster demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct Demo {}

/// A node of the demo.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoNode {}

impl Demo {
    /// x
    pub async fn run(&self, _signals: &crate::signals::Signals) -> Result<(), crate::error::KlusterError> {
        Ok(())
    }
}
impl DemoNode {
    /// x
    pub async fn run(
        &self,
        _: &kluster_log::LogSettings,
        _signals: &crate::signals::Signals,
    ) -> Result<(), crate::error::KlusterError> {
        Ok(())
    }
}
