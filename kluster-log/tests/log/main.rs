//! What a log promises, asked of both kinds: the same functions run on the log in memory and on Apache Kafka.

mod promises;

use kluster_log::{Log, MemoryLog};

/// One test for each promise and kind.
macro_rules! promises {
    ($($promise:ident)*) => {
        mod memory {
            $(#[tokio::test] async fn $promise() { super::promises::$promise(super::memory_log()).await; })*
        }
    };
}

promises! {
    records_keep_their_order
    a_record_comes_back_as_it_was
    a_key_decides_the_partition
    the_largest_record_passes_and_a_larger_one_does_not
    readers_start_where_they_are_told
    a_batch_takes_what_is_there
    a_dropped_read_loses_nothing
    many_partitions_are_merged
    a_place_outside_is_refused
    committed_places_are_kept_by_group
    a_group_shares_partitions_and_takes_over
    a_crashed_member_is_delivered_again
    topics_are_created_once
    the_log_names_itself
}

fn memory_log() -> Log {
    Log::memory(MemoryLog::new())
}
