use super::*;
use crate::fixture::{Cluster, Written, members, node};
use crate::output::Format;
use kluster_log::NewRecord;
use kluster_protocol::{
    ErrorCode, Members, Offset, Request, RequestTopic, Response, ResponseError, Row, Topic, header,
};
use std::collections::HashMap;
use std::io::Write;
use tokio::task::JoinHandle;

/// A node that executes nothing, remembers outcomes, refuses what holds `refuse` and does not answer what holds `silence`.
fn play_node(cluster: &Cluster) -> JoinHandle<()> {
    let log = cluster.log.clone();
    tokio::spawn(async move {
        let mut outcomes: HashMap<String, Response> = HashMap::new();
        let mut all = log.read(Topic::All, 0, Offset::ZERO).await.unwrap();
        loop {
            let record = all.next().await.unwrap();
            let Ok(request) = Request::parse(record.value.as_deref()) else { continue };
            let sql = request.statements()[0].sql_string.clone();
            if sql.contains("silence") {
                continue;
            }
            let outcome =
                outcomes.entry(request.message_id.to_string()).or_insert_with(|| answer(&request, record.offset, &sql));
            let partition =
                record.header(header::REPLY_PARTITION).map(|at| String::from_utf8_lossy(at).parse().unwrap());
            let value = serde_json::to_vec(outcome).unwrap();
            log.append(Topic::Responses, partition.or(Some(0)), NewRecord::of(value)).await.unwrap();
        }
    })
}

fn answer(request: &Request, offset: Offset, sql: &str) -> Response {
    let error = sql.contains("refuse").then(|| ResponseError::new(ErrorCode::UniqueViolation, "there already"));
    Response::<Row> {
        message_id: format!("a{offset}").as_str().into(),
        node_id: "n1".into(),
        request_id: request.message_id.to_string(),
        request_topic: RequestTopic::All,
        result_code: error.as_ref().map_or_else(|| Response::<Row>::OK.to_owned(), ResponseError::result_code),
        result: error.is_none().then(Vec::new),
        columns: vec![],
        rows_affected: Some(1),
        results: None,
        offset: Some(offset),
        chain: Some(format!("{:016x}", offset.get())),
        members: Members { version: 1, voter: true, voters: 1 },
        error,
        result_gone: false,
        part: None,
        last_part: false,
    }
}

struct Loading {
    cluster: Cluster,
    file: tempfile::NamedTempFile,
    load: Load,
}

impl Loading {
    async fn of(script: &str) -> Self {
        let cluster = Cluster::new();
        cluster.beat(&node("n1").members(members(1, &["n1"]))).await;
        let mut file = tempfile::Builder::new().suffix(".sql").tempfile().unwrap();
        file.write_all(script.as_bytes()).unwrap();
        let load = Load {
            file: file.path().to_owned(),
            in_flight: 256,
            resume: false,
            from_line: 1,
            client_id: "kluster-admin-load".into(),
            ack: AckLevel::First,
            dialect: None,
            timeout: 600,
        };
        Self { cluster, file, load }
    }

    async fn run(&self, format: Format) -> (Written, Result<(), AdminError>) {
        self.run_until(format, &CancellationToken::new()).await
    }

    async fn run_until(&self, format: Format, stop: &CancellationToken) -> (Written, Result<(), AdminError>) {
        let mut written = Written::default();
        let ended = self.load.run(&self.cluster.log, &self.cluster.clock, &mut written.output(format), stop).await;
        (written, ended)
    }

    /// Text with the file's name shortened.
    fn short(&self, text: &str) -> String {
        text.replace(&self.file.path().display().to_string(), "a.sql")
    }

    /// The SQL in ALL.
    fn sent(&self) -> Vec<String> {
        let records = self.cluster.memory.records(Topic::All, 0);
        let sql = |value: &[u8]| Request::parse(Some(value)).unwrap().statements()[0].sql_string.clone();
        records.iter().map(|record| sql(record.value.as_deref().unwrap())).collect()
    }
}

fn inserts(count: usize) -> String {
    (0..count).map(|n| format!("INSERT INTO t VALUES ({n});\n")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_script_is_sent_in_its_order_and_told() {
    let script = format!(".mode csv\nCREATE TABLE t (a integer primary key);\n{}", inserts(30));
    let loading = Loading::of(&script).await;
    play_node(&loading.cluster);
    let (written, ended) = loading.run(Format::Table).await;
    ended.unwrap();
    let expected: Vec<String> = script.lines().skip(1).map(|line| line.trim_end_matches(';').to_owned()).collect();
    assert_eq!(loading.sent(), expected);
    assert_eq!(loading.short(&written.data()), "a.sql: 31 of 31 statements executed, offsets 0 to 30, 0.0 s\n");
    let notes = loading.short(&written.notes());
    assert!(
        notes.starts_with("a.sql:1: passed over: .mode csv (a command of the database's own tool)\na.sql: 4 of 31"),
        "{notes}"
    );
    assert!(notes.ends_with("a.sql: 31 of 31 statements\n"), "{notes}");
}

#[tokio::test(start_paused = true)]
async fn a_load_begun_again_is_refused_and_with_resume_executes_nothing_twice() {
    let mut loading = Loading::of(&inserts(5)).await;
    play_node(&loading.cluster);
    loading.run(Format::Table).await.1.unwrap();
    let error = loading.run(Format::Table).await.1.unwrap_err();
    assert_eq!(error.exit_code(), 5);
    assert!(error.to_string().starts_with("5 of 5 statements"), "{error}");
    assert_eq!(loading.sent().len(), 5);
    loading.load.resume = true;
    let (written, ended) = loading.run(Format::Json).await;
    ended.unwrap();
    let json = written.json();
    assert_eq!((&json["executed"], &json["executedBefore"], &json["lastOffset"]), (&0.into(), &5.into(), &4.into()));
    let records = loading.cluster.memory.records(Topic::All, 0);
    let ids = |from: usize| -> Vec<_> {
        let request = |record: &kluster_log::Record| Request::parse(record.value.as_deref()).unwrap();
        records[from..from + 5].iter().map(request).map(|request| (request.message_id, request.since_offset)).collect()
    };
    assert_eq!(ids(0), ids(5), "a retry repeats id and sinceOffset");
    loading.load.client_id = "again".into();
    loading.load.resume = false;
    loading.run(Format::Table).await.1.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_it_with_file_line_and_why() {
    let script = format!("{}INSERT INTO t VALUES ('refuse');\n{}", inserts(3), inserts(500));
    let loading = Loading::of(&script).await;
    let node = play_node(&loading.cluster);
    let (written, ended) = loading.run(Format::Table).await;
    let error = ended.unwrap_err();
    assert_eq!(error.exit_code(), 5);
    let text = loading.short(&error.to_string());
    assert!(
        text.starts_with(
            "a.sql:4: refused as unique_violation at offset 3: there already\n  INSERT INTO t VALUES ('refuse')\n"
        ),
        "{text}"
    );
    assert!(text.ends_with("Mend the script or the data and begin there with --from-line 4"), "{text}");
    let sent = loading.sent().len();
    assert!(sent <= 4 + 256, "{sent} sent");
    let executed = format!(
        "Sent before its answer was there, and executed all the same: {} statements, at lines 5, 6, 7,",
        sent - 4
    );
    assert!(text.contains(&executed), "{text}");
    assert!(loading.short(&written.data()).starts_with(&format!("a.sql: {} of 504 statements executed", sent - 1)));
    node.abort();
}

#[tokio::test(start_paused = true)]
async fn with_one_in_flight_nothing_is_behind_a_refused_statement() {
    let mut loading = Loading::of(&format!("INSERT INTO t VALUES ('refuse');\n{}", inserts(3))).await;
    loading.load.in_flight = 1;
    play_node(&loading.cluster);
    assert_eq!(loading.run(Format::Table).await.1.unwrap_err().exit_code(), 5);
    assert_eq!(loading.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_beside_a_statement_that_runs_alone() {
    let loading = Loading::of(&format!("{}CREATE TABLE refuse (a int primary key);\n{}", inserts(3), inserts(3))).await;
    play_node(&loading.cluster);
    assert_eq!(loading.run(Format::Table).await.1.unwrap_err().exit_code(), 5);
    assert_eq!(loading.sent().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn no_answer_in_time_leaves_it_open_and_resume_goes_on() {
    let mut loading = Loading::of(&format!("{}INSERT INTO t VALUES ('silence');\n", inserts(3))).await;
    play_node(&loading.cluster);
    let error = loading.run(Format::Table).await.1.unwrap_err();
    assert_eq!(error.exit_code(), 6);
    let text = loading.short(&error.to_string());
    assert!(text.starts_with("a.sql:4: request load-") && text.contains("Go on with --resume"), "{text}");
    loading.load.resume = true;
    loading.load.ack = AckLevel::All;
    let (written, ended) = loading.run(Format::Json).await;
    assert_eq!(ended.unwrap_err().exit_code(), 6);
    assert_eq!(written.json()["executedBefore"], 3);
    assert_eq!(written.json()["failed"]["line"], 4);
}

#[tokio::test(start_paused = true)]
async fn told_to_stop_it_sends_nothing_more() {
    let loading = Loading::of(&inserts(3)).await;
    play_node(&loading.cluster);
    let stop = CancellationToken::new();
    stop.cancel();
    let (written, ended) = loading.run_until(Format::Json, &stop).await;
    assert_eq!(ended.unwrap_err().exit_code(), 6);
    assert_eq!(written.json()["stopped"], true);
    assert_eq!(loading.sent().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_dialect_is_that_of_the_nodes() {
    let loading = Loading::of("SELECT 1").await;
    let voters = members(1, &["n1", "n2"]);
    loading.cluster.beat(&node("n1").dbms("PostgreSQL").members(voters.clone())).await;
    loading.cluster.beat(&node("n2").dbms("MariaDB").members(voters)).await;
    let error = loading.run(Format::Table).await.1.unwrap_err();
    assert!(error.to_string().starts_with("n1 runs PostgreSQL and n2 runs MariaDB"), "{error}");
    loading.cluster.beat(&node("n2").dbms("PostgreSQL").members(members(1, &["n1", "n2"]))).await;
    loading.cluster.pass(60_000);
    let error = loading.run(Format::Table).await.1.unwrap_err();
    assert!(error.to_string().starts_with("no node is live"), "{error}");
    let nobody = Loading { cluster: Cluster::new(), ..loading };
    let error = nobody.run(Format::Table).await.1.unwrap_err();
    assert!(error.to_string().contains("--dialect"), "{error}");
    assert_eq!(parse_dialect("PostgreSQL"), Ok(Dialect::Postgres));
}

#[tokio::test(start_paused = true)]
async fn files_that_cannot_be_read_are_wrong_settings() {
    let mut loading = Loading::of("").await;
    loading.file.write_all(b"SELECT 1;\n\xff").unwrap();
    let error = loading.run(Format::Table).await.1.unwrap_err();
    assert!(loading.short(&error.to_string()).starts_with("a.sql:2: not UTF-8"), "{error}");
    assert_eq!(error.exit_code(), 2);
    loading.load.file = "/nowhere/a.sql".into();
    assert_eq!(loading.run(Format::Table).await.1.unwrap_err().exit_code(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_nodes_have_forgotten_is_not_sent_again() {
    let mut loading = Loading::of(&inserts(5)).await;
    play_node(&loading.cluster);
    loading.run(Format::Table).await.1.unwrap();
    loading.load.resume = true;
    loading.cluster.memory.leave_hole(Topic::All, 0, kluster_protocol::DEFAULT_WINDOW - 3);
    let (written, ended) = loading.run(Format::Json).await;
    ended.unwrap();
    assert_eq!((&written.json()["executed"], &written.json()["executedBefore"]), (&0.into(), &5.into()));
    let again: Vec<String> = loading.sent().split_off(5);
    assert_eq!(again, [2, 3, 4].map(|n| format!("INSERT INTO t VALUES ({n})")));
    loading.cluster.memory.leave_hole(Topic::All, 0, kluster_protocol::DEFAULT_WINDOW);
    let error = loading.run(Format::Table).await.1.unwrap_err();
    assert!(error.to_string().contains("older ones are not remembered"), "{error}");
    assert_eq!(error.exit_code(), 5);
}

#[tokio::test(start_paused = true)]
async fn how_long_nodes_remember_is_what_the_nodes_say() {
    let mut loading = Loading::of(&inserts(5)).await;
    play_node(&loading.cluster);
    loading.run(Format::Table).await.1.unwrap();
    loading.load.resume = true;
    loading.cluster.memory.leave_hole(Topic::All, 0, 7);
    for (window, sent) in [(10, 3), (20, 5)] {
        let before = loading.sent().len();
        loading.cluster.beat(&node("n1").window(window).members(members(1, &["n1"]))).await;
        loading.run(Format::Table).await.1.unwrap();
        assert_eq!(loading.sent().len() - before, sent, "of the newest {window} records");
    }
}
