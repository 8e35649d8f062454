//! What `kluster up` costs, beside what it should cost: how soon it answers, how soon after a `kill -9` with a large log, and what it takes idle.
//!
//! `make bench`, or `cargo bench -p kluster-tests --bench up`. It fills a log with 10⁶ requests, which takes minutes: `-- 10000` takes fewer.

use futures_util::stream::{self, StreamExt};
use kluster_client::{Client, LogSettings, Options};
use kluster_log::Log;
use kluster_tests::cluster::binary;
use kluster_tests::target::{Measured, Target};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const RECORDS: i64 = 1_000_000;
const IN_FLIGHT: usize = 4_000;
/// Idle is measured for so long, once what a start leaves to do is done.
const SETTLES: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(10);
/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(900);

const ANSWERS: Target = Target::AtMost(1.5);
const ANSWERS_AGAIN: Target = Target::AtMost(2.0);
const MEMORY_MB: Target = Target::AtMost(120.0);
const PERCENT_OF_A_CORE: Target = Target::AtMost(2.0);

#[tokio::main]
async fn main() {
    let asked = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let records = asked.unwrap_or(RECORDS);
    let dir = tempfile::tempdir().expect("a directory can be made");

    let begun = Instant::now();
    let (up, client) = start(dir.path()).await;
    let create = "create table item(id integer primary key, name varchar(40))";
    client.execute(create).all().await.expect("the first statement is answered");
    print("start to first answered statement", begun.elapsed().as_secs_f64(), "s", ANSWERS);
    idle("idle, new", &up).await;

    fill(&client, records).await;
    idle(&format!("idle, {records} requests later"), &up).await;
    client.close();
    kill(up).await;

    let begun = Instant::now();
    let (up, client) = start(dir.path()).await;
    let count: i64 = client.query("select count(*) from item").strong().fetch_one().await.expect("it answers again");
    let what = format!("kill -9 with {records} requests in the log, start to first answered statement");
    print(&what, begun.elapsed().as_secs_f64(), "s", ANSWERS_AGAIN);
    assert_eq!(count, records, "every acknowledged request is there");
    idle("idle, started again", &up).await;
    client.close();
    kill(up).await;
}

fn print(what: &str, figure: f64, unit: &'static str, target: Target) {
    println!("{what}: {}", Measured { figure, unit, target });
}

/// Starts it and waits for its line; a client of it.
async fn start(dir: &Path) -> (Child, Client) {
    let mut command = Command::new(binary("kluster"));
    command.args(["up", "--port", "0", "--dir"]).arg(dir);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut up = command.spawn().expect("kluster starts");
    let mut lines = BufReader::new(up.stdout.take().expect("its stdout is a pipe")).lines();
    let line = lines.next_line().await.expect("its stdout can be read").expect("it says when it is ready");
    let bootstrap = line.strip_prefix("ready bootstrap=").and_then(|rest| rest.split(' ').next());
    let log = Log::connect(LogSettings::at(bootstrap.expect("the line says where"))).await.expect("the log answers");
    (up, Client::over(log, Options::default()).await.expect("a client can connect"))
}

async fn kill(mut up: Child) {
    up.kill().await.expect("it can be killed");
}

/// Requests into the log, each acknowledged; then waits until every node has executed them.
async fn fill(client: &Client, records: i64) {
    let begun = Instant::now();
    let mut logged = stream::iter(0..records)
        .map(|id| {
            let insert = client.execute("insert into item values ($1, $2)").bind(id).bind("Jan").timeout(PATIENCE);
            async move { insert.logged().await.expect("logged") }
        })
        .buffer_unordered(IN_FLIGHT);
    while logged.next().await.is_some() {}
    println!("{records} requests logged in {:.1} s", begun.elapsed().as_secs_f64());
    let last = client.execute("create table last(id integer)").timeout(PATIENCE).all().await;
    last.expect("every node comes to the end");
    println!("and executed by all nodes {:.1} s after the first", begun.elapsed().as_secs_f64());
}

/// Prints what it takes while nobody asks anything.
async fn idle(when: &str, up: &Child) {
    let process = up.id().expect("it runs");
    tokio::time::sleep(SETTLES).await;
    let (begun, before) = (Instant::now(), used(process));
    tokio::time::sleep(IDLE).await;
    let share = (used(process) - before).as_secs_f64() / begun.elapsed().as_secs_f64();
    print(&format!("{when}: processor"), 100.0 * share, "% of a core", PERCENT_OF_A_CORE);
    print(&format!("{when}: memory"), memory_mb(process), "MB", MEMORY_MB);
}

/// What it has used of processors (proc(5), `stat`: hundredths of a second).
fn used(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(") ").expect("the line has a name");
    let ticks: u64 = fields.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}

/// Its resident memory now, in MB (proc(5), `VmRSS`).
fn memory_mb(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().map_or(f64::NAN, |kilobytes| kilobytes * 1024.0 / 1e6)
}
