//! Answers: what nodes say on RESPONSES, read by a consumer of its own and not by Kluster's client.

use crate::cluster::PATIENCE;
use kluster_log::{Log, Reader};
use kluster_protocol::{Response, Topic};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// A response whose rows stay JSON text.
pub type Answer = Response<Box<RawValue>>;

/// Everything on RESPONSES from a moment on.
pub struct Answers {
    reader: Reader,
    seen: Vec<Answer>,
}

impl Answers {
    /// Everything that is answered from now on.
    pub async fn from_now(log: &Log) -> Self {
        let mut ends = Vec::new();
        for partition in 0..log.partitions(Topic::Responses).await.expect("RESPONSES has partitions") {
            ends.push((partition, log.range(Topic::Responses, partition).await.expect("RESPONSES has a range").end));
        }
        Self { reader: log.read_many(Topic::Responses, ends).await.expect("RESPONSES can be read"), seen: Vec::new() }
    }

    /// Waits until so many nodes have given a whole answer to this request; the parts of each node's last answer, by the node's name.
    pub async fn of(&mut self, request_id: &str, nodes: usize) -> BTreeMap<String, Vec<Answer>> {
        let gathering = async {
            loop {
                let whole = whole(&self.seen, request_id);
                if whole.len() >= nodes {
                    return whole;
                }
                let record = self.reader.next().await.expect("RESPONSES can be read");
                let value = record.value.as_deref().unwrap_or_default();
                self.seen.push(serde_json::from_slice(value).expect("a response"));
            }
        };
        match tokio::time::timeout(PATIENCE, gathering).await {
            Ok(answers) => answers,
            Err(_) => {
                panic!("{nodes} answers to {request_id} did not come; only: {:?}", whole(&self.seen, request_id).keys())
            }
        }
    }

    /// Forgets what was read so far.
    pub fn forget(&mut self) {
        self.seen.clear();
    }
}

/// The whole answers to a request among these. Answers that are sent again replace the ones before.
fn whole(seen: &[Answer], request_id: &str) -> BTreeMap<String, Vec<Answer>> {
    let mut whole: BTreeMap<String, Vec<Answer>> = BTreeMap::new();
    let named = || seen.iter().filter(|answer| answer.request_id == request_id);
    for last in named().filter(|answer| answer.part.is_none() || answer.last_part) {
        let of_last = named().filter(|answer| answer.message_id == last.message_id && answer.node_id == last.node_id);
        let parts: BTreeMap<u32, &Answer> = of_last.map(|answer| (answer.part.unwrap_or_default(), answer)).collect();
        if parts.len() == last.part.unwrap_or_default() as usize + 1 {
            whole.insert(last.node_id.to_string(), parts.into_values().cloned().collect());
        }
    }
    whole
}
