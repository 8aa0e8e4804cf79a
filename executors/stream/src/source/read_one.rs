//! Reads one record again, for the dead letter of a row that Cassandra refused after its record was let go.

use std::time::{Duration, Instant};

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};

use millstream_topology::kafka::leader_epoch;

use crate::dead_letter::Content;

/// For a record that is there, with a healthy broker, a fraction of a second is enough.
const PATIENCE: Duration = Duration::from_secs(20);

/// The record at `offset`. Blocks; for a thread that may.
pub fn read_one(config: ClientConfig, topic: &str, partition: i32, offset: i64) -> Result<Content, KafkaError> {
    let consumer: BaseConsumer = config.create()?;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    consumer.assign(&assignment)?;
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) if message.offset() == offset => return Ok(Content::of(&message)),
            Some(Ok(_)) => return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OffsetOutOfRange)),
            Some(Err(error)) => return Err(error),
            None => {}
        }
    }
    Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
}

/// Offset and leader epoch of the first record at or after `offset`; none when there is none within the patience.
pub fn leader_epoch_at(
    config: ClientConfig,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<Option<(i64, i32)>, KafkaError> {
    let mut config = config;
    config.set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create()?;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    consumer.assign(&assignment)?;
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => return Ok(Some((message.offset(), leader_epoch(&message).unwrap_or(-1)))),
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
            Some(Err(error)) => return Err(error),
            None => {}
        }
    }
    Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
}
