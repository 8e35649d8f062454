//! Run: plays a script on a stage, and holds what is said against what was recorded.

use super::answers::Answers;
use super::stage::{Place, Stage};
use super::text::{self, Asked, Command};
use super::{say, watch};
use kluster_client::{Ack, Client, ClientError, Done, Level, Options, Ticket};
use kluster_log::{Log, NewRecord, Record};
use kluster_node::step::Step;
use kluster_protocol::{MessageId, Offset, Request, Topic, header};
use std::collections::BTreeMap;
use std::path::Path;

/// Plays the script of this name (`tests/scripts/<name>.txt`).
pub async fn run(name: &str, place: Place) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(format!("{name}.txt"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut blocks = text::blocks(&text);
    let update = std::env::var_os("UPDATE").is_some() && place == Place::Memory;
    let mut play = Play::new(place);
    for block in &mut blocks {
        let mut said = Vec::new();
        for line in block.commands() {
            said.extend(play.line(line).await);
        }
        match update {
            true => block.recorded = said,
            false => {
                assert_eq!(said, block.recorded, "{name}.txt on {place:?}, behind:\n{}\n", block.before.join("\n"))
            }
        }
    }
    if update {
        std::fs::write(&file, text::script(&blocks)).expect("the script can be written");
    }
}

/// A script under way.
struct Play {
    place: Place,
    stage: Option<Stage>,
    clients: BTreeMap<String, Client>,
    answers: Option<Answers>,
    last: Option<Last>,
    /// Nodes that said that they have stopped, and why.
    stopped: BTreeMap<String, String>,
}

/// The last request asked.
struct Last {
    client: String,
    statements: Vec<Asked>,
    ticket: Option<Ticket>,
    message_id: Option<MessageId>,
}

impl Play {
    fn new(place: Place) -> Self {
        Self { place, stage: None, clients: BTreeMap::new(), answers: None, last: None, stopped: BTreeMap::new() }
    }

    /// Does what the line says, and gives what there is to say about it.
    async fn line(&mut self, line: &str) -> Vec<String> {
        if let Some(typed) = line.strip_prefix("send ") {
            let request = Request::parse(Some(typed.as_bytes())).map(|request| request.message_id);
            return self.put(NewRecord::of(typed.to_owned()), request.ok()).await;
        }
        let command = Command::parse(line);
        match command.verb.as_str() {
            "cluster" => self.cluster(&command).await,
            "ask" => self.ask(&command).await,
            "retry" => self.retry(&command).await,
            "read" => self.read(&command).await,
            "deliver-again" => self.deliver_again().await,
            "answers" => self.said().await,
            "crash" => self.crash(&command).await,
            "wait" => self.wait(&command).await,
            "restart" | "start" => self.start(&command).await,
            "alter" => {
                let statement = command.statements.first().expect("what is altered is said in SQL");
                self.stage().alter(command.word(0), &statement.sql).await;
                vec![format!("{} altered", command.word(0))]
            }
            "empty" => {
                self.stage_mut().empty(command.word(0)).await;
                vec![format!("{} emptied", command.word(0))]
            }
            "errors" => say::fatal(&watch::errors(&self.log()).await),
            "status" => say::status(&self.stage().nodes(), &self.stopped, &self.caught_up().await),
            "compare" => self.compare().await,
            other => panic!("{other:?} is no command"),
        }
    }

    async fn cluster(&mut self, command: &Command) -> Vec<String> {
        let count = command.option("nodes").and_then(|count| count.parse().ok()).expect("a cluster has nodes=3");
        let stage = Stage::start(self.place, count).await;
        self.answers = Some(Answers::from_now(&stage.log("script")).await);
        self.stage = Some(stage);
        Vec::new()
    }

    fn stage(&self) -> &Stage {
        self.stage.as_ref().expect("the script begins with cluster")
    }

    fn stage_mut(&mut self) -> &mut Stage {
        self.stage.as_mut().expect("the script begins with cluster")
    }

    fn log(&self) -> Log {
        self.stage().log("script")
    }

    async fn client(&mut self, name: &str) -> Client {
        if let Some(client) = self.clients.get(name) {
            return client.clone();
        }
        let options = Options { client_id: Some(name.into()), ..Options::default() };
        let client = Client::over(self.stage().log(name), options).await.expect("a client can connect");
        self.clients.insert(name.to_owned(), client.clone());
        client
    }

    async fn ask(&mut self, command: &Command) -> Vec<String> {
        let client = command.option("as").unwrap_or("a").to_owned();
        let message_id = command.option("id").map(MessageId::from);
        self.last = Some(Last { client, statements: command.statements.clone(), ticket: None, message_id });
        self.ask_last(command).await
    }

    async fn retry(&mut self, command: &Command) -> Vec<String> {
        self.ask_last(command).await
    }

    async fn ask_last(&mut self, command: &Command) -> Vec<String> {
        let last = self.last.take().expect("something was asked");
        let client = self.client(&last.client).await;
        if command.word(0) == "logged" {
            let logged = asked(&client, command, &last)
                .logged()
                .await
                .unwrap_or_else(|error| panic!("no script expects this: {error}"));
            self.last = Some(Last { message_id: Some(logged.message_id), ..last });
            return vec!["logged".to_owned()];
        }
        let ack = ack(command.word(0));
        let result = asked(&client, command, &last).answered_by(ack).await;
        self.last = Some(remember(last, &result));
        say::done(ack, &result)
    }

    async fn read(&mut self, command: &Command) -> Vec<String> {
        let client = self.client(command.option("as").unwrap_or("a")).await;
        let statement = command.statements.first().expect("a read has a statement");
        let query =
            statement.params.iter().fold(client.query(&statement.sql), |query, value| query.bind(value.clone()));
        let query = command.timeout().map_or(query.clone(), |timeout| query.timeout(timeout));
        match query.level(level(command.word(0))).rows().await {
            Ok(read) if read.rows.is_empty() => vec!["no rows".to_owned()],
            Ok(read) => say::rows_of(&read.rows),
            Err(error) => vec![say::ended(&error)],
        }
    }

    /// Puts a record into ALL and waits for the answer of every node that runs.
    async fn put(&mut self, record: NewRecord, request: Option<MessageId>) -> Vec<String> {
        let mut answers = Answers::from_now(&self.log()).await;
        let placed = self.log().append(Topic::All, Some(0), record).await.expect("ALL takes the record");
        let request = request.map_or_else(|| format!("@{}", placed.offset), |id| id.to_string());
        say::answers(&answers.of(&request, self.serving().len()).await, Some(placed.offset))
    }

    async fn deliver_again(&mut self) -> Vec<String> {
        let record = last_request(&self.log()).await;
        let request = Request::parse(record.value.as_deref()).map(|request| request.message_id);
        let again = NewRecord { key: record.key, headers: record.headers, value: record.value };
        self.put(again, request.ok()).await
    }

    async fn said(&mut self) -> Vec<String> {
        let id = self.last.as_ref().and_then(|last| last.message_id.clone()).expect("something was asked");
        let running = self.serving().len();
        let answers = self.answers.as_mut().expect("the script begins with cluster");
        say::answers(&answers.of(id.as_str(), running).await, None)
    }

    /// The nodes that run and have not stopped.
    fn serving(&self) -> Vec<String> {
        self.stage().running().into_iter().filter(|name| !self.stopped.contains_key(name)).collect()
    }

    async fn start(&mut self, command: &Command) -> Vec<String> {
        let node = command.word(0);
        let since = watch::now(&self.log()).await;
        self.stage_mut().start_node(node).await;
        self.stopped.remove(node);
        if command.words.get(1).is_some_and(|word| word == "stopped") {
            return self.has_stopped(node, since).await;
        }
        watch::ready(&self.log(), since, &[node.to_owned()]).await;
        vec![format!("{node} ready")]
    }

    async fn has_stopped(&mut self, node: &str, since: Offset) -> Vec<String> {
        let code = watch::stopped(&self.log(), since, node).await;
        let line = format!("{node} stopped {code}");
        self.stopped.insert(node.to_owned(), code);
        vec![line]
    }

    async fn crash(&mut self, command: &Command) -> Vec<String> {
        let node = command.word(0);
        match command.option("at") {
            None => {
                self.stage_mut().crash(node).await;
                vec![format!("{node} crashed")]
            }
            Some(name) => {
                let step = Step::EACH.into_iter().find(|step| format!("{step:?}") == name);
                self.stage_mut().crash_at(node, step.unwrap_or_else(|| panic!("{name} is no step"))).await;
                Vec::new()
            }
        }
    }

    async fn wait(&mut self, command: &Command) -> Vec<String> {
        match &command.words[..] {
            [] => {
                self.caught_up().await;
                Vec::new()
            }
            [what, node] if what == "crashed" => {
                self.stage_mut().crashed(node).await;
                vec![format!("{node} crashed")]
            }
            [what, node] if what == "stopped" => {
                let start = self.log().range(Topic::Nodes, 0).await.expect("NODES has a range").start;
                self.has_stopped(node, start).await
            }
            other => panic!("wait knows nothing of {other:?}"),
        }
    }

    async fn caught_up(&self) -> BTreeMap<String, kluster_protocol::Heartbeat> {
        watch::caught_up(&self.log(), &self.serving()).await
    }

    async fn compare(&self) -> Vec<String> {
        self.caught_up().await;
        let mut all = BTreeMap::new();
        for name in self.serving() {
            all.insert(name.clone(), self.stage().tables(&name).await);
        }
        say::tables(&all)
    }
}

/// The last request as a list of statements, or as one.
fn asked(client: &Client, command: &Command, last: &Last) -> Asking {
    let asking = match &last.statements[..] {
        [one] if one.expect.is_none() => {
            Asking::One(one.params.iter().fold(client.execute(&one.sql), |ask, value| ask.bind(value.clone())))
        }
        list => Asking::List(list.iter().fold(client.transaction(), |list, asked| {
            let list = asked.params.iter().fold(list.statement(&asked.sql), |list, value| list.bind(value.clone()));
            asked.expect.map_or(list.clone(), |count| list.expect_rows(count))
        })),
    };
    asking.told(command, last)
}

/// What is asked, before it is said for how many answers.
enum Asking {
    One(kluster_client::Execute),
    List(kluster_client::Transaction),
}

impl Asking {
    fn told(self, command: &Command, last: &Last) -> Self {
        macro_rules! tell {
            ($ask:expr) => {{
                let ask = command.timeout().map_or($ask.clone(), |timeout| $ask.timeout(timeout));
                match (&last.ticket, &last.message_id) {
                    (Some(ticket), _) => ask.retry(ticket.clone()),
                    (None, Some(id)) => ask.message_id(id.clone()),
                    (None, None) => ask,
                }
            }};
        }
        match self {
            Self::One(ask) => Self::One(tell!(ask)),
            Self::List(ask) => Self::List(tell!(ask)),
        }
    }

    async fn answered_by(self, ack: Ack) -> Result<Done, ClientError> {
        match self {
            Self::One(ask) => ask.answered_by(ack).await,
            Self::List(ask) => ask.answered_by(ack).await,
        }
    }

    async fn logged(self) -> Result<kluster_client::Logged, ClientError> {
        match self {
            Self::One(ask) => ask.logged().await,
            Self::List(ask) => ask.logged().await,
        }
    }
}

/// What a retry of this request must repeat.
fn remember(last: Last, result: &Result<Done, ClientError>) -> Last {
    let ticket = result.as_ref().err().and_then(ClientError::ticket).cloned();
    let done = result.as_ref().ok().map(|done| done.message_id.clone());
    let message_id = ticket.as_ref().map(|ticket| ticket.message_id.clone()).or(done).or(last.message_id);
    Last { ticket: ticket.or(last.ticket), message_id, ..last }
}

fn ack(word: &str) -> Ack {
    match word {
        "first" => Ack::First,
        "quorum" => Ack::Quorum,
        "all" => Ack::All,
        other => panic!("{other:?} is none of first, quorum, all, logged"),
    }
}

fn level(word: &str) -> Level {
    match word {
        "eventual" => Level::Eventual,
        "session" => Level::Session,
        "strong" => Level::Strong,
        "ordered" => Level::Ordered(Ack::First),
        other => panic!("{other:?} is none of eventual, session, strong, ordered"),
    }
}

/// The last record of ALL that is a request.
async fn last_request(log: &Log) -> Record {
    let range = log.range(Topic::All, 0).await.expect("ALL has a range");
    let mut reader = log.read(Topic::All, 0, range.start).await.expect("ALL can be read");
    let mut last = None;
    loop {
        let record = reader.next().await.expect("ALL can be read");
        let end = record.offset.next() >= range.end;
        if record.header(header::KIND).is_none() {
            last = Some(record);
        }
        if end {
            return last.expect("ALL holds a request");
        }
    }
}
