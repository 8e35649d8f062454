//! README.md: what it tells a reader to type is typed here, in its order, with the programs of the test's build and on ports that are free: the
//! conversation of the quickstart at a terminal, and the blocks of the sections for Apache Kafka and by hand in a shell.

#![cfg(test)]

use kluster_test_servers::require;
use kluster_tests::cluster::binary;
use kluster_tests::person::Person;
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

/// The same for what was started by lines of one's own: each job is a process group.
const JOBS_AT_THE_END: &str = r#"
set -euo pipefail
set -m
end() {
    set +e
    for job in $(jobs -p); do kill -9 -- "-$job"; done
    [ "$1" = 0 ] || tail -n 20 *.log >&2
} 2> /dev/null
trap 'end $?' EXIT
"#;

#[test]
fn the_manual_steps_lead_to_three_answers_and_three_rows() {
    require!(Kafka, KafkaTools, Postgres);
    let directory = tempfile::tempdir().expect("a directory can be made");
    let programs = programs_of(directory.path());
    let place = directory.path().join("cluster");
    std::fs::create_dir(&place).expect("a directory can be made");
    traversable(directory.path());
    // Longer than any healthy run takes, even on a busy machine.
    let mut steps = Command::new("timeout");
    steps.args([
        "--kill-after=30",
        "240",
        "bash",
        "-c",
        &format!("{AT_THE_END}{}", blocks("Manual steps", "sh").join("\n")),
    ]);
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

#[test]
fn the_conversation_of_the_quickstart_goes_as_it_is_told() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let port = free(1);
    let mut person = up(directory.path(), port);
    let told = blocks("Quickstart", "text").remove(0);
    person.sees("main> ");
    for line in told.lines() {
        match line.strip_prefix("main> ") {
            Some(typed) => {
                if typed == "\\nodes" {
                    until_heard(&mut person);
                }
                person.types(typed);
                // What the terminal echoes.
                person.sees(typed);
            }
            // The rest of a table.
            None if line == "…" => {}
            None => drop(person.sees_any(&form(line))),
        }
    }
    person.types("\\ack all");
    person.types("\\?");
    person.sees("\\retry");
    let second = blocks("Quickstart", "sh").concat();
    let second = second.lines().find(|line| line.starts_with("kluster sql")).expect("a second terminal is told of");
    let said = shell(directory.path(), port).args(["-c", second]).output().expect("bash starts");
    assert_eq!(String::from_utf8_lossy(&said.stdout), " id │ name\n────┼──────\n  1 │ Jan\n", "{said:?}");
    person.types("\\q");
    assert_eq!(person.leaves(), 0);
}

#[test]
fn kafkas_tools_speak_with_the_quickstart() {
    require!(KafkaTools);
    let directory = tempfile::tempdir().expect("a directory can be made");
    let port = free(1);
    let (tools, line) = (blocks("Quickstart", "sh"), blocks("Quickstart", "json").remove(0));
    let tool = |name: &str| {
        let block = tools.iter().find(|block| block.starts_with(name));
        block.expect("the tool is told of").trim_end().replace("9092", &port.to_string())
    };
    let (consumer, producer) = (tool("kafka-console-consumer"), tool("kafka-console-producer"));
    // The line twice, as the text says: answered again, and one row.
    let script = [
        JOBS_AT_THE_END,
        "kluster up > up.log 2>&1 & up=$!",
        "until grep -q ^ready up.log; do kill -0 $up; done",
        "kluster sql --ack all 'create table person (id int primary key, name text)'",
        &format!("type_line() {{ {producer} <<'END'\n{line}END\n}}"),
        "type_line; type_line",
        &format!("{consumer} --from-beginning --max-messages 9 --timeout-ms 60000"),
        "kluster sql --read strong \"select count(*) as rows_of_mia from person where name = 'Mia'\"",
        "kill $up; wait $up",
    ];
    let said = shell(directory.path(), port).args(["-c", &script.join("\n")]).output().expect("bash starts");
    let ended = said.status.success();
    let (said, trouble) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(ended, "{said}\n{trouble}");
    assert_eq!(answered(&said, "1"), ["n1", "n1", "n2", "n2", "n3", "n3"], "{said}\n{trouble}");
    assert!(said.contains(" rows_of_mia\n─────────────\n           1\n"), "{said}");
}

/// Asks for the nodes until their heartbeats tell of the statements before: they come every other second.
fn until_heard(person: &mut Person) {
    loop {
        person.types("\\nodes");
        let heard = person.sees_any("no offset shared|same at [0-9]+");
        person.sees("main> ");
        if heard.starts_with("same") {
            return;
        }
    }
}

/// What `make` starts, at a terminal.
fn up(directory: &Path, port: u16) -> Person {
    let mut command = Command::new(binary("kluster"));
    command.arg("up").current_dir(directory).env("KLUSTER_PORT", port.to_string());
    command.env("XDG_STATE_HOME", directory).env("TERM", "xterm-256color").env("NO_COLOR", "1");
    Person::before(command)
}

/// A shell that finds the programs of this build and Kafka's tools, and a log on this port.
fn shell(directory: &Path, port: u16) -> Command {
    let programs = directory.join("bin");
    let programs = if programs.exists() { programs } else { programs_of(directory) };
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{}:{path}", programs.display(), root().join("scripts/kafka/bin").display());
    let mut command = Command::new("timeout");
    command.args(["--kill-after=30", "240", "bash"]).current_dir(directory);
    command
        .env("KLUSTER_PORT", port.to_string())
        .env("PATH", path)
        .env("KLUSTER_BOOTSTRAP", format!("localhost:{port}"));
    command
}

/// A line of the README as a regular expression: numbers, names of nodes, hashes and widths are those of another day.
fn form(line: &str) -> String {
    let words = line.split_whitespace().map(|word| match word {
        "n1," => "n[1-3],".to_owned(),
        "n1" | "n3" => "n[1-3]".to_owned(),
        word if word.len() >= 8 && word.chars().all(|c| c.is_ascii_hexdigit()) => "[0-9a-f]+".to_owned(),
        word if word.starts_with(|c: char| c.is_ascii_digit()) => {
            let unit = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
            format!("[0-9.]+{unit}")
        }
        word => word.chars().map(escaped).collect(),
    });
    words.collect::<Vec<_>>().join(" +")
}

fn escaped(character: char) -> String {
    match character.is_ascii_punctuation() {
        true => format!("\\{character}"),
        false => character.to_string(),
    }
}

#[test]
fn the_section_on_apache_kafka_leads_to_a_cluster_that_survives_a_kill() {
    require!(Kafka, KafkaTools);
    let directory = tempfile::tempdir().expect("a directory can be made");
    let port = free(2);
    let place = directory.path().join("cluster");
    // The first block compiles; its programs are here already.
    let blocks = blocks("On Apache Kafka", "sh");
    assert!(blocks[0].contains("make build") && blocks[0].contains("target/release"), "{}", blocks[0]);
    let here = |block: &str| {
        block.replace("9092", &port.to_string()).replace("/tmp/kluster", place.to_str().expect("a path of ASCII"))
    };
    // A reader's shell goes on when the nodes are not there yet, and the reader asks again.
    let nodes = here(&blocks[2]).replace("kluster-admin status", "kluster-admin status || true");
    let again = nodes.lines().find(|line| line.contains("--node-id n2")).expect("n2 is started").to_owned();
    let until_ready =
        r#"until [ "$(kluster-admin status --output json | grep -o '"ready"' | wc -l)" = 3 ]; do :; done"#;
    let script = [
        JOBS_AT_THE_END,
        &here(&blocks[1]),
        &nodes,
        until_ready,
        "kluster sql --ack all \"create table person (id int primary key, name text); insert into person values (1, 'Jan')\"",
        &here(&blocks[3]),
        "kafka-console-consumer --bootstrap-server \"$KLUSTER_BOOTSTRAP\" --topic RESPONSES --from-beginning --max-messages 7 --timeout-ms 60000",
        // Kill a node, write more, start it again with the same command: it catches up.
        "kill -9 '%kluster-node --development --node-id n2'",
        "kluster sql --ack first \"insert into person values (2, 'Eva')\"",
        &again,
        "kluster sql --ack all --timeout 120 \"insert into person values (3, 'Mia')\"",
        until_ready,
        "kluster-admin status",
    ]
    .join("\n");
    let output = shell(directory.path(), port).args(["-c", &script]).output().expect("bash starts");
    let (said, trouble) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?}\n{said}\n{trouble}", output.status);
    let read = answered(&said, "4");
    assert_eq!(read.len(), 1, "one node serves a read of ONE: {said}");
    for node in ["n1", "n2", "n3"] {
        let file = rusqlite::Connection::open(place.join(format!("{node}.db"))).expect("the node's file is there");
        let count: i64 = file.query_row("select count(*) from person", [], |row| row.get(0)).expect("rows are counted");
        assert_eq!(count, 3, "{node}: {said}\n{trouble}");
    }
}

/// The nodes that answered this request with OK, sorted.
fn answered(said: &str, request: &str) -> Vec<String> {
    let responses = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let good = responses.filter(|response| response["requestId"] == request && response["resultCode"] == "OK");
    let mut nodes: Vec<String> = good.filter_map(|response| Some(response["nodeId"].as_str()?.to_owned())).collect();
    nodes.sort();
    nodes
}

/// The blocks of a section that are in this language.
fn blocks(heading: &str, language: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("there is a README");
    let section = readme.split_once(&format!("\n## {heading}\n")).expect("the README has the section").1;
    let section = section.split("\n## ").next().unwrap_or_default();
    let begin = format!("```{language}\n");
    let blocks = section.split(begin.as_str()).skip(1);
    blocks.map(|block| block.split_once("```").expect("a block ends").0.to_owned()).collect()
}

/// A directory of the programs under the names that the README calls them.
fn programs_of(directory: &Path) -> PathBuf {
    let programs = directory.join("bin");
    std::fs::create_dir(&programs).expect("a directory can be made");
    for name in ["kluster", "kluster-node", "kluster-admin"] {
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
