//! Dead letters: bad records, byte for byte, in a topic of their own, with headers that say where they come from and
//! what is wrong with them. Delivered before their offset may be committed.
//!
//! Map: this file says what a letter is, `cut` what of it is sent when the topic does not take all of it, and `writer`
//! delivers.

mod cut;
#[cfg(test)]
mod tests;
mod writer;

use millstream_topology::kafka::raw_headers;
use rdkafka::message::BorrowedHeaders;

pub use self::writer::Writer;
use crate::sink::work::{Hold, Lane};

/// A bad record.
pub struct Letter {
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
    /// Headers; their names are whatever bytes the producer took.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Content {
    /// Copies a message with its headers.
    pub fn of(message: &impl rdkafka::Message, headers: Option<&BorrowedHeaders>) -> Content {
        let headers = headers.map(raw_headers).unwrap_or_default();
        Content {
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.into_iter().map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect(),
        }
    }

    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        let size = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        size(&self.key) + size(&self.value) + self.headers.iter().map(|(name, v)| name.len() + size(v)).sum::<usize>()
    }
}

impl Letter {
    /// Bytes it holds in memory.
    pub fn bytes(&self) -> usize {
        match &self.body {
            Body::Here(content) => content.bytes(),
            Body::InKafka => 0,
        }
    }
}

/// Letters of one partition in one batch, and what waits for them.
pub struct Letters {
    /// The partition.
    pub lane: Lane,
    /// The letters.
    pub letters: Vec<Letter>,
    /// Keeps the partition's records of the batch from being durable. Those of other partitions do not wait.
    pub hold: Hold,
}
