//! MariaDB: one server with its administrator `root`, password `secret`, reachable from everywhere on this machine.

use std::fmt::Write;
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

const USER: &str = "root";
const PASSWORD: &str = "secret";
const PORT_INSIDE: u16 = 3306;
const IMAGE: &str = "mariadb:10.11";
/// Flags of the `mariadb` client. The first must be the one about files of settings: nobody's own shall change the answer.
const CLIENT: [&str; 7] =
    ["--no-defaults", "-N", "-B", "-uroot", "-psecret", "-h127.0.0.1", "--default-character-set=utf8mb4"];
const SETTINGS_FILE: &str = "my.cnf";

/// What the freshly installed system tables are told: one administrator with a password, nobody else. One statement to a line.
const FIRST_SQL: &str = "flush privileges;\n\
    create or replace user root@'%' identified by 'secret';\n\
    grant all on *.* to root@'%' with grant option;\n\
    delete from mysql.global_priv where user = '' or (user = 'root' and host <> '%');\n";

/// What differs between MariaDB servers of tests.
#[derive(Debug, Clone, Default)]
pub struct MariaDbOptions {
    /// True: commits reach the disk, as in production. False (the default) is faster, and a killed server still loses nothing: only
    /// a crash of the machine would take back what the system had not written.
    pub fsync: bool,
    /// Further settings, by their names in my.cnf; they win.
    pub settings: Vec<(String, String)>,
    /// Where its files lie, such as a small file system; None (the default): the machine's temporary directory. A server in a container has its own.
    pub directory: Option<PathBuf>,
}

impl MariaDbOptions {
    /// A server that writes a binary log, and lets users make triggers all the same.
    pub fn with_binary_log() -> Self {
        let settings = [("log_bin", "binlog"), ("log_bin_trust_function_creators", "1")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { settings, ..Self::default() }
    }
}

/// A running MariaDB. Dropped, it is gone with all its data.
#[derive(Debug)]
pub struct MariaDbServer {
    engine: Engine,
    port: u16,
}

disturbed!(MariaDbServer);
databases!(MariaDbServer);

impl MariaDbServer {
    /// Starts a private server, in the place that `KLUSTER_TEST_SERVERS` chooses; ready when this returns.
    pub async fn start_with(options: MariaDbOptions) -> Result<Self, ServerError> {
        match Place::chosen() {
            Place::Local => Self::start_local(&options).await,
            Place::Docker => Self::start_docker(&options).await,
        }
    }

    async fn start_local(options: &MariaDbOptions) -> Result<Self, ServerError> {
        let mariadbd = programs::mariadb("mariadbd")?;
        let account = Account::unprivileged(&["mysql", "nobody"])?;
        let template = template(account).await?;
        let (server, port) = LocalServer::start(1, async |port| {
            let home = home::make_in(options.directory.as_deref(), "kluster-mariadb-", account)?;
            template.copy_to(&home)?;
            let file = write_settings(&home, local_settings(port, &home).into_iter().chain(common_settings(options)))?;
            Ok(Launch {
                server: "MariaDB",
                command: vec![mariadbd.clone().into(), format!("--defaults-file={}", file.display()).into()],
                environment: vec![("TZ".to_owned(), "UTC".to_owned())],
                home,
                account,
                parting_signal: "KILL",
                orderly_signal: Signal::TERM,
                ready_line: "ready for connections",
            })
        })
        .await?;
        Ok(Self { engine: Engine::Local(Box::new(server)), port })
    }

    async fn start_docker(options: &MariaDbOptions) -> Result<Self, ServerError> {
        let arguments = common_settings(options).into_iter();
        let settings = Settings {
            arguments: arguments.map(|(name, value)| format!("--{name}={value}")).collect(),
            environment: vec![("MARIADB_ROOT_PASSWORD".to_owned(), PASSWORD.to_owned())],
        };
        // By TCP: the server that only prepares the data listens on its socket alone.
        let ready = ["mariadb-admin", "ping", "-h127.0.0.1", "-uroot", "-psecret"].map(str::to_owned).to_vec();
        let image = docker::image("KLUSTER_TEST_MARIADB_IMAGE", IMAGE);
        let (container, port) =
            Container::start("MariaDB", PORT_INSIDE, |_| Answers::Command(ready), image, settings).await?;
        Ok(Self { engine: Engine::Docker(Box::new(container)), port })
    }

    /// The address of a database for the administrator: `mysql://root:secret@127.0.0.1:PORT/database`. `mysql` exists always.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes an empty database.
    pub async fn create_database(&self, database: &str) -> Result<(), ServerError> {
        let quoted = database.replace('`', "``");
        self.sql("mysql", &format!("create database `{quoted}`")).await.map(|_| ())
    }

    /// Runs statements through the `mariadb` client, as the administrator: rows as lines, columns separated by tabs, no headers,
    /// NULL as `NULL`. The first error ends it.
    pub async fn sql(&self, database: &str, text: &str) -> Result<String, ServerError> {
        match &self.engine {
            Engine::Docker(container) => {
                let command = [&["mariadb"], &CLIENT[..], &["-D", database]].concat();
                container.exec(&command.into_iter().map(str::to_owned).collect::<Vec<_>>(), text).await
            }
            Engine::Local(_) | Engine::External(_) => self.sql_through(self.port, database, text).await,
        }
    }

    /// The same by a client of this machine that connects to another port of it, such as a relay's before this server.
    pub async fn sql_through(&self, port: u16, database: &str, text: &str) -> Result<String, ServerError> {
        let mut client = Command::new(programs::mariadb("mariadb")?);
        client.args(CLIENT).args([format!("-P{port}"), "-D".to_owned(), database.to_owned()]);
        home::run_with_input(&mut client, text).await
    }
}

async fn template(account: Option<Account>) -> Result<&'static Template, ServerError> {
    static TEMPLATE: OnceCell<Template> = OnceCell::const_new();
    let made = async || Template::made(account, |home| install(account, home));
    TEMPLATE.get_or_try_init(made).await
}

fn install(account: Option<Account>, home: &Path) -> Result<(), ServerError> {
    // All pages are written at the end: a copy of the files needs no recovery.
    let whole = [("innodb_fast_shutdown".to_owned(), "1".to_owned()), tmpdir(home)];
    let settings = write_settings(home, common_settings(&MariaDbOptions::default()).into_iter().chain(whole))?;
    let first = home.join("first.sql");
    std::fs::write(&first, FIRST_SQL).during("writing the first statements")?;
    let mut install = Command::new(programs::mariadb("mariadb-install-db")?);
    install.arg(format!("--defaults-file={}", settings.display()));
    install.arg(format!("--datadir={}", home.join(DATA).display())).arg(format!("--extra-file={}", first.display()));
    install.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
    install.current_dir(home);
    if let Some(account) = account {
        account.runs(&mut install);
    }
    home::run(&mut install).map(|_| ())
}

fn write_settings(home: &Path, settings: impl IntoIterator<Item = (String, String)>) -> Result<PathBuf, ServerError> {
    let file = home.join(SETTINGS_FILE);
    let mut text = "[mariadbd]\n".to_owned();
    for (name, value) in settings {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name} = {value}");
    }
    std::fs::write(&file, text).during("writing MariaDB's settings")?;
    Ok(file)
}

fn local_settings(port: u16, home: &Path) -> Vec<(String, String)> {
    let path = |name: &str| home.join(name).display().to_string();
    let pairs = [
        ("port", port.to_string()),
        ("bind_address", "127.0.0.1".to_owned()),
        ("datadir", path(DATA)),
        ("socket", path("socket")),
        ("pid_file", path("pid")),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).chain([tmpdir(home)]).collect()
}

/// A server that starts deletes the temporary tables in its directory, and in a shared one those of its neighbours too.
fn tmpdir(home: &Path) -> (String, String) {
    ("tmpdir".to_owned(), home.display().to_string())
}

fn common_settings(options: &MariaDbOptions) -> Vec<(String, String)> {
    let flush_method = if options.fsync { "fsync" } else { "nosync" };
    let fixed = [
        ("skip_name_resolve", "1"),
        // What Debian sets for its users; the built-in default is still latin1.
        ("character_set_server", "utf8mb4"),
        ("collation_server", "utf8mb4_general_ci"),
        ("innodb_buffer_pool_size", "32M"),
        ("innodb_log_file_size", "16M"),
        ("innodb_fast_shutdown", "2"),
        ("innodb_flush_method", flush_method),
        ("aria_log_file_size", "8M"),
        ("max_connections", "200"),
    ];
    let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    fixed.chain(options.settings.iter().cloned()).collect()
}
