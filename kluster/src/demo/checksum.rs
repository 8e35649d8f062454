//! checksum: what every node holds at one offset. One request through ALL reads all tables; each node answers with its own rows as of that
//! place in the order, and each answer is hashed here.

use super::shop::READS;
use crate::error::KlusterError;
use kluster_log::{Log, NewRecord, Reader};
use kluster_protocol::{
    Body, ClientId, MessageId, NodeId, Offset, Request, Response, Statement, StatementResult, Topic, header,
};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

/// The slowest node has answered by then.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where the answers are to go; any partition will do.
const PARTITION: u32 = 0;

type Answer = Response<Box<RawValue>>;
type Rows = Vec<Box<RawValue>>;

/// What one node holds.
#[derive(Debug)]
pub(super) struct Held {
    /// The offset of ALL at which it was read.
    pub(super) offset: Offset,
    /// The rows of each table, as JSON text, in the order of [`READS`].
    pub(super) tables: Vec<Rows>,
    /// The hash of all of it.
    pub(super) checksum: String,
}

/// Asks for all tables and waits until each of these nodes has answered.
pub(super) async fn of_each(log: &Log, nodes: &[NodeId]) -> Result<BTreeMap<NodeId, Held>, KlusterError> {
    let end = log.range(Topic::Responses, PARTITION).await?.end;
    let mut reader = log.read(Topic::Responses, PARTITION, end).await?;
    let id = MessageId::fresh();
    let statements = READS.iter().map(|(_, read)| Statement::new(*read)).collect();
    let request = Request {
        body: Body::List { statements },
        ..Request::new(id.clone(), ClientId::from("demo"), Statement::new(""))
    };
    let value = serde_json::to_vec(&request).map_err(|error| KlusterError::NotTrue(error.to_string()))?;
    let record = NewRecord::of(value).header(header::REPLY_PARTITION, PARTITION.to_string());
    log.append(Topic::All, Some(0), record).await?;
    let gathered = tokio::time::timeout(PATIENCE, gather(&mut reader, &id, nodes)).await;
    gathered.map_err(|_| KlusterError::NotTrue("a node did not say what it holds within a minute".to_owned()))?
}

async fn gather(reader: &mut Reader, id: &MessageId, nodes: &[NodeId]) -> Result<BTreeMap<NodeId, Held>, KlusterError> {
    let mut parts: BTreeMap<NodeId, Parts> = BTreeMap::new();
    let mut held = BTreeMap::new();
    while !nodes.iter().all(|node| held.contains_key(node)) {
        let record = reader.next().await?;
        // What cannot be read is an answer to somebody else.
        let Ok(answer) = serde_json::from_slice::<Answer>(record.value.as_deref().unwrap_or_default()) else {
            continue;
        };
        if answer.request_id != id.as_str() {
            continue;
        }
        let node = answer.node_id.clone();
        if let Some(whole) = parts.entry(node.clone()).or_default().add(answer)? {
            held.insert(node, whole);
        }
    }
    Ok(held)
}

/// The parts of one node's answer, each once, however often they come.
#[derive(Default)]
struct Parts {
    parts: BTreeMap<u32, Vec<StatementResult<Box<RawValue>>>>,
    last: Option<u32>,
}

impl Parts {
    /// Takes in a part; gives the whole when none is missing.
    fn add(&mut self, answer: Answer) -> Result<Option<Held>, KlusterError> {
        let (Some(results), Some(offset)) = (answer.results, answer.offset) else {
            return Err(KlusterError::NotTrue(format!(
                "{} does not say what it holds: {}",
                answer.node_id, answer.result_code
            )));
        };
        let part = answer.part.unwrap_or_default();
        if answer.part.is_none() || answer.last_part {
            self.last = Some(part);
        }
        self.parts.insert(part, results);
        let whole = self.last.is_some_and(|last| self.parts.len() as u32 > last);
        Ok(whole.then(|| Held::of(offset, std::mem::take(&mut self.parts))))
    }
}

impl Held {
    fn of(offset: Offset, parts: BTreeMap<u32, Vec<StatementResult<Box<RawValue>>>>) -> Self {
        let mut tables: Vec<Rows> = READS.iter().map(|_| Rows::new()).collect();
        for results in parts.into_values() {
            for (table, result) in tables.iter_mut().zip(results) {
                table.extend(result.result);
            }
        }
        let checksum = checksum(&tables);
        Self { offset, tables, checksum }
    }
}

/// SHA-256 over the tables' names, the counts of their rows and the rows; the first 16 hexadecimal digits.
fn checksum(tables: &[Rows]) -> String {
    let mut hash = Sha256::new();
    for ((name, _), rows) in READS.iter().zip(tables) {
        hash.update(format!("{name} {}\n", rows.len()));
        for row in rows {
            hash.update(row.get());
            hash.update("\n");
        }
    }
    hex::encode(&hash.finalize()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(part: Option<u32>, last: bool, rows: &[&str]) -> Answer {
        let rows = rows.iter().map(|row| RawValue::from_string((*row).to_owned()).unwrap());
        let results = vec![StatementResult { columns: vec![], result: rows.collect(), rows_affected: 0 }];
        let answer = serde_json::json!({"messageId": "a", "nodeId": "n1", "requestId": "r", "requestTopic": "ALL", "resultCode": "OK",
            "offset": 7, "members": {"version": 1, "voter": true, "voters": 1}});
        let answer: Answer = serde_json::from_str(&answer.to_string()).unwrap();
        Answer { results: Some(results), part, last_part: last, ..answer }
    }

    #[test]
    fn parts_make_the_same_whole_in_any_order_and_repeated() {
        let whole = Parts::default().add(answer(None, false, &["1", "2"])).unwrap().unwrap();
        let mut parts = Parts::default();
        assert!(parts.add(answer(Some(1), true, &["2"])).unwrap().is_none());
        assert!(parts.add(answer(Some(1), true, &["2"])).unwrap().is_none());
        let joined = parts.add(answer(Some(0), false, &["1"])).unwrap().unwrap();
        assert_eq!((joined.checksum, joined.offset), (whole.checksum.clone(), Offset::new(7)));
        let other = Parts::default().add(answer(None, false, &["1", "3"])).unwrap().unwrap();
        assert_ne!(other.checksum, whole.checksum);
    }
}
