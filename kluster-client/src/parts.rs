//! Parts: joins the parts of answers. No I/O.
//!
//! Invariant: only parts of one execution are joined, that is of one node under one response `messageId`. A node that executes a read again
//! (its group moved, it restarted) answers under another, and its rows may lie in another order.

use kluster_protocol::{MessageId, NodeId, Response, StatementResult};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// A row as the JSON text that the node wrote.
pub type RawRow = Box<RawValue>;

/// A response whose rows are not decoded yet.
pub(crate) type RawResponse = Response<RawRow>;

/// A response and the size of its record in bytes.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub(crate) response: RawResponse,
    pub(crate) bytes: usize,
}

/// The limit on what is held of one answer was passed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Answers of which parts are missing.
#[derive(Debug)]
pub(crate) struct Parts {
    open: BTreeMap<(NodeId, MessageId), Open>,
    limit: usize,
}

#[derive(Debug)]
struct Open {
    joined: RawResponse,
    next: u32,
    bytes: usize,
}

impl Parts {
    /// Holds at most `limit` bytes of one answer.
    pub(crate) fn new(limit: usize) -> Self {
        Self { open: BTreeMap::new(), limit }
    }

    /// Takes a response; gives the answer that it makes whole.
    pub(crate) fn add(&mut self, arrived: Arrived) -> Result<Option<Arrived>, TooLarge> {
        let Arrived { response, bytes } = arrived;
        let key = (response.node_id.clone(), response.message_id.clone());
        let Some(part) = response.part.filter(|_| !response.is_whole()) else {
            self.open.remove(&key);
            return whole(response, bytes, self.limit);
        };
        let last = response.last_part;
        match self.open.get_mut(&key) {
            // Sent again from its start: what is held is the same.
            Some(open) if part < open.next => return Ok(None),
            Some(open) if part == open.next => open.join(response, bytes),
            None if part == 0 => {
                self.open.insert(key.clone(), Open { joined: response, next: 1, bytes });
            }
            // The parts before were not seen: this execution cannot be joined any more.
            Some(_) | None => {
                self.open.remove(&key);
                return Ok(None);
            }
        }
        match self.open.get(&key) {
            Some(open) if open.bytes > self.limit => Err(TooLarge),
            Some(_) if last => match self.open.remove(&key) {
                Some(open) => whole(open.joined, open.bytes, self.limit),
                None => Ok(None),
            },
            _ => Ok(None),
        }
    }
}

fn whole(mut response: RawResponse, bytes: usize, limit: usize) -> Result<Option<Arrived>, TooLarge> {
    if bytes > limit {
        return Err(TooLarge);
    }
    (response.part, response.last_part) = (None, false);
    Ok(Some(Arrived { response, bytes }))
}

impl Open {
    fn join(&mut self, part: RawResponse, bytes: usize) {
        self.next += 1;
        self.bytes += bytes;
        let joined = &mut self.joined;
        if let Some(rows) = part.result {
            joined.result.get_or_insert_default().extend(rows);
        }
        if joined.columns.is_empty() {
            joined.columns = part.columns;
        }
        joined.rows_affected = part.rows_affected.or(joined.rows_affected);
        for (index, result) in part.results.into_iter().flatten().enumerate() {
            join_result(joined.results.get_or_insert_default(), index, result);
        }
    }
}

/// Each part of a transaction's answer lists its statements from the first on; the rows of a statement go on in the next part.
fn join_result(results: &mut Vec<StatementResult<RawRow>>, index: usize, part: StatementResult<RawRow>) {
    let Some(result) = results.get_mut(index) else {
        return results.push(part);
    };
    result.result.extend(part.result);
    result.rows_affected = result.rows_affected.max(part.rows_affected);
    if result.columns.is_empty() {
        result.columns = part.columns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn part(node: &str, execution: &str, part: Option<u32>, last: bool, rows: &[i64]) -> Arrived {
        let rows: Vec<_> = rows.iter().map(|n| json!({ "n": n })).collect();
        let text = json!({"messageId": execution, "nodeId": node, "requestId": "r", "requestTopic": "ONE", "resultCode": "OK", "result": rows,
            "members": {"version": 1, "voter": true, "voters": 1}, "part": part, "lastPart": last})
        .to_string();
        Arrived { bytes: text.len(), response: serde_json::from_str(&text).unwrap() }
    }

    fn numbers(whole: Option<Arrived>) -> Vec<String> {
        whole.unwrap().response.result.unwrap().iter().map(|row| row.get().to_owned()).collect()
    }

    #[test]
    fn parts_of_one_execution_are_joined() {
        let mut parts = Parts::new(10_000);
        assert!(parts.add(part("n1", "a", Some(0), false, &[1])).unwrap().is_none());
        assert!(parts.add(part("n1", "a", Some(1), false, &[2])).unwrap().is_none());
        assert!(parts.add(part("n1", "a", Some(0), false, &[1])).unwrap().is_none(), "sent again");
        let whole = parts.add(part("n1", "a", Some(2), true, &[3])).unwrap();
        assert_eq!(numbers(whole), [r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#]);
        assert!(parts.open.is_empty());
    }

    #[test]
    fn parts_of_different_executions_are_never_joined() {
        let mut parts = Parts::new(10_000);
        assert!(parts.add(part("n1", "a", Some(0), false, &[1])).unwrap().is_none());
        assert!(
            parts.add(part("n1", "b", Some(1), true, &[9])).unwrap().is_none(),
            "another execution of the same node"
        );
        assert!(parts.add(part("n2", "a", Some(1), true, &[9])).unwrap().is_none(), "another node");
        assert!(parts.add(part("n1", "c", Some(0), false, &[7])).unwrap().is_none());
        assert_eq!(numbers(parts.add(part("n1", "c", Some(1), true, &[8])).unwrap()).len(), 2);
        assert_eq!(numbers(parts.add(part("n1", "a", Some(1), true, &[2])).unwrap()), [r#"{"n":1}"#, r#"{"n":2}"#]);
    }

    #[test]
    fn a_gap_gives_the_execution_up_and_a_whole_answer_needs_no_parts() {
        let mut parts = Parts::new(10_000);
        assert!(parts.add(part("n1", "a", Some(0), false, &[1])).unwrap().is_none());
        assert!(parts.add(part("n1", "a", Some(2), true, &[3])).unwrap().is_none());
        assert!(parts.add(part("n1", "a", Some(1), true, &[2])).unwrap().is_none());
        assert_eq!(numbers(parts.add(part("n1", "a", None, false, &[5])).unwrap()).len(), 1);
        assert_eq!(numbers(parts.add(part("n1", "b", Some(0), true, &[5])).unwrap()).len(), 1);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut parts = Parts::new(500);
        assert!(parts.add(part("n1", "a", Some(0), false, &[1])).is_ok());
        assert!(parts.add(part("n1", "a", Some(1), false, &[2])).is_ok());
        assert!(parts.add(part("n1", "a", Some(2), false, &[3])).is_err());
    }

    #[test]
    fn results_of_statements_are_joined_by_their_place() {
        let of = |index: u32, last: bool, results: serde_json::Value| {
            let text = json!({"messageId": "a", "nodeId": "n1", "requestId": "r", "requestTopic": "ALL", "resultCode": "OK", "results": results,
                "members": {"version": 1, "voter": true, "voters": 1}, "part": index, "lastPart": last})
            .to_string();
            Arrived { bytes: 1, response: serde_json::from_str(&text).unwrap() }
        };
        let mut parts = Parts::new(100);
        let first = json!([{"result": [{"n": 1}], "rowsAffected": 2}]);
        assert!(parts.add(of(0, false, first)).unwrap().is_none());
        let second = json!([{"result": [{"n": 2}], "rowsAffected": 2}, {"result": [{"m": 3}], "rowsAffected": 1}]);
        let results = parts.add(of(1, true, second)).unwrap().unwrap().response.results.unwrap();
        let shape: Vec<_> = results.iter().map(|result| (result.result.len(), result.rows_affected)).collect();
        assert_eq!(shape, [(2, 2), (1, 1)]);
    }
}
