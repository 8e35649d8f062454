//! README.md, "Manual steps": every block, in order, in one shell, as a reader would run it, on ports that are free here.

use kluster_test_servers::require;
use kluster_tests::cluster::binary;
use rand::RngExt;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whatever happens, nothing that the steps started outlives them.
const AT_THE_END: &str = r#"
set -euo pipefail
end() {
    set +e
    for pid in "$dir"/pg?/data/postmaster.pid; do [ -f "$pid" ] && kill -9 "$(head -n 1 "$pid")"; done
    kill -9 $(jobs -p)
    [ "$1" = 0 ] || tail -n 20 "$dir"/*.log >&2
} 2> /dev/null
trap 'end $?' EXIT
"#;

#[test]
fn the_manual_steps_lead_to_three_answers_and_three_rows() {
    require!(Kafka, KafkaTools, Postgres);
    let directory = tempfile::tempdir().expect("a directory can be made");
    let programs = programs(directory.path());
    let place = directory.path().join("cluster");
    std::fs::create_dir(&place).expect("a directory can be made");
    traversable(directory.path());
    // Longer than any healthy run takes, even on a busy machine.
    let mut steps = Command::new("timeout");
    steps.args(["--kill-after=30", "240", "bash", "-c", &format!("{AT_THE_END}{}", blocks())]);
    steps.current_dir(root()).env("dir", &place).env("bin", programs);
    steps.env("kafka_port", free(2).to_string()).env("pg_port", free(3).to_string());
    let output = steps.output().expect("bash starts");
    let (said, trouble) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?}\n{said}\n{trouble}", output.status);
    for request in ["1", "2"] {
        assert_eq!(answered(&said, request), ["n1", "n2", "n3"], "{said}\n{trouble}");
    }
    assert_eq!(said.matches("| Jan").count(), 3, "{said}");
}

/// The nodes that answered this request with OK, sorted.
fn answered(said: &str, request: &str) -> Vec<String> {
    let responses = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let good = responses.filter(|response| response["requestId"] == request && response["resultCode"] == "OK");
    let mut nodes: Vec<String> = good.filter_map(|response| Some(response["nodeId"].as_str()?.to_owned())).collect();
    nodes.sort();
    nodes
}

/// Every block of the section, joined.
fn blocks() -> String {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("there is a README");
    let (_, section) = readme.split_once("\n## Manual steps\n").expect("the README has manual steps");
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("```sh\n").skip(1).filter_map(|block| Some(block.split_once("```")?.0));
    blocks.collect::<Vec<_>>().join("\n")
}

/// A directory of the programs under the names that the README calls them.
fn programs(directory: &Path) -> PathBuf {
    let programs = directory.join("bin");
    std::fs::create_dir(&programs).expect("a directory can be made");
    for name in ["kluster-node", "kluster-admin"] {
        symlink(binary(name), programs.join(name)).expect("a link can be made");
    }
    programs
}

/// Lets the account that PostgreSQL runs as come through.
fn traversable(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).expect("our own directory");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository is there")
}

/// The first of so many ports in a row that are free, below those that the system hands out for outgoing connections.
fn free(count: u16) -> u16 {
    let mut random = rand::rng();
    let mut candidates = std::iter::repeat_with(|| random.random_range(15_000..32_000)).take(200);
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    candidates.find(|first| (0..count).all(|step| is_free(first + step))).expect("some ports are free")
}
