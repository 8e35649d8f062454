//! Where the examples find the cluster.

/// The first argument, else KLUSTER_BOOTSTRAP, else Kafka on this machine.
pub fn given() -> String {
    let argument = std::env::args().nth(1);
    let setting = || std::env::var("KLUSTER_BOOTSTRAP").ok();
    argument.or_else(setting).unwrap_or_else(|| "kafka://localhost:9092".to_owned())
}
