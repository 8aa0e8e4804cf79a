//! Reads a whole topic, to see what is in it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::Headers as _,
};

use crate::kafka::watermarks;
use crate::produce::Position;

/// For one answer of a running broker.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// For the whole topic.
const READ_WITHIN: Duration = Duration::from_secs(120);

/// A record as it is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Where it is.
    pub position: Position,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers as text.
    pub headers: Vec<(String, String)>,
}

impl LogRecord {
    /// The value of the first header with this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// All records of a topic up to its present ends, by partition and offset. Blocks.
pub fn read_topic(client: &ClientConfig, topic: &str) -> Result<Vec<LogRecord>> {
    let consumer: BaseConsumer = client.clone().set("group.id", "testbed-reader").create()?;
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_WITHIN)?;
    let partitions = metadata.topics().first().context("the topic is not there")?.partitions().len();
    let mut assignment = TopicPartitionList::new();
    let mut left = vec![];
    for partition in 0..partitions as i32 {
        let (start, end) = watermarks(&consumer, topic, partition)?;
        left.push(end - start);
        if end > start {
            assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
    }
    consumer.assign(&assignment)?;
    let deadline = Instant::now() + READ_WITHIN;
    let mut records = vec![];
    while left.iter().any(|left| *left > 0) {
        if Instant::now() > deadline {
            bail!("topic {topic} is not read within {READ_WITHIN:?}; left by partition: {left:?}");
        }
        let Some(message) = consumer.poll(Duration::from_millis(200)) else { continue };
        let message = message?;
        left[message.partition() as usize] -= 1;
        let headers = message.headers().map(|headers| headers.iter().map(header).collect()).unwrap_or_default();
        records.push(LogRecord {
            position: Position { partition: message.partition(), offset: message.offset() },
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers,
        });
    }
    records.sort_by_key(|record| record.position);
    Ok(records)
}

fn header(header: rdkafka::message::Header<'_, &[u8]>) -> (String, String) {
    (header.key.to_owned(), String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned())
}
