//! Raw librdkafka: two questions that the safe crate cannot ask. The only file here with `unsafe`; nothing raw leaves it.
#![allow(unsafe_code)] // Reason: FFI, see the module's text; each block says why it is sound.

use rdkafka::bindings::{
    rd_kafka_AdminOptions_destroy, rd_kafka_AdminOptions_new, rd_kafka_AdminOptions_set_request_timeout,
    rd_kafka_DescribeTopics, rd_kafka_DescribeTopics_result_topics, rd_kafka_TopicCollection_destroy,
    rd_kafka_TopicCollection_of_topic_names, rd_kafka_TopicDescription_topic_id, rd_kafka_Uuid_base64str,
    rd_kafka_admin_op_t, rd_kafka_event_DescribeTopics_result, rd_kafka_event_destroy, rd_kafka_event_t,
    rd_kafka_message_status, rd_kafka_msg_status_t, rd_kafka_queue_destroy, rd_kafka_queue_new, rd_kafka_queue_poll,
};
use rdkafka::client::{Client, ClientContext};
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

/// The topic's id as Kafka's tools print it; None where the broker can't tell. Blocks up to `timeout`.
pub(super) fn topic_id<C: ClientContext>(client: &Client<C>, topic: &str, timeout: Duration) -> Option<String> {
    let name = CString::new(topic).ok()?;
    let millis = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: the client outlives this function, as it is borrowed. Queue, options and collection are made here, non-null by librdkafka's
    // contract, and destroyed once, after their last use; `names` lives through the call that copies it. The error text may be null
    // because its size is 0.
    let event = unsafe {
        let rk = client.native_ptr();
        let queue = rd_kafka_queue_new(rk);
        let options = rd_kafka_AdminOptions_new(rk, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        rd_kafka_AdminOptions_set_request_timeout(options, millis, ptr::null_mut(), 0);
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
        return None;
    }
    let id = id_in(event);
    // SAFETY: the event is ours since it was polled, and nothing borrowed from it is left: `id` is a copy.
    unsafe { rd_kafka_event_destroy(event) };
    id.filter(|id| id != NO_ID)
}

/// The id of the first topic that the event describes.
fn id_in(event: *mut rd_kafka_event_t) -> Option<String> {
    // SAFETY: `event` is a live event. The result is null unless it is of the right kind; the list holds `count` descriptions owned by the
    // event, and each id and its text are owned by the description. All are read before the caller destroys the event.
    unsafe {
        let result = rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return None;
        }
        let mut count = 0;
        let topics = rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if topics.is_null() || count == 0 {
            return None;
        }
        let id = rd_kafka_TopicDescription_topic_id(*topics);
        if id.is_null() {
            return None;
        }
        let text = rd_kafka_Uuid_base64str(id);
        (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
    }
}
