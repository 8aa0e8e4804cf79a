//! Questions to Kafka about offsets, and commits. All of them block; for threads that may.

use std::{collections::BTreeMap, time::Duration};

use millstream_spec::Start;
use millstream_topology::kafka::{leader_epoch_of, set_leader_epoch};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
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

/// In the metadata of a commit with which an executor leaves.
const LEFT: &str = "left";

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

/// Leader epoch of the log's end; negative where brokers do not tell (before 2.1).
pub fn leader_at_end(consumer: &SourceConsumer, topic: &str, partition: i32) -> KafkaResult<i32> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(topic, partition, Offset::End)?;
    let list = consumer.offsets_for_times(list, TIMEOUT)?;
    Ok(leader_epoch_of(&list, topic, partition).unwrap_or(-1))
}

/// Offset after the last record in the log, also of those in open transactions: other tools count these.
pub fn high_watermark(config: &ClientConfig, topic: &str, partition: i32) -> KafkaResult<i64> {
    let mut config = config.clone();
    let consumer: BaseConsumer = config.set("isolation.level", "read_uncommitted").create()?;
    Ok(consumer.fetch_watermarks(topic, partition, TIMEOUT)?.1)
}

/// Offset after the last committed record in the log.
pub fn log_end(consumer: &SourceConsumer, topic: &str, partition: i32) -> KafkaResult<i64> {
    Ok(consumer.fetch_watermarks(topic, partition, TIMEOUT)?.1)
}

/// Oldest offset in the log.
pub fn log_start(consumer: &SourceConsumer, topic: &str, partition: i32) -> KafkaResult<i64> {
    Ok(consumer.fetch_watermarks(topic, partition, TIMEOUT)?.0)
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
    for Commit { partition, offset, by: By { generation, epoch, has_left }, .. } in commits {
        let mut element = list.add_partition(topic, *partition);
        element.set_offset(Offset::Offset(*offset))?;
        let left = if *has_left { LEFT } else { "" };
        element.set_metadata(format!("{GENERATION}{generation} {EPOCH}{epoch} {left}").trim_end());
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
    let words: Vec<&str> = words.collect();
    let epoch = words.iter().find_map(|word| word.strip_prefix(EPOCH)?.parse().ok()).unwrap_or(0);
    Some(By { generation, epoch, has_left: words.contains(&LEFT) })
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
    let of = |offset: i64| {
        let found = leader_epoch_at(config.clone(), topic, partition, offset)?;
        Ok(found.filter(|(offset, _)| *offset < end))
    };
    first_after(leader, log_start, end, of)
}

/// `of`: offset and leader epoch of the first record at or after an offset; none when there is none before `end`. Asks
/// once where the log is the same.
fn first_after(
    leader: i32,
    log_start: i64,
    end: i64,
    of: impl Fn(i64) -> KafkaResult<Option<(i64, i32)>>,
) -> KafkaResult<i64> {
    // Most often it is the last record that tells; where there is none at that offset, those before it do.
    let (mut low, mut high) = (log_start, end);
    let mut middle = end - 1;
    while low < high {
        match of(middle)? {
            Some((offset, epoch)) if epoch <= leader => low = offset + 1,
            _ => high = middle,
        }
        middle = low + (high - low) / 2;
    }
    if low >= end {
        return Ok(end);
    }
    // Behind it there may be nothing but a gap.
    Ok(of(low)?.filter(|(_, epoch)| *epoch > leader).map_or(end, |(offset, _)| offset))
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
    use std::cell::Cell;

    use super::*;

    /// Leader epochs of the records at 0, 1, …; none where there is a gap.
    fn first(leader: i32, log: &[Option<i32>], end: i64) -> (i64, u32) {
        let asked = Cell::new(0);
        let of = |offset: i64| {
            asked.set(asked.get() + 1);
            let records = log.iter().enumerate().skip(offset as usize).take_while(|(at, _)| (*at as i64) < end);
            Ok(records.filter_map(|(at, epoch)| Some((at as i64, (*epoch)?))).next())
        };
        (first_after(leader, 0, end, of).unwrap(), asked.get())
    }

    #[test]
    fn a_log_that_lost_its_end_is_the_same_up_to_there() {
        let log = [vec![Some(1); 5], vec![Some(2); 8]].concat();
        assert_eq!(first(1, &log, 10).0, 5);
        assert_eq!(first(2, &log, 10).0, 10);
        assert_eq!(first(0, &log, 10).0, 0);
        assert!(first(2, &log, 10).1 <= 2, "the last record tells");
        for gap in 0..10 {
            let mut log = log.clone();
            log[gap..].iter_mut().take(3).for_each(|epoch| *epoch = None);
            assert_eq!(first(2, &log, 10).0, 10, "a gap at {gap} is no loss");
            let lost = first(1, &log, 10).0;
            assert!(log[lost as usize] == Some(2) && !log[..lost as usize].contains(&Some(2)), "gap at {gap}: {lost}");
        }
        assert_eq!(first(1, &[], 0).0, 0);
    }

    #[test]
    fn a_commit_tells_whose_it_is() {
        let is = |epoch, has_left| Some(By { generation: 2, epoch, has_left });
        assert_eq!(by("generation=2 epoch=7"), is(7, false));
        assert_eq!(by("generation=2 epoch=7 left"), is(7, true));
        assert_eq!(by("generation=2"), is(0, false), "of an earlier release");
        assert_eq!(by("generation=2 later=x epoch=7"), is(7, false));
        assert_eq!((by(""), by("by hand"), by("epoch=7")), (None, None, None), "a person's word");
    }
}
