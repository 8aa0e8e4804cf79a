//! Dead letters: bad records, byte for byte, in a topic of their own, with headers that say where they come from and
//! what is wrong with them. Delivered before their offset may be committed.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, Headers as _, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};
use tokio::sync::mpsc;

use crate::{
    engine::{Health, Trouble},
    sink::work::{Lane, Unit},
    source::read_one::read_one,
};

/// Largest letter the client passes on; what the topic takes is the broker's to say.
const MESSAGE_BYTES_MAX: &str = "104857600";

/// Memory for letters on their way. A full queue makes the writer wait.
const QUEUE_KBYTES: &str = "16384";

/// Pause between attempts to deliver a letter.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Letters being delivered at once.
const AT_ONCE: usize = 512;

/// Prefix of the headers.
const HEADER: &str = "millstream.";

/// A bad record.
pub struct Letter {
    /// Its partition.
    pub lane: Lane,
    /// Its offset.
    pub offset: i64,
    /// Its bytes.
    pub body: Body,
    /// One word.
    pub reason: String,
    /// For people.
    pub detail: String,
}

/// Where the bytes of a bad record are.
pub enum Body {
    /// Here.
    Here(Box<Content>),
    /// Only in Kafka: they are read again.
    InKafka,
}

/// The bytes of a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// Timestamp in milliseconds.
    pub timestamp_ms: Option<i64>,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value.
    pub value: Option<Vec<u8>>,
    /// Headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Content {
    /// Copies a message.
    pub fn of(message: &impl rdkafka::Message) -> Content {
        let headers = message.headers().map(|headers| {
            headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
        });
        Content {
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
        }
    }

    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        let size = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        size(&self.key) + size(&self.value) + self.headers.iter().map(|(name, v)| name.len() + size(v)).sum::<usize>()
    }
}

/// Letters of one batch, and the unit that has one part for all of them.
pub struct Letters {
    /// The letters.
    pub letters: Vec<Letter>,
    /// Waits for them.
    pub unit: Arc<Unit>,
}

/// Delivers letters.
pub struct Writer {
    /// The job's name, for the headers.
    pub job: String,
    /// The topic the records come from.
    pub source_topic: String,
    /// The topic of the letters.
    pub topic: String,
    /// Kafka client settings of the job.
    pub config: ClientConfig,
    /// Settings of a consumer that reads a record again.
    pub read_config: ClientConfig,
    /// Told when letters can't be delivered.
    pub health: Arc<Health>,
}

impl Writer {
    /// Runs until the senders are gone and all letters are delivered.
    pub async fn run(self, mut queue: mpsc::Receiver<Letters>) -> Result<(), KafkaError> {
        let producer = producer(&self.config)?;
        while let Some(Letters { mut letters, unit }) = queue.recv().await {
            while !letters.is_empty() {
                let rest = letters.split_off(letters.len().min(AT_ONCE));
                join_all(letters.iter().map(|letter| self.deliver(&producer, letter))).await;
                letters = rest;
            }
            unit.part_done();
        }
        Ok(())
    }

    async fn deliver(&self, producer: &FutureProducer, letter: &Letter) {
        let read;
        let content = match &letter.body {
            Body::Here(content) => content,
            Body::InKafka => {
                read = self.read(letter).await;
                &read
            }
        };
        let mut with_value = true;
        loop {
            match producer.send(self.record(letter, content, with_value), Timeout::Never).await {
                Ok(_) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _)) if with_value => {
                    // The topic takes no message of this size, ever: its place is kept, and a header says so.
                    with_value = false;
                }
                Err((error, _)) => {
                    self.health.dead_letters.set(Trouble::stalled(format!("dead letter to {}: {error}", self.topic)));
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
        self.health.dead_letters.clear();
        letter.lane.state.task.bad_record(true);
    }

    async fn read(&self, letter: &Letter) -> Content {
        loop {
            let (config, topic) = (self.read_config.clone(), self.source_topic.clone());
            let (partition, offset) = (letter.lane.state.partition, letter.offset);
            let read = tokio::task::spawn_blocking(move || read_one(config, &topic, partition, offset)).await;
            match read {
                Ok(Ok(content)) => return content,
                Ok(Err(error)) => self.health.dead_letters.set(Trouble::stalled(format!("record {offset}: {error}"))),
                Err(panic) => tracing::error!(%panic, "reading a bad record again failed"),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    fn record<'a>(&'a self, letter: &Letter, content: &'a Content, with_value: bool) -> FutureRecord<'a, [u8], [u8]> {
        let dropped = (!with_value).then(|| content.value.as_ref().map_or(0, Vec::len).to_string());
        let own = [
            ("job", Some(self.job.clone())),
            ("topic", Some(self.source_topic.clone())),
            ("partition", Some(letter.lane.state.partition.to_string())),
            ("offset", Some(letter.offset.to_string())),
            ("timestamp", content.timestamp_ms.map(|ms| ms.to_string())),
            ("reason", Some(letter.reason.clone())),
            ("detail", Some(letter.detail.clone())),
            ("value_dropped_bytes", dropped),
        ];
        let mut headers = OwnedHeaders::new_with_capacity(content.headers.len() + own.len());
        for (key, value) in &content.headers {
            headers = headers.insert(Header { key, value: value.as_ref() });
        }
        for (name, value) in own.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            headers = headers.insert(Header { key: &format!("{HEADER}{name}"), value: Some(value) });
        }
        FutureRecord {
            topic: &self.topic,
            partition: None,
            payload: content.value.as_deref().filter(|_| with_value),
            key: content.key.as_deref(),
            timestamp: None,
            headers: Some(headers),
        }
    }
}

fn producer(config: &ClientConfig) -> Result<FutureProducer, KafkaError> {
    let mut config = config.clone();
    config
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .set("compression.type", "zstd")
        .set("message.max.bytes", MESSAGE_BYTES_MAX)
        .set("queue.buffering.max.kbytes", QUEUE_KBYTES);
    config.create()
}
