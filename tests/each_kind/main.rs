//! What holds on every kind of database alike, each on a real cluster of three nodes: the operator's tool, the examples of the client, batches cut
//! anywhere, answers, wrong effects, checks, requests that nobody can execute, nodes that fail alone, and nodes
//! whose surroundings are unlike.

#![cfg(test)]

mod admin;
mod answers;
mod borders;
mod decisions;
mod doctor;
mod effects;
mod examples;
mod faulty;
mod reads;
mod verify;

use kluster_test_servers::require;
use kluster_tests::cluster::Kind;

/// Makes a test of each kind from a function that takes it.
macro_rules! on_each_kind {
    ($($module:ident::$case:ident),* $(,)?) => {
        mod on_postgres {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                require!(Kafka, Postgres);
                $module::$case(Kind::Postgres).await;
            })*
        }

        mod on_mariadb {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                require!(Kafka, MariaDb);
                $module::$case(Kind::MariaDb).await;
            })*
        }

        mod on_sqlite {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                require!(Kafka);
                $module::$case(Kind::Sqlite).await;
            })*
        }
    };
}

on_each_kind! {
    admin::a_script_is_loaded_as_by_the_tool_of_the_dbms,
    admin::a_load_that_was_killed_is_gone_on_with,
    admin::offsets_tail_and_leave_tell_what_is_there,
    examples::every_example_runs,
    borders::batch_borders_decide_nothing,
    decisions::an_unknown_error_of_all_is_refused_and_a_replay_obeys,
    decisions::a_request_without_an_end_is_cancelled_on_all_nodes_alike,
    reads::a_read_that_is_given_up_ends_on_its_node,
    doctor::a_node_that_declares_something_else_is_refused,
    faulty::one_node_with_a_full_disk_waits_and_the_others_go_on,
    answers::large_results_of_lists_come_in_parts,
    answers::refusals_say_where_and_why,
    effects::a_wrong_effect_is_found_within_one_heartbeat_and_named,
    verify::equal_tables_are_equal_however_their_rows_lie,
    verify::a_changed_row_is_found_named_and_shown,
    verify::a_changed_schema_is_found_named_and_shown,
    verify::a_schema_change_goes_before_a_check_which_is_repeated,
    verify::the_nodes_check_by_themselves_and_who_differs_stays_stopped,
    verify::under_load_and_schema_changes_nothing_is_found_unlike,
}
