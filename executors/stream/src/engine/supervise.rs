use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use millstream_protocol::PartitionStatus;
use tokio_util::sync::CancellationToken;

use super::{
    Again, PartitionState, Stop,
    backoff::Backoff,
    begin::{BeginError, try_begin},
    commits,
    patience::{SHOWN_AFTER, patiently},
    pump::Begin,
    setup::Ready,
};
use crate::{
    sink::work::with_tracker,
    source::{offsets, start::StartError},
    tracker::Tracker,
};

/// How often a partition that needs a person is tried again, so that it goes on by itself after the repair.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// How often it is looked whether a person has moved the group's offset.
const LOOK_AT_GROUP: Duration = Duration::from_secs(5);

/// Before a new begin that needs nobody: if it is needed again and again, others must not suffer from it.
const AT_ONCE: Duration = Duration::from_millis(200);

/// A log end below the committed offset must be seen this often: right after a leader's election it may lag behind.
const BEYOND_END_LOOKS: u32 = 4;

/// Time between these looks.
const BEYOND_END_PAUSE: Duration = Duration::from_secs(2);

/// While a partition leaves: how often it is looked whether its last writes are acknowledged.
const IDLE_POLL: Duration = Duration::from_millis(10);

/// Runs one partition: start, consume, stop, look again, until it is cancelled. Returns when everything it read is
/// durable. `kept`: an earlier executor has stopped there until a person acts.
pub(super) async fn run(ready: Arc<Ready>, state: Arc<PartitionState>, kept: Option<Stop>, leave: CancellationToken) {
    let mut stop = match kept {
        Some(stop) if !is_moved_by_person(&ready, &state).await => Some(stop),
        _ => None,
    };
    let mut why = Again::AtOnce;
    loop {
        if let Some(stop) = stop.take() {
            state.set_status(stop.status(), Some(stop.reason.clone()));
            state.set_stopped_at(match stop.again {
                Again::Moved(offset) => Some(offset),
                _ => None,
            });
            why = stop.again;
            let repair = async {
                // That is where it starts again. Nothing after a start that failed: a newer version may have come further.
                leave_word(&ready, &state).await;
                wait_for_repair(&ready, &state, stop.again).await;
            };
            tokio::select! {
                () = repair => state.set_stopped_at(None),
                () = leave.cancelled() => return,
            }
        }
        state.set_status(PartitionStatus::Starting, None);
        let begun = tokio::select! {
            begun = begin(&ready, &state, why) => begun,
            () = leave.cancelled() => return,
        };
        stop = Some(match begun {
            Err(stop) => stop,
            Ok(begin) => {
                state.take_stop(); // of the start before
                if state.repair_from().is_some() {
                    continue; // asked for since
                }
                match consume(&ready, &state, begin, &leave).await {
                    Some(stop) => stop,
                    None => return,
                }
            }
        });
    }
}

/// Consumes until the partition is told to leave (none) or stops.
async fn consume(ready: &Ready, state: &Arc<PartitionState>, begin: Begin, leave: &CancellationToken) -> Option<Stop> {
    let tracker = Arc::new(Mutex::new(Tracker::new(begin.position)));
    state.set_tracker(tracker.clone());
    state.set_consumed(true);
    state.set_status(PartitionStatus::Running, None);
    ready.pump.add(state.clone(), tracker.clone(), begin);
    let stop = tokio::select! {
        stop = state.stop_requested() => Some(stop),
        () = leave.cancelled() => None,
    };
    let (status, reason) = match &stop {
        Some(stop) => (stop.status(), Some(stop.reason.clone())),
        None => (PartitionStatus::Draining, None),
    };
    state.set_consumed(false);
    state.set_status(status, reason);
    ready.pump.remove(state.partition).await;
    while !with_tracker(&tracker, |tracker| tracker.is_idle()) {
        tokio::time::sleep(IDLE_POLL).await;
    }
    // What was on its way may have been refused as well, further below.
    stop.and_then(|_| state.take_stop())
}

/// The position and its timestamp blocks, asked for until there is an answer. An error needs a person.
async fn begin(ready: &Ready, state: &PartitionState, why: Again) -> Result<Begin, Stop> {
    let (mut backoff, mut beyond_end) = (Backoff::default(), 0);
    loop {
        let begun = patiently(try_begin(ready, state, why, beyond_end >= BEYOND_END_LOOKS), || {
            let waits = format!("Kafka or Cassandra has not said for {} s where to begin", SHOWN_AFTER.as_secs());
            state.set_status(PartitionStatus::Stalled, Some(waits));
        });
        let reason = match begun.await {
            Ok(begin) => return Ok(begin),
            Err(BeginError::Start(StartError::BeyondEnd { .. })) if beyond_end < BEYOND_END_LOOKS => {
                beyond_end += 1;
                tokio::time::sleep(BEYOND_END_PAUSE).await;
                continue;
            }
            Err(BeginError::Start(error @ StartError::Sealed { .. })) => return Err(Stop::other(error.to_string())),
            Err(BeginError::Start(
                error @ (StartError::Gap { at, .. }
                | StartError::BelowStart { at, .. }
                | StartError::BeyondEnd { at, .. }),
            )) => {
                return Err(Stop { reason: error.to_string(), again: Again::Moved(at) });
            }
            Err(BeginError::Refused(reason) | BeginError::NoTopic(reason)) => return Err(Stop::other(reason)),
            Err(BeginError::Later(reason)) => reason,
        };
        state.set_status(PartitionStatus::Stalled, Some(reason));
        backoff.pause().await;
    }
}

/// Nobody reads a stopped partition, so statistics do not tell its end any more; its lag must grow all the same.
async fn look_at_log_end(ready: &Ready, state: &PartitionState) {
    let (topic, partition) = (ready.source.topic.clone(), state.partition);
    let log_end = ready.ask(move |consumer| offsets::log_end(consumer, &topic, partition)).await;
    state.set_log_end(log_end.ok());
    state.set_stable_end(None);
}

/// Says for the last time before the next start what is durable.
async fn leave_word(ready: &Ready, state: &PartitionState) {
    let Some(durable) = state.take_last_commit() else { return };
    commits::settle(ready, &[(state, durable)]).await;
}

/// Ends when it makes sense to start again.
async fn wait_for_repair(ready: &Ready, state: &PartitionState, again: Again) {
    loop {
        look_at_log_end(ready, state).await;
        match again {
            Again::Moved(_) => tokio::time::sleep(LOOK_AT_GROUP).await,
            Again::Later => return tokio::time::sleep(LOOK_AGAIN).await,
            Again::AtOnce | Again::Doubted => return tokio::time::sleep(AT_ONCE).await,
        }
        if is_moved_by_person(ready, state).await {
            return;
        }
    }
}

/// A person's commit carries no word of ours; a commit that Kafka has forgotten is none.
async fn is_moved_by_person(ready: &Ready, state: &PartitionState) -> bool {
    let committed = ready.committed(vec![state.partition]).await;
    committed.is_ok_and(|committed| committed.get(&state.partition).is_some_and(|committed| committed.by.is_none()))
}
