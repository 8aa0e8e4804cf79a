//! What librdkafka says about itself: statistics, errors, commits, log lines.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use millstream_protocol::Partition;
use rdkafka::{
    ClientContext, Statistics, config::RDKafkaLogLevel, consumer::ConsumerContext, error::KafkaError,
    statistics::Broker, types::RDKafkaErrorCode,
};

use super::tier::Brokers;
use crate::{
    engine::{Health, PartitionState, Trouble},
    metrics::Metrics,
};

/// The partitions that are assigned now, by number.
pub type Partitions = Arc<Mutex<HashMap<Partition, Arc<PartitionState>>>>;

/// Receives the callbacks; they run on the pump's thread.
pub struct SourceContext {
    /// The job's topic.
    pub topic: String,
    /// How near they are.
    pub brokers: Arc<Brokers>,
    /// What is told about them ends up there.
    pub partitions: Partitions,
    /// Told when no broker can be reached.
    pub health: Arc<Health>,
    /// Counts bytes by tier.
    pub metrics: Arc<Metrics>,
}

impl ClientContext for SourceContext {
    fn stats(&self, statistics: Statistics) {
        let is_down = |broker: &Broker| broker.state != "UP" || broker.nodeid < 0;
        if statistics.brokers.values().all(is_down) {
            self.health.source.set(Trouble::stalled("no Kafka broker can be reached"));
        } else {
            self.health.source.clear();
        }
        let brokers: HashMap<i32, &Broker> = statistics.brokers.values().map(|b| (b.nodeid, b)).collect();
        let Some(topic) = statistics.topics.get(&self.topic) else { return };
        let partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, state) in partitions.iter() {
            let Some(seen) = topic.partitions.get(number) else { continue };
            let broker = brokers.get(&seen.broker).copied().filter(|broker| broker.state == "UP");
            // An end that nobody confirms any more is not known (K2).
            let known = |offset: i64| broker.and((offset >= 0).then_some(offset));
            state.set_log_end(known(seen.hi_offset));
            state.set_stable_end(known(seen.ls_offset));
            if seen.eof_offset >= 0 {
                state.set_eof(seen.eof_offset);
            }
            let tier = broker.and_then(|broker| self.brokers.tier(&broker.nodename, seen.broker == seen.leader));
            if let Some(tier) = tier {
                let bytes = state.set_tier(tier);
                self.metrics.consumed_from(tier, bytes);
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is no error; librdkafka tells it here as well.
        if !matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::PartitionEOF)) {
            tracing::warn!(%error, reason, "kafka");
        }
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::error!(facility, message, "librdkafka");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(facility, message, "librdkafka"),
            _ => tracing::debug!(facility, message, "librdkafka"),
        }
    }
}

impl ConsumerContext for SourceContext {}
