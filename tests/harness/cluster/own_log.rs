//! A log of the test's own, which the test may hold, kill, and take back to an older state of its disk; and nodes seen from beside it.

use super::{Cluster, Database, Kind};
use kluster_protocol::Topic;
use kluster_test_servers::{KafkaOptions, KafkaServer};
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

impl Cluster {
    /// Topics on a Kafka that no other test uses, and no node yet.
    pub async fn on_a_log_of_its_own() -> Self {
        let kafka = KafkaServer::start(KafkaOptions::default()).await.expect("a log of the test's own starts");
        Self::on(Box::leak(Box::new(kafka))).await
    }

    /// The same with so many nodes beside SQLite files, all of them joined.
    pub async fn of_nodes_on_a_log_of_its_own(count: usize) -> Self {
        let mut cluster = Self::on_a_log_of_its_own().await;
        for _ in 0..count {
            cluster.add(Database::create(Kind::Sqlite).await);
        }
        cluster.ready().await;
        cluster
    }

    /// The HTTP port of each node.
    pub async fn ports(&self) -> Vec<String> {
        let beats = self.heartbeats_until(|beats| beats.len() == self.nodes.len()).await;
        beats.into_values().map(|beat| beat.http.expect("it has a port")).collect()
    }

    /// The name of the topic ALL.
    pub fn all(&self) -> String {
        self.log().names().name(Topic::All)
    }

    /// Runs one of Kafka's own tools to its success.
    pub async fn tool(&self, name: &str, arguments: &[&str]) {
        let mut tool = tokio::process::Command::from(self.kafka().tool(name, arguments).expect("the tool is there"));
        let done = tool.output().await.expect("the tool starts");
        assert!(done.status.success(), "{name} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Makes every record of ALL before `start` gone.
    pub async fn trim(&self, start: u64) {
        let file = tempfile::NamedTempFile::new().expect("a file can be made");
        let places =
            serde_json::json!({"version": 1, "partitions": [{"topic": self.all(), "partition": 0, "offset": start}]});
        std::fs::write(file.path(), places.to_string()).expect("the file can be written");
        let file = file.path().to_str().expect("its path is a text");
        self.tool("kafka-delete-records", &["--offset-json-file", file]).await;
    }
}

/// What a node says of its readiness, headers and all.
pub async fn readyz(port: &str) -> String {
    let mut stream = TcpStream::connect(port).await.expect("the node listens");
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut said = String::new();
    stream.read_to_string(&mut said).await.expect("it answers");
    said
}

/// Makes the content of one directory that of another.
pub async fn copy_directory(from: &Path, to: &Path) {
    let script = "find \"$2\" -mindepth 1 -delete && cp -a \"$1\"/. \"$2\"";
    let mut copy = tokio::process::Command::new("sh");
    copy.args(["-c", script, "copy"]).args([from, to]);
    assert!(copy.status().await.expect("a shell starts").success());
}
