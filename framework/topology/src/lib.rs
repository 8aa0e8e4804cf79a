//! Kafka and Cassandra metadata → [`JobTopology`]; and the one place that makes clients from a job.
//!
//! Map: [`snapshot`] reads a job's topology once, [`Watcher`] again and again, telling changes only; [`live_check`] has the
//! facts for `validate --live`. Below: [`settings`] reads secrets where they are used, [`kafka`] and [`cassandra`] make
//! clients and read metadata, [`blocks`] makes Millstream's own table, `hosts` resolves names. The only unsafe code of the
//! house is in `kafka/native.rs`: what `rdkafka` does not wrap.

pub mod blocks;
pub mod cassandra;
mod hosts;
pub mod kafka;
mod live;
mod nearest;
pub mod settings;
mod watch;

use millstream_placement::JobTopology;
use millstream_spec::JobSpec;

pub use cassandra::CassandraError;
pub use hosts::host_of;
pub use kafka::KafkaError;
pub use live::{LiveFacts, live_check};
pub use settings::SettingError;
pub use watch::Watcher;

/// Why a job's topology cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// The source's side.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The sink's side.
    #[error(transparent)]
    Cassandra(#[from] CassandraError),
}

impl TopologyError {
    /// What to do about it, one line.
    pub fn remedy(&self) -> String {
        match self {
            TopologyError::Kafka(error) => error.remedy(),
            TopologyError::Cassandra(error) => error.remedy(),
        }
    }
}

/// Reads a job's topology once: takes as long as connecting does, at most [`kafka::METADATA_TIMEOUT`] and
/// [`cassandra::CONNECT_TIMEOUT`] side by side.
pub async fn snapshot(spec: &JobSpec) -> Result<JobTopology, TopologyError> {
    Watcher::new(spec.clone()).snapshot().await
}
