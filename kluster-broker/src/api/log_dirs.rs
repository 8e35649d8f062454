//! DescribeLogDirs and AlterReplicaLogDirs: all partitions lie in one directory and stay there.

use std::path::Path;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{
    AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName,
};
use tracing::warn;

use super::refuse::Refuse;
use super::{Answer, Call, wire};
use crate::topics::Topics;

pub(super) async fn describe(call: &Call, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let result = wire::on_disk(call, move |topics| describe_dir(topics, request.topics)).await;
    DescribeLogDirsResponse::default().with_results(vec![result])
}

fn describe_dir(topics: &Topics, asked: Option<Vec<DescribableLogDirTopic>>) -> DescribeLogDirsResult {
    let described = match asked {
        None => topics.list().iter().filter_map(|topic| sizes(topics, &topic.name, 0..topic.partitions)).collect(),
        Some(asked) => wire::distinct(asked, |topic| topic.topic.clone())
            .into_iter()
            .filter_map(|topic| sizes(topics, &topic.topic, wire::distinct(topic.partitions, |index| *index)))
            .collect(),
    };
    let result = DescribeLogDirsResult::default().with_log_dir(wire::text(&shown(topics.dir()))).with_topics(described);
    match rustix::fs::statvfs(topics.dir()) {
        Ok(found) => result
            .with_total_bytes(bytes(found.f_blocks, found.f_frsize))
            .with_usable_bytes(bytes(found.f_bavail, found.f_frsize)),
        Err(reason) => {
            warn!(dir = %topics.dir().display(), %reason, "the room on the disk can't be read");
            result.with_error_code(ResponseError::KafkaStorageError.code())
        }
    }
}

/// The partitions of a topic that there are; None without any.
fn sizes(topics: &Topics, name: &str, indexes: impl IntoIterator<Item = i32>) -> Option<DescribeLogDirsTopic> {
    let partition = |index| {
        let size = topics.partition(name, index)?.size_bytes();
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        Some(DescribeLogDirsPartition::default().with_partition_index(index).with_partition_size(size))
    };
    let partitions: Vec<_> = indexes.into_iter().filter_map(partition).collect();
    let described =
        || DescribeLogDirsTopic::default().with_name(wire::topic_name(name)).with_partitions(partitions.clone());
    (!partitions.is_empty()).then(described)
}

fn bytes(blocks: u64, of: u64) -> i64 {
    i64::try_from(blocks.saturating_mul(of)).unwrap_or(i64::MAX)
}

/// A directory as clients are told of it, and name it.
fn shown(dir: &Path) -> String {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()).display().to_string()
}

/// Nothing can move: a partition is where it is wanted, or there is no such directory.
pub(super) async fn alter(call: &Call, request: AlterReplicaLogDirsRequest) -> AlterReplicaLogDirsResponse {
    let topics = &call.shared.topics;
    let here = shown(topics.dir());
    respond(request, |path, topic, index| {
        if path != here {
            ResponseError::LogDirNotFound.code()
        } else if topics.partition(topic, index).is_none() {
            ResponseError::UnknownTopicOrPartition.code()
        } else {
            0
        }
    })
}

fn respond(
    request: AlterReplicaLogDirsRequest,
    code: impl Fn(&str, &TopicName, i32) -> i16,
) -> AlterReplicaLogDirsResponse {
    let mut results = Vec::new();
    for dir in request.dirs {
        for topic in dir.topics {
            let partition = |index: &i32| {
                AlterReplicaLogDirPartitionResult::default().with_partition_index(*index).with_error_code(code(
                    &dir.path,
                    &topic.name,
                    *index,
                ))
            };
            let partitions = topic.partitions.iter().map(partition).collect();
            results
                .push(AlterReplicaLogDirTopicResult::default().with_partitions(partitions).with_topic_name(topic.name));
        }
    }
    AlterReplicaLogDirsResponse::default().with_results(results)
}

impl Refuse for AlterReplicaLogDirsRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<AlterReplicaLogDirsResponse> {
        respond(self, |_, _, _| code).into()
    }
}

impl Refuse for DescribeLogDirsRequest {
    fn refuse(self, code: i16, version: i16) -> Answer<DescribeLogDirsResponse> {
        // Older versions have no room for a code of the whole.
        if version >= 3 {
            return DescribeLogDirsResponse::default().with_error_code(code).into();
        }
        let refused = DescribeLogDirsResult::default().with_error_code(code);
        DescribeLogDirsResponse::default().with_results(vec![refused]).into()
    }
}
