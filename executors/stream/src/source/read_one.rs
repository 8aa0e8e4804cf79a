//! Reads one record again, for the dead letter of a row that Cassandra refused after its record was let go.

use std::time::{Duration, Instant};

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};

use millstream_topology::kafka::{leader_epoch, topic_id};

use crate::{blocks::is_another_log, dead_letter::Content};

/// For a record that is there, with a healthy broker, a fraction of a second is enough.
const PATIENCE: Duration = Duration::from_secs(8);

/// A topic that is not there is said after this time (librdkafka waits for 30 s by default).
const UNKNOWN_TOPIC_MS: &str = "2000";

/// What became of a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is there.
    Found(Box<Content>),
    /// Kafka says that it is not there any more, and why.
    Gone {
        /// For people.
        why: &'static str,
        /// No broker that is only not up to date would say so.
        is_sure: bool,
    },
}

/// The record at `offset`, in the log that has this id (empty: not known). Blocks; for a thread that may.
pub fn read_one(
    mut config: ClientConfig,
    topic: &str,
    id: &str,
    partition: i32,
    offset: i64,
) -> Result<Answer, KafkaError> {
    config.set("enable.partition.eof", "true").set("topic.metadata.propagation.max.ms", UNKNOWN_TOPIC_MS);
    let consumer: BaseConsumer = config.create()?;
    if let Ok(Some(now)) = topic_id(consumer.client(), topic)
        && is_another_log(&now, id)
    {
        return Ok(Answer::Gone { why: "its topic was deleted and made anew", is_sure: true });
    }
    match first_at(&consumer, topic, partition, offset) {
        Ok(message) if message.offset() == offset => {
            Ok(Answer::Found(Box::new(Content::of(&message, message.headers()))))
        }
        Ok(_) => Ok(Answer::Gone { why: "retention or compaction has removed it", is_sure: true }),
        Err(error) => match gone(&error) {
            // A log never begins earlier again; its end a new leader may learn late.
            Some(why) => Ok(Answer::Gone { why, is_sure: begins_beyond(&consumer, topic, partition, offset) }),
            None => Err(error),
        },
    }
}

fn begins_beyond(consumer: &BaseConsumer, topic: &str, partition: i32, offset: i64) -> bool {
    consumer.fetch_watermarks(topic, partition, PATIENCE).is_ok_and(|(log_start, _)| log_start > offset)
}

/// The first record at or after `offset`, or what Kafka says instead.
fn first_at<'c>(
    consumer: &'c BaseConsumer,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<BorrowedMessage<'c>, KafkaError> {
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    consumer.assign(&assignment)?;
    let begin = Instant::now();
    let mut last = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
    while begin.elapsed() < PATIENCE {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Err(error)) if is_of_one_broker(&error) => last = error,
            Some(answer) => return answer,
            None => {}
        }
    }
    Err(last)
}

/// A broker that is away is told of, whether it is the one that has the record or not.
fn is_of_one_broker(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, Resolve};
    matches!(error.rdkafka_error_code(), Some(BrokerTransportFailure | AllBrokersDown | Resolve))
}

/// Why a record is not there, if that is what the error says.
fn gone(error: &KafkaError) -> Option<&'static str> {
    match error {
        KafkaError::PartitionEOF(_) => Some("the log ends before it"),
        KafkaError::MessageConsumption(code) | KafkaError::MessageConsumptionFatal(code) => match code {
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                Some("its offset is out of the log's range")
            }
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition => Some("its topic or partition does not exist any more"),
            _ => None,
        },
        _ => None,
    }
}

/// Offset and leader epoch of the first record at or after `offset`; none when there is none within the patience.
pub fn leader_epoch_at(
    mut config: ClientConfig,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<Option<(i64, i32)>, KafkaError> {
    config.set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create()?;
    match first_at(&consumer, topic, partition, offset) {
        Ok(message) => Ok(Some((message.offset(), leader_epoch(&message).unwrap_or(-1)))),
        Err(KafkaError::PartitionEOF(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
