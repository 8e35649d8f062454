//! No server outlives its test process, even one that is killed without warning.
#![cfg(test)]

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kluster_test_servers::{require, shared_mariadb, shared_postgres};

const ROLE: &str = "KLUSTER_WATCHDOG_TEST_CHILD";
const GONE_WITHIN: Duration = Duration::from_secs(30);

/// In the role of a test process that is killed: starts servers, says where they are, and waits for its end.
#[tokio::test]
async fn a_process_with_servers() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let (postgres, mariadb) = (shared_postgres().await, shared_mariadb().await);
    let places =
        [(postgres.port(), postgres.id().await, postgres.log()), (mariadb.port(), mariadb.id().await, mariadb.log())];
    for (port, id, log) in places {
        // A container has a port only.
        let process = id.zip(log).map(|(id, log)| format!(" {id} {}", log.parent().unwrap().display()));
        println!("server {port}{}", process.unwrap_or_default());
    }
    println!("server all");
    std::future::pending::<()>().await;
}

#[test]
fn servers_die_with_a_test_process_that_is_killed() {
    require!(Postgres, MariaDb);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "a_process_with_servers", "--nocapture"]).env(ROLE, "1").stdout(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let servers: Vec<String> = lines
        .filter_map(|line| line.split_once("server ").map(|(_, server)| server.to_owned()))
        .take_while(|server| server != "all")
        .collect();
    assert_eq!(servers.len(), 2, "{servers:?}");

    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + GONE_WITHIN;
    for server in servers {
        while is_there(&server) {
            assert!(Instant::now() < deadline, "the server with port, process and directory {server} is still there");
            std::thread::yield_now();
        }
    }
}

/// Its port takes connections, its process runs, or its directory exists.
fn is_there(server: &str) -> bool {
    let mut words = server.splitn(3, ' ');
    let port: u16 = words.next().unwrap().parse().unwrap();
    TcpStream::connect(("127.0.0.1", port)).is_ok()
        || words.next().is_some_and(is_running)
        || words.next().is_some_and(|directory| Path::new(directory).exists())
}

fn is_running(id: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}
