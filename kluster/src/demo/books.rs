//! books: whether what lies in the tables is what was acknowledged. No I/O.

use super::checksum::Held;
use super::orders::Ledger;
use super::shop;
use crate::error::KlusterError;
use kluster_protocol::NodeId;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// What was found to be equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Balanced {
    /// The checksum of each node.
    pub(super) checksum: String,
    /// Rows in all tables of a node.
    pub(super) rows: usize,
    /// Orders acknowledged, which are the orders present.
    pub(super) orders: usize,
    /// Pieces sold.
    pub(super) sold: i64,
    /// Pieces left.
    pub(super) left: i64,
}

#[derive(Deserialize)]
struct OrderRow {
    number: String,
    quantity: i64,
}

#[derive(Deserialize)]
struct ProductRow {
    stock: i64,
}

/// Compares the nodes with each other, and their orders with the ledger.
pub(super) fn balance(held: &BTreeMap<NodeId, Held>, ledger: &Ledger) -> Result<Balanced, KlusterError> {
    let Some(first) = held.values().next() else {
        return Err(KlusterError::NotTrue("no node said what it holds".to_owned()));
    };
    if held.values().any(|held| held.checksum != first.checksum || held.offset != first.offset) {
        let sums = held.iter().map(|(node, held)| format!("{node} {} at offset {}", held.checksum, held.offset));
        return Err(KlusterError::Differ(format!("the nodes differ: {}", sums.collect::<Vec<_>>().join(", "))));
    }
    let orders: Vec<OrderRow> = decode(first, "orders")?;
    same_orders(&orders, ledger)?;
    let sold = orders.iter().map(|order| order.quantity).sum();
    let left = decode::<ProductRow>(first, "product")?.iter().map(|product| product.stock).sum();
    if sold + left != shop::stock_at_first() {
        return Err(KlusterError::NotTrue(format!(
            "{sold} pieces sold and {left} left are not {}",
            shop::stock_at_first()
        )));
    }
    let rows = first.tables.iter().map(Vec::len).sum();
    Ok(Balanced { checksum: first.checksum.clone(), rows, orders: orders.len(), sold, left })
}

fn same_orders(orders: &[OrderRow], ledger: &Ledger) -> Result<(), KlusterError> {
    let present: BTreeSet<&str> = orders.iter().map(|order| order.number.as_str()).collect();
    let acknowledged: BTreeSet<&str> = ledger.acknowledged.iter().map(String::as_str).collect();
    if present.len() != orders.len() {
        return Err(KlusterError::NotTrue(format!("{} orders are there twice", orders.len() - present.len())));
    }
    let (lost, strange) = (acknowledged.difference(&present).count(), present.difference(&acknowledged).count());
    match lost + strange {
        0 => Ok(()),
        _ => Err(KlusterError::NotTrue(format!(
            "{lost} acknowledged orders are not there, and {strange} are there that were never acknowledged"
        ))),
    }
}

fn decode<T: for<'de> Deserialize<'de>>(held: &Held, table: &str) -> Result<Vec<T>, KlusterError> {
    let tables = shop::READS.iter().zip(&held.tables);
    let rows = tables.filter(|((name, _), _)| *name == table).flat_map(|(_, rows)| rows);
    let decoded = rows.map(|row| serde_json::from_str(row.get())).collect::<Result<_, _>>();
    decoded.map_err(|error| KlusterError::NotTrue(format!("a row of {table} cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kluster_protocol::Offset;
    use serde_json::value::RawValue;

    fn held(checksum: &str, numbers: &[&str]) -> Held {
        let raw = |text: String| RawValue::from_string(text).unwrap();
        let orders = numbers.iter().map(|number| raw(format!(r#"{{"number":"{number}","quantity":2}}"#))).collect();
        let left = shop::stock_at_first() - 2 * numbers.len() as i64;
        let products = vec![raw(format!(r#"{{"stock":{left}}}"#))];
        Held { offset: Offset::new(9), tables: vec![vec![], products, orders], checksum: checksum.into() }
    }

    fn balance_of(nodes: Vec<Held>, acknowledged: &[&str]) -> Result<Balanced, String> {
        let acknowledged = acknowledged.iter().map(|number| (*number).to_owned()).collect();
        let ledger = Ledger { acknowledged, ..Ledger::default() };
        let names = ["n1", "n2"].map(NodeId::from).into_iter();
        balance(&names.zip(nodes).collect(), &ledger).map_err(|error| error.to_string())
    }

    #[test]
    fn equal_nodes_with_the_acknowledged_orders_balance() {
        let nodes = vec![held("a", &["1", "2"]), held("a", &["1", "2"])];
        let balanced = balance_of(nodes, &["2", "1"]).unwrap();
        assert_eq!((balanced.orders, balanced.sold, balanced.rows), (2, 4, 3));
    }

    #[test]
    fn whatever_is_wrong_is_found() {
        for (nodes, acknowledged, words) in [
            (vec![held("a", &["1"]), held("b", &["1"])], &["1"][..], "the nodes differ"),
            (vec![held("a", &["1", "1"])], &["1"], "1 orders are there twice"),
            (vec![held("a", &["1"])], &["1", "2"], "1 acknowledged orders are not there"),
            (vec![held("a", &["1", "3"])], &["1"], "1 are there that were never acknowledged"),
        ] {
            let error = balance_of(nodes, acknowledged).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
