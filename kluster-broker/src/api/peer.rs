//! Who is at the other end of a connection, as far as it says.
//!
//! Neighbours: `connection` makes one for each connection; ApiVersions learns the client's software; FindCoordinator asks for it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use kafka_protocol::messages::ApiVersionsRequest;

/// In the name or the version of the software that librdkafka and all that is built on it tell of themselves: `librdkafka 2.12.1`,
/// `confluent-kafka-python 2.16.1-rdkafka-2.16.0`.
const LIBRDKAFKA: &str = "rdkafka";

/// The client at the other end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    librdkafka: AtomicBool,
}

impl Peer {
    /// One that has not said yet what it is.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { address, librdkafka: AtomicBool::new(false) }
    }

    /// Notes what a client says of its software in ApiVersions, which it asks for first.
    pub(super) fn told(&self, request: &ApiVersionsRequest) {
        let said = [&request.client_software_name, &request.client_software_version];
        let librdkafka = said.iter().any(|text| text.contains(LIBRDKAFKA));
        self.librdkafka.store(librdkafka, Ordering::Relaxed);
    }

    /// Whether it is librdkafka.
    pub(super) fn is_librdkafka(&self) -> bool {
        self.librdkafka.load(Ordering::Relaxed)
    }
}
