//! The Kafka source: one consumer per executor, partitions assigned by the scheduler (delivery.md D0).
//!
//! Map: this file makes the consumer, [`context`] hears what librdkafka says about itself, [`start`] decides where a
//! partition begins, [`read_one`] reads one record again, [`tier`] knows how near brokers are.

pub mod context;
pub mod offsets;
pub mod read_one;
pub mod start;
pub mod tier;

use std::sync::Arc;

use millstream_protocol::Location;
use millstream_spec::KafkaSource;
use rdkafka::{ClientConfig, consumer::BaseConsumer, error::KafkaError};

use self::context::SourceContext;

/// The consumer of an executor.
pub type SourceConsumer = BaseConsumer<SourceContext>;

/// Log ends, brokers and the tier of each partition come from librdkafka's statistics, at the pace of reports.
const STATISTICS_INTERVAL_MS: &str = "1000";

/// The default of 1 s stalls a busy consumer whenever its queue was full for a moment (servers.md: 10 doubles the rate).
const QUEUE_BACKOFF_MS: &str = "10";

/// Bytes a broker may answer with at once for one partition. Larger records still come, one at a time.
const PARTITION_FETCH_BYTES_MAX: u64 = 1 << 20;

/// Less costs more requests than it saves memory.
const PARTITION_FETCH_BYTES_MIN: u64 = 16 << 10;

/// Records may be compressed to such a part and still find room in the queue.
const COMPRESSION: u64 = 8;

/// Bytes a broker may answer with at once for all partitions.
const FETCH_BYTES_MAX: u64 = 8 << 20;

/// librdkafka wants more room for an answer than it asks for.
const RECEIVE_HEADROOM_BYTES: u64 = 1 << 20;

/// Largest single record that can be received.
const RECORD_BYTES_MAX: u64 = 100 << 20;

/// A plain consumer for this source, to ask and to read single records.
pub fn plain_config(base: &ClientConfig, source: &KafkaSource) -> ClientConfig {
    let mut config = base.clone();
    config
        .set("group.id", &source.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("check.crcs", "true")
        .set("receive.message.max.bytes", (RECORD_BYTES_MAX + FETCH_BYTES_MAX + RECEIVE_HEADROOM_BYTES).to_string());
    config
}

/// The executor's consumer. `queue_bytes` is what librdkafka may hold for one partition.
pub fn consumer(
    base: &ClientConfig,
    source: &KafkaSource,
    location: &Location,
    queue_bytes: u64,
    context: SourceContext,
) -> Result<Arc<SourceConsumer>, KafkaError> {
    let mut config = plain_config(base, source);
    let set_default = |config: &mut ClientConfig, name: &str, value: String| {
        if config.get(name).is_none() {
            config.set(name, value);
        }
    };
    // A fetch larger than the queue would only overfill it, and it is counted compressed.
    let partition_fetch = (queue_bytes / COMPRESSION).clamp(PARTITION_FETCH_BYTES_MIN, PARTITION_FETCH_BYTES_MAX);
    set_default(&mut config, "max.partition.fetch.bytes", partition_fetch.to_string());
    set_default(&mut config, "fetch.max.bytes", FETCH_BYTES_MAX.to_string());
    set_default(&mut config, "queued.max.messages.kbytes", (queue_bytes >> 10).max(1).to_string());
    set_default(&mut config, "fetch.queue.backoff.ms", QUEUE_BACKOFF_MS.to_owned());
    config.set("statistics.interval.ms", STATISTICS_INTERVAL_MS);
    // The end of the log is where positions pass trailing control records (lane.rs).
    config.set("enable.partition.eof", "true");
    if let Some(rack) = &location.kafka_rack {
        config.set("client.rack", rack);
    }
    config.create_with_context(context).map(Arc::new)
}
