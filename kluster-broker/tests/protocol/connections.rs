//! How connections behave: versions are agreed, requests may be sent ahead, bounds hold, mistakes end their own connection only.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, ResponseHeader};
use kafka_protocol::protocol::{Decodable, StrBytes};

use crate::client::{Client, batch, frame};
use crate::producing::{produce, produce_request};
use crate::{serve, serve_with};

#[tokio::test]
async fn the_table_is_told_in_every_version() {
    let served = serve().await;
    let mut client = served.client().await;
    let named = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("test"))
        .with_client_software_version(StrBytes::from_static_str("1"));
    let newest = client.call(4, named.clone()).await;
    for version in 0..=4 {
        let request = if version < 3 { ApiVersionsRequest::default() } else { named.clone() };
        let told = client.call(version, request).await;
        assert_eq!(told.error_code, 0);
        assert_eq!(told.api_keys, newest.api_keys, "version {version}");
    }
    let told = |key: ApiKey| newest.api_keys.iter().find(|api| api.api_key == key as i16);
    let transactions = [ApiKey::AddPartitionsToTxn, ApiKey::AddOffsetsToTxn, ApiKey::EndTxn, ApiKey::TxnOffsetCommit];
    assert!(transactions.into_iter().all(|key| told(key).is_none()), "transactions are not offered");
    assert_eq!(told(ApiKey::Produce).unwrap().min_version, 0, "librdkafka compresses only then");
}

#[tokio::test]
async fn a_newer_api_versions_is_answered_in_the_oldest_form() {
    let served = serve().await;
    let mut client = served.client().await;
    let mut request = BytesMut::new();
    request.put_u32(13);
    request.put_i16(ApiKey::ApiVersions as i16);
    request.put_i16(99);
    request.put_i32(7);
    request.put_slice(b"?????");
    client.write(&request).await.unwrap();
    let mut answer = client.read().await.unwrap().unwrap();
    assert_eq!(ResponseHeader::decode(&mut answer, 0).unwrap().correlation_id, 7);
    let table = ApiVersionsResponse::decode(&mut answer, 0).unwrap();
    assert_eq!(table.error_code, ResponseError::UnsupportedVersion.code());
    assert!(!table.api_keys.is_empty());
    client.call(3, ApiVersionsRequest::default()).await;
}

#[tokio::test]
async fn what_is_not_served_ends_its_own_connection() {
    let served = serve().await;
    let mut other = served.client().await;
    let metadata = MetadataRequest::default();
    let unknown_key = head(9999, 0);
    let not_offered = head(ApiKey::WriteTxnMarkers as i16, 1);
    let too_new = head(ApiKey::Metadata as i16, 99);
    let negative = head(ApiKey::Metadata as i16, -1);
    let too_old = head(ApiKey::Produce as i16, 2);
    let short = Bytes::from_static(&[0, 0, 0, 3, 0, 3, 0]);
    let empty = Bytes::from_static(&[0, 0, 0, 0]);
    let whole = frame(1, 12, &metadata);
    let mut cut = BytesMut::from(&whole[..whole.len() - 2]);
    let length = u32::try_from(cut.len() - 4).unwrap();
    cut[..4].copy_from_slice(&length.to_be_bytes());
    for wrong in [unknown_key, not_offered, too_new, negative, too_old, short, empty, cut.freeze()] {
        let mut client = served.client().await;
        client.write(&wrong).await.unwrap();
        client.assert_closed().await;
        other.call(12, metadata.clone()).await;
    }
}

/// A frame of a header and nothing else.
fn head(key: i16, version: i16) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u32(10);
    bytes.put_i16(key);
    bytes.put_i16(version);
    bytes.put_i32(1);
    bytes.put_i16(-1);
    bytes.freeze()
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_order() {
    let served = serve().await;
    let mut client = served.with_topic("ahead", 1).await;
    let mut sent = Vec::new();
    for round in 0..50 {
        let request = produce_request("ahead", 0, batch(&[&round.to_string()]));
        let produce = client.send(9, &request).await;
        let metadata = client.send(9, &MetadataRequest::default().with_topics(Some(Vec::new()))).await;
        sent.push((produce, metadata));
    }
    for (offset, (produce, metadata)) in sent.into_iter().enumerate() {
        let stored = client.receive::<kafka_protocol::messages::ProduceRequest>(9, produce).await;
        assert_eq!(stored.responses[0].partition_responses[0].base_offset, i64::try_from(offset).unwrap());
        client.receive::<MetadataRequest>(9, metadata).await;
    }
}

#[tokio::test]
async fn produce_requests_sent_ahead_keep_their_order() {
    let served = serve().await;
    let mut client = served.with_topic("many", 1).await;
    let mut sent = Vec::new();
    for round in 0..200 {
        sent.push(client.send(9, &produce_request("many", 0, batch(&[&round.to_string()]))).await);
    }
    for (offset, correlation) in sent.into_iter().enumerate() {
        let stored = client.receive::<kafka_protocol::messages::ProduceRequest>(9, correlation).await;
        assert_eq!(stored.responses[0].partition_responses[0].base_offset, i64::try_from(offset).unwrap());
    }
}

#[tokio::test]
async fn a_frame_over_the_bound_ends_its_connection() {
    let served = serve_with(|settings| settings.max_frame_bytes = 10_000).await;
    let mut client = served.with_topic("bound", 1).await;
    let fits = produce(&mut client, 9, "bound", 0, batch(&[&"x".repeat(9_000)])).await;
    assert_eq!(fits.error_code, 0);
    client.send(9, &produce_request("bound", 0, batch(&[&"x".repeat(11_000)]))).await;
    client.assert_closed().await;
    let mut client = served.client().await;
    client.write(&[0xff, 0xff, 0xff, 0xff, 0, 0]).await.unwrap();
    client.assert_closed().await;
}

#[tokio::test]
async fn one_connection_too_many_is_refused_and_the_others_stay() {
    let served = serve_with(|settings| settings.max_connections = 2).await;
    let mut first = served.client().await;
    let mut second = served.client().await;
    first.call(12, MetadataRequest::default()).await;
    second.call(12, MetadataRequest::default()).await;
    served.client().await.assert_closed().await;
    first.call(12, MetadataRequest::default()).await;
    drop(second);
    // The place is free as soon as the broker has seen the end; until then a connection is closed at once.
    let deadline = tokio::time::Instant::now() + crate::client::DEADLINE;
    loop {
        let mut third = served.client().await;
        let _ = third.write(&frame(1, 12, &MetadataRequest::default())).await;
        if third.read().await.is_ok_and(|answer| answer.is_some()) {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the place of a closed connection is given again");
    }
    first.call(12, MetadataRequest::default()).await;
}

#[tokio::test]
async fn memory_in_use_stops_the_reading_and_drops_nothing() {
    let bytes = 60_000;
    let served = serve_with(|settings| {
        settings.max_frame_bytes = 100_000;
        settings.request_memory_bytes = 100_000;
    })
    .await;
    let mut holder = served.with_topic("memory", 1).await;
    let request = produce_request("memory", 0, batch(&[&"x".repeat(bytes)]));
    let whole = frame(1, 9, &request);
    // Half a request holds the memory for all of it.
    holder.write(&whole[..30_000]).await.unwrap();
    let mut small = served.client().await;
    small.call(12, MetadataRequest::default().with_topics(Some(Vec::new()))).await;
    let mut waiting = served.client().await;
    let correlation = waiting.send(9, &request).await;
    let silent = waiting.hears_nothing(Duration::from_millis(200)).await;
    assert!(silent, "there is no memory for a second request of that size");
    holder.write(&whole[30_000..]).await.unwrap();
    assert!(holder.read().await.unwrap().is_some(), "the first is answered");
    let answer = waiting.receive::<kafka_protocol::messages::ProduceRequest>(9, correlation).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0, "and then the second");
}

#[tokio::test]
async fn half_a_request_does_not_hold_memory_for_ever() {
    let served = serve_with(|settings| settings.stall = Duration::from_millis(100)).await;
    let mut client = served.client().await;
    client.write(&[0, 0, 1, 0, 0, 3]).await.unwrap();
    client.assert_closed().await;
    let mut idle = served.client().await;
    assert!(idle.hears_nothing(Duration::from_millis(300)).await, "one that sends nothing is not closed");
    idle.call(12, MetadataRequest::default()).await;
}

#[tokio::test]
async fn a_client_that_takes_no_answers_is_left() {
    let served = serve_with(|settings| settings.stall = Duration::from_millis(200)).await;
    let mut client = served.with_topic("deaf", 1).await;
    for _ in 0..20 {
        assert_eq!(produce(&mut client, 9, "deaf", 0, batch(&[&"x".repeat(1_000_000)])).await.error_code, 0);
    }
    let mut deaf = served.client().await;
    let fetch = crate::fetching::fetch_request("deaf", 0, 0).with_max_wait_ms(0);
    let all = fetch.with_max_bytes(100_000_000);
    let fetch = frame(1, 12, &all);
    // More than sockets hold; nothing is read back. The connection ends while there is still something to write to it.
    let mut ended = false;
    for _ in 0..1_000_000 {
        if deaf.write(&fetch).await.is_err() {
            ended = true;
            break;
        }
    }
    assert!(ended, "the broker has closed the connection");
    client.call(12, MetadataRequest::default()).await;
}

#[tokio::test]
async fn the_peer_may_leave_while_its_request_waits() {
    let served = serve_with(|settings| settings.max_connections = 1).await;
    let mut client = served.with_topic("left", 1).await;
    let wait = crate::fetching::fetch_request("left", 0, 0).with_max_wait_ms(i32::MAX).with_min_bytes(1);
    client.send(12, &wait).await;
    drop(client);
    let deadline = tokio::time::Instant::now() + crate::client::DEADLINE;
    loop {
        let mut next = Client::connect(served.broker.address()).await;
        let _ = next.write(&frame(1, 12, &MetadataRequest::default())).await;
        if next.read().await.is_ok_and(|answer| answer.is_some()) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "a fetch without a client gives its place back");
    }
}
