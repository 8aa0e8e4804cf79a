//! Whether the log still is the one that was read: it may have lost its end when a broker that was not in sync became the
//! leader, and have grown again since.

use std::sync::Arc;

use rdkafka::error::KafkaError;

use super::{Again, begin::BeginError, setup::Ready};
use crate::{
    blocks::{Epoch, Life, Why},
    source::{
        offsets,
        start::{Facts, Known, Position, StartError, decide},
    },
};

/// Whether the log is known to be the one that was read, and the offset is no person's: then it is the log that is
/// shorter than it was.
pub(super) fn is_ours(me: &Life, epochs: &[Epoch], facts: Facts) -> bool {
    let same_log = epochs.first().is_some_and(|newest| !me.topic_id.is_empty() && newest.life.topic_id == me.topic_id);
    same_log && facts.committed.is_none_or(|committed| committed.by.is_some())
}

/// The log ends before what was read of it: goes on where it was the same last.
pub(super) async fn lost_end(
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

/// Up to which offset, at most the position, the log is the one that was read.
async fn same_until(ready: &Ready, partition: i32, facts: Facts, position: Position) -> Result<i64, KafkaError> {
    let (topic, config, leader) = (ready.source.topic.clone(), ready.read_config.clone(), position.leader);
    let (log_start, end) = (facts.log_start, position.offset.min(facts.log_end));
    let until =
        ready.ask(move |_| offsets::first_after_leader(&config, &topic, partition, leader, log_start, end)).await?;
    if until < position.offset {
        tracing::warn!(
            partition,
            position.offset,
            until,
            "the log lost its end: what is there from `until` on is written anew"
        );
    }
    Ok(until)
}

/// Goes back to where the log was the same last, where it lost its end since: it may have grown beyond the position again.
pub(super) async fn checked(
    ready: &Ready,
    partition: i32,
    facts: Facts,
    position: Position,
    why: Again,
) -> Result<Position, BeginError> {
    let Position { offset, leader, .. } = position;
    // Under one leader a log only grows.
    if leader < 0 || (why != Again::Doubted && facts.leader <= leader) {
        return Ok(position);
    }
    match same_until(ready, partition, facts, position).await? {
        // The log is the same: asked with this epoch the broker would only say again that it does not know it.
        until if until == offset => Ok(Position { leader: -1, ..position }),
        until => Ok(Position { offset: until, leader: -1, begins: Some(Why::Truncated) }),
    }
}
