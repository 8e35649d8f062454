//! Entry: one record of any topic, read as people and scripts want it. What cannot be read is shown as it is.

use crate::output::{Output, Tone};
use crate::show;
use kluster_log::Record;
use kluster_protocol::{
    Body, Control, Heartbeat, Kind, NodeId, Offset, Request, Response, Role, SystemError, Topic, header, value,
};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::io;

/// So many characters of SQL, of an error and of a foreign text are printed.
const SHOWN: usize = 120;

/// One record.
pub(super) struct Entry<'a> {
    topic: Topic,
    record: &'a Record,
    words: Words,
}

/// What is printed of a record.
struct Words {
    /// The client or node that wrote it.
    who: String,
    /// The request's id, or what comes nearest to one.
    id: String,
    what: String,
    tone: Tone,
    /// The offset of ALL that it is about, if it is about one.
    about: Option<Offset>,
}

/// A record as a JSON document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    topic: Topic,
    partition: u32,
    offset: Offset,
    time: String,
    timestamp_ms: i64,
    key: Option<String>,
    headers: serde_json::Map<String, Value>,
    value: Option<Written>,
}

/// What a record holds: JSON in its own text, or another text.
#[derive(Serialize)]
#[serde(untagged)]
enum Written {
    Json(Box<RawValue>),
    Text(String),
}

impl Written {
    fn of(text: String) -> Self {
        value::json(&text).map_or(Self::Text(text), Self::Json)
    }
}

impl<'a> Entry<'a> {
    pub(super) fn of(topic: Topic, record: &'a Record) -> Self {
        let value = record.value.as_deref();
        let words = match topic {
            Topic::All if is_control(record) => control(value),
            Topic::All | Topic::One => request(value),
            Topic::Responses => response(value),
            Topic::Errors => error(value),
            Topic::Nodes => heartbeat(value),
            Topic::Decisions => None,
        };
        Self { topic, record, words: words.unwrap_or_else(|| foreign(record)) }
    }

    /// Which offset of ALL a response or error is about; None: the record is neither.
    pub(super) fn about(&self) -> Option<Option<Offset>> {
        matches!(self.topic, Topic::Responses | Topic::Errors).then_some(self.words.about)
    }

    pub(super) fn print(&self, output: &mut Output) -> io::Result<()> {
        match output.is_json() {
            true => output.json_line(&self.json()),
            false => output.line(&self.line(), self.words.tone),
        }
    }

    fn line(&self) -> String {
        let Words { who, id, what, .. } = &self.words;
        let time = show::time_ms(self.time());
        let place = match self.topic {
            Topic::All | Topic::Errors | Topic::Nodes | Topic::Decisions => self.topic.to_string(),
            Topic::One | Topic::Responses => format!("{}/{}", self.topic, self.record.partition),
        };
        let (who, id) = (show::one_line(who, SHOWN), show::one_line(id, SHOWN));
        format!("{time}  {place:<12} {:>6}  {who}  {id}  {what}", self.record.offset)
    }

    fn json(&self) -> impl Serialize {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = self.record.headers.iter().map(|(name, value)| (name.clone(), Value::from(text(value))));
        Document {
            topic: self.topic,
            partition: self.record.partition,
            offset: self.record.offset,
            time: show::time_ms(self.time()),
            timestamp_ms: self.record.timestamp_ms,
            key: self.record.key.as_deref().map(text),
            headers: headers.collect(),
            value: self.record.value.as_deref().map(text).map(Written::of),
        }
    }

    fn time(&self) -> u64 {
        u64::try_from(self.record.timestamp_ms).unwrap_or_default()
    }
}

fn is_control(record: &Record) -> bool {
    Kind::from_header(record.header(header::KIND)) == Kind::Control
}

fn words(who: impl ToString, id: impl ToString, what: String) -> Words {
    Words { who: who.to_string(), id: id.to_string(), what, tone: Tone::Plain, about: None }
}

fn request(value: Option<&[u8]>) -> Option<Words> {
    match Request::parse(value) {
        Ok(request) => {
            let what = match &request.body {
                Body::One(statement) => show::one_line(&statement.sql_string, SHOWN),
                Body::List { statements } => {
                    let first = statements.first().map_or("", |statement| &statement.sql_string);
                    format!("{}: {}", show::count(statements.len(), "statement"), show::one_line(first, SHOWN))
                }
            };
            Some(words(&request.client_id, &request.message_id, what))
        }
        Err(bad) => {
            let what = format!("no request: {}", show::one_line(&bad.reason, SHOWN));
            Some(Words {
                tone: Tone::Warning,
                ..words(show::or_none(bad.client_id), show::or_none(bad.message_id), what)
            })
        }
    }
}

fn control(value: Option<&[u8]>) -> Option<Words> {
    let what = match serde_json::from_slice(value?).ok()? {
        Control::Join { node_id, role, replaces } => {
            let role = match role {
                Role::Voter => "voter",
                Role::Observer => "observer",
            };
            format!("{node_id} joins as {role}, if membership is at version {replaces}")
        }
        Control::Leave { node_id, replaces } => format!("{node_id} leaves, if membership is at version {replaces}"),
        Control::Barrier => "barrier".to_owned(),
        Control::Check { id, replaces: None, .. } => format!("check {id}"),
        Control::Check { id, replaces: Some(number), attempt } => {
            format!("check {id}, attempt {}, if {number} is the newest", attempt + 1)
        }
    };
    Some(Words { tone: Tone::Faint, ..words("control", show::NONE, what) })
}

fn response(value: Option<&[u8]>) -> Option<Words> {
    let response: Response<Box<RawValue>> = serde_json::from_slice(value?).ok()?;
    let mut what = show::one_line(&response.result_code, SHOWN);
    if let Some(offset) = response.offset {
        what.push_str(&format!(", offset {offset}"));
    }
    if let Some(rows) = response.rows_affected {
        what.push_str(&format!(", {}", show::count(usize::try_from(rows).unwrap_or(usize::MAX), "row")));
    }
    if let Some(part) = response.part {
        what.push_str(&format!(", part {part}{}", if response.last_part { " (last)" } else { "" }));
    }
    let tone = if response.is_ok() { Tone::Plain } else { Tone::Warning };
    Some(Words { tone, about: response.offset, ..words(&response.node_id, &response.request_id, what) })
}

fn error(value: Option<&[u8]>) -> Option<Words> {
    let error: SystemError = serde_json::from_slice(value?).ok()?;
    let class = serde_json::to_value(error.class).ok()?;
    let mut what = class.as_str().unwrap_or_default().to_owned();
    if let Some(offset) = error.offset {
        what.push_str(&format!(" at offset {offset}"));
    }
    if let Some(code) = &error.code {
        what.push_str(&format!(" ({code})"));
    }
    // Written for people by our own node, without secrets and SQL, and the end says what to do: shown whole.
    what.push_str(&format!(": {}", show::one_line(&error.message, usize::MAX)));
    Some(Words { tone: Tone::Bad, about: error.offset, ..words(&error.node_id, show::or_none(error.request_id), what) })
}

fn heartbeat(value: Option<&[u8]>) -> Option<Words> {
    let beat: Heartbeat = serde_json::from_slice(value?).ok()?;
    let what =
        format!("{}, applied {}, chain {}", show::doing(&beat), show::or_none(beat.applied), show::or_none(beat.chain));
    let tone = if beat.state.is_live() { Tone::Plain } else { Tone::Warning };
    Some(Words { tone, ..words(&beat.node_id, show::first(&beat.instance_id, 8), what) })
}

fn foreign(record: &Record) -> Words {
    let what = match &record.value {
        None => "no value (a tombstone)".to_owned(),
        Some(value) => show::one_line(&String::from_utf8_lossy(value), SHOWN),
    };
    let key = record.key.as_deref().map(|key| NodeId::new(String::from_utf8_lossy(key)));
    Words { tone: Tone::Faint, ..words(show::or_none(key), show::NONE, what) }
}
