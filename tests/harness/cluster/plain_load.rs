//! A load of a script past Kluster, by the DBMS's own tool: what a load through a cluster is compared with.

use super::{Database, Kind};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

/// The tables after a load of this script by psql, mariadb or SQLite itself. `own`: the database that the script itself creates and changes to,
/// if it does.
pub async fn load_past_kluster(kind: Kind, file: &Path, own: Option<&str>) -> BTreeMap<String, Vec<String>> {
    let database = Database::create(kind).await;
    let script = || std::fs::File::open(file).expect("the script can be read");
    match &database {
        Database::Postgres(server, name) => {
            run(Command::new("psql").args(["-q", "-v", "ON_ERROR_STOP=1", &server.url(name)]).stdin(script()));
            Database::Postgres(server, own.unwrap_or(name).to_owned()).tables().await
        }
        Database::MariaDb(server, name) => {
            let port = server.port().to_string();
            let login = [
                "--protocol=tcp",
                "-h127.0.0.1",
                "-uroot",
                "-psecret",
                "-P",
                &port,
                "--default-character-set=utf8mb4",
                name,
            ];
            run(Command::new("mariadb").args(login).stdin(script()));
            Database::MariaDb(server, own.unwrap_or(name).to_owned()).tables().await
        }
        Database::Sqlite(place, _) => {
            let text = std::fs::read_to_string(file).expect("the script can be read");
            let plain = rusqlite::Connection::open(place).expect("the file opens");
            plain.execute_batch(text.trim_start_matches('\u{feff}')).expect("SQLite loads the script");
            drop(plain);
            database.tables().await
        }
    }
}

fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().expect("the tool starts");
    assert!(status.success(), "the plain load failed: {status}");
}
