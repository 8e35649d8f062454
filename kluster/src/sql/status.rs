//! Status: one line about what a statement did. No I/O.

use super::ask::Reply;
use super::settings::Settings;
use kluster_client::Rows;
use std::time::Duration;

/// What `statement` did, shorter unless timing is on: `3 rows · offset 42 · 2 of 3 nodes (quorum) · 1.8 ms`. `rows` is what it returned, and
/// `defines` tells that no rows are to be counted.
pub fn line(reply: &Reply, rows: Option<&Rows>, defines: bool, settings: &Settings, took: Duration) -> String {
    let mut words = vec![deed(reply, rows, defines)];
    if settings.timing {
        words.extend(place(reply));
        words.extend(who(reply, settings));
        words.push(length(took));
    }
    words.join(" · ")
}

/// What a whole transaction did: `committed · offset 42 · 2 of 3 nodes (quorum) · 1.8 ms`.
pub fn committed(reply: &Reply, settings: &Settings, took: Duration) -> String {
    let mut words = vec!["committed".to_owned()];
    if settings.timing {
        words.extend(place(reply));
        words.extend(who(reply, settings));
        words.push(length(took));
    }
    words.join(" · ")
}

/// What was done.
fn deed(reply: &Reply, rows: Option<&Rows>, defines: bool) -> String {
    match (reply, rows) {
        (Reply::Logged(logged), _) => format!("logged at offset {}, not awaited", logged.offset),
        (Reply::Done(done), _) if done.result_gone => {
            "executed by an earlier attempt; what it returned was not kept".to_owned()
        }
        (_, Some(rows)) if !rows.columns.is_empty() => count(rows.len() as u64, "row"),
        (_, Some(rows)) if !defines || rows.affected > 0 => count(rows.affected, "row"),
        _ => "done".to_owned(),
    }
}

fn place(reply: &Reply) -> Option<String> {
    match reply {
        Reply::Read(read) => read.offset.map(|offset| format!("as of offset {offset}")),
        Reply::Done(done) => done.offset.map(|offset| format!("offset {offset}")),
        Reply::Logged(_) => None,
    }
}

fn who(reply: &Reply, settings: &Settings) -> Option<String> {
    match reply {
        Reply::Read(read) => Some(format!("{} ({})", read.node_id, settings.read)),
        Reply::Done(done) => {
            let nodes = if done.voters == 1 { "node" } else { "nodes" };
            Some(format!("{} of {} {nodes} ({})", done.answered.len(), done.voters, settings.ack))
        }
        Reply::Logged(_) => None,
    }
}

/// `1 row`, `2 rows`.
fn count(number: u64, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}

/// `1.8 ms`, `12 ms`, `3.4 s`.
pub fn length(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1000.0;
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::settings::{AckLevel, Form, ReadLevel};
    use kluster_client::{Answered, Column, Done, Logged, Offset, Read};

    fn settings(timing: bool) -> Settings {
        Settings {
            read: ReadLevel::Session,
            ack: AckLevel::Quorum,
            form: Form::Table,
            expanded: false,
            timing,
            timeout: Duration::from_secs(30),
        }
    }

    fn done(affected: u64) -> Reply {
        let answered = ["n1", "n2"].map(|node| Answered { node_id: node.into(), offset: None, chain: None }).to_vec();
        let results = vec![Rows { affected, ..Rows::default() }];
        let offset = Some(Offset::new(42));
        Reply::Done(Done { message_id: "m".into(), offset, answered, voters: 3, result_gone: false, results })
    }

    const TOOK: Duration = Duration::from_micros(1840);

    #[test]
    fn a_write_says_how_many_rows_where_and_by_whom() {
        let reply = done(3);
        let rows = reply.results().first();
        assert_eq!(
            line(&reply, rows, false, &settings(true), TOOK),
            "3 rows · offset 42 · 2 of 3 nodes (quorum) · 1.8 ms"
        );
        assert_eq!(line(&reply, rows, false, &settings(false), TOOK), "3 rows");
        let nothing = done(0);
        assert_eq!(line(&nothing, nothing.results().first(), false, &settings(false), TOOK), "0 rows");
        assert_eq!(line(&nothing, nothing.results().first(), true, &settings(false), TOOK), "done");
    }

    #[test]
    fn a_read_says_as_of_when() {
        let columns = vec![Column { name: "a".into(), type_name: "int4".into() }];
        let json = vec![serde_json::from_str("{\"a\":1}").unwrap()];
        let rows = Rows { columns, json, affected: 1 };
        let reply = Reply::Read(Read { rows, offset: Some(Offset::new(7)), node_id: "n2".into() });
        let rows = reply.results().first();
        assert_eq!(line(&reply, rows, false, &settings(true), TOOK), "1 row · as of offset 7 · n2 (session) · 1.8 ms");
    }

    #[test]
    fn what_waits_for_nobody_says_so() {
        let reply = Reply::Logged(Logged { message_id: "m".into(), offset: Offset::new(9) });
        assert_eq!(line(&reply, None, false, &settings(false), TOOK), "logged at offset 9, not awaited");
    }

    #[test]
    fn lengths_are_rounded() {
        let lengths = [0, 1840, 12_345, 999_000, 3_449_000].map(|us| length(Duration::from_micros(us)));
        assert_eq!(lengths, ["0.0 ms", "1.8 ms", "12 ms", "999 ms", "3.4 s"]);
    }
}
