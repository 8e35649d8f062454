//! The simulated cluster keeps every promise on 1,000 seeds, meets everything that it must survive, and is the same history each time.

use kluster_tests::sim::{self, Astray, Campaign, Counts};
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
    stops(Astray::Answers("insert into account values (1000, 0)"), "data altered");
}

/// Every answer is as before, so the chain of outcomes alone would never tell.
#[test]
fn a_node_that_answers_as_the_others_and_holds_other_rows_stops() {
    let counts = stops(Astray::Effects("insert into register values (9, 7)"), "data altered");
    names_it(&counts);
}

/// A check may find the tables before anybody's next heartbeat tells.
fn names_it(counts: &Counts) {
    let met = |what| counts.all().get(what).copied().unwrap_or_default();
    let (named, checked) = (met("first difference named"), met("a check came first"));
    assert_eq!(named + checked, 25);
    assert!(named > 2 * checked, "{named} named, {checked} by a check");
}

/// A node that executes something else than the log says, and answers as the others.
#[test]
fn a_wrong_effect_stops_its_node_which_names_the_offset() {
    let counts = stops(Astray::Executes, "executed something else");
    names_it(&counts);
    assert!(counts.all()["effects of each offset published"] >= 50);
}

fn stops(how: Astray, met: &str) -> Counts {
    let counts = Counts::default();
    for seed in 0..25 {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let lived = sim::simulate_astray(seed, directory.path(), &counts, how);
        assert!(lived.is_ok(), "seed {seed}: {lived:?}");
    }
    assert!(counts.all()[met] >= 25);
    counts
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
