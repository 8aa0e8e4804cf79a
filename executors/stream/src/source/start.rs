//! Where a partition begins: at the committed offset, else where the job says; never anywhere else without a word
//! (faults K3, K4).

use std::time::Duration;

use millstream_spec::Start;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _},
    error::{KafkaError, KafkaResult},
};

use super::SourceConsumer;

/// For one question to a broker.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What Kafka says about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The group's committed offset.
    pub committed: Option<i64>,
    /// Oldest offset in the log.
    pub log_start: i64,
    /// Offset after the last committed record in the log.
    pub log_end: i64,
    /// Offset of the first record at or after the job's start time, when the job has one; none when there is no such
    /// record yet.
    pub at_start_time: Option<i64>,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// First offset to be consumed.
    pub offset: i64,
    /// It was chosen now, and must be committed before anything is read: a crash must not choose anew and skip what
    /// was produced in between.
    pub is_new: bool,
}

/// Why a partition must not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Retention has passed the committed offset.
    #[error(
        "offset out of range: committed {committed} is below the log start {log_start}; {} records in [{committed}, {log_start}) are gone; to go on without them, set the group's offset to {log_start}",
        log_start - committed
    )]
    Gap {
        /// The committed offset.
        committed: i64,
        /// Oldest offset in the log.
        log_start: i64,
    },
    /// The log is shorter than what was consumed of it.
    #[error(
        "committed offset {committed} is beyond the log end {log_end}: the topic was deleted and made anew, or its end was lost; deploy the job with another group, or set the group's offset"
    )]
    BeyondEnd {
        /// The committed offset.
        committed: i64,
        /// Offset after the last record.
        log_end: i64,
    },
}

/// Decides. Pure.
pub fn decide(facts: Facts, start: Start) -> Result<Position, StartError> {
    let Facts { committed, log_start, log_end, at_start_time } = facts;
    match committed {
        Some(committed) if committed < log_start => Err(StartError::Gap { committed, log_start }),
        Some(committed) if committed > log_end => Err(StartError::BeyondEnd { committed, log_end }),
        Some(offset) => Ok(Position { offset, is_new: false }),
        None => {
            let offset = match start {
                Start::Earliest => log_start,
                Start::Latest => log_end,
                Start::TimestampMs(_) => at_start_time.unwrap_or(log_end).max(log_start),
            };
            Ok(Position { offset, is_new: true })
        }
    }
}

/// Asks Kafka. Blocks; for a thread that may.
pub fn ask(consumer: &SourceConsumer, topic: &str, partition: i32, start: Start) -> KafkaResult<Facts> {
    let committed = committed(consumer, topic, partition)?;
    let (log_start, log_end) = consumer.fetch_watermarks(topic, partition, TIMEOUT)?;
    let at_start_time = match (committed, start) {
        (None, Start::TimestampMs(timestamp_ms)) => offset_at(consumer, topic, partition, timestamp_ms)?,
        _ => None,
    };
    Ok(Facts { committed, log_start, log_end, at_start_time })
}

/// Offset after the last committed record in the log. Blocks.
pub fn log_end(consumer: &SourceConsumer, topic: &str, partition: i32) -> KafkaResult<i64> {
    Ok(consumer.fetch_watermarks(topic, partition, TIMEOUT)?.1)
}

/// The group's committed offset. Blocks.
pub fn committed(consumer: &SourceConsumer, topic: &str, partition: i32) -> KafkaResult<Option<i64>> {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    offset_of(&consumer.committed_offsets(list, TIMEOUT)?, topic, partition)
}

/// Commits offsets and waits for the answer. Blocks.
pub fn commit(consumer: &SourceConsumer, topic: &str, offsets: &[(i32, i64)], mode: CommitMode) -> KafkaResult<()> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    consumer.commit(&list, mode)
}

fn offset_at(consumer: &SourceConsumer, topic: &str, partition: i32, timestamp_ms: i64) -> KafkaResult<Option<i64>> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(timestamp_ms))?;
    offset_of(&consumer.offsets_for_times(list, TIMEOUT)?, topic, partition)
}

fn offset_of(list: &TopicPartitionList, topic: &str, partition: i32) -> Result<Option<i64>, KafkaError> {
    let Some(element) = list.find_partition(topic, partition) else { return Ok(None) };
    element.error()?;
    Ok(match element.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts = Facts { committed: None, log_start: 10, log_end: 20, at_start_time: Some(15) };

    fn at(offset: i64, is_new: bool) -> Result<Position, StartError> {
        Ok(Position { offset, is_new })
    }

    #[test]
    fn what_is_committed_comes_first() {
        for start in [Start::Earliest, Start::Latest, Start::TimestampMs(0)] {
            for committed in [10, 12, 20] {
                assert_eq!(decide(Facts { committed: Some(committed), ..FACTS }, start), at(committed, false));
            }
        }
    }

    #[test]
    fn else_the_job_says_where_and_that_is_committed() {
        assert_eq!(decide(FACTS, Start::Earliest), at(10, true));
        assert_eq!(decide(FACTS, Start::Latest), at(20, true));
        assert_eq!(decide(FACTS, Start::TimestampMs(1)), at(15, true));
        assert_eq!(decide(Facts { at_start_time: None, ..FACTS }, Start::TimestampMs(1)), at(20, true));
    }

    #[test]
    fn nothing_is_skipped_silently() {
        let gap = decide(Facts { committed: Some(7), ..FACTS }, Start::Earliest).unwrap_err();
        assert_eq!(gap, StartError::Gap { committed: 7, log_start: 10 });
        assert!(gap.to_string().contains("3 records in [7, 10) are gone"), "{gap}");
        let beyond = decide(Facts { committed: Some(21), ..FACTS }, Start::Latest).unwrap_err();
        assert_eq!(beyond, StartError::BeyondEnd { committed: 21, log_end: 20 });
    }
}
