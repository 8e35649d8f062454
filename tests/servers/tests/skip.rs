//! A test whose parts are missing is counted, and fails where all parts must be there.
#![cfg(test)]

use std::process::{Command, Output};

use kluster_test_servers::{LogServer, record_skip, require};

const ROLE: &str = "KLUSTER_SKIP_TEST_CHILD";

/// In the role of a test that needs what no machine has.
#[test]
fn a_test_without_its_part() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    require!(Program("no-such-program"));
    panic!("a missing part must end the test");
}

/// In the role of a test that looks for a part by itself.
#[test]
fn a_test_that_misses_something_else() {
    if std::env::var_os(ROLE).is_some() {
        record_skip("there is no such thing");
    }
}

/// In the role of a test that says what serves its log.
#[test]
fn a_test_with_a_log() {
    if std::env::var_os(ROLE).is_some() {
        println!("served by {:?}", LogServer::chosen());
    }
}

fn run(ci: &str, skip_file: &std::path::Path) -> Output {
    role("a_test_without_its_part", ci).env("KLUSTER_SKIP_FILE", skip_file).output().unwrap()
}

fn role(test: &str, ci: &str) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture"]).env(ROLE, "1").env("CI", ci);
    for name in ["KLUSTER_SKIP_FILE", "KLUSTER_TEST_LOG", "KLUSTER_TEST_BOOTSTRAP", "KLUSTER_TEST_SERVERS"] {
        child.env_remove(name);
    }
    child
}

#[test]
fn the_embedded_broker_serves_where_kafka_is_missing_but_never_in_ci() {
    let served = |ci: &str, set: &[(&str, &str)]| {
        let mut child = role("a_test_with_a_log", ci);
        child.env("KLUSTER_KAFKA_LIBS", "/nowhere").envs(set.iter().copied());
        let output = child.output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let fallen_back = served("", &[]);
    assert!(fallen_back.contains("served by Broker"), "{fallen_back}");
    assert!(fallen_back.contains("Apache Kafka is not there"), "{fallen_back}");
    for (ci, set) in [
        ("true", &[][..]),
        ("", &[("KLUSTER_TEST_LOG", "kafka")]),
        ("", &[("KLUSTER_TEST_BOOTSTRAP", "elsewhere:9092")]),
        ("", &[("KLUSTER_TEST_SERVERS", "docker")]),
    ] {
        let served = served(ci, set);
        assert!(served.contains("served by Kafka"), "{ci:?} {set:?}: {served}");
    }
}

#[test]
fn ci_does_not_skip_what_a_test_misses_by_itself() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let ended = |ci: &str| {
        let mut child = role("a_test_that_misses_something_else", ci);
        child.env("KLUSTER_SKIP_FILE", file.path()).output().unwrap().status.success()
    };
    assert!(!ended("true"));
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "");
    assert!(ended(""));
    assert!(std::fs::read_to_string(file.path()).unwrap().contains("there is no such thing"));
}

#[test]
fn a_skipped_test_is_recorded_with_its_reason() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = run("", file.path());
    assert!(output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("SKIPPED: a_test_without_its_part: no-such-program"));
    let recorded = std::fs::read_to_string(file.path()).unwrap();
    assert!(recorded.starts_with("a_test_without_its_part: no-such-program is not on the PATH"), "{recorded}");
}

#[test]
fn ci_does_not_skip() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = run("true", file.path());
    assert!(!output.status.success());
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "");
}
