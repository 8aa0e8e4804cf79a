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

/// Before the generation of the executor in a commit's metadata.
const TAG: &str = "generation=";

/// What the group has committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Where to begin.
    pub offset: i64,
    /// Generation of the job whose executor said so; none when a person or another tool did.
    pub generation: Option<u64>,
}

impl Committed {
    /// An executor of an older generation said so: right only as long as the newer one has not begun (delivery.md, D5).
    pub fn is_older_than(&self, generation: u64) -> bool {
        self.generation.is_some_and(|by| by < generation)
    }
}

/// What Kafka says about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// What the group has committed.
    pub committed: Option<Committed>,
    /// Oldest offset in the log.
    pub log_start: i64,
    /// Offset after the last committed record in the log.
    pub log_end: i64,
    /// Offset of the first record at or after the job's start time, when the job has one; none when there is no such
    /// record yet.
    pub at_start_time: Option<i64>,
}

impl Facts {
    /// Begins no later than at this offset, as far as the log goes back.
    pub fn back_to(mut self, offset: i64) -> Facts {
        if let Some(committed) = &mut self.committed {
            committed.offset = committed.offset.min(offset.max(self.log_start));
        }
        self
    }
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
    match committed.map(|committed| committed.offset) {
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

/// What the group has committed. Blocks.
pub fn committed(consumer: &SourceConsumer, topic: &str, partition: i32) -> KafkaResult<Option<Committed>> {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let list = consumer.committed_offsets(list, TIMEOUT)?;
    let Some(offset) = offset_of(&list, topic, partition)? else { return Ok(None) };
    let generation = list.find_partition(topic, partition).and_then(|element| generation_in(element.metadata()));
    Ok(Some(Committed { offset, generation }))
}

/// Commits offsets in the name of a generation. Blocks until the answer when `mode` says so.
pub fn commit(
    consumer: &SourceConsumer,
    topic: &str,
    generation: u64,
    offsets: &[(i32, i64)],
    mode: CommitMode,
) -> KafkaResult<()> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, offset) in offsets {
        let mut element = list.add_partition(topic, *partition);
        element.set_offset(Offset::Offset(*offset))?;
        element.set_metadata(format!("{TAG}{generation}"));
    }
    consumer.commit(&list, mode)
}

fn generation_in(metadata: &str) -> Option<u64> {
    metadata.strip_prefix(TAG)?.parse().ok()
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

    impl Facts {
        fn committed_at(self, offset: i64) -> Facts {
            Facts { committed: Some(Committed { offset, generation: Some(1) }), ..self }
        }
    }

    #[test]
    fn a_commit_tells_whose_it_is() {
        let by = |metadata: &str| Committed { offset: 1, generation: generation_in(metadata) };
        assert!(by("generation=2").is_older_than(3));
        assert!(!by("generation=3").is_older_than(3) && !by("generation=4").is_older_than(3));
        assert!(!by("").is_older_than(3) && !by("by hand").is_older_than(3), "a person's word counts");
    }

    #[test]
    fn a_generation_that_has_begun_goes_back_to_its_begin() {
        let facts = FACTS.committed_at(18);
        assert_eq!(decide(facts.back_to(15), Start::Earliest), at(15, false));
        assert_eq!(decide(facts.back_to(19), Start::Earliest), at(18, false), "never forward");
        assert_eq!(decide(facts.back_to(3), Start::Earliest), at(10, false), "what is left of it");
    }

    fn at(offset: i64, is_new: bool) -> Result<Position, StartError> {
        Ok(Position { offset, is_new })
    }

    #[test]
    fn what_is_committed_comes_first() {
        for start in [Start::Earliest, Start::Latest, Start::TimestampMs(0)] {
            for committed in [10, 12, 20] {
                assert_eq!(decide(FACTS.committed_at(committed), start), at(committed, false));
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
        let gap = decide(FACTS.committed_at(7), Start::Earliest).unwrap_err();
        assert_eq!(gap, StartError::Gap { committed: 7, log_start: 10 });
        assert!(gap.to_string().contains("3 records in [7, 10) are gone"), "{gap}");
        let beyond = decide(FACTS.committed_at(21), Start::Latest).unwrap_err();
        assert_eq!(beyond, StartError::BeyondEnd { committed: 21, log_end: 20 });
    }
}
