//! topics: creates the topics of a database with the settings that Kluster's promises need, and checks those there are.

use crate::error::AdminError;
use crate::output::{Output, Rows, Tone};
use crate::show;
use clap::{Args, Subcommand};
use kluster_log::{Created, Finding, Log, Severity, TopicCheck, TopicSettings};
use kluster_protocol::Topic;
use serde_json::json;

/// What can be done to topics.
#[derive(Debug, Clone, Subcommand)]
pub enum Topics {
    /// Create the topics that are missing, then check all; those that exist are left as they are
    Create(Wanted),
    /// Compare every topic's settings with what Kluster needs, and say how to mend each difference
    Check(Wanted),
}

/// The settings that may be chosen.
#[derive(Debug, Clone, Args)]
pub struct Wanted {
    /// Partitions of ONE and RESPONSES each: at least as many as nodes shall share ONE's reads [default: 12; with --development 4]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub partitions: Option<u32>,
    /// Copies of each record [default: 3; with --development 1]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub replication: Option<u32>,
    /// Copies that must be in sync before a record counts as written [default: 2; with --development 1]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub min_insync: Option<u32>,
    /// For one broker on one machine: one copy is enough, and nothing survives the loss of its disk
    #[arg(long, env = "KLUSTER_DEVELOPMENT")]
    pub development: bool,
}

impl Topics {
    /// Creates or checks; topics that are set wrong are a finding.
    pub async fn run(&self, log: &Log, output: &mut Output<'_>) -> Result<(), AdminError> {
        let (settings, create) = match self {
            Self::Create(wanted) => (wanted.settings()?, true),
            Self::Check(wanted) => (wanted.settings()?, false),
        };
        let created = if create { Some(log.create_topics(&settings).await?) } else { None };
        let check = log.check_topics(&settings).await?;
        match output.is_json() {
            true => output.json(&document(log, created.as_deref(), &check))?,
            false => {
                if let Some(created) = &created {
                    show_created(log, created, output)?;
                }
                show_check(&check, output)?;
            }
        }
        result(&check)
    }
}

impl Wanted {
    fn settings(&self) -> Result<TopicSettings, AdminError> {
        let base = if self.development { TopicSettings::development() } else { TopicSettings::default() };
        let settings = TopicSettings {
            partitions: self.partitions.unwrap_or(base.partitions),
            replication: self.replication.unwrap_or(base.replication),
            min_insync: self.min_insync.unwrap_or(base.min_insync),
            development: base.development,
        };
        if settings.min_insync > settings.replication {
            return Err(AdminError::Settings(format!(
                "--min-insync {} is more than --replication {}: nothing could ever be written; give at most {}",
                settings.min_insync, settings.replication, settings.replication
            )));
        }
        Ok(settings)
    }
}

fn show_created(log: &Log, created: &[(Topic, Created)], output: &mut Output) -> Result<(), AdminError> {
    let mut rows = Rows::new(&["topic", "name", "created"], &[]);
    for (topic, created) in created {
        let (text, tone) = match created {
            Created::New => ("new", Tone::Good),
            Created::Existed => ("existed", Tone::Plain),
        };
        let plain = |text: String| (text, Tone::Plain);
        rows.push(vec![plain(topic.to_string()), plain(log.names().name(*topic)), (text.to_owned(), tone)]);
    }
    output.table(rows)?;
    Ok(output.line("", Tone::Plain)?)
}

fn show_check(check: &TopicCheck, output: &mut Output) -> Result<(), AdminError> {
    if check.findings.is_empty() {
        return Ok(output.line("all topics are as they must be", Tone::Good)?);
    }
    let mut rows = Rows::new(&["#", "topic", "setting", "found", "wanted", "severity"], &["#"]);
    for (number, finding) in check.findings.iter().enumerate() {
        let plain = |text: &str| (text.to_owned(), Tone::Plain);
        rows.push(vec![
            plain(&(number + 1).to_string()),
            plain(&finding.name),
            plain(&finding.setting),
            (finding.found.clone(), tone(finding.severity)),
            plain(&finding.wanted),
            (severity(finding.severity).to_owned(), tone(finding.severity)),
        ]);
    }
    output.table(rows)?;
    // Not a column: a command that a table has wrapped can't be copied.
    output.line("\nTo mend:", Tone::Plain)?;
    for (number, finding) in check.findings.iter().enumerate() {
        output.line(&format!("{:>3}  {}", number + 1, finding.mend), Tone::Plain)?;
    }
    Ok(())
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Refuse => "nodes refuse to start",
        Severity::MayNotRead => "may not be read",
        Severity::Warn => "warning",
    }
}

fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Refuse => Tone::Bad,
        Severity::MayNotRead | Severity::Warn => Tone::Warning,
    }
}

fn document(log: &Log, created: Option<&[(Topic, Created)]>, check: &TopicCheck) -> serde_json::Value {
    let created = created.map(|created| {
        let each = created.iter().map(|(topic, created)| {
            json!({"topic": topic, "name": log.names().name(*topic), "new": *created == Created::New})
        });
        each.collect::<Vec<_>>()
    });
    let finding = |finding: &Finding| {
        let severity = match finding.severity {
            Severity::Refuse => "refuse",
            Severity::MayNotRead => "mayNotRead",
            Severity::Warn => "warn",
        };
        let Finding { topic, name, setting, found, wanted, mend, .. } = finding;
        json!({"topic": topic, "name": name, "severity": severity, "setting": setting, "found": found, "wanted": wanted, "mend": mend})
    };
    json!({"created": created, "findings": check.findings.iter().map(finding).collect::<Vec<_>>()})
}

fn result(check: &TopicCheck) -> Result<(), AdminError> {
    let refusals = check.refusals(false).len();
    match (check.findings.len(), refusals) {
        (0, _) => Ok(()),
        (all, 0) => Err(AdminError::Finding(format!(
            "{} of topics not as Kluster creates them; nodes start all the same",
            show::count(all, "setting")
        ))),
        (all, refusals) => Err(AdminError::Finding(format!(
            "{} of topics not as Kluster needs them; nodes refuse to start because of {refusals}",
            show::count(all, "setting")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Cluster, Written};
    use crate::output::Format;

    const DEVELOPMENT: Wanted = Wanted { partitions: None, replication: None, min_insync: None, development: true };

    async fn run(cluster: &Cluster, topics: Topics, format: Format) -> (Written, Result<(), AdminError>) {
        let mut written = Written::default();
        let ended = topics.run(&cluster.log, &mut written.output(format)).await;
        (written, ended)
    }

    #[tokio::test]
    async fn create_makes_what_is_missing_and_leaves_the_rest() {
        let cluster = Cluster::without_topics();
        let (written, ended) = run(&cluster, Topics::Create(DEVELOPMENT), Format::Table).await;
        ended.unwrap();
        let expected = "\
TOPIC      NAME       CREATED
ALL        ALL        new
ONE        ONE        new
RESPONSES  RESPONSES  new
ERRORS     ERRORS     new
NODES      NODES      new
DECISIONS  DECISIONS  new

all topics are as they must be
";
        assert_eq!(written.data(), expected);
        let (written, ended) = run(&cluster, Topics::Create(DEVELOPMENT), Format::Json).await;
        ended.unwrap();
        assert!(written.json()["created"].as_array().unwrap().iter().all(|topic| topic["new"] == false));
    }

    #[tokio::test]
    async fn check_says_what_is_wrong_and_how_to_mend_it() {
        let cluster = Cluster::new();
        cluster.memory.set_setting(Topic::All, "retention.ms", "604800000");
        let (written, ended) = run(&cluster, Topics::Check(DEVELOPMENT), Format::Table).await;
        let error = ended.unwrap_err();
        assert_eq!(error.exit_code(), 1);
        assert!(error.to_string().contains("nodes refuse to start because of 1"), "{error}");
        let expected = "\
#  TOPIC  SETTING       FOUND      WANTED  SEVERITY
1  ALL    retention.ms  604800000  -1      nodes refuse to start

To mend:
  1  kafka-configs.sh --bootstrap-server memory --alter --entity-type topics --entity-name ALL --add-config retention.ms=-1
";
        assert_eq!(written.data(), expected);
        let (written, _) = run(&cluster, Topics::Check(DEVELOPMENT), Format::Json).await;
        assert_eq!(written.json()["findings"][0]["setting"], "retention.ms");
    }

    #[tokio::test]
    async fn check_of_nothing_says_missing() {
        let (written, ended) = run(&Cluster::without_topics(), Topics::Check(DEVELOPMENT), Format::Table).await;
        assert_eq!(ended.unwrap_err().exit_code(), 1);
        assert!(written.data().contains("missing") && written.data().contains("kluster-admin topics create"));
    }

    #[tokio::test]
    async fn more_in_sync_than_copies_is_a_wrong_setting() {
        let wanted = Wanted { replication: Some(1), development: false, ..DEVELOPMENT };
        let (_, ended) = run(&Cluster::new(), Topics::Create(wanted), Format::Table).await;
        assert_eq!(ended.unwrap_err().exit_code(), 2);
    }
}
