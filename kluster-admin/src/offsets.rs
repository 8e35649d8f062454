//! offsets: how far each node has applied ALL, and how far each consumer group has committed.

use crate::error::AdminError;
use crate::nodes::Nodes;
use crate::output::{Output, Rows, Tone};
use crate::show;
use kluster_log::{Log, Range};
use kluster_node::report::Clock;
use kluster_protocol::{Offset, Topic};
use serde_json::{Value, json};

/// The manual of the command.
pub const MANUAL: &str = "\
Show how far each node and consumer group is.

APPLIED is the last offset in a node's database, as its heartbeat of the last second says. COMMITTED is the place behind the last record that a \
consumer group has answered; for ALL that is a hint only. LAG counts the records from there to the end; markers of other programs' Kafka \
transactions count too, though nobody reads them.";

/// What `offsets` is asked with.
#[derive(Debug, Clone, clap::Args)]
pub struct Offsets {}

/// How far somebody is in a partition.
struct Place {
    who: String,
    what: &'static str,
    topic: Topic,
    partition: u32,
    /// None: nowhere yet.
    offset: Option<Offset>,
    /// The next place to be read.
    next: Offset,
    end: Offset,
}

impl Offsets {
    /// Shows every node's and group's place.
    pub async fn run(&self, log: &Log, clock: &Clock, output: &mut Output<'_>) -> Result<(), AdminError> {
        let nodes = Nodes::read(log, clock).await?;
        let places = places(log, &nodes).await?;
        nodes.note(output)?;
        if output.is_json() {
            return Ok(output.json(&json!({"offsets": places.iter().map(Place::json).collect::<Vec<_>>()}))?);
        }
        let mut rows = Rows::new(
            &["who", "what", "topic", "partition", "offset", "end", "lag"],
            &["partition", "offset", "end", "lag"],
        );
        places.iter().for_each(|place| rows.push(place.row()));
        Ok(output.table(rows)?)
    }
}

async fn places(log: &Log, nodes: &Nodes) -> Result<Vec<Place>, AdminError> {
    let all = log.range(Topic::All, 0).await?;
    let mut places = Vec::new();
    for (node, heard) in nodes.heard() {
        let applied = heard.heartbeat.applied;
        let next = applied.map_or(all.start, Offset::next);
        let (who, what) = (node.to_string(), "applied");
        places.push(Place { who, what, topic: Topic::All, partition: 0, offset: applied, next, end: all.end });
    }
    for (node, _) in nodes.heard() {
        places.push(committed(log, log.names().group_of_all(node), Topic::All, 0, all).await?);
    }
    let group = log.names().group_of_one();
    for partition in 0..log.partitions(Topic::One).await? {
        let range = log.range(Topic::One, partition).await?;
        places.push(committed(log, group.clone(), Topic::One, partition, range).await?);
    }
    Ok(places)
}

async fn committed(log: &Log, group: String, topic: Topic, partition: u32, range: Range) -> Result<Place, AdminError> {
    let offset = log.committed(&group, topic, partition).await?;
    // What retention has removed is not waited for.
    let next = offset.unwrap_or(range.start).max(range.start);
    Ok(Place { who: group, what: "committed", topic, partition, offset, next, end: range.end })
}

impl Place {
    fn lag(&self) -> u64 {
        self.end.get().saturating_sub(self.next.get())
    }

    fn row(&self) -> Vec<(String, Tone)> {
        let cells = [
            self.who.clone(),
            self.what.to_owned(),
            self.topic.to_string(),
            self.partition.to_string(),
            show::or_none(self.offset),
            self.end.to_string(),
            self.lag().to_string(),
        ];
        cells.into_iter().map(|text| (text, Tone::Plain)).collect()
    }

    fn json(&self) -> Value {
        json!({
            "who": self.who,
            "what": self.what,
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "end": self.end,
            "lag": self.lag(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Cluster, Written, node};
    use crate::output::Format;
    use kluster_log::NewRecord;

    async fn cluster() -> Cluster {
        let cluster = Cluster::new();
        cluster.fill(10).await;
        cluster.beat(&node("n1").applied(7)).await;
        cluster.beat(&node("n2")).await;
        cluster.log.commit("main.all.n1", Topic::All, 0, Offset::new(6)).await.unwrap();
        cluster.log.append(Topic::One, Some(2), NewRecord::of("x")).await.unwrap();
        cluster.log.commit("main.one", Topic::One, 2, Offset::new(1)).await.unwrap();
        cluster
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_and_groups_with_their_lag() {
        let cluster = cluster().await;
        let mut written = Written::default();
        Offsets {}.run(&cluster.log, &cluster.clock, &mut written.output(Format::Table)).await.unwrap();
        let expected = "\
WHO          WHAT       TOPIC  PARTITION  OFFSET  END  LAG
n1           applied    ALL            0       7   10    2
n2           applied    ALL            0       –   10   10
main.all.n1  committed  ALL            0       6   10    4
main.all.n2  committed  ALL            0       –   10   10
main.one     committed  ONE            0       –    0    0
main.one     committed  ONE            1       –    0    0
main.one     committed  ONE            2       1    1    0
main.one     committed  ONE            3       –    0    0
";
        assert_eq!(written.data(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn json_is_one_document() {
        let cluster = cluster().await;
        let mut written = Written::default();
        Offsets {}.run(&cluster.log, &cluster.clock, &mut written.output(Format::Json)).await.unwrap();
        let json = written.json();
        assert_eq!(json["offsets"].as_array().unwrap().len(), 8);
        assert_eq!(json["offsets"][2]["lag"], 4);
        assert_eq!(json["offsets"][1]["offset"], serde_json::Value::Null);
    }
}
