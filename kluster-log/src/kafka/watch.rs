//! Watch: how a client fares, as seen in errors and statistics: since when its broker cannot be reached, since when its partitions stall.

use crate::Trouble;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A stall shorter than this is an ordinary transaction.
const STALL: Duration = Duration::from_secs(10);

/// Since when what is wrong.
#[derive(Debug, Default)]
pub(super) struct Watch {
    trouble: Option<(Instant, String)>,
    stalls: BTreeMap<(String, i32), Stall>,
}

/// The last stable offset stands still behind the high watermark.
#[derive(Debug)]
struct Stall {
    at: i64,
    since: Instant,
}

impl Watch {
    /// Whether this is news.
    pub(super) fn troubled(&mut self, reason: &str) -> bool {
        let new = self.trouble.is_none();
        let since = self.trouble.take().map_or_else(Instant::now, |(since, _)| since);
        self.trouble = Some((since, reason.to_owned()));
        new
    }

    /// How long the trouble lasted that is over now.
    pub(super) fn well(&mut self) -> Option<Duration> {
        self.trouble.take().map(|(since, _)| since.elapsed())
    }

    pub(super) fn trouble(&self) -> Option<Trouble> {
        let (since, reason) = self.trouble.as_ref()?;
        Some(Trouble { lasting: since.elapsed(), reason: reason.clone() })
    }

    /// The longest stall beyond [`STALL`].
    pub(super) fn stalled_for(&self) -> Option<Duration> {
        self.stalls.values().map(|stall| stall.since.elapsed()).filter(|time| *time > STALL).max()
    }

    /// Reads librdkafka's statistics; whether the leaders of what is read are connected, or any broker where nothing is.
    pub(super) fn statistics(&mut self, json: &[u8]) -> bool {
        let Ok(statistics) = serde_json::from_slice::<Statistics>(json) else {
            tracing::debug!("librdkafka's statistics have another form than expected");
            return false;
        };
        let connected = statistics.are_connected();
        for (name, topic) in statistics.topics {
            for (_, partition) in topic.partitions {
                self.partition(&name, &partition);
            }
        }
        connected
    }

    fn partition(&mut self, topic: &str, seen: &PartitionStatistics) {
        let place = (topic.to_owned(), seen.partition);
        let stable = seen.ls_offset;
        if stable < 0 || stable >= seen.hi_offset {
            self.stalls.remove(&place);
            return;
        }
        let stall = self.stalls.entry(place).or_insert_with(|| Stall { at: stable, since: Instant::now() });
        if stall.at != stable {
            *stall = Stall { at: stable, since: Instant::now() };
        }
    }
}

/// What is used of <https://github.com/confluentinc/librdkafka/blob/master/STATISTICS.md>.
#[derive(Debug, Deserialize)]
struct Statistics {
    #[serde(default)]
    brokers: BTreeMap<String, BrokerStatistics>,
    #[serde(default)]
    topics: BTreeMap<String, TopicStatistics>,
}

impl Statistics {
    /// One broker of several that is away is no trouble, unless it leads what is read.
    fn are_connected(&self) -> bool {
        let is_up = |broker: &BrokerStatistics| broker.nodeid >= 0 && broker.state == "UP";
        let partitions = self.topics.values().flat_map(|topic| topic.partitions.values());
        let mut read = partitions.filter(|partition| partition.partition >= 0 && partition.desired).peekable();
        match read.peek() {
            None => self.brokers.values().any(is_up),
            Some(_) => read.all(|partition| {
                self.brokers.values().any(|broker| broker.nodeid == partition.leader && is_up(broker))
            }),
        }
    }
}

#[derive(Debug, Deserialize)]
struct BrokerStatistics {
    nodeid: i64,
    state: String,
}

#[derive(Debug, Deserialize)]
struct TopicStatistics {
    #[serde(default)]
    partitions: BTreeMap<String, PartitionStatistics>,
}

#[derive(Debug, Deserialize)]
struct PartitionStatistics {
    partition: i32,
    leader: i64,
    desired: bool,
    ls_offset: i64,
    hi_offset: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(stable: i64, high: i64) -> Vec<u8> {
        format!(
            r#"{{"brokers":{{"b:1/1":{{"nodeid":1,"state":"UP","x":0}}}},"topics":{{"ALL":{{"partitions":{{
            "0":{{"partition":0,"leader":1,"desired":true,"ls_offset":{stable},"hi_offset":{high}}},
            "-1":{{"partition":-1,"leader":-1,"desired":false,"ls_offset":-1001,"hi_offset":-1001}}}}}}}}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn a_stable_offset_that_stands_still_is_a_stall() {
        let mut watch = Watch::default();
        assert!(watch.statistics(&statistics(7, 9)));
        assert_eq!(watch.stalled_for(), None, "not yet");
        let place = ("ALL".to_owned(), 0);
        let long_ago = Instant::now().checked_sub(2 * STALL).unwrap();
        watch.stalls.get_mut(&place).unwrap().since = long_ago;
        watch.statistics(&statistics(7, 12));
        assert!(watch.stalled_for().unwrap() > STALL);
        watch.statistics(&statistics(8, 12));
        assert_eq!(watch.stalled_for(), None, "it moves");
        watch.statistics(&statistics(12, 12));
        assert!(watch.stalls.is_empty());
    }

    #[test]
    fn another_broker_that_is_away_is_no_trouble_and_the_leader_is() {
        let statistics = |leader: i64| {
            format!(
                r#"{{"brokers":{{"a:1/1":{{"nodeid":1,"state":"UP"}},"b:1/2":{{"nodeid":2,"state":"DOWN"}}}},"topics":{{"ALL":{{"partitions":{{
                "0":{{"partition":0,"leader":{leader},"desired":true,"ls_offset":0,"hi_offset":0}}}}}}}}}}"#
            )
        };
        for (leader, connected) in [(1, true), (2, false), (-1, false)] {
            assert_eq!(Watch::default().statistics(statistics(leader).as_bytes()), connected, "{leader}");
        }
    }

    #[test]
    fn trouble_is_news_once_and_keeps_its_beginning() {
        let mut watch = Watch::default();
        assert!(watch.troubled("a"));
        assert!(!watch.troubled("b"));
        assert_eq!(watch.trouble().unwrap().reason, "b");
        assert!(watch.well().is_some() && watch.well().is_none() && watch.trouble().is_none());
    }
}
