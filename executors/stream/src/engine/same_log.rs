//! Whether the log still is the one that was read: it may have lost its end when a broker that was not in sync became the
//! leader, and have grown again since.

use rdkafka::error::KafkaError;

use super::{Again, setup::Ready};
use crate::{
    blocks::Why,
    source::{
        offsets,
        start::{Facts, Position},
    },
};

/// Up to which offset, at most the position, the log is the one that was read.
pub(super) async fn same_until(
    ready: &Ready,
    partition: i32,
    facts: Facts,
    position: Position,
) -> Result<i64, KafkaError> {
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
) -> Result<Position, KafkaError> {
    let Position { offset, leader, .. } = position;
    if leader < 0 {
        return Ok(position);
    }
    let topic = ready.source.topic.clone();
    // Under one leader a log only grows.
    if why != Again::Doubted
        && ready.ask(move |consumer| offsets::leader_at_end(consumer, &topic, partition)).await? <= leader
    {
        return Ok(position);
    }
    match same_until(ready, partition, facts, position).await? {
        // The log is the same: asked with this epoch the broker would only say again that it does not know it.
        until if until == offset => Ok(Position { leader: -1, ..position }),
        until => Ok(Position { offset: until, leader: -1, begins: Some(Why::Truncated) }),
    }
}
