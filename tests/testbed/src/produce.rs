//! Produces records and learns where the log put them: the oracle's side of the truth.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rdkafka::{
    ClientConfig, ClientContext, Message as _,
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer},
};

/// For all records to be acknowledged after the last was handed over.
const FLUSH_WITHIN: Duration = Duration::from_secs(120);

/// What is produced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Its key; records of one key go to one partition.
    pub key: Option<Vec<u8>>,
    /// Its value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// A fixed partition instead of the key's.
    pub partition: Option<i32>,
    /// Milliseconds since the epoch; default: now.
    pub timestamp_ms: Option<i64>,
    /// Headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Message {
    /// A record of text.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Message { key: Some(key.into().into()), value: Some(value.into().into()), ..Default::default() }
    }

    /// A record without a value.
    pub fn tombstone(key: impl Into<String>) -> Self {
        Message { key: Some(key.into().into()), ..Default::default() }
    }
}

/// Where a record is in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Partition.
    pub partition: i32,
    /// Offset in it.
    pub offset: i64,
}

/// Produces to one topic, each message exactly once and in order within a partition.
pub struct LogProducer {
    producer: ThreadedProducer<Places>,
    topic: String,
}

impl LogProducer {
    /// A producer to `topic` of the cluster that `client` knows.
    pub fn new(client: &ClientConfig, topic: &str) -> Result<Self> {
        let mut config = client.clone();
        config.set("enable.idempotence", "true").set("linger.ms", "20").set("batch.size", "262144");
        Ok(LogProducer { producer: config.create_with_context(Places::default())?, topic: topic.to_owned() })
    }

    /// Produces all messages, waits until they are acknowledged, and gives the place of each. Blocks.
    pub fn produce(&self, messages: impl IntoIterator<Item = Message>) -> Result<Vec<Position>> {
        let mut count = 0;
        for message in messages {
            send(&self.producer, &self.topic, count, &message)?;
            count += 1;
        }
        self.producer.flush(FLUSH_WITHIN).context("not every record was acknowledged")?;
        let Found { mut found, error } = std::mem::take(&mut *self.producer.context().lock());
        if let Some(error) = error {
            bail!("a record was refused: {error}");
        }
        found.sort_unstable_by_key(|(index, _)| *index);
        if found.len() != count {
            bail!("{} of {count} records were acknowledged", found.len());
        }
        Ok(found.into_iter().map(|(_, position)| position).collect())
    }
}

/// Produces all messages to a topic, as [`LogProducer::produce`] does. Blocks.
pub fn produce(
    client: &ClientConfig,
    topic: &str,
    messages: impl IntoIterator<Item = Message>,
) -> Result<Vec<Position>> {
    LogProducer::new(client, topic)?.produce(messages)
}

fn send(producer: &ThreadedProducer<Places>, topic: &str, index: usize, message: &Message) -> Result<()> {
    let mut record: BaseRecord<'_, [u8], [u8], Box<usize>> = BaseRecord::with_opaque_to(topic, Box::new(index));
    record.key = message.key.as_deref();
    record.payload = message.value.as_deref();
    record.partition = message.partition;
    record.timestamp = message.timestamp_ms;
    if !message.headers.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(message.headers.len());
        let add = |all: OwnedHeaders, (key, value): &(String, Vec<u8>)| all.insert(Header { key, value: Some(value) });
        record.headers = Some(message.headers.iter().fold(headers, add));
    }
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), same)) => {
                record = same;
                std::thread::sleep(Duration::from_millis(5));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

/// Acknowledged places by index of the message.
#[derive(Debug, Default)]
struct Places(Mutex<Found>);

#[derive(Debug, Default)]
struct Found {
    found: Vec<(usize, Position)>,
    error: Option<KafkaError>,
}

impl Places {
    fn lock(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl ClientContext for Places {}

impl ProducerContext for Places {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, index: Box<usize>) {
        let mut places = self.lock();
        match result {
            Ok(message) => {
                places.found.push((*index, Position { partition: message.partition(), offset: message.offset() }));
            }
            Err((error, _)) => places.error = Some(error.clone()),
        }
    }
}
