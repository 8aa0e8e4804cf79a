//! Kafka clients from a job, and what its topic looks like.

mod error;
mod metadata;
#[allow(unsafe_code)] // rdkafka wraps neither DescribeCluster (racks) nor DescribeTopics (ids) nor leader epochs
mod native;
#[cfg(test)]
mod tests;

use std::time::Duration;

use millstream_spec::KafkaSource;
use rdkafka::{
    ClientConfig, TopicPartitionList,
    client::{Client, ClientContext},
    message::BorrowedMessage,
};

use crate::settings::{SettingError, kafka_option};

pub use error::KafkaError;
pub(crate) use metadata::Kafka;
pub use native::{RawHeader, add_header, raw_headers};

/// Time for the first connection and the metadata of one topic; a cluster that is well takes well under a second.
pub const METADATA_TIMEOUT: Duration = Duration::from_secs(8);

/// Time for each of the two questions that may stay open: racks, and the brokers' replica selector.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for the log ends of one topic: they are for people, who do not wait long.
const LOG_ENDS_TIMEOUT: Duration = Duration::from_secs(3);

/// What every client of the job has in common: bootstrap, and the job's options with secrets resolved.
///
/// The group, the start offset and everything else that Millstream decides itself is added by who consumes. Blocks: it reads
/// files.
pub fn client_config(source: &KafkaSource) -> Result<ClientConfig, SettingError> {
    let mut config = ClientConfig::new();
    config.set("client.id", "millstream");
    for (name, setting) in &source.options {
        if let Some(value) = kafka_option(name, setting)? {
            config.set(name, value);
        }
    }
    config.set("bootstrap.servers", source.bootstrap.join(","));
    Ok(config)
}

/// Kafka's id of a topic: a topic that was deleted and made anew has another one. None when there is no topic of this name,
/// empty where brokers know no ids. An error is Kafka's text. Blocks.
pub fn topic_id<C: ClientContext>(client: &Client<C>, topic: &str) -> Result<Option<String>, String> {
    native::topic_id(client, topic, ADMIN_TIMEOUT)
}

/// Leader epoch under which a record was appended (KIP-320); none where brokers tell none.
pub fn leader_epoch(message: &BorrowedMessage<'_>) -> Option<i32> {
    native::leader_epoch(message)
}

/// Leader epoch of an entry of a list, as a commit or an assignment carries it; none when it has none.
pub fn leader_epoch_of(list: &TopicPartitionList, topic: &str, partition: i32) -> Option<i32> {
    native::leader_epoch_of(list, topic, partition)
}

/// Sets the leader epoch of an entry of a list, if it is there: a consumer that is assigned with it validates the offset.
pub fn set_leader_epoch(list: &mut TopicPartitionList, topic: &str, partition: i32, epoch: i32) {
    native::set_leader_epoch(list, topic, partition, epoch);
}
