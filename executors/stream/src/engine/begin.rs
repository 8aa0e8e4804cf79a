//! Where a partition begins: asks Kafka and its list of epochs, lets [`decide`](start::decide), and writes down what was
//! decided before anything is read.

use std::{sync::Arc, time::Instant};

use millstream_spec::CassandraSink;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::{
    Again, PartitionState,
    partition::Word,
    pump::Begin,
    same_log::{checked, same_until},
    setup::Ready,
};
use crate::{
    blocks::{
        Block, Epoch, Life, Mark, Speed, Why, YOUNG_US, ahead,
        keeper::{Clocks, KeeperError, List as _, Wanted, append},
        store::{CassandraList, StoreError},
        window::Window,
    },
    engine::causes,
    source::{
        offsets::{self, Commit},
        start::{By, Facts, Known, Position, StartError, decide},
    },
};

/// The list that tells how many partitions the topic had when the job began; no partition has this number.
const OF_THE_TOPIC: i32 = -1;

/// Why a partition has not begun yet.
pub(super) enum BeginError {
    /// A person must act, and the group's offset says when.
    Start(StartError),
    /// A person must act.
    Refused(String),
    /// There is no such topic.
    NoTopic(String),
    /// Try again.
    Later(String),
}

impl From<KafkaError> for BeginError {
    fn from(error: KafkaError) -> Self {
        BeginError::Later(format!("Kafka: {error}"))
    }
}

impl From<StoreError> for BeginError {
    fn from(error: StoreError) -> Self {
        BeginError::Later(causes(&error))
    }
}

impl From<KeeperError<StoreError>> for BeginError {
    fn from(error: KeeperError<StoreError>) -> Self {
        match error {
            KeeperError::Sealed { .. } | KeeperError::Clock { .. } => BeginError::Refused(causes(&error)),
            _ => BeginError::Later(causes(&error)),
        }
    }
}

/// Decides where the partition begins and writes it down. `why` is what ended the consumption before.
/// `is_end_sure`: an end of the log below what was read has been seen for long enough to be true.
pub(super) async fn try_begin(
    ready: &Ready,
    state: &PartitionState,
    why: Again,
    is_end_sure: bool,
) -> Result<Begin, BeginError> {
    let (partition, list) = (state.partition, CassandraList::new(ready.blocks.clone(), state.partition));
    let me = Life { topic_id: known_topic(ready).await?, ..ready.life.clone() };
    let mark = list.mark().await?;
    let mut epochs = read(&list, mark).await?;
    let facts = facts(ready, partition, epochs.is_empty()).await?;
    state.set_log_end(Some(facts.log_end));
    let known = Known { epochs: &epochs, mark };
    let (mut position, life) = match decide(&me, facts, known, ready.source.start) {
        Ok(decided) => decided,
        Err(StartError::BeyondEnd { .. }) if is_end_sure && is_ours(&me, &epochs, facts) => {
            lost_end(ready, partition, &me, facts, known).await?
        }
        Err(error) => return Err(BeginError::Start(error)),
    };
    if position.begins.is_none() {
        position = checked(ready, partition, facts, position, why).await?;
    }
    let dropped_us = dropped_us(ready, &list).await?;
    // An epoch that begins for another cause says itself from where on rows are written again.
    let asked = state.repair_from();
    if matches!(position.begins, None | Some(Why::Generation)) {
        let hidden = dropped_us.and_then(|dropped_us| hidden_from(dropped_us, &epochs, mark, position.offset));
        if let Some(from) = hidden.into_iter().chain(asked).min() {
            position = repaired(position, from.max(facts.log_start));
        }
    }
    if let Some(why) = position.begins {
        let epoch = begin_epoch(ready, &list, &life, epochs.first(), facts, (position.offset, why)).await?;
        epochs.insert(0, epoch);
        asked.into_iter().for_each(|from| state.repaired(from));
    }
    let window = window(ready, state, &epochs, position, facts, &list).await?;
    take_offset(ready, state, facts, &epochs, position).await?;
    Ok(Begin { position: position.offset, leader: position.leader, window })
}

async fn known_topic(ready: &Ready) -> Result<String, BeginError> {
    match ready.topic_id().await? {
        Ok(Some(id)) => Ok(id),
        Ok(None) => Err(BeginError::NoTopic(no_topic(&ready.source.topic))),
        Err(reason) => {
            // Brokers before 2.8, or without the right to describe: a topic made anew is then not told from the old one.
            tracing::warn!(reason, "the topic's id is not known");
            Ok(String::new())
        }
    }
}

/// For people.
pub(super) fn no_topic(topic: &str) -> String {
    format!(
        "there is no topic `{topic}`: it was deleted; create it again (it is then read from its beginning), or stop the job"
    )
}

/// For people.
fn no_partition(topic: &str, partition: i32) -> String {
    format!(
        "there is no partition {partition} in topic `{topic}`: it was made anew with fewer; give it {} partitions again (kafka-topics --alter --partitions), or stop the job",
        partition + 1
    )
}

/// The list as far back as it matters: to an epoch that was begun by reading there, or to the mark.
async fn read(list: &CassandraList, mark: Option<Mark>) -> Result<Vec<Epoch>, StoreError> {
    let mut epochs: Vec<Epoch> = vec![];
    let is_enough = |epochs: &[Epoch]| {
        epochs.iter().any(|epoch| epoch.why.is_start())
            || mark.is_some_and(|mark| {
                epochs.iter().any(|epoch| epoch.number <= mark.epoch && epoch.block.from <= mark.offset)
            })
    };
    loop {
        let page = list.newest(epochs.last().map(|epoch| epoch.number)).await?;
        let is_over = page.is_empty();
        epochs.extend(page);
        if is_over || is_enough(&epochs) {
            return Ok(epochs);
        }
    }
}

async fn facts(ready: &Ready, partition: i32, is_new: bool) -> Result<Facts, BeginError> {
    let (topic, start) = (ready.source.topic.clone(), ready.source.start);
    let facts = ready.ask(move |consumer| offsets::ask(consumer, &topic, partition, start)).await;
    let mut facts = facts.map_err(|error| match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::UnknownPartition) => BeginError::NoTopic(no_partition(&ready.source.topic, partition)),
        _ => error.into(),
    })?;
    if facts.committed.is_some_and(|committed| committed.offset > facts.log_end) {
        let (topic, config) = (ready.source.topic.clone(), ready.read_config.clone());
        facts.log_end = ready.ask(move |_| offsets::high_watermark(&config, &topic, partition)).await?;
    }
    if is_new && facts.committed.is_none() {
        facts.is_later = i64::from(partition) >= partitions_at_begin(ready).await?;
    }
    Ok(facts)
}

/// How many partitions the topic had when the first executor of the job began.
async fn partitions_at_begin(ready: &Ready) -> Result<i64, BeginError> {
    let list = CassandraList::new(ready.blocks.clone(), OF_THE_TOPIC);
    loop {
        if let Some(epoch) = list.newest(None).await?.pop() {
            return Ok(epoch.block.from);
        }
        let topic = ready.source.topic.clone();
        let count = ready.ask(move |consumer| offsets::partitions(consumer, &topic)).await?;
        if count == 0 {
            return Err(BeginError::Later("Kafka does not tell how many partitions the topic has".into()));
        }
        let wanted = Wanted { why: Why::Start, from: count as i64, ahead: 1, floor_us: i64::MIN };
        append(&list, &Arc::new(ready.life.clone()), None, wanted).await?;
    }
}

/// Whether the log is known to be the one that was read, and the offset is no person's: then it is the log that is
/// shorter than it was.
fn is_ours(me: &Life, epochs: &[Epoch], facts: Facts) -> bool {
    let same_log = epochs.first().is_some_and(|newest| !me.topic_id.is_empty() && newest.life.topic_id == me.topic_id);
    same_log && facts.committed.is_none_or(|committed| committed.by.is_some())
}

/// The log ends before what was read of it: goes on where it was the same last.
async fn lost_end(
    ready: &Ready,
    partition: i32,
    me: &Life,
    facts: Facts,
    known: Known<'_>,
) -> Result<(Position, Arc<Life>), BeginError> {
    // With a log that reaches further than any offset the decision itself is the same.
    let endless = Facts { log_end: i64::MAX, ..facts };
    let (position, life) = decide(me, endless, known, ready.source.start).map_err(BeginError::Start)?;
    if position.leader < 0 {
        return Err(BeginError::Start(StartError::BeyondEnd { at: position.offset, log_end: facts.log_end }));
    }
    let offset = same_until(ready, partition, facts, position).await?;
    Ok((Position { offset, leader: -1, begins: Some(Why::Truncated) }, life))
}

/// Begins `from` on under timestamps of now.
fn repaired(Position { offset, leader, begins }: Position, from: i64) -> Position {
    let begins = begins.or(Some(Why::Repair));
    match from < offset {
        true => Position { offset: from, leader: -1, begins },
        false => Position { offset, leader, begins },
    }
}

/// From where on rows have timestamps that lie before the last drop of a column: their cells are hidden. What the mark
/// says was in the table before that; what came after it may have been on its way.
fn hidden_from(dropped_us: i64, epochs: &[Epoch], mark: Option<Mark>, position: i64) -> Option<i64> {
    // Before the first mark nobody has said more than where the last owner began.
    let begun = || epochs.iter().find(|epoch| epoch.why.is_start()).map_or(position, |epoch| epoch.block.from);
    let marked = mark.map_or_else(begun, |mark| mark.offset);
    // A mark may have been made after the drop, by whoever had not seen it yet. Who has seen it has begun a repair.
    let is_seen = |epoch: &&Epoch| epoch.block.anchor_us <= dropped_us || epoch.why == Why::Repair;
    let stamped = epochs.iter().find(is_seen).filter(|epoch| epoch.block.anchor_us <= dropped_us);
    let from = stamped.map_or(marked, |epoch| epoch.block.from.min(marked)).min(position);
    let stamps = Window::new(epochs.iter().cloned(), Instant::now(), 0);
    stamps.oldest_us(from).filter(|oldest_us| *oldest_us <= dropped_us).map(|_| from)
}

/// When one of the columns was dropped last. What is dropped with a timestamp that is yet to come (USING TIMESTAMP) hides
/// whatever is written until then: nothing begins before.
async fn dropped_us(ready: &Ready, list: &CassandraList) -> Result<Option<i64>, BeginError> {
    let dropped = ready.schema.dropped().await.map_err(|error| BeginError::Later(causes(&error)))?;
    let Some((column, dropped_us)) = dropped else { return Ok(None) };
    let ahead_us = dropped_us.saturating_sub(list.clocks_us().await?.coordinator_us);
    if ahead_us > 0 { Err(BeginError::Later(dropped_later(ready, &column, ahead_us))) } else { Ok(Some(dropped_us)) }
}

/// For people.
fn dropped_later(ready: &Ready, column: &str, ahead_us: i64) -> String {
    let CassandraSink { keyspace, table, .. } = ready.schema.sink();
    format!(
        "column `{column}` of {keyspace}.{table} was dropped with a timestamp that lies {} s ahead: Cassandra hides what is written to it before that time. It is waited for; to go on at once, make the table again, or write to a column of another name",
        ahead_us / 1_000_000 + 1
    )
}

/// Appends the epoch with which a partition begins to be read at an offset.
async fn begin_epoch(
    ready: &Ready,
    list: &CassandraList,
    life: &Arc<Life>,
    last: Option<&Epoch>,
    facts: Facts,
    (from, why): (i64, Why),
) -> Result<Epoch, BeginError> {
    let floor_us = match (&ready.old_lists, last) {
        (Some(old), None) => old.seal(list.partition(), life.generation).await?,
        _ => None,
    };
    let speed = Speed { backlog: Some((facts.log_end - from).max(0)), ..Speed::default() };
    let wanted = Wanted { why, from, ahead: ahead(speed, None), floor_us: floor_us.unwrap_or(i64::MIN) };
    let (epoch, _) = append(list, life, last, wanted).await?;
    if epoch.why != why || epoch.block.from != from || epoch.life != *life {
        // Another executor was first; what it decided is taken the next time.
        return Err(BeginError::Later("another executor begins the same partition".into()));
    }
    tracing::info!(partition = list.partition(), from, why = why.word(), epoch = epoch.number, "timestamps begin anew");
    Ok(epoch)
}

/// The blocks from the position on, and up to which offset the newest may be used although it is old.
async fn window(
    ready: &Ready,
    state: &PartitionState,
    epochs: &[Epoch],
    position: Position,
    facts: Facts,
    list: &CassandraList,
) -> Result<Window, BeginError> {
    let needed = epochs.iter().position(|epoch| epoch.block.from <= position.offset).map_or(epochs.len(), |at| at + 1);
    let newest = epochs.first().map(|epoch| epoch.block);
    let asked = Instant::now();
    let clocks = list.clocks_us().await?;
    let young_for = newest.map_or_else(Default::default, |block| clocks.young_for(block.anchor_us));
    let replay_until = match newest {
        Some(block) if block.end() > position.offset => {
            replay_until(ready, state.partition, block, position, facts, clocks).await?
        }
        _ => position.offset,
    };
    Ok(Window::new(epochs[..needed].iter().cloned(), asked + young_for, replay_until))
}

/// Records that an executor before this one may have read under the newest block keep its timestamps, or a reader would see
/// an older value while they are written again. It read none that came after the block had grown old, and none if it left.
async fn replay_until(
    ready: &Ready,
    partition: i32,
    block: Block,
    position: Position,
    facts: Facts,
    clocks: Clocks,
) -> Result<i64, BeginError> {
    let old_at_us = block.anchor_us.saturating_add(YOUNG_US);
    let has_left = facts
        .committed
        .is_some_and(|committed| committed.offset == position.offset && committed.by.is_some_and(|by| by.has_left));
    if has_left || position.begins.is_some() || position.offset >= facts.log_end {
        return Ok(position.offset);
    }
    if old_at_us >= clocks.coordinator_us {
        return Ok(facts.log_end);
    }
    let topic = ready.source.topic.clone();
    let first = ready.ask(move |consumer| offsets::offset_at(consumer, &topic, partition, old_at_us / 1_000)).await?;
    Ok(first.unwrap_or(facts.log_end))
}

/// Commits in this executor's name where the group's offset is not its own word, so that a person's word is taken once.
async fn take_offset(
    ready: &Ready,
    state: &PartitionState,
    facts: Facts,
    epochs: &[Epoch],
    position: Position,
) -> Result<(), BeginError> {
    let epoch = epochs.first().map_or(0, |epoch| epoch.number);
    let word = Word { offset: position.offset, epoch };
    let ours = facts.committed.filter(|committed| {
        position.begins.is_none() && committed.offset == position.offset && committed.by.is_some_and(|by| by.epoch > 0)
    });
    if let Some(By { epoch, .. }) = ours.and_then(|committed| committed.by) {
        state.set_word(Some(Word { epoch, ..word }));
        return Ok(());
    }
    let now = ready.committed(vec![state.partition]).await?.remove(&state.partition);
    if now != facts.committed && now.is_some_and(|now| now.by.is_none()) {
        return Err(BeginError::Later("a person has moved the group's offset meanwhile".into()));
    }
    let by = By { generation: ready.life.generation, epoch, has_left: false };
    let commit = Commit { partition: state.partition, offset: position.offset, leader: position.leader, by };
    ready.commit(vec![commit]).await?;
    state.set_word(Some(word));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(number: u64, why: Why, from: i64, anchor_us: i64) -> Epoch {
        Epoch { number, life: Arc::default(), why, block: Block { from, len: 100, anchor_us } }
    }

    /// Rows of an old block may be written after the drop by who has not seen it yet, and marked before it is seen.
    #[test]
    fn what_a_block_before_the_drop_has_stamped_is_written_again_whatever_is_marked() {
        let mark = |offset| Some(Mark { offset, epoch: 2, leader: -1 });
        let before = [epoch(2, Why::Cut, 10, 1_000), epoch(1, Why::Start, 0, 0)];
        assert_eq!(hidden_from(2_000, &before, mark(20), 20), Some(10), "drained without having seen it");
        assert_eq!(hidden_from(2_000, &before, None, 20), Some(0), "never marked");
        assert_eq!(hidden_from(2_000, &before, mark(5), 20), Some(5));
        assert_eq!(hidden_from(500, &before, mark(20), 20), Some(0));
        let seen = [epoch(3, Why::Repair, 15, 3_000), before[0].clone(), before[1].clone()];
        assert_eq!(hidden_from(2_000, &seen, mark(20), 20), None, "whoever has seen it has begun a repair");
        assert_eq!(hidden_from(4_000, &seen, mark(20), 20), Some(15), "dropped once more");
        let done = [epoch(3, Why::Repair, 10, 3_000), before[0].clone(), before[1].clone()];
        assert_eq!(hidden_from(2_000, &done, mark(10), 10), None, "once is enough");
    }
}
