//! One private PostgreSQL server for this test process; it dies with the process, however that ends.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use kluster_node::dbms::postgres::address::Address;

/// Logins by their way of authentication: name, password.
pub const LOGINS: [(&str, &str); 3] = [("scram", "sécret"), ("md5", "secret"), ("clear", "secret")];

const HBA: &str = "\
local all postgres trust
host  all scram    127.0.0.1/32 scram-sha-256
host  all md5      127.0.0.1/32 md5
host  all clear    127.0.0.1/32 password
";

/// Ends the server and its files when the pipe to this process closes.
const KEEPER: &str = r#"
dir=$1; shift
"$@" & server=$!
read _
kill -QUIT $server; wait $server
rm -rf "$dir"
"#;

pub struct Server {
    directory: PathBuf,
    port: u16,
    /// Its open stdin keeps the server alive.
    _keeper: Child,
}

/// The server, started by the first caller.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

impl Server {
    /// The superuser over the socket.
    pub fn superuser(&self) -> Address {
        let directory = self.directory.display();
        Address::parse(&format!("postgres://postgres@/postgres?host={directory}&port={}", self.port)).unwrap()
    }

    /// A login over the network.
    pub fn login(&self, user: &str, password: Option<&str>) -> Address {
        let address = Address::parse(&format!("postgres://x@127.0.0.1:{}/postgres", self.port)).unwrap();
        address.with_login(user, password)
    }

    fn start() -> Self {
        let bin = Path::new("/usr/lib/postgresql/15/bin");
        let directory = tempfile::Builder::new().prefix("kluster-pg-").tempdir().unwrap().keep();
        run(Command::new("chown").args(["-R", "postgres"]).arg(&directory));
        let data = directory.join("data");
        run(unprivileged(&bin.join("initdb"))
            .args(["-U", "postgres", "-A", "trust", "--no-sync", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(&data));
        std::fs::write(data.join("pg_hba.conf"), HBA).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let keeper = keep(&bin.join("postgres"), &directory, &data, port);
        let server = Self { directory, port, _keeper: keeper };
        server.create_logins(bin);
        server
    }

    fn create_logins(&self, bin: &Path) {
        let mut sql = String::new();
        for (name, password) in LOGINS {
            let encryption = if name == "md5" { "md5" } else { "scram-sha-256" };
            sql +=
                &format!("set password_encryption = '{encryption}'; create role {name} login password '{password}';");
        }
        let port = self.port.to_string();
        run(Command::new(bin.join("psql"))
            .env("PGCLIENTENCODING", "UTF8")
            .args(["-U", "postgres", "-d", "postgres", "-p", &port, "-c", &sql, "-h"])
            .arg(&self.directory));
    }
}

fn keep(postgres: &Path, directory: &Path, data: &Path, port: u16) -> Child {
    let server = unprivileged(postgres);
    let mut command = Command::new("sh");
    command.args(["-c", KEEPER, "keeper"]).arg(directory).arg(server.get_program()).args(server.get_args());
    command.arg("-D").arg(data).arg("-k").arg(directory).args(["-p", &port.to_string()]);
    for setting in ["listen_addresses=127.0.0.1", "fsync=off", "max_connections=50", "lc_messages=C"] {
        command.args(["-c", setting]);
    }
    let mut keeper = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(keeper.stderr.take().unwrap()).lines().map_while(Result::ok);
    let seen: Vec<String> = lines.by_ref().take_while(|line| !line.contains("ready to accept connections")).collect();
    assert!(!seen.iter().any(|line| line.contains("FATAL")), "the server did not start: {seen:#?}");
    std::thread::spawn(move || lines.count());
    keeper
}

/// initdb and postgres refuse to run as root.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
