//! LogSettings: where the log is and what it is called; part of every binary's command line.

use crate::LogError;
use crate::properties::{parse_property, read_file};
use clap::Args;
use kluster_protocol::{DatabaseName, Topic, TopicNames};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How to reach Kafka, and which topics are meant.
#[derive(Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Log (Kafka)")]
pub struct LogSettings {
    /// Kafka's address: host:port, several with commas between; kafka:// before them is allowed. One broker that answers is enough, it
    /// names the others
    #[arg(long, env = "KLUSTER_BOOTSTRAP", value_name = "HOST:PORT,…", default_value = Self::BOOTSTRAP, value_parser = parse_bootstrap)]
    pub bootstrap: String,

    /// Stands before the name of every topic and group: for several clusters on one Kafka
    #[arg(long, env = "KLUSTER_TOPIC_PREFIX", value_name = "PREFIX", default_value = "", value_parser = parse_prefix)]
    pub topic_prefix: String,

    /// The database: a log of its own, with its own topics. The topics of `main` are ALL, ONE, …; those of `shop` are shop.ALL, shop.ONE, …
    #[arg(long, env = "KLUSTER_DATABASE", value_name = "NAME", default_value = DatabaseName::MAIN)]
    pub database: DatabaseName,

    /// Gives one topic another name in Kafka, used as it is: ALL=orders-log. Topics: ALL, ONE, RESPONSES, ERRORS, NODES, DECISIONS. Repeatable
    #[arg(long = "topic", value_name = "TOPIC=NAME", value_parser = parse_override)]
    pub topics: Vec<(Topic, String)>,

    /// A setting of the Kafka client (librdkafka's names), for example security.protocol=sasl_plaintext. Stronger than --kafka-config; what
    /// would break a promise (acks, isolation.level, …) is refused. Repeatable
    #[arg(long = "kafka-property", value_name = "NAME=VALUE", value_parser = parse_property)]
    pub kafka_properties: Vec<(String, String)>,

    /// A file of such settings, one name=value on each line, # before comments. For what other users of the machine should not see
    #[arg(long, env = "KLUSTER_KAFKA_CONFIG", value_name = "FILE")]
    pub kafka_config: Option<PathBuf>,

    /// How long to wait at the start for Kafka's first answer before giving up
    #[arg(long = "log-deadline", env = "KLUSTER_LOG_DEADLINE", value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    pub connecting: Duration,

    /// How long a later call waits for Kafka before it gives up as unreachable.
    #[arg(skip = Self::DEADLINE)]
    pub deadline: Duration,
}

impl fmt::Debug for LogSettings {
    /// Of the client's properties the names only: values may be passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let properties: Vec<_> = self.kafka_properties.iter().map(|(name, _)| name).collect();
        f.debug_struct("LogSettings")
            .field("bootstrap", &self.bootstrap)
            .field("names", &self.names())
            .field("kafka_properties", &properties)
            .field("kafka_config", &self.kafka_config)
            .field("connecting", &self.connecting)
            .field("deadline", &self.deadline)
            .finish()
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self::at(Self::BOOTSTRAP)
    }
}

impl LogSettings {
    const BOOTSTRAP: &str = "localhost:9092";
    /// A broker that runs answers in less than one second; whoever mistyped an address does not want to wait.
    const CONNECTING: Duration = Duration::from_secs(10);
    /// Longer than the election of a new leader takes.
    const DEADLINE: Duration = Duration::from_secs(30);

    /// The database `main` at this address, everything else by default. The address is checked by [`crate::Log::connect`].
    pub fn at(bootstrap: impl Into<String>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            topic_prefix: String::new(),
            database: DatabaseName::default(),
            topics: Vec::new(),
            kafka_properties: Vec::new(),
            kafka_config: None,
            connecting: Self::CONNECTING,
            deadline: Self::DEADLINE,
        }
    }

    /// What topics and groups are called.
    pub fn names(&self) -> TopicNames {
        TopicNames {
            prefix: self.topic_prefix.clone(),
            database: self.database.clone(),
            overrides: self.topics.iter().cloned().collect(),
        }
    }

    /// The brokers as Kafka's client wants them: `host:port,host:port`.
    pub(crate) fn brokers(&self) -> Result<String, LogError> {
        parse_bootstrap(&self.bootstrap).map_err(|why| LogError::Settings(format!("--bootstrap: {why}")))
    }

    /// All properties given, the stronger ones last.
    pub(crate) fn properties(&self) -> Result<Vec<(String, String)>, LogError> {
        let mut properties = match &self.kafka_config {
            Some(path) => read_file(path).map_err(LogError::Settings)?,
            None => Vec::new(),
        };
        for (name, value) in &self.kafka_properties {
            let property = parse_property(&format!("{name}={value}"))
                .map_err(|why| LogError::Settings(format!("--kafka-property: {why}")))?;
            properties.push(property);
        }
        Ok(properties)
    }
}

/// Reads `[kafka://]host[:port],…`; the port is 9092 unless given.
fn parse_bootstrap(text: &str) -> Result<String, String> {
    const WANTED: &str = "expected host:port, several with commas between, for example kafka1:9092,kafka2:9092";
    let list = text.trim().strip_prefix("kafka://").unwrap_or(text.trim()).trim_end_matches('/');
    if list.contains("://") || list.contains('/') {
        return Err(format!("{text:?} is no address of Kafka: {WANTED}"));
    }
    let broker = |part: &str| {
        let part = part.trim();
        let (host, port) = match part.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
            _ => (part, "9092"),
        };
        match port.parse::<u16>() {
            Ok(number) if number > 0 && !host.is_empty() && !host.contains(char::is_whitespace) => {
                Ok(format!("{host}:{number}"))
            }
            _ => Err(format!("{part:?} is no address of Kafka: {WANTED}")),
        }
    };
    let brokers: Vec<String> = list.split(',').map(broker).collect::<Result<_, _>>()?;
    Ok(brokers.join(","))
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("{text:?} is no number of seconds from 1 to 86400")),
    }
}

fn parse_prefix(text: &str) -> Result<String, String> {
    legal_name(text, 100).map(|()| text.to_owned())
}

fn parse_override(text: &str) -> Result<(Topic, String), String> {
    let (topic, name) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} has no '=': expected TOPIC=NAME, for example ALL=orders-log"))?;
    let topic = topic.trim().parse()?;
    let name = name.trim();
    if name.is_empty() {
        return Err(format!("{text:?} names no topic in Kafka: expected TOPIC=NAME"));
    }
    legal_name(name, 249)?;
    Ok((topic, name.to_owned()))
}

/// Kafka's own rule for names of topics (`org.apache.kafka.common.internals.Topic`).
fn legal_name(text: &str, longest: usize) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if text.len() > longest || !text.chars().all(legal) {
        return Err(format!(
            "{text:?} cannot be part of a topic's name: letters, digits, '.', '_' and '-', at most {longest} characters"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        log: LogSettings,
    }

    fn parse(words: &[&str]) -> Result<LogSettings, String> {
        let words = std::iter::once("test").chain(words.iter().copied());
        Line::try_parse_from(words).map(|line| line.log).map_err(|error| error.to_string())
    }

    #[test]
    fn a_command_line_becomes_settings() {
        let line = "--bootstrap kafka://a:1,b --topic-prefix eu- --database shop --topic ALL=orders --kafka-property client.id=x";
        let settings = parse(&line.split(' ').collect::<Vec<_>>()).unwrap();
        assert_eq!(settings.bootstrap, "a:1,b:9092");
        assert_eq!(settings.names().name(Topic::All), "orders");
        assert_eq!(settings.names().name(Topic::One), "eu-shop.ONE");
        assert_eq!(settings.properties().unwrap(), [("client.id".to_owned(), "x".to_owned())]);
        assert_eq!(parse(&[]).unwrap(), LogSettings::default());
        let secret = parse(&["--kafka-property", "sasl.password=geheim"]).unwrap();
        let shown = format!("{secret:?}");
        assert!(shown.contains("sasl.password") && !shown.contains("geheim"), "{shown}");
    }

    #[test]
    fn bad_input_says_which_and_what_is_expected() {
        for (words, part) in [
            (["--bootstrap", "http://a:1"], "expected host:port"),
            (["--bootstrap", "a:port"], "\"a:port\" is no address of Kafka"),
            (["--topic", "ALLE=x"], "there are ALL, ONE"),
            (["--topic", "ALL"], "expected TOPIC=NAME"),
            (["--topic-prefix", "a b"], "\"a b\" cannot be part of a topic's name"),
            (["--log-deadline", "soon"], "\"soon\" is no number of seconds"),
            (["--log-deadline", "0"], "from 1 to 86400"),
            (["--kafka-property", "linger.ms"], "expected name=value"),
            (["--kafka-property", "acks=1"], "acks cannot be set: a write counts only when all in-sync copies have it"),
        ] {
            let error = parse(&words).unwrap_err();
            assert!(error.contains(part) && error.contains(words[0]), "{words:?}: {error}");
        }
    }

    #[test]
    fn a_file_of_properties_says_the_line_that_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("client.properties");
        std::fs::write(&path, "# ours\n\nsocket.timeout.ms = 10000\n").unwrap();
        let settings = LogSettings { kafka_config: Some(path.clone()), ..LogSettings::default() };
        assert_eq!(settings.properties().unwrap(), [("socket.timeout.ms".to_owned(), "10000".to_owned())]);
        std::fs::write(&path, "client.id=a\nisolation.level=read_uncommitted\n").unwrap();
        let error = settings.properties().unwrap_err().to_string();
        assert!(error.contains("line 2: isolation.level cannot be set"), "{error}");
        let gone = LogSettings { kafka_config: Some("/nowhere/x".into()), ..LogSettings::default() };
        assert!(gone.properties().unwrap_err().to_string().contains("--kafka-config /nowhere/x: cannot be read"));
    }
}
