//! A process of its own is killed, or kills itself at a chosen fdatasync, again and again; then the power is lost as well. What it confirmed is
//! there, once, in order.

use super::batches::{all, batch, reopened, store};
use kluster_broker::fault::disk::{DiskFaults, cut_to_synced, tear_behind_synced};
use kluster_broker::topics::Topics;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// Given to the child: its data directory, its faults, its round.
const DIR: &str = "KLUSTER_BROKER_TEST_DIR";
const FAULTS: &str = "KLUSTER_BROKER_TEST_FAULTS";
const ROUND: &str = "KLUSTER_BROKER_TEST_ROUND";
/// More rounds for a long run.
const ROUNDS: &str = "KLUSTER_BROKER_TEST_ROUNDS";
const CLIENTS: usize = 8;
/// What the child says after each record that was confirmed.
const CONFIRMED: &str = "confirmed ";

/// Not a test of its own: the process that is killed.
#[test]
#[ignore = "started by the tests of this file"]
fn child() {
    let text = |name: &str| std::env::var(name).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let faults: DiskFaults = text(FAULTS).parse().unwrap();
        let topics = Topics::open(Path::new(&text(DIR)), Arc::new(faults)).unwrap();
        if topics.get("t").is_none() {
            topics.create("t", 1, &[("segment.bytes".into(), "5000".into())]).unwrap();
        }
        let partition = topics.partition("t", 0).unwrap();
        let clients = (0..CLIENTS).map(|client| {
            let (partition, round) = (partition.clone(), text(ROUND));
            tokio::spawn(async move {
                for count in 0.. {
                    let value = format!("r{round}-c{client}-{count}");
                    let appended = store(&partition, batch(&[&value])).await.unwrap();
                    // One write, so that lines stay whole.
                    let line = format!("{CONFIRMED}{} {value}\n", appended.base_offset);
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
    });
}

fn start(dir: &Path, faults: &str, round: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["killed::child", "--exact", "--ignored", "--nocapture"])
        .envs([(DIR, dir.as_os_str()), (FAULTS, faults.as_ref())])
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the child confirms until it has confirmed `count` records and is killed, or ends by itself.
fn confirmed(mut child: Child, count: usize) -> Vec<(i64, String)> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut confirmed = Vec::new();
    for line in lines.map_while(Result::ok) {
        let Some((offset, value)) = line.strip_prefix(CONFIRMED).and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        confirmed.push((offset.parse().unwrap(), value.to_owned()));
        if confirmed.len() == count {
            child.kill().unwrap(); // what it said before it died is still read
        }
    }
    child.wait().unwrap();
    confirmed
}

/// Each client's records come in its order and none twice.
fn assert_in_order(records: &[(i64, String)]) {
    let mut last = std::collections::HashMap::new();
    for (offset, value) in records {
        let (client, count) = value.rsplit_once('-').unwrap();
        let count: i64 = count.parse().unwrap();
        let before = last.insert(client.to_owned(), count).unwrap_or(-1);
        assert_eq!(count, before + 1, "offset {offset}: {value} follows {before}");
    }
}

fn rounds(power_loss: bool, seed: u64) {
    let rounds = std::env::var(ROUNDS).ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(12);
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut kept: Vec<(i64, String)> = Vec::new();
    for round in 0..rounds {
        let crash = match random.random_range(0..3) {
            0 => format!("crash-before-sync={}", random.random_range(1..60)),
            1 => format!("crash-after-sync={}", random.random_range(1..60)),
            _ => String::new(),
        };
        let faults = format!("{crash},{}", if power_loss { "power-loss-record" } else { "" });
        let confirmed = confirmed(start(dir.path(), &faults, round), random.random_range(1..400));
        match power_loss.then(|| random.random_range(0..u64::MAX)) {
            Some(seed) if seed % 2 == 0 => cut_to_synced(dir.path()).unwrap(),
            Some(seed) => tear_behind_synced(dir.path(), seed).unwrap(),
            None => {}
        }
        let topics = reopened(dir.path());
        let Some(partition) = topics.partition("t", 0) else {
            assert!(confirmed.is_empty(), "seed {seed}, round {round}");
            continue;
        };
        let found = all(&partition);
        assert_eq!(found[..kept.len()], kept, "seed {seed}, round {round}: what an earlier start found");
        for (offset, value) in &confirmed {
            let there = found.get(*offset as usize);
            assert_eq!(there, Some(&(*offset, value.clone())), "seed {seed}, round {round} ({faults}): confirmed");
        }
        assert_in_order(&found);
        kept = found;
    }
    assert!(kept.len() > rounds, "hardly anything was written");
}

#[test]
fn nothing_confirmed_is_lost_when_the_process_is_killed() {
    rounds(false, 1);
}

#[test]
fn nothing_confirmed_is_lost_when_the_power_fails() {
    rounds(true, 2);
}
