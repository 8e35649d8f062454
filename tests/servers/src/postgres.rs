//! PostgreSQL: one server with its superuser `postgres`, password `secret` (SCRAM, as in production).

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use tokio::sync::OnceCell;

use crate::account::Account;
use crate::docker::{self, Answers, Container, Settings};
use crate::engine::{Engine, databases, disturbed};
use crate::error::{During, ServerError};
use crate::home;
use crate::local::LocalServer;
use crate::place::Place;
use crate::process::Launch;
use crate::programs;
use crate::template::{DATA, Template};

const USER: &str = "postgres";
const PASSWORD: &str = "secret";
const PORT_INSIDE: u16 = 5432;
const IMAGE: &str = "postgres:15";
/// The same data everywhere.
const INITDB_ARGS: [&str; 3] = ["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"];

/// What differs between PostgreSQL servers of tests.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// True: commits reach the disk, as in production. False (the default) is faster, and a killed server still loses nothing: only
    /// a crash of the machine would take back what the system had not written.
    pub fsync: bool,
    /// Further settings, by their names in postgresql.conf; they win.
    pub settings: Vec<(String, String)>,
    /// Where its files lie, such as a small file system; None (the default): the machine's temporary directory. A server in a container has its own.
    pub directory: Option<PathBuf>,
}

/// A running PostgreSQL. Dropped, it is gone with all its data.
#[derive(Debug)]
pub struct PostgresServer {
    engine: Engine,
    port: u16,
}

disturbed!(PostgresServer);
databases!(PostgresServer);

impl PostgresServer {
    /// Starts a private server, in the place that `KLUSTER_TEST_SERVERS` chooses; ready when this returns.
    pub async fn start_with(options: PostgresOptions) -> Result<Self, ServerError> {
        match Place::chosen() {
            Place::Local => Self::start_local(&options).await,
            Place::Docker => Self::start_docker(&options).await,
        }
    }

    async fn start_local(options: &PostgresOptions) -> Result<Self, ServerError> {
        let bin = programs::postgres_bin()?;
        let account = Account::unprivileged(&["postgres", "nobody"])?;
        let template = template(&bin, account).await?;
        let (server, port) = LocalServer::start(1, async |port| {
            let home = home::make_in(options.directory.as_deref(), "kluster-postgres-", account)?;
            template.copy_to(&home)?;
            let mut command = vec![bin.join("postgres").into(), "-D".into(), home.join(DATA).into()];
            for (name, value) in local_settings(port, &home).into_iter().chain(common_settings(options)) {
                command.extend(["-c".into(), format!("{name}={value}").into()]);
            }
            Ok(Launch {
                server: "PostgreSQL",
                command,
                environment: environment(),
                home,
                account,
                parting_signal: "QUIT",
                orderly_signal: Signal::INT,
                ready_line: "database system is ready to accept connections",
            })
        })
        .await?;
        Ok(Self { engine: Engine::Local(Box::new(server)), port })
    }

    async fn start_docker(options: &PostgresOptions) -> Result<Self, ServerError> {
        let arguments = common_settings(options).into_iter();
        let settings = Settings {
            arguments: arguments.flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]).collect(),
            environment: vec![
                ("POSTGRES_PASSWORD".to_owned(), PASSWORD.to_owned()),
                ("POSTGRES_INITDB_ARGS".to_owned(), INITDB_ARGS.join(" ")),
            ],
        };
        // By TCP: the server that only prepares the data listens on its socket alone.
        let ready = ["pg_isready", "-h", "127.0.0.1", "-U", USER].map(str::to_owned).to_vec();
        let image = docker::image("KLUSTER_TEST_POSTGRES_IMAGE", IMAGE);
        let (container, port) =
            Container::start("PostgreSQL", PORT_INSIDE, |_| Answers::Command(ready), image, settings).await?;
        Ok(Self { engine: Engine::Docker(Box::new(container)), port })
    }

    /// The address of a database for its superuser: `postgres://postgres:secret@127.0.0.1:PORT/database`. `postgres` exists always.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes an empty database.
    pub async fn create_database(&self, database: &str) -> Result<(), ServerError> {
        let quoted = database.replace('"', "\"\"");
        self.sql("postgres", &format!("create database \"{quoted}\"")).await.map(|_| ())
    }

    /// Runs statements through psql, as the superuser: rows as lines, columns separated by `|`, no headers, NULL as `NULL`.
    /// The first error ends it.
    pub async fn sql(&self, database: &str, text: &str) -> Result<String, ServerError> {
        let flags = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-P", "null=NULL"];
        match &self.engine {
            Engine::Docker(container) => {
                let url = format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{PORT_INSIDE}/{database}");
                let environment = environment().into_iter().map(|(name, value)| format!("{name}={value}"));
                let psql = [&["psql"], &flags[..], &["-d", &url, "-f", "-"]].concat().into_iter().map(str::to_owned);
                let command: Vec<_> = std::iter::once("env".to_owned()).chain(environment).chain(psql).collect();
                container.exec(&command, text).await
            }
            Engine::Local(_) | Engine::External(_) => {
                let mut psql = Command::new(psql()?);
                psql.args(flags).args(["-d", &self.url(database), "-f", "-"]).envs(environment());
                home::run_with_input(&mut psql, text).await
            }
        }
    }
}

async fn template(bin: &Path, account: Option<Account>) -> Result<&'static Template, ServerError> {
    static TEMPLATE: OnceCell<Template> = OnceCell::const_new();
    let made = async || Template::made(account, |home| initdb(bin, account, home));
    TEMPLATE.get_or_try_init(made).await
}

fn initdb(bin: &Path, account: Option<Account>, home: &Path) -> Result<(), ServerError> {
    let password = home.join("password");
    std::fs::write(&password, PASSWORD).during("writing the superuser's password")?;
    let mut initdb = Command::new(bin.join("initdb"));
    initdb.arg("-D").arg(home.join(DATA)).arg(format!("--pwfile={}", password.display()));
    initdb.args(["-U", USER, "--auth=scram-sha-256"]).args(INITDB_ARGS);
    initdb.envs(environment()).current_dir(home);
    if let Some(account) = account {
        account.owns(&password)?;
        account.runs(&mut initdb);
    }
    home::run(&mut initdb).map(|_| ())
}

fn local_settings(port: u16, home: &Path) -> Vec<(String, String)> {
    let pairs = [
        ("port", port.to_string()),
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("unix_socket_directories", home.display().to_string()),
        // Files in the data directory instead of /dev/shm, which a container may keep small.
        ("dynamic_shared_memory_type", "mmap".to_owned()),
        // One call instead of opening every file, when a killed server with fsync recovers. (PostgreSQL 14 and newer.)
        ("recovery_init_sync_method", "syncfs".to_owned()),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn common_settings(options: &PostgresOptions) -> Vec<(String, String)> {
    let on_off = if options.fsync { "on" } else { "off" };
    let fixed =
        [("fsync", on_off), ("full_page_writes", on_off), ("shared_buffers", "16MB"), ("max_connections", "200")];
    let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    fixed.chain(options.settings.iter().cloned()).collect()
}

/// Messages that tests can compare, and no one's own ~/.psqlrc or service file.
fn environment() -> Vec<(String, String)> {
    let fixed = [("LC_ALL", "C.UTF-8"), ("PGTZ", "UTC"), ("PGCLIENTENCODING", "UTF8"), ("PGCONNECT_TIMEOUT", "10")];
    fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn psql() -> Result<PathBuf, ServerError> {
    let beside = programs::postgres_bin().ok().map(|bin| bin.join("psql")).filter(|psql| psql.is_file());
    beside
        .or_else(|| programs::on_path("psql"))
        .ok_or_else(|| ServerError::Missing("psql not found: run scripts/setup (make setup)".to_owned()))
}
