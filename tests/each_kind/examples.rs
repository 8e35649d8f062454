//! The examples of the client, run as a reader would run them.

use kluster_tests::cluster::{Cluster, Kind, binary};
use std::process::Command;

/// Each example, its further arguments, and what it says among other things.
const EXAMPLES: &[(&str, &[&str], &[&str])] = &[
    ("hello", &[], &["1 row(s)", "1: Jan"]),
    ("first_and_all", &[], &["Quorum: ", "All: 3 node(s)", "(unique_violation)"]),
    ("read_your_write", &[], &["strong: what anybody wrote: Some(1)", "told of the offset: 1"]),
    ("atomic_guard", &[], &["moved 70 at offset", "not moved: statement Some(0)", ": 30\n", ": 70\n"]),
    ("bulk_load", &["500"], &["500 rows in "]),
];

pub async fn every_example_runs(kind: Kind) {
    let cluster = Cluster::start(kind, 3).await;
    let address = format!("kafka://{}/?prefix={}", cluster.kafka().bootstrap(), cluster.prefix());
    for (name, arguments, words) in EXAMPLES {
        let output = Command::new(binary(name)).arg(&address).args(*arguments).output().expect("an example starts");
        let (said, trouble) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{name} on {kind:?}: {said}\n{trouble}");
        words.iter().for_each(|word| assert!(said.contains(word), "{name} on {kind:?} does not say {word:?}: {said}"));
    }
    assert_eq!(cluster.same_everywhere().await["item"].len(), 500);
}
