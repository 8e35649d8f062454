//! Clients: ask, wait, give up, die, come back and ask again; and what each was told is written down for the checker.

use super::checker::Replay;
use super::counts::Counts;
use super::faults::Chance;
use super::nodes::Seat;
use super::workload::{self, Body, Level, Op};
use bytes::Bytes;
use kluster_client::{Ack, Client, ClientError, Ids, Options, Ticket};
use kluster_log::{Log, MemoryLog, NewRecord};
use kluster_protocol::{MessageId, Offset, Topic};
use rand::RngExt;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;

/// No request may wait longer than this: every future ends.
const ENDS: Duration = Duration::from_secs(120);

/// How long a patient client waits for one answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many clients there are, and how much each asks.
const CLIENTS: usize = 3;
const ASKS: usize = 30;

/// What one client was told of one thing that it asked.
#[derive(Debug)]
pub struct Told {
    pub asked: String,
    pub key: Option<String>,
    pub answer: Answer,
}

/// How it ended.
#[derive(Debug)]
pub enum Answer {
    /// Executed at this offset, with these counts.
    Done(Option<u64>, Vec<u64>),
    /// Refused at this offset with this code.
    Refused(Option<u64>, String),
    /// Read at this offset, which had to be this at least.
    Read(Option<u64>, Option<u64>),
    /// No answer, for an honest reason.
    Open,
    /// The future did not end.
    Hung,
}

type Tales = Arc<Mutex<Vec<Told>>>;

/// Creates the tables: asked until it is done.
pub async fn set_up(log: &MemoryLog, chance: &Chance) {
    let client = connect(log, "setup").await;
    for (n, body) in workload::schema().into_iter().enumerate() {
        let ticket = Ticket { message_id: format!("setup.{n}").as_str().into(), since_offset: None };
        while send(&client, &body, &ticket, Ack::First, PATIENCE)
            .await
            .is_err_and(|error| !matches!(error, ClientError::Refused { .. }))
        {
            let pause = chance.draw(|rng| rng.random_range(10..100));
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
}

/// Asks what every node has rows for but the altered one, until that one has stopped.
pub async fn ask_on(log: &MemoryLog, altered: &Seat) {
    let client = connect(log, "after").await;
    let body = workload::touch_all();
    for n in 0.. {
        if altered.stopped.lock().expect("never poisoned").is_some() {
            return;
        }
        let ticket = Ticket { message_id: format!("after.{n}").as_str().into(), since_offset: None };
        let _ = send(&client, &body, &ticket, Ack::All, Duration::from_secs(2)).await; // whatever it is told
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Everything that clients do in this world.
pub async fn run(log: &MemoryLog, chance: &Chance, counts: &Counts, told: &Tales) {
    // The highest offset of a write that anybody was told of: what a strong read must see.
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        let one = One {
            name: format!("c{n}"),
            log: log.clone(),
            chance: chance.clone(),
            counts: counts.clone(),
            told: told.clone(),
            acknowledged: acknowledged.clone(),
        };
        clients.spawn(one.live());
    }
    clients.spawn(aliens(log.clone(), chance.clone(), counts.clone()));
    while let Some(ended) = clients.join_next().await {
        if let Err(error) = ended {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

async fn connect(log: &MemoryLog, name: &str) -> Client {
    let number = AtomicU64::new(0);
    let prefix = format!("{name}.{}", log.records(Topic::All, 0).len());
    let made = name.to_owned();
    let ids = Ids::made_by(move || format!("{prefix}.{}", number.fetch_add(1, Ordering::Relaxed)));
    let options = Options { client_id: Some(made.as_str().into()), timeout: PATIENCE, ids, ..Options::default() };
    loop {
        match Client::over(Log::memory(log.user(name)), options.clone()).await {
            Ok(client) => return client,
            Err(error) => {
                tracing::debug!(%error, "connecting again");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn send(
    client: &Client,
    body: &Body,
    ticket: &Ticket,
    ack: Ack,
    patience: Duration,
) -> Result<kluster_client::Done, ClientError> {
    if !body.list {
        let (sql, params, _) = &body.statements[0];
        let ask = params.iter().fold(client.execute(sql.clone()), |ask, value| ask.bind(value.clone()));
        return ask.retry(ticket.clone()).timeout(patience).answered_by(ack).await;
    }
    let mut ask = client.transaction();
    for (sql, params, expect) in &body.statements {
        ask = params.iter().fold(ask.statement(sql.clone()), |ask, value| ask.bind(value.clone()));
        if let Some(count) = expect {
            ask = ask.expect_rows(*count);
        }
    }
    ask.retry(ticket.clone()).timeout(patience).answered_by(ack).await
}

/// One client.
struct One {
    name: String,
    log: MemoryLog,
    chance: Chance,
    counts: Counts,
    told: Tales,
    acknowledged: Arc<AtomicU64>,
}

impl One {
    async fn live(self) {
        let mut client = connect(&self.log, &self.name).await;
        for n in 0..ASKS {
            let unique = format!("{}.{n}", self.name);
            match self.chance.draw(|rng| workload::next(rng, &unique)) {
                Op::Write(body) => client = self.write(client, &unique, &body).await,
                Op::Read(level, sql) => self.read(&client, level, sql).await,
            }
            let pause = self.chance.draw(|rng| if rng.random_bool(0.7) { 0 } else { rng.random_range(0..1500) });
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Asks, and asks again with the same ticket while the outcome is open; a client that dies does so from a new connection.
    async fn write(&self, mut client: Client, id: &str, body: &Body) -> Client {
        let since_offset = self.end().await;
        let ticket = Ticket { message_id: MessageId::new(id), since_offset };
        for attempt in 0..3 {
            let ack =
                self.chance.draw(|rng| [Ack::First, Ack::Quorum, Ack::All, Ack::Nodes(2)][rng.random_range(0..4)]);
            let dies = self.chance.strikes(0.05);
            let patience = match dies {
                true => Duration::from_millis(self.chance.draw(|rng| rng.random_range(0..200))),
                false => ENDS,
            };
            // Some wait too short a time to be answered, and ask again.
            let hurried = self.chance.strikes(0.1);
            let waits = if hurried {
                Duration::from_millis(self.chance.draw(|rng| rng.random_range(1..100)))
            } else {
                PATIENCE
            };
            let asked = format!("{id} ({ack:?}, attempt {attempt}): {:?}", body.statements);
            let answer = match tokio::time::timeout(patience, send(&client, body, &ticket, ack, waits)).await {
                Err(_) if dies => {
                    self.counts.met("client died while it waited");
                    drop(client);
                    client = connect(&self.log, &self.name).await;
                    continue;
                }
                Err(_) => Answer::Hung,
                Ok(Ok(done)) => {
                    let offset = done.offset.map(Offset::get);
                    self.acknowledged.fetch_max(offset.unwrap_or_default(), Ordering::Relaxed);
                    Answer::Done(offset, done.results.iter().map(|rows| rows.affected).collect())
                }
                Ok(Err(ClientError::Refused { error, offset, .. })) => {
                    Answer::Refused(offset.map(Offset::get), error.code.as_str().to_owned())
                }
                Ok(Err(error)) => {
                    self.counts.met(format!("client told: {}", word(&error)));
                    Answer::Open
                }
            };
            let again = matches!(answer, Answer::Open);
            self.tell(Told { asked, key: Some(id.to_owned()), answer });
            if !again {
                break;
            }
            self.counts.met("client asked again");
        }
        client
    }

    async fn read(&self, client: &Client, level: Level, sql: &str) {
        let (level, least) = match level {
            Level::Eventual => (kluster_client::Level::Eventual, None),
            Level::Session => (kluster_client::Level::Session, client.seen().map(Offset::get)),
            Level::Strong => (kluster_client::Level::Strong, Some(self.acknowledged.load(Ordering::Relaxed))),
            Level::Ordered => {
                (kluster_client::Level::Ordered(Ack::First), Some(self.acknowledged.load(Ordering::Relaxed)))
            }
        };
        let least = least.filter(|least| *least > 0);
        // Some give their read up, before it is answered or behind that.
        let gives_up = self.chance.strikes(0.15).then(|| self.chance.draw(|rng| rng.random_range(0..60)));
        let ended = async {
            match gives_up {
                Some(pause) => tokio::time::sleep(Duration::from_millis(pause)).await,
                None => std::future::pending().await,
            }
        };
        let reading = client.query(sql).level(level).rows_until(ended);
        let answer = match tokio::time::timeout(ENDS, reading).await {
            Err(_) => Answer::Hung,
            Ok(Ok(read)) => Answer::Read(read.offset.map(Offset::get), least),
            Ok(Err(ClientError::Refused { error, .. })) => Answer::Refused(None, error.code.as_str().to_owned()),
            Ok(Err(ClientError::Ended { node })) => {
                let by = if node.is_some() { "a node ended a read that was given up" } else { "a read was given up" };
                self.counts.met(by);
                Answer::Open
            }
            Ok(Err(error)) => {
                self.counts.met(format!("client told: {}", word(&error)));
                Answer::Open
            }
        };
        self.tell(Told { asked: format!("{} {level:?} {sql}", self.name), key: None, answer });
    }

    /// The end of the log now, less one: below every attempt.
    async fn end(&self) -> Option<Offset> {
        let end = Log::memory(self.log.user(&self.name)).range(Topic::All, 0).await.ok()?.end;
        (end > Offset::ZERO).then(|| end.back(1))
    }

    fn tell(&self, told: Told) {
        self.told.lock().expect("never poisoned").push(told);
    }
}

fn word(error: &ClientError) -> &'static str {
    match error {
        ClientError::TimedOut { .. } => "timed out",
        ClientError::NoVoters { .. } => "no voters",
        ClientError::Diverged { .. } => "diverged",
        ClientError::VotersGone(_) => "voters gone",
        ClientError::Closed { .. } => "closed",
        ClientError::Log { .. } => "log",
        ClientError::StreamBroken { .. } => "stream broken",
        _ => "other",
    }
}

/// Those who write to ALL without being clients: records that are none, records sent again, ids used again, offsets that
/// are not there yet; or offsets without a record, as a foreign transaction leaves them.
async fn aliens(log: MemoryLog, chance: Chance, counts: Counts) {
    let handle = Log::memory(log.user("alien"));
    for _ in 0..20 {
        let pause = chance.draw(|rng| rng.random_range(50..2500));
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let records: Vec<_> =
            log.records(Topic::All, 0).into_iter().filter(|record| record.header("kluster-kind").is_none()).collect();
        let drawn = chance.draw(|rng| (rng.random_range(0..5), rng.random_range(0..records.len().max(1))));
        let record = match drawn {
            (0, _) => {
                let (value, _) = chance.draw(workload::alien);
                NewRecord { value: value.map(Bytes::from), ..NewRecord::default() }
            }
            (1, at) => {
                let request = json!({"messageId": format!("since.{at}"), "clientId": "alien", "sqlString": "select 1", "sinceOffset": 1_000_000});
                NewRecord::of(request.to_string())
            }
            (2, count) => {
                counts.met("a hole in ALL");
                log.leave_hole(Topic::All, 0, 1 + count as u64 % 3);
                continue;
            }
            (kind, at) => {
                // Old enough to lie before the window now and then.
                let Some(record) = records.get(at) else { continue };
                let value = record.value.clone().unwrap_or_default();
                let Ok(mut request) = serde_json::from_slice::<Value>(&value) else { continue };
                if kind == 3 && request["messageId"].is_string() {
                    request["sqlString"] = "select 42".into();
                    request.as_object_mut().map(|fields| (fields.remove("statements"), fields.remove("params")));
                    counts.met("alien: id used again");
                } else {
                    counts.met("alien: record sent again");
                }
                NewRecord::of(serde_json::to_vec(&request).unwrap_or_default())
            }
        };
        let _ = handle.append(Topic::All, None, record).await;
    }
}

/// What clients were told is what the replay says.
pub fn check(replay: &Replay, told: &[Told], counts: &Counts) -> Vec<String> {
    let mut findings = Vec::new();
    for told in told {
        let problem = match &told.answer {
            Answer::Hung => Some("it never ended".to_owned()),
            Answer::Open => None,
            Answer::Done(offset, results) => {
                counts.met("client told: done");
                done(replay, told, *offset, results)
            }
            Answer::Refused(Some(offset), code) if told.key.is_some() => match replay.expected.get(offset) {
                Some(expected) if expected.code.as_deref() == Some(code) => None,
                expected => Some(format!("refused as {code}, but the replay says {expected:?}")),
            },
            Answer::Refused(..) => None,
            Answer::Read(offset, least) => {
                counts.met("client told: read");
                (offset < least).then(|| format!("read at {offset:?}, though {least:?} was acknowledged before"))
            }
        };
        findings.extend(problem.map(|problem| format!("{}: {problem}", told.asked)));
    }
    findings
}

fn done(replay: &Replay, told: &Told, offset: Option<u64>, results: &[u64]) -> Option<String> {
    let id = told.key.as_deref()?;
    let effects: Vec<u64> = replay
        .expected
        .iter()
        .filter(|(_, expected)| expected.request_id == id && expected.took_effect)
        .map(|(offset, _)| *offset)
        .collect();
    if effects.len() != 1 {
        return Some(format!("acknowledged, and took effect at {effects:?}"));
    }
    if offset != Some(effects[0]) {
        return Some(format!("acknowledged at {offset:?}, and took effect at {effects:?}"));
    }
    let counts: Vec<u64> = replay.expected[&effects[0]].results.iter().map(|(count, _)| *count).collect();
    (!results.is_empty() && counts != results).then(|| format!("told {results:?}, and it was {counts:?}"))
}
