//! Starts the real Kafka, Cassandra, ZooKeeper and Mesos for tests, benchmarks and the demo.
//!
//! | module | what it holds |
//! |---|---|
//! | [`kafka`], [`cassandra`], [`zookeeper`], [`mesos`] | clusters of real servers, one node per host |
//! | [`authority`] | certificates |
//! | [`process`] | one server: signals, kill, restart, log |
//! | [`hosts`] | hosts and racks on one machine |
//! | [`cache`], [`tools`] | where jars and the built Mesos come from |
//! | [`millstream`], [`api`], [`executors`] | Millstream as a user starts it, its API, its executors' processes |
//! | [`data`], [`produce`], [`consume`] | the data sets, a producer that learns where the log put each record, a reader |
//! | [`schemathesis`] | the API against its own document |
//! | [`table`], [`oracle`] | a whole table read, and compared with the fold of the log |
//!
//! A cluster lives in a temporary folder and ends with its owner, however that ends (see `cluster_dir`). Everything is
//! on loopback addresses, with ports picked at start, so clusters can run beside each other.

pub mod admin;
pub mod api;
pub mod authority;
pub mod cache;
pub mod cassandra;
mod cassandra_config;
mod cluster_dir;
pub mod consume;
pub mod data;
pub mod executors;
pub mod hosts;
pub mod http;
mod jvm;
pub mod kafka;
pub mod mesos;
pub mod millstream;
pub mod oracle;
pub mod process;
pub mod produce;
pub mod programs;
pub mod schemathesis;
pub mod table;
pub mod tools;
pub mod zookeeper;

pub use api::Api;
pub use authority::{Authority, Issued};
pub use cassandra::Cassandra;
pub use cassandra_config::{CassandraOptions, Encryption};
pub use cluster_dir::leftovers;
pub use kafka::{Kafka, KafkaOptions};
pub use mesos::{Mesos, MesosOptions};
pub use millstream::{LocalOptions, Millstream, SchedulerOptions};
pub use process::{Process, eventually};
pub use programs::program;
pub use zookeeper::ZooKeeper;

/// The clusters that most tests and the demo want, started side by side.
pub async fn start_both(kafka: KafkaOptions, cassandra: CassandraOptions) -> anyhow::Result<(Kafka, Cassandra)> {
    tokio::try_join!(Kafka::start(kafka), Cassandra::start(cassandra))
}
