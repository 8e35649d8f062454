//! What a log promises, asked of both kinds: the same functions run on the log in memory and on Apache Kafka. Beside them what only one
//! kind can show: faults on command, and a real broker's troubles.

// `cfg(test)` tells clippy that these are tests, helpers included.
#[cfg(test)]
mod embedded;
#[cfg(test)]
mod kafka;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod memory_faults;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod unreadable;
#[cfg(test)]
mod watchdog;

/// One test for each promise and kind.
macro_rules! promises {
    ($($promise:ident)*) => {
        mod on_memory {
            $(#[tokio::test] async fn $promise() { super::promises::$promise(super::kinds::memory_log()).await; })*
        }
        mod on_kafka {
            $(#[tokio::test] async fn $promise() {
                kluster_test_servers::require!(Kafka);
                let settings = super::kinds::settings_on_kafka(stringify!($promise)).await;
                super::promises::$promise(super::kinds::created(settings).await).await;
            })*
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
    a_dropped_member_is_delivered_again
    topics_are_created_once
    the_log_names_itself
}
