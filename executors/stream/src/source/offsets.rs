//! Questions to Kafka about offsets, and commits. All of them block; for threads that may.

use std::{collections::BTreeMap, time::Duration};

use millstream_spec::Start;
use millstream_topology::kafka::{leader_epoch_of, set_leader_epoch};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _},
    error::{KafkaError, KafkaResult},
};

use super::{
    SourceConsumer,
    read_one::leader_epoch_at,
    start::{By, Committed, Facts},
};

/// For one question to a broker.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Before the generation of the executor in a commit's metadata.
const GENERATION: &str = "generation=";

/// Before the number of the newest epoch it knew.
const EPOCH: &str = "epoch=";

/// One partition's commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// The partition.
    pub partition: i32,
    /// All below is durable.
    pub offset: i64,
    /// Leader epoch of the log there; negative while unknown.
    pub leader: i32,
    /// Who says so.
    pub by: By,
}

/// Asks Kafka all that [`decide`](super::start::decide) needs to know of a partition.
pub fn ask(consumer: &SourceConsumer, topic: &str, partition: i32, start: Start) -> KafkaResult<Facts> {
    let committed = committed(consumer, topic, &[partition])?.remove(&partition);
    let (log_start, log_end) = consumer.fetch_watermarks(topic, partition, TIMEOUT)?;
    let at_start_time = match (committed, start) {
        (None, Start::TimestampMs(timestamp_ms)) => offset_at(consumer, topic, partition, timestamp_ms)?,
        _ => None,
    };
    Ok(Facts { committed, log_start, log_end, at_start_time, is_later: false })
}

/// Offset after the last committed record in the log.
pub fn log_end(consumer: &SourceConsumer, topic: &str, partition: i32) -> KafkaResult<i64> {
    Ok(consumer.fetch_watermarks(topic, partition, TIMEOUT)?.1)
}

/// Number of partitions of the topic now.
pub fn partitions(consumer: &SourceConsumer, topic: &str) -> KafkaResult<usize> {
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    Ok(metadata.topics().iter().find(|found| found.name() == topic).map_or(0, |found| found.partitions().len()))
}

/// What the group has committed, by partition; none where it has not, or Kafka has forgotten it.
pub fn committed(consumer: &SourceConsumer, topic: &str, partitions: &[i32]) -> KafkaResult<BTreeMap<i32, Committed>> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    let list = consumer.committed_offsets(list, TIMEOUT)?;
    let mut all = BTreeMap::new();
    for partition in partitions {
        let Some(offset) = offset_of(&list, topic, *partition)? else { continue };
        let element = list.find_partition(topic, *partition);
        let by = element.and_then(|element| by(element.metadata()));
        let leader = leader_epoch_of(&list, topic, *partition).unwrap_or(-1);
        all.insert(*partition, Committed { offset, leader, by });
    }
    Ok(all)
}

/// Commits, and waits for the answer.
pub fn commit(consumer: &SourceConsumer, topic: &str, commits: &[Commit]) -> KafkaResult<()> {
    let mut list = TopicPartitionList::with_capacity(commits.len());
    for Commit { partition, offset, by: By { generation, epoch }, .. } in commits {
        let mut element = list.add_partition(topic, *partition);
        element.set_offset(Offset::Offset(*offset))?;
        element.set_metadata(format!("{GENERATION}{generation} {EPOCH}{epoch}"));
    }
    for commit in commits.iter().filter(|commit| commit.leader >= 0) {
        set_leader_epoch(&mut list, topic, commit.partition, commit.leader);
    }
    consumer.commit(&list, CommitMode::Sync)
}

/// Executors of earlier releases named their generation only.
fn by(metadata: &str) -> Option<By> {
    let mut words = metadata.split_whitespace();
    let generation = words.next()?.strip_prefix(GENERATION)?.parse().ok()?;
    let epoch = words.find_map(|word| word.strip_prefix(EPOCH)?.parse().ok()).unwrap_or(0);
    Some(By { generation, epoch })
}

/// Offset of the first record whose timestamp is at or after `timestamp_ms`; none when there is none yet.
pub fn offset_at(
    consumer: &SourceConsumer,
    topic: &str,
    partition: i32,
    timestamp_ms: i64,
) -> KafkaResult<Option<i64>> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(timestamp_ms.max(0)))?;
    offset_of(&consumer.offsets_for_times(list, TIMEOUT)?, topic, partition)
}

/// The first offset in `[log_start, end)` whose record was appended under a leader after `leader`: all records before
/// it were in the log when that leader led. `end` when there is none.
pub fn first_after_leader(
    config: &ClientConfig,
    topic: &str,
    partition: i32,
    leader: i32,
    log_start: i64,
    end: i64,
) -> KafkaResult<i64> {
    // Leader epochs never fall along the log.
    let (mut low, mut high) = (log_start, end);
    while low < high {
        let middle = low + (high - low) / 2;
        match leader_epoch_at(config.clone(), topic, partition, middle)? {
            Some((_, epoch)) if epoch > leader => high = middle,
            Some((offset, _)) => low = offset.max(middle) + 1,
            None => high = middle,
        }
    }
    Ok(low.min(end))
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

    #[test]
    fn a_commit_tells_whose_it_is() {
        assert_eq!(by("generation=2 epoch=7"), Some(By { generation: 2, epoch: 7 }));
        assert_eq!(by("generation=2"), Some(By { generation: 2, epoch: 0 }), "of an earlier release");
        assert_eq!(by("generation=2 later=x epoch=7"), Some(By { generation: 2, epoch: 7 }));
        assert_eq!((by(""), by("by hand"), by("epoch=7")), (None, None, None), "a person's word");
    }
}
