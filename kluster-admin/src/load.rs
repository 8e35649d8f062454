//! load
/// x
#[derive(Debug, Clone, clap::Args)]
pub struct Load { /// in
 #[arg(long)] pub in_flight: Option<usize> }
impl Load { /// x
 pub async fn run(&self, _: &kluster_log::Log, _: &kluster_node::report::Clock, _: &mut crate::output::Output<'_>, _: &tokio_util::sync::CancellationToken) -> Result<(), crate::error::AdminError> { Ok(()) } }
