//! Config: every setting of a node, read once: flag, then environment, then settings file, then default.
//!
//! Neighbours: `main` reads it; nothing else looks at the environment.

use crate::dbms::DEFAULT_READS;
use clap::parser::ValueSource;
use clap::{Args, Command, CommandFactory, FromArgMatches, Parser};
use kluster_log::LogSettings;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A node of a Kluster cluster: applies the log to the database beside it and answers.
///
/// All that is typed where the login may create the others:
///   kluster-node --bootstrap kafka:9092 --node-id n1 --dbms postgres://postgres:secret@localhost/app
///
/// Exit codes: 0 ended on SIGTERM or SIGINT, drained or after 20 s; 2 wrong settings; 3 the log or its topics cannot be used; 4 the database cannot be used;
/// 5 the ALL lane stopped (with --exit-when-stopped).
///
/// KLUSTER_LOG=warn|info|debug|… says how much is logged on stderr (default info).
#[derive(Debug, Clone, Parser)]
#[command(name = "kluster-node", version, verbatim_doc_comment)]
pub struct Config {
    /// Settings file (TOML): the long names of these flags as keys, for example `node-id = "n1"`
    #[arg(long, env = "KLUSTER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How the log is reached.
    #[command(flatten)]
    pub log: LogSettings,
    /// This node.
    #[command(flatten)]
    pub node: NodeConfig,
}

/// What a node is.
#[derive(Debug, Clone, Args)]
pub struct NodeConfig {
    /// The name of this node: unique in the cluster, and the same at every start
    #[arg(long, env = "KLUSTER_NODE_ID", value_name = "NAME")]
    pub node_id: String,
    /// The database beside it: postgres://user:password@host/database, mysql://…, or sqlite:FILE. This login owns Kluster's own tables, and makes the two others where it may
    #[arg(long, env = "KLUSTER_DBMS", value_name = "URL", hide_env_values = true)]
    pub dbms: String,
    /// The login for user SQL, where the owner may not make it
    #[arg(long, env = "KLUSTER_DBMS_APP", value_name = "URL", hide_env_values = true)]
    pub dbms_app: Option<String>,
    /// The login for reads on ONE, where the owner may not make it
    #[arg(long, env = "KLUSTER_DBMS_READ", value_name = "URL", hide_env_values = true)]
    pub dbms_read: Option<String>,
    /// Follow the log without being counted: no vote, no reads, no answers
    #[arg(long, env = "KLUSTER_OBSERVER")]
    pub observer: bool,
    /// At most this many reads of ONE at once
    #[arg(long, env = "KLUSTER_MAX_READS", default_value_t = DEFAULT_READS, value_name = "COUNT")]
    pub max_reads: usize,
    /// Address of /healthz, /readyz and /metrics; `off`: none
    #[arg(long, env = "KLUSTER_HTTP", default_value = "127.0.0.1:0", value_name = "ADDRESS", value_parser = http)]
    pub http: Http,
    /// Accept topics whose settings may not be read
    #[arg(long, env = "KLUSTER_TRUST_TOPICS")]
    pub trust_topics: bool,
    /// Accept topics with one replica: for trying, and for a log on one machine
    #[arg(long, env = "KLUSTER_DEVELOPMENT")]
    pub development: bool,
    /// End with exit code 5 when the ALL lane stops for good, instead of staying up to be asked why. A node that waits for a decision stays up, to hear of it
    #[arg(long, env = "KLUSTER_EXIT_WHEN_STOPPED")]
    pub exit_when_stopped: bool,
    /// Ask for a check of all tables after so many offsets, 0: never for this [default: 100000, a sixth of it where effects are not compared]. The shortest interval of any voter counts
    #[arg(long, env = "KLUSTER_CHECK_OFFSETS", value_name = "COUNT")]
    pub check_offsets: Option<u64>,
    /// Ask for a check of all tables after so many seconds, 0: never for this [default: 3600, a sixth of it where effects are not compared]. The shortest interval of any voter counts
    #[arg(long, env = "KLUSTER_CHECK_SECONDS", value_name = "SECONDS")]
    pub check_seconds: Option<u64>,
    /// What else must be equal on all nodes and is not seen from here, such as the image of the machine: NAME=VALUE. Repeatable; a node that declares another value is refused
    #[arg(long, env = "KLUSTER_DECLARE", value_name = "NAME=VALUE", value_delimiter = ',', value_parser = declared)]
    pub declare: Vec<(String, String)>,
    /// Log lines as JSON
    #[arg(long, env = "KLUSTER_LOG_JSON")]
    pub log_json: bool,
}

/// Reads `NAME=VALUE`.
fn declared(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.trim().to_owned())),
        _ => Err(format!("{text:?} is no NAME=VALUE")),
    }
}

/// Where the HTTP port is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http(pub Option<SocketAddr>);

fn http(text: &str) -> Result<Http, String> {
    match text {
        "off" => Ok(Http(None)),
        address => address
            .parse()
            .map(|address| Http(Some(address)))
            .map_err(|_| format!("{address:?} is no address like 127.0.0.1:8081, nor `off`")),
    }
}

impl Config {
    /// Reads the command line, the environment and the settings file. Wrong settings end the process with exit code 2 and say which.
    pub fn read() -> Self {
        let parsed = with_file(Self::command(), std::env::args_os().collect::<Vec<_>>());
        let result = parsed.and_then(|matches| Self::from_arg_matches(&matches));
        result.unwrap_or_else(|error| error.exit())
    }
}

/// Parses `arguments` with the values of the file named by `--config` standing where neither flag nor environment gives one.
pub fn with_file(
    command: Command,
    arguments: impl IntoIterator<Item = std::ffi::OsString> + Clone,
) -> Result<clap::ArgMatches, clap::Error> {
    // The file may hold what is required, so the first look only asks where the file is.
    let names: Vec<String> = command.get_arguments().map(|argument| argument.get_id().to_string()).collect();
    let lenient =
        names.iter().fold(command.clone(), |command, name| command.mut_arg(name, |argument| argument.required(false)));
    let first = lenient.ignore_errors(true).try_get_matches_from(arguments.clone())?;
    let Some(path) = first.get_one::<PathBuf>("config").cloned() else {
        return command.try_get_matches_from(arguments);
    };
    let fail = |message: String| {
        clap::Error::raw(clap::error::ErrorKind::InvalidValue, format!("{}: {message}\n", path.display()))
    };
    let text = std::fs::read_to_string(&path).map_err(|error| fail(error.to_string()))?;
    let settings: toml::Table = text.parse().map_err(|error| fail(format!("{error}")))?;
    let mut command = command;
    for (key, value) in settings {
        let known = command.get_arguments().find(|argument| argument.get_long() == Some(key.as_str()));
        let Some(id) = known.map(|argument| argument.get_id().to_string()) else {
            return Err(fail(format!(
                "there is no setting {key:?}; the keys are the long names of the flags, see --help"
            )));
        };
        let given = matches!(first.value_source(&id), Some(ValueSource::CommandLine | ValueSource::EnvVariable));
        if !given {
            let values = values(&value)
                .ok_or_else(|| fail(format!("{key} must be a text, a number, true or false, or a list of texts")))?;
            command = command.mut_arg(&id, |argument| argument.required(false).default_values(values));
        }
    }
    command.try_get_matches_from(arguments)
}

fn values(value: &toml::Value) -> Option<Vec<String>> {
    match value {
        toml::Value::String(text) => Some(vec![text.clone()]),
        toml::Value::Integer(number) => Some(vec![number.to_string()]),
        toml::Value::Boolean(flag) => Some(vec![flag.to_string()]),
        toml::Value::Array(list) => list.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn parse(file: &str, flags: &[&str]) -> Result<Config, String> {
        let mut settings = tempfile::NamedTempFile::new().unwrap();
        settings.write_all(file.as_bytes()).unwrap();
        let path = settings.path().as_os_str().to_owned();
        let flags = flags.iter().map(|flag| std::ffi::OsString::from(*flag));
        let arguments: Vec<_> = ["kluster-node".into(), "--config".into(), path].into_iter().chain(flags).collect();
        let matches = with_file(Config::command(), arguments).map_err(|error| error.to_string())?;
        Config::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_stand_before_the_file_and_the_file_before_defaults() {
        let file = "node-id = \"n7\"\ndbms = \"sqlite:x.db\"\nmax-reads = 3\nobserver = true\n";
        let config = parse(file, &["--max-reads", "5"]).unwrap();
        assert_eq!((config.node.node_id.as_str(), config.node.max_reads, config.node.observer), ("n7", 5, true));
    }

    #[test]
    fn unknown_settings_are_named() {
        let error = parse("nodeid = \"n7\"", &[]).unwrap_err();
        assert!(error.contains("nodeid"), "{error}");
        let error = parse("node-id = \"n7\"", &[]).unwrap_err();
        assert!(error.contains("--dbms"), "{error}");
    }
}
