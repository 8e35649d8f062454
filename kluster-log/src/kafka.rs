//! KafkaLog: the log on Apache Kafka, through librdkafka.

use crate::*;
use kluster_protocol::{Offset, Topic, TopicNames};
use std::future::ready;
use std::time::Duration;

/// A handle of the log on Kafka.
#[derive(Debug, Clone)]
pub struct KafkaLog {
    names: TopicNames,
}

#[derive(Debug)]
pub(crate) struct KafkaReader;
#[derive(Debug)]
pub(crate) struct KafkaGroupReader;

macro_rules! later {
    ($($name:ident($($arg:ty),*) -> $out:ty;)*) => {
        $(pub(crate) async fn $name(&self, $(_: $arg),*) -> Result<$out, LogError> { Err(LogError::Closed) })*
    };
}

impl KafkaLog {
    pub(crate) async fn connect(settings: LogSettings) -> Result<Self, LogError> {
        settings.brokers()?;
        settings.properties()?;
        Ok(Self {
            names: settings.names(),
        })
    }
    pub(crate) fn names(&self) -> &TopicNames {
        &self.names
    }
    pub(crate) fn append_now(
        &self,
        _: Topic,
        _: Option<u32>,
        _: NewRecord,
    ) -> impl Future<Output = Result<Appended, LogError>> + Send + 'static + use<> {
        ready(Err(LogError::Closed))
    }
    later! {
        partitions(Topic) -> u32;
        range(Topic, u32) -> Range;
        read_many(Topic, Vec<(u32, Offset)>) -> KafkaReader;
        join(Topic, &str) -> KafkaGroupReader;
        committed(&str, Topic, u32) -> Option<Offset>;
        commit(&str, Topic, u32, Offset) -> ();
        identity() -> LogIdentity;
        create_topics(&TopicSettings) -> Vec<(Topic, Created)>;
        check_topics(&TopicSettings) -> TopicCheck;
    }
}

impl KafkaReader {
    pub(crate) async fn next(&mut self) -> Result<Record, LogError> {
        Err(LogError::Closed)
    }
    pub(crate) async fn next_batch(&mut self, _: usize) -> Result<Vec<Record>, LogError> {
        Err(LogError::Closed)
    }
    pub(crate) fn stalled_for(&self) -> Option<Duration> {
        None
    }
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        None
    }
}

impl KafkaGroupReader {
    pub(crate) async fn next(&mut self) -> Result<Record, LogError> {
        Err(LogError::Closed)
    }
    pub(crate) fn done(&mut self, _: &Record) {}
    pub(crate) async fn leave(self) -> Result<(), LogError> {
        Ok(())
    }
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        None
    }
}
