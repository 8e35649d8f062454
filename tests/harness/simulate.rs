//! simulate: lives through many seeds, prints what they met, and names each seed that broke a promise.
//!
//! `cargo run -p kluster-tests --release --bin simulate -- --seeds 10000 --from 0`; a failing seed is replayed by `--seeds 1 --from SEED`.

use kluster_tests::sim::{self, Campaign};

fn main() {
    let mut campaign = Campaign { from: 0, seeds: 1000 };
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for pair in arguments.chunks(2) {
        match pair {
            [name, value] if name == "--seeds" => campaign.seeds = number(value),
            [name, value] if name == "--from" => campaign.from = number(value),
            _ => fail("usage: simulate [--seeds COUNT] [--from SEED]"),
        }
    }
    if std::env::var_os("KLUSTER_LOG").is_some() {
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_env("KLUSTER_LOG"))
            .with_writer(std::io::stderr)
            .init();
    }
    let report = sim::run(campaign);
    println!("{report}");
    if !report.is_good() {
        std::process::exit(1);
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| fail(&format!("{text:?} is no number")))
}

fn fail(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(2)
}
