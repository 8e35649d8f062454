//! The simulated cluster keeps every promise on 1,000 seeds, meets everything that it must survive, and is the same history each time.

use kluster_tests::sim::{self, Campaign, Counts};
use std::io::Write;

#[test]
fn a_thousand_histories_keep_every_promise() {
    let report = sim::run(Campaign { from: 0, seeds: 1000 });
    // Past the harness, which shows what a test prints only when it fails: these numbers say what was tested.
    writeln!(std::io::stdout(), "{report}").unwrap();
    assert!(report.is_good(), "{report}");
}

#[test]
fn a_node_whose_data_were_altered_stops_and_the_others_go_on() {
    altered_stops("insert into account values (1000, 0)");
}

/// Every answer is as before, so the chain of outcomes alone would never tell.
#[test]
fn a_node_that_answers_as_the_others_and_holds_other_rows_stops() {
    altered_stops("update account set balance = balance + 1 where id = 0");
}

fn altered_stops(alteration: &'static str) {
    let counts = Counts::default();
    for seed in 0..25 {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let lived = sim::simulate_altered(seed, directory.path(), &counts, alteration);
        assert!(lived.is_ok(), "seed {seed}: {lived:?}");
    }
    assert_eq!(counts.all()["data altered"], 25);
}

#[test]
fn one_seed_is_one_history() {
    let live = |seed| {
        let directory = tempfile::tempdir().unwrap();
        sim::simulate(seed, directory.path(), &Counts::default()).unwrap()
    };
    for seed in [1, 2, 3] {
        assert_eq!(live(seed), live(seed), "seed {seed}");
    }
    assert_ne!(live(1), live(2));
}
