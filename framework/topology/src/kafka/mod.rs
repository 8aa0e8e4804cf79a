//! Kafka clients from a job, and what its topic looks like.

mod error;
mod metadata;
#[allow(unsafe_code)] // rdkafka wraps neither DescribeCluster (racks) nor a broker's configuration on a consumer
mod native;
#[cfg(test)]
mod tests;

use std::time::Duration;

use millstream_spec::KafkaSource;
use rdkafka::ClientConfig;

use crate::settings::{SettingError, resolve};

pub use error::KafkaError;
pub(crate) use metadata::Kafka;
pub use native::{RawHeader, add_header, raw_headers};

/// Time for the first connection and the metadata of one topic; a cluster that is well takes well under a second.
pub const METADATA_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for each of the two questions that may stay open: racks, and the brokers' replica selector.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(5);

/// What every client of the job has in common: bootstrap, and the job's options with secrets resolved.
///
/// The group, the start offset and everything else that Millstream decides itself is added by who consumes; the job-file
/// parser has refused options of these names.
pub fn client_config(source: &KafkaSource) -> Result<ClientConfig, SettingError> {
    let mut config = ClientConfig::new();
    config.set("client.id", "millstream");
    for (name, setting) in &source.options {
        config.set(name, resolve(setting)?);
    }
    config.set("bootstrap.servers", source.bootstrap.join(","));
    Ok(config)
}
