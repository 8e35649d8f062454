//! World: one seed from beginning to end: the cluster is set up, lives through its faults, calms down, and is held against the checker.

use super::checker::{self, Logged};
use super::clients::{self, Told};
use super::counts::Counts;
use super::faults::{self, Chance, Mortals};
use super::nodes::Seat;
use super::operator::{self, Ills};
use super::workload;
use kluster_log::MemoryLog;
use kluster_protocol::{CheckReport, DIVERGED, EndRead, Heartbeat, NodeState, Topic};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Outcomes are remembered for so few offsets that a run goes far beyond it.
const WINDOW: u64 = 60;

/// So many nodes.
const VOTERS: usize = 3;

/// A world that has not settled after this much of its own time never will.
const SETTLES: Duration = Duration::from_secs(600);

/// A seed whose history breaks a promise.
#[derive(Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What was found, in words.
    pub findings: Vec<String>,
}

/// Lives through `seed` in a directory of its own, counting what it met.
pub fn simulate(seed: u64, directory: &Path, counts: &Counts) -> Result<u64, Failure> {
    in_its_own_time(seed, live(seed, directory, counts))
}

/// How one node goes astray, once all is calm.
#[derive(Debug, Clone, Copy)]
pub enum Astray {
    /// This SQL is executed on its database behind its back; answers tell.
    Answers(&'static str),
    /// The same; only the rows that requests change tell.
    Effects(&'static str),
    /// It executes something else than the log says, and answers as the others.
    Executes,
}

/// Lives through `seed`; once all is calm, one node goes astray: it must stop, name the first offset where its effects differ, and stay stopped, while
/// the others go on and hold what the log says.
pub fn simulate_astray(seed: u64, directory: &Path, counts: &Counts, how: Astray) -> Result<u64, Failure> {
    in_its_own_time(seed, live_astray(seed, directory, counts, how))
}

fn in_its_own_time(seed: u64, life: impl Future<Output = Result<u64, Vec<String>>>) -> Result<u64, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.map_err(|error| Failure { seed, findings: vec![error.to_string()] })?;
    let findings = runtime.block_on(life);
    // What still waits for a time that never comes is dropped with the runtime.
    drop(runtime);
    findings.map_err(|findings| Failure { seed, findings })
}

/// A cluster under way.
struct World {
    chance: Chance,
    log: MemoryLog,
    seats: Vec<Seat>,
    nodes: JoinSet<()>,
    told: Arc<Mutex<Vec<Told>>>,
}

impl World {
    /// Starts it, and lives through all that clients ask and all that goes wrong.
    async fn lived(seed: u64, directory: &Path, counts: &Counts) -> Self {
        let epoch = Instant::now();
        let chance = Chance::new(StdRng::seed_from_u64(seed));
        let log = MemoryLog::with_clock(Arc::new(move || epoch.elapsed().as_millis() as i64));
        let mortals = Mortals::default();
        let ills = Ills::new(chance.clone());
        let seats: Vec<Seat> = (1..=VOTERS)
            .map(|n| Seat {
                name: format!("n{n}"),
                file: directory.join(format!("n{n}.db")),
                window: WINDOW,
                log: log.clone(),
                chance: chance.clone(),
                counts: counts.clone(),
                mortals: mortals.clone(),
                ills: ills.clone(),
                epoch,
                status: Arc::default(),
                stopped: Arc::default(),
                altered: Arc::default(),
                bent: Arc::default(),
                joined: Arc::default(),
            })
            .collect();
        log.on_append(faults::of_the_log(chance.clone(), counts.clone(), mortals.clone()));
        log.on_read(faults::of_reading(chance.clone(), counts.clone(), mortals));
        let mut nodes = JoinSet::new();
        for seat in &seats {
            nodes.spawn(seat.clone().keep());
        }
        nodes.spawn(operator::operate(log.clone(), chance.clone(), counts.clone(), ills, epoch));
        let told = Arc::new(Mutex::new(Vec::new()));
        clients::set_up(&log, &chance).await;
        clients::run(&log, &chance, counts, &told).await;
        chance.calm();
        Self { chance, log, seats, nodes, told }
    }
}

async fn live(seed: u64, directory: &Path, counts: &Counts) -> Result<u64, Vec<String>> {
    let World { log, seats, mut nodes, told, .. } = World::lived(seed, directory, counts).await;
    let settled = tokio::time::timeout(SETTLES, settle(&log, &seats)).await;
    nodes.shutdown().await;
    // Orphans and delayed appends have had their time by now.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut findings: Vec<String> =
        seats.iter().filter_map(|seat| seat.stopped.lock().expect("never poisoned").clone()).collect();
    if settled.is_err() && findings.is_empty() {
        let states: Vec<_> = seats
            .iter()
            .map(|seat| seat.status.lock().expect("never poisoned").as_ref().map(|status| status.now()))
            .collect();
        findings.push(format!("the cluster did not settle: {states:?}"));
    }
    if findings.is_empty() {
        let told = told.lock().expect("never poisoned");
        findings = check(&log, &seats, counts, |replay| clients::check(replay, &told, counts)).0;
    }
    match findings.is_empty() {
        true => Ok(fingerprint(&log)),
        false => Err(findings),
    }
}

async fn live_astray(seed: u64, directory: &Path, counts: &Counts, how: Astray) -> Result<u64, Vec<String>> {
    let World { chance, log, mut seats, mut nodes, .. } = World::lived(seed, directory, counts).await;
    let place = chance.draw(|rng| rng.random_range(0..seats.len()));
    let calm = tokio::time::timeout(SETTLES, settle(&log, &seats)).await;
    let altered = seats.remove(place);
    match how {
        Astray::Answers(sql) | Astray::Effects(sql) => altered.alter(sql),
        Astray::Executes => {
            *altered.bent.lock().expect("never poisoned") = Some((workload::TOUCH, workload::MISTOUCH));
        }
    }
    let differed = tokio::time::timeout(SETTLES, async {
        clients::ask_on(&log, &altered).await;
        // Started again and again, it must not serve.
        tokio::time::sleep(Duration::from_secs(30)).await;
        settle(&log, &seats).await;
    });
    let differed = differed.await;
    nodes.shutdown().await;
    let reason = |seat: &Seat| seat.stopped.lock().expect("never poisoned").clone();
    let mut findings: Vec<String> = seats.iter().filter_map(reason).collect();
    if !reason(&altered).is_some_and(|why| why.contains(DIVERGED)) {
        findings.push(format!("{} did not stop: {:?}", altered.name, reason(&altered)));
    }
    if calm.is_err() || differed.is_err() {
        findings.push("the cluster did not settle".to_owned());
    }
    findings.extend(served_again(&log, &altered.name));
    if findings.is_empty() {
        // Who trusted the one node was told what that node held: clients are not asked here.
        let (found, replay) = check(&log, &seats, counts, |_| Vec::new());
        findings = found;
        if matches!(how, Astray::Effects(_) | Astray::Executes) {
            findings.extend(replay.effects.named(&log, counts, &altered.name));
        }
    }
    match findings.is_empty() {
        true => Ok(fingerprint(&log)),
        false => Err(findings),
    }
}

/// What a node said after it had stopped for its chain, if it was anything but that it has stopped.
fn served_again(log: &MemoryLog, name: &str) -> Option<String> {
    let records = log.records(Topic::Nodes, 0).into_iter();
    let beats = records.filter_map(|record| serde_json::from_slice::<Heartbeat>(&record.value?).ok());
    let stopped = |beat: &Heartbeat| matches!(&beat.state, NodeState::Stopped { code, .. } if code == DIVERGED);
    let mut since = beats.filter(|beat| beat.node_id.as_str() == name).skip_while(|beat| !stopped(beat));
    since.find(|beat| beat.state.is_live()).map(|beat| format!("{name} served again after it had stopped: {beat:?}"))
}

/// Waits until every node has applied, answered and noted all there is.
async fn settle(log: &MemoryLog, seats: &[Seat]) {
    let handle = kluster_log::Log::memory(log.user("settle"));
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if seats.iter().any(|seat| seat.stopped.lock().expect("never poisoned").is_some()) {
            return;
        }
        let Some(last) = log.records(Topic::All, 0).last().map(|record| record.offset) else { continue };
        let mut ready = true;
        for seat in seats {
            let now = seat.status.lock().expect("never poisoned").as_ref().map(|status| status.now());
            let group = handle.names().group_of_all(&seat.name.as_str().into());
            let noted = handle.committed(&group, Topic::All, 0).await.ok().flatten();
            ready &= noted == Some(last.next())
                && now.is_some_and(|now| {
                    now.state == NodeState::Ready && now.applied == Some(last) && now.membership.voters.len() == VOTERS
                });
        }
        if ready {
            return;
        }
    }
}

/// Everything that the promises say of this history.
fn check(
    log: &MemoryLog,
    seats: &[Seat],
    counts: &Counts,
    clients: impl FnOnce(&checker::Replay) -> Vec<String>,
) -> (Vec<String>, checker::Replay) {
    let mut findings = Vec::new();
    let logged: Vec<Logged> = log
        .records(Topic::All, 0)
        .into_iter()
        .map(|record| Logged {
            offset: record.offset.get(),
            control: record.header("kluster-kind").is_some(),
            value: record.value.map(|value| value.to_vec()),
        })
        .collect();
    let mut responses = responses(log);
    responses.retain(|response| seats.iter().any(|seat| response["nodeId"] == seat.name.as_str()));
    let asked = asked(log);
    let reads: Vec<(u64, String)> = responses
        .iter()
        .filter(|response| response["requestTopic"] == "ONE")
        .filter_map(|response| Some((response["offset"].as_u64()?, asked.get(response["requestId"].as_str()?)?)))
        .flat_map(|(offset, texts)| texts.iter().map(move |sql| (offset, sql.clone())))
        .collect();
    operator::count_waits(log, counts);
    let replay = checker::replay(&logged, WINDOW, &reads, operator::refused(log, counts));
    counts.add("records of ALL", logged.len() as u64);
    counts.add("responses", responses.len() as u64);
    let checks = checks(log);
    counts.add("checks done", checks.iter().filter(|report| report.is_done()).count() as u64);
    counts.add("dedupe: known again", replay.seen_again);
    counts.add("dedupe: id used again", replay.reused);
    counts.add("dedupe: expired", replay.expired);
    for code in replay.expected.values().filter_map(|expected| expected.code.as_deref()) {
        counts.met(format!("refused: {code}"));
    }
    findings.extend(answers_of_all(&replay, &responses, seats));
    findings.extend(answers_of_one(&replay, &responses, &asked, counts));
    findings.extend(ended_without_a_word(log, &responses));
    findings.extend(clients(&replay));
    findings.extend(replay.effects.wrong(log, counts, |node| seats.iter().any(|seat| seat.name == node)));
    for seat in seats {
        let tables = checker::tables_of(&seat.file);
        findings.extend(differences(&seat.name, &tables, &replay.tables));
    }
    let money: i64 = replay.tables["account"].iter().filter_map(|row| row["balance"].as_i64()).sum();
    if money != workload::ACCOUNTS * workload::OPENING {
        findings.push(format!("money was made or lost: {money}"));
    }
    findings.truncate(12);
    (findings, replay)
}

/// Where a node's tables differ from the replay's.
fn differences(node: &str, tables: &checker::Tables, replay: &checker::Tables) -> Vec<String> {
    let names: BTreeSet<&String> = tables.keys().chain(replay.keys()).collect();
    let differing = names.into_iter().filter(|name| tables.get(*name) != replay.get(*name));
    let only = |these: &checker::Tables, those: &checker::Tables, name: &String| -> Vec<String> {
        let those = those.get(name).cloned().unwrap_or_default();
        these.get(name).into_iter().flatten().filter(|row| !those.contains(row)).map(ToString::to_string).collect()
    };
    differing
        .map(|name| {
            format!(
                "table {name}: only on {node}: {:?}; only in the replay: {:?}",
                only(tables, replay, name),
                only(replay, tables, name)
            )
        })
        .collect()
}

/// What the nodes said of checks.
fn checks(log: &MemoryLog) -> Vec<CheckReport> {
    let records = log.records(Topic::Nodes, 0).into_iter();
    let reports = records.filter(|record| record.header("kluster-kind").is_some());
    reports.filter_map(|record| serde_json::from_slice(&record.value?).ok()).collect()
}

fn responses(log: &MemoryLog) -> Vec<serde_json::Value> {
    let partitions = 0..kluster_log::TopicSettings::development().partitions;
    let records = partitions.flat_map(|partition| log.records(Topic::Responses, partition));
    records.filter_map(|record| serde_json::from_slice(&record.value?).ok()).collect()
}

/// The SQL of each request on ONE, by its id. A client that connects again while nothing is written makes an id again: then there are two.
fn asked(log: &MemoryLog) -> BTreeMap<String, BTreeSet<String>> {
    let partitions = 0..kluster_log::TopicSettings::development().partitions;
    let records = partitions.flat_map(|partition| log.records(Topic::One, partition));
    let requests = records.filter_map(|record| serde_json::from_slice::<serde_json::Value>(&record.value?).ok());
    let mut asked: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for request in requests {
        if let (Some(id), Some(sql)) = (request["messageId"].as_str(), request["sqlString"].as_str()) {
            asked.entry(id.to_owned()).or_default().insert(sql.to_owned());
        }
    }
    asked
}

/// Every answer to ALL is what the replay says, chains agree, and every node answered every record.
fn answers_of_all(replay: &checker::Replay, responses: &[serde_json::Value], seats: &[Seat]) -> Vec<String> {
    let mut findings = Vec::new();
    let mut chains: BTreeMap<u64, &serde_json::Value> = BTreeMap::new();
    let mut answered: HashSet<(String, u64)> = HashSet::new();
    for response in responses.iter().filter(|response| response["requestTopic"] == "ALL") {
        let Some(offset) = response["offset"].as_u64() else {
            findings.push(format!("an answer without offset: {response}"));
            continue;
        };
        let Some(expected) = replay.expected.get(&offset) else {
            findings.push(format!("an answer to no record: {response}"));
            continue;
        };
        answered.insert((response["nodeId"].as_str().unwrap_or_default().to_owned(), offset));
        if *chains.entry(offset).or_insert(&response["chain"]) != &response["chain"] {
            findings.push(format!("chains differ at offset {offset}: {} and {response}", chains[&offset]));
        }
        if let Some(problem) = differs(expected, response) {
            findings.push(format!("offset {offset}: {problem}\n  expected {expected:?}\n  answered {response}"));
        }
    }
    for (offset, expected) in &replay.expected {
        let answer = expected.repeats.unwrap_or(*offset);
        let answers = |seat: &&Seat| expected.voters.is_empty() || expected.voters.contains(&seat.name);
        for seat in seats.iter().filter(answers) {
            if !answered.contains(&(seat.name.clone(), answer)) {
                findings.push(format!("{} never answered offset {offset} ({})", seat.name, expected.request_id));
            }
        }
    }
    findings
}

fn differs(expected: &checker::Expected, response: &serde_json::Value) -> Option<&'static str> {
    if response["requestId"] != expected.request_id.as_str() {
        return Some("another request is named");
    }
    if response["error"]["code"].as_str() != expected.code.as_deref() {
        return Some("another verdict");
    }
    if expected.code.is_some() {
        return (response["resultCode"] == "OK").then_some("a refusal that says OK");
    }
    let gone = response["resultGone"] == true;
    let results = match &response["results"] {
        serde_json::Value::Array(list) => list.clone(),
        _ => vec![response.clone()],
    };
    if results.len() != expected.results.len() {
        return Some("another number of results");
    }
    for (result, (count, rows)) in results.iter().zip(&expected.results) {
        if result["rowsAffected"].as_u64() != Some(*count) {
            return Some("another count");
        }
        if !gone && result["result"].as_array() != Some(rows) {
            return Some("other rows");
        }
    }
    None
}

/// Every answer to ONE is what the data were at the offset that it names.
fn answers_of_one(
    replay: &checker::Replay,
    responses: &[serde_json::Value],
    asked: &BTreeMap<String, BTreeSet<String>>,
    counts: &Counts,
) -> Vec<String> {
    let mut findings = Vec::new();
    for response in responses.iter().filter(|response| response["requestTopic"] == "ONE") {
        let texts = response["requestId"].as_str().and_then(|id| asked.get(id));
        let (Some(texts), Some(offset)) = (texts, response["offset"].as_u64()) else { continue };
        counts.met("reads of ONE answered");
        let wanted: Vec<_> = texts.iter().map(|sql| replay.reads.get(&(offset, sql.clone()))).collect();
        let right = wanted.iter().any(|wanted| match wanted {
            Some(Ok((_, rows))) => response["result"].as_array() == Some(rows),
            Some(Err(code)) => response["error"]["code"] == code.as_str(),
            None => false,
        });
        if !right {
            findings.push(format!(
                "a read at offset {offset} is wrong: {texts:?}\n  expected {wanted:?}\n  answered {response}"
            ));
        }
    }
    findings
}

/// A read is ended only where its client has given it up.
fn ended_without_a_word(log: &MemoryLog, responses: &[serde_json::Value]) -> Vec<String> {
    let partitions = 0..kluster_log::TopicSettings::development().partitions;
    let records = partitions.flat_map(|partition| log.records(Topic::One, partition));
    let given_up: HashSet<String> = records
        .filter(|record| record.header("kluster-kind").is_some())
        .filter_map(|record| serde_json::from_slice::<EndRead>(&record.value?).ok())
        .map(|end| end.ends.as_str().to_owned())
        .collect();
    let ended = responses.iter().filter(|response| {
        response["requestTopic"] == "ONE"
            && response["error"]["code"] == "cancelled"
            && !response["requestId"].as_str().is_some_and(|id| given_up.contains(id))
    });
    ended.map(|response| format!("a read was ended that nobody gave up: {response}")).collect()
}

/// A number that is the same for the same history.
fn fingerprint(log: &MemoryLog) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hash = DefaultHasher::new();
    for record in log.records(Topic::All, 0) {
        (record.offset.get(), record.timestamp_ms, record.value).hash(&mut hash);
    }
    hash.finish()
}
