//! Records of ALL as a client writes them, and values drawn for them.

use bytes::Bytes;
use kluster_log::Record;
use kluster_protocol::Offset;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

/// The record at `offset` that asks `body`, which names neither client nor message.
pub fn record(offset: u64, message: &str, mut body: Value) -> Record {
    body["messageId"] = json!(message);
    body["clientId"] = json!("c");
    Record {
        partition: 0,
        offset: Offset::new(offset),
        timestamp_ms: 1_700_000_000_000 + offset as i64,
        key: None,
        headers: Vec::new(),
        value: Some(Bytes::from(body.to_string())),
    }
}

/// The record at `offset` that asks for one statement.
pub fn asks(offset: u64, sql: &str) -> Record {
    record(offset, &format!("m{offset}"), json!({"sqlString": sql}))
}

/// One of these.
pub fn pick<T: Clone>(rng: &mut StdRng, of: &[T]) -> T {
    of[rng.random_range(0..of.len())].clone()
}

/// A number of the environment, or this.
pub fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Rows of `item`, `archive` and `loose` that tie in every column but the key.
pub fn rows(rng: &mut StdRng, count: usize) -> Vec<String> {
    let amounts = ["1e16", "0.1", "-1e16", "3.3", "1e8", "0.7", "0"];
    let names = ["'a'", "'b'", "'A'", "'é ñ'", "'2024-02-29'", "'now'", "'7'", "null", "''"];
    let row = |n| {
        let (name, amount) = (pick(rng, &names), pick(rng, &amounts));
        format!("('k{n}', {}, {}, {name}, {amount})", n % 3, n % 4)
    };
    (0..count).map(row).collect()
}
