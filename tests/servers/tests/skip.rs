//! A test whose parts are missing is counted, and fails where all parts must be there.
#![cfg(test)]

use std::process::{Command, Output};

use kluster_test_servers::require;

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

fn run(ci: &str, skip_file: &std::path::Path) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "a_test_without_its_part", "--nocapture"]);
    child.env(ROLE, "1").env("CI", ci).env("KLUSTER_SKIP_FILE", skip_file).output().unwrap()
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
