//! Agreement: whose chains agree, seen from outside. How two nodes compare is `kluster_protocol::Shared`. No I/O.

use kluster_protocol::{Chains, NodeId, Offset, Shared};
use std::collections::BTreeMap;

/// How a node stands to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// It shares no offset with another node, so nothing is known.
    Unknown,
    /// Its chain is that of the others at this offset, the newest that it shares with one of them.
    Agrees {
        /// That offset.
        at: Offset,
    },
    /// Its chain is another.
    Differs {
        /// The newest shared offset at which it still agreed; None: it agreed at none of them.
        after: Option<Offset>,
        /// The oldest shared offset at which it differs.
        at: Offset,
    },
}

/// The nodes compared.
#[derive(Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Each node's standing.
    pub nodes: BTreeMap<NodeId, Agreement>,
    /// The largest group of nodes that agree; of equals, the one that is ahead.
    pub reference: Vec<NodeId>,
    /// No other group is as large: those who differ from it can be named.
    pub majority: bool,
}

/// Compares the nodes' chains.
pub fn compare(nodes: &BTreeMap<NodeId, Chains>) -> Comparison {
    let mut groups = groups(nodes);
    // Stable: of equals the first, which is ahead, stays first.
    groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
    let majority = groups.get(1).is_none_or(|second| second.len() < groups[0].len());
    let reference = groups.first().cloned().unwrap_or_default();
    let standing = |node: &NodeId| (node.clone(), standing(node, nodes, &reference));
    Comparison { nodes: nodes.keys().map(standing).collect(), reference: reference.clone(), majority }
}

fn between(one: &Chains, other: &Chains) -> Shared {
    Shared::of(|offset| one.get(&offset).copied(), other)
}

/// Groups of nodes that agree with one another, in each the node that is ahead first.
fn groups(nodes: &BTreeMap<NodeId, Chains>) -> Vec<Vec<NodeId>> {
    let mut ahead_first: Vec<&NodeId> = nodes.keys().collect();
    ahead_first.sort_by_key(|node| std::cmp::Reverse(nodes[*node].last_key_value().map(|(offset, _)| *offset)));
    let mut groups: Vec<Vec<NodeId>> = Vec::new();
    for node in ahead_first {
        let fits = |group: &&mut Vec<NodeId>| {
            let shared: Vec<Shared> = group.iter().map(|other| between(&nodes[node], &nodes[other])).collect();
            shared.iter().any(|shared| shared.agree()) && shared.iter().all(|shared| shared.oldest_other.is_none())
        };
        match groups.iter_mut().find(fits) {
            Some(group) => group.push(node.clone()),
            None => groups.push(vec![node.clone()]),
        }
    }
    groups
}

/// How one node stands to the group; for the only node of a group, to everyone else.
fn standing(node: &NodeId, nodes: &BTreeMap<NodeId, Chains>, reference: &[NodeId]) -> Agreement {
    let alone = reference.len() == 1 && reference[0] == *node;
    let compared = nodes.keys().filter(|other| *other != node && (alone || reference.contains(other)));
    let shared: Vec<Shared> = compared.map(|other| between(&nodes[node], &nodes[other])).collect();
    let after = shared.iter().filter_map(|shared| shared.newest_equal).max();
    match (shared.iter().filter_map(|shared| shared.oldest_other).min(), after) {
        (Some(at), after) => Agreement::Differs { after: after.filter(|after| *after < at), at },
        (None, Some(at)) => Agreement::Agrees { at },
        (None, None) => Agreement::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Node, astray, chain, node};
    use Agreement::{Agrees, Differs, Unknown};

    fn compared(nodes: &[Node]) -> Comparison {
        compare(&nodes.iter().map(|node| (node.0.node_id.clone(), node.0.chains())).collect())
    }

    fn standings(comparison: &Comparison) -> Vec<Agreement> {
        comparison.nodes.values().copied().collect()
    }

    fn names(nodes: &[NodeId]) -> Vec<&str> {
        nodes.iter().map(NodeId::as_str).collect()
    }

    #[test]
    fn equal_offsets_and_shared_points_agree() {
        let o = Offset::new;
        let all = compared(&[node("n1").applied(9), node("n2").applied(9), node("n3").applied(9)]);
        assert_eq!(standings(&all), [Agrees { at: o(9) }; 3]);
        let point = |name, at: u64| node(name).applied(at).point(256, chain(256));
        let all = compared(&[point("n1", 300), point("n2", 310), node("n3").applied(256)]);
        assert_eq!(standings(&all), [Agrees { at: o(256) }; 3]);
        assert!(all.majority);
    }

    #[test]
    fn the_minority_differs_and_where_it_began_is_narrowed_down() {
        let o = Offset::new;
        let good = |name| node(name).applied(600).point(256, chain(256)).point(512, chain(512));
        let bad = node("n2").on(600, astray(600)).point(256, chain(256)).point(512, astray(512));
        let all = compared(&[good("n1"), bad, good("n3")]);
        assert_eq!(names(&all.reference), ["n1", "n3"]);
        assert_eq!(all.nodes[&"n2".into()], Differs { after: Some(o(256)), at: o(512) });
        assert_eq!(all.nodes[&"n1".into()], Agrees { at: o(600) });
    }

    #[test]
    fn of_two_that_differ_nobody_is_right() {
        let at = Offset::new(7);
        let all = compared(&[node("n1").applied(7), node("n2").on(7, astray(7))]);
        assert!(!all.majority);
        assert_eq!(standings(&all), [Differs { after: None, at }; 2]);
    }

    #[test]
    fn without_a_shared_offset_nothing_is_known() {
        let all = compared(&[node("n1").applied(7), node("n2").applied(8), node("n3")]);
        assert_eq!(standings(&all), [Unknown; 3]);
        assert_eq!(standings(&compared(&[node("n1").applied(7)])), [Unknown]);
        assert_eq!(standings(&compared(&[])), []);
    }
}
