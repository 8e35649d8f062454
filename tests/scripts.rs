//! The promises as scenarios: every script on the log in memory with SQLite, and on Kafka with each DBMS.

use kluster_test_servers::require;
use kluster_tests::cluster::Kind;
use kluster_tests::scripts::{Place, run};

/// A test for each kind of cluster.
macro_rules! scripts {
    ($($script:ident),+ $(,)?) => {
        $(mod $script {
            use super::*;

            #[tokio::test(start_paused = true)]
            async fn in_memory() {
                run(stringify!($script), Place::Memory).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_kafka_and_sqlite() {
                require!(Kafka);
                run(stringify!($script), Place::Kafka(Kind::Sqlite)).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_kafka_and_mariadb() {
                require!(Kafka, MariaDb);
                run(stringify!($script), Place::Kafka(Kind::MariaDb)).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_kafka_and_postgres() {
                require!(Kafka, Postgres);
                run(stringify!($script), Place::Kafka(Kind::Postgres)).await;
            }
        })+
    };
}

scripts!(exactly_once, same_everywhere, answered, read_levels, recoverable);
