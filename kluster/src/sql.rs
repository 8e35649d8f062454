//! sql: a prompt and one-shot client.

use crate::error::KlusterError;
use crate::signals::Signals;
use kluster_client::{Client, Options};
use kluster_log::LogSettings;

/// The manual of the command.
pub const MANUAL: &str = "Send SQL to a cluster: a prompt, or one text.";

/// What `sql` is asked with.
#[derive(Debug, Clone, clap::Args)]
pub struct Sql {
    /// Statements to send; without any, and on a terminal, the prompt opens
    #[arg(value_name = "SQL")]
    pub text: Option<String>,
}

impl Sql {
    /// Sends the text.
    pub async fn run(&self, log: &LogSettings, signals: &Signals) -> Result<(), KlusterError> {
        let Some(text) = &self.text else {
            return Err(KlusterError::Settings("nothing to send".to_owned()));
        };
        let opened = Client::connect_with(log.clone(), Options::default()).await;
        let client = opened.map_err(|error| KlusterError::Log(error.to_string()))?;
        tokio::select! {
            read = client.query(text.clone()).rows() => match read {
                Ok(rows) => Ok(println!("{rows:?}")),
                Err(error) => Err(KlusterError::Refused(error.to_string())),
            },
            () = signals.interrupted() => Err(KlusterError::Interrupted("the read was ended".to_owned())),
        }
    }
}
