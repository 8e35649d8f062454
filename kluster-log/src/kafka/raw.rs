//! Raw librdkafka: two questions that the safe crate cannot ask. The only file here with `unsafe`; nothing raw leaves it.
#![allow(unsafe_code)] // Reason: FFI, see the module's text; each block says why it is sound.

use rdkafka::bindings::{
    rd_kafka_AdminOptions_destroy, rd_kafka_AdminOptions_new, rd_kafka_AdminOptions_set_broker,
    rd_kafka_AdminOptions_set_request_timeout, rd_kafka_DescribeTopics, rd_kafka_DescribeTopics_result_topics,
    rd_kafka_Node_id, rd_kafka_TopicCollection_destroy, rd_kafka_TopicCollection_of_topic_names,
    rd_kafka_TopicDescription_error, rd_kafka_TopicDescription_partitions, rd_kafka_TopicDescription_t,
    rd_kafka_TopicDescription_topic_id, rd_kafka_TopicPartitionInfo_leader, rd_kafka_Uuid_base64str,
    rd_kafka_admin_op_t, rd_kafka_error_code, rd_kafka_event_DescribeTopics_result, rd_kafka_event_destroy,
    rd_kafka_event_error, rd_kafka_event_t, rd_kafka_message_status, rd_kafka_msg_status_t, rd_kafka_queue_destroy,
    rd_kafka_queue_new, rd_kafka_queue_poll, rd_kafka_resp_err_t,
};
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use std::ffi::{CStr, CString, c_int};
use std::ptr;
use std::time::Duration;

/// The text of a topic id that a broker does not know: 16 zero bytes.
const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// Whether a message that failed was surely never written. Asked within its delivery report only.
pub(super) fn surely_not_written(message: &BorrowedMessage<'_>) -> bool {
    // SAFETY: `message` owns the pointed-to message and lives through the call, which only reads a field of it.
    let status = unsafe { rd_kafka_message_status(message.ptr()) };
    status == rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED
}

/// What one broker says of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    /// The topic's id as Kafka's tools print it; none: the broker knows no ids.
    pub(super) id: Option<String>,
    /// The broker that leads partition 0, if any does.
    pub(super) leader: Option<i32>,
}

/// Asks `broker` (none: any) for a topic. Blocks up to `timeout`.
pub(super) fn describe<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    broker: Option<i32>,
    timeout: Duration,
) -> Result<Described, KafkaError> {
    let name = CString::new(topic).map_err(KafkaError::Nul)?;
    let millis = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: the client outlives this function, as it is borrowed. Queue, options and collection are made here, non-null by librdkafka's
    // contract, and destroyed once, after their last use; `names` lives through the call that copies it. The error texts may be null
    // because their size is 0.
    let event = unsafe {
        let rk = client.native_ptr();
        let queue = rd_kafka_queue_new(rk);
        let options = rd_kafka_AdminOptions_new(rk, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        rd_kafka_AdminOptions_set_request_timeout(options, millis, ptr::null_mut(), 0);
        if let Some(broker) = broker {
            rd_kafka_AdminOptions_set_broker(options, broker, ptr::null_mut(), 0);
        }
        let mut names = [name.as_ptr()];
        let collection = rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        rd_kafka_DescribeTopics(rk, collection, options, queue);
        let event = rd_kafka_queue_poll(queue, millis);
        rd_kafka_TopicCollection_destroy(collection);
        rd_kafka_AdminOptions_destroy(options);
        rd_kafka_queue_destroy(queue);
        event
    };
    if event.is_null() {
        return Err(failed(RDKafkaErrorCode::OperationTimedOut));
    }
    let described = described_in(event);
    // SAFETY: the event is ours since it was polled, and nothing borrowed from it is left: `described` is a copy.
    unsafe { rd_kafka_event_destroy(event) };
    described
}

fn failed(code: RDKafkaErrorCode) -> KafkaError {
    KafkaError::MetadataFetch(code)
}

/// The first topic that the event describes.
fn described_in(event: *mut rd_kafka_event_t) -> Result<Described, KafkaError> {
    // SAFETY: `event` is a live event. The result is null unless it is of the right kind; the list holds `count` descriptions owned by the
    // event; a description owns its error, its id with its text, and its partitions. All are read before the caller destroys the event.
    unsafe {
        let error = rd_kafka_event_error(event);
        if error != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(failed(error.into()));
        }
        let result = rd_kafka_event_DescribeTopics_result(event);
        let mut count = 0;
        let topics = match result.is_null() {
            true => ptr::null_mut(),
            false => rd_kafka_DescribeTopics_result_topics(result, &mut count),
        };
        if topics.is_null() || count == 0 {
            return Err(failed(RDKafkaErrorCode::UnknownTopicOrPartition));
        }
        let topic = *topics;
        let error = rd_kafka_TopicDescription_error(topic);
        if !error.is_null() {
            let code = rd_kafka_error_code(error);
            if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(failed(code.into()));
            }
        }
        Ok(Described { id: id_of(topic), leader: leader_of(topic) })
    }
}

fn id_of(topic: *const rd_kafka_TopicDescription_t) -> Option<String> {
    // SAFETY: `topic` is a live description, which owns its id; the id owns its text.
    unsafe {
        let id = rd_kafka_TopicDescription_topic_id(topic);
        if id.is_null() {
            return None;
        }
        let text = rd_kafka_Uuid_base64str(id);
        let text = (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned());
        text.filter(|id| id != NO_ID)
    }
}

fn leader_of(topic: *const rd_kafka_TopicDescription_t) -> Option<i32> {
    // SAFETY: `topic` is a live description, which owns the list of its `count` partitions; each owns its leader, null where there is none.
    unsafe {
        let mut count = 0;
        let partitions = rd_kafka_TopicDescription_partitions(topic, &mut count);
        if partitions.is_null() || count == 0 {
            return None;
        }
        let leader = rd_kafka_TopicPartitionInfo_leader(*partitions);
        (!leader.is_null()).then(|| rd_kafka_Node_id(leader))
    }
}
