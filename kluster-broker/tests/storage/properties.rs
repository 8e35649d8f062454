//! Any order of appends, deletions, crashes and cuts: what was confirmed is there, and every offset is found.

use super::batches::{Store, all, batch, files, store};
use kluster_broker::batch::BatchHeader;
use proptest::prelude::*;
use std::fs;
use std::path::Path;

#[derive(Debug, Clone)]
enum Step {
    /// A batch of so many records of such a size, confirmed or not waited for.
    Append { records: usize, bytes: usize, confirmed: bool },
    /// Records before this part of the log go.
    Delete(prop::sample::Index),
    /// Retention and checkpoints.
    Upkeep,
    /// Stops in order and starts.
    Stop,
    /// Ends without closing; of what was not synced a part is left.
    Crash(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let append = (1..4_usize, 0..200_usize, any::<bool>());
    prop_oneof![
        8 => append.prop_map(|(records, bytes, confirmed)| Step::Append { records, bytes, confirmed }),
        1 => any::<prop::sample::Index>().prop_map(Step::Delete),
        1 => Just(Step::Upkeep),
        1 => Just(Step::Stop),
        2 => any::<prop::sample::Index>().prop_map(Step::Crash),
    ]
}

/// Bytes of a log file up to its last batch below `offset`.
fn bytes_below(log: &Path, offset: i64) -> u64 {
    let bytes = fs::read(log).unwrap();
    let mut at = 0;
    while let Some(header) = bytes.get(at..).and_then(|rest| BatchHeader::parse(rest).ok()) {
        if header.next_offset() > offset {
            break;
        }
        at += header.size;
    }
    at as u64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn what_was_confirmed_survives_any_crash(
        steps in prop::collection::vec(step(), 1..60),
        segment_bytes in 150..3000_u64,
        index_interval in 0..500_u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (segment_bytes, index_interval) = (segment_bytes.to_string(), index_interval.to_string());
        let configs = [("segment.bytes", segment_bytes.as_str()), ("index.interval.bytes", index_interval.as_str())];
        let mut it = Store::new(&configs);
        let mut written: Vec<(i64, String)> = Vec::new(); // may be shorter after a crash
        let mut confirmed = 0;
        let mut log_start = 0;
        for step in steps {
            match step {
                Step::Append { records, bytes, confirmed: wait } => {
                    let values: Vec<String> =
                        (0..records).map(|index| format!("{}-{}", written.len() + index, "x".repeat(bytes))).collect();
                    let batch = batch(&values.iter().map(String::as_str).collect::<Vec<_>>());
                    let appended = if wait {
                        runtime.block_on(store(&it.partition, batch)).unwrap()
                    } else {
                        it.partition.append(batch, 1000).unwrap()
                    };
                    prop_assert_eq!(appended.base_offset, written.len() as i64);
                    written.extend(values.into_iter().zip(appended.base_offset..).map(|(value, offset)| (offset, value)));
                    if wait {
                        confirmed = written.len();
                    }
                }
                Step::Delete(place) => {
                    let offset = place.index(confirmed + 1) as i64;
                    log_start = it.partition.delete_before(offset).unwrap().max(log_start);
                }
                Step::Upkeep => it.topics.upkeep(1000),
                Step::Stop => {
                    runtime.block_on(it.topics.close()).unwrap();
                    confirmed = written.len();
                    it = it.restarted();
                }
                Step::Crash(place) => {
                    // At least what was confirmed is on disk; how much of the rest is chance.
                    let dir = it.crash();
                    let log = files(&dir, "log").pop().unwrap();
                    let durable = bytes_below(&log, confirmed as i64);
                    let length = fs::metadata(&log).unwrap().len();
                    let left = durable + place.index((length - durable) as usize + 1) as u64;
                    fs::File::options().write(true).open(&log).unwrap().set_len(left).unwrap();
                    it = Store::open(dir);
                    let end = it.partition.offsets().log_end as usize;
                    prop_assert!(end >= confirmed, "{end} of {confirmed} confirmed are left");
                    written.truncate(end);
                    confirmed = end;
                }
            }
            prop_assert_eq!(it.partition.offsets().log_start, log_start);
        }
        runtime.block_on(it.partition.durable(written.len() as i64)).unwrap();
        prop_assert_eq!(&all(&it.partition), &written[log_start as usize..]);
        for offset in log_start..written.len() as i64 {
            let read = super::batches::values(it.partition.read(offset, 1, true).unwrap());
            prop_assert!(read.contains(&written[offset as usize]), "offset {} is not found", offset);
        }
    }
}
