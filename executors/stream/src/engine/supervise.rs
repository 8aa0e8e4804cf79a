use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use millstream_protocol::PartitionStatus;
use rdkafka::{consumer::CommitMode, error::KafkaError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{PartitionState, Stop, backoff::Backoff, causes, setup::Ready};
use crate::{
    blocks::{
        Speed, Window, ahead,
        keeper::{List as _, load},
        store::CassandraList,
    },
    sink::work::with_tracker,
    source::start::{self, Facts, StartError},
    tracker::Tracker,
};

/// How often a partition that needs a person is looked at again, so that it goes on by itself after the repair.
const LOOK_AGAIN: Duration = Duration::from_secs(20);

/// A log end below the committed offset must be seen this often: right after a leader's election it may lag behind.
const BEYOND_END_LOOKS: u32 = 4;

/// Time between these looks.
const BEYOND_END_PAUSE: Duration = Duration::from_secs(2);

/// While a partition leaves: how often it is looked whether its last writes are acknowledged.
const IDLE_POLL: Duration = Duration::from_millis(10);

/// Runs one partition: start, consume, stop, look again, until it is cancelled. Returns when everything it read is
/// durable.
pub(super) async fn run(
    ready: Arc<Ready>,
    state: Arc<PartitionState>,
    mut stops: mpsc::Receiver<Stop>,
    leave: CancellationToken,
) {
    loop {
        state.set_status(PartitionStatus::Starting, None);
        let begun = tokio::select! {
            begun = begin(&ready, &state) => begun,
            () = leave.cancelled() => return,
        };
        let stop = match begun {
            Err(stop) => stop,
            Ok((position, window)) => {
                while stops.try_recv().is_ok() {} // of the start before
                match consume(&ready, &state, position, window, &mut stops, &leave).await {
                    Some(stop) => stop,
                    None => return,
                }
            }
        };
        state.set_status(PartitionStatus::Stopped, Some(stop.reason.clone()));
        let repair = async {
            // That is where it starts again. Nothing after a start that failed: a newer version may have come further.
            let stopped_at = commit_durable(&ready, &state).await;
            wait_for_repair(&ready, &state, stop.until_moved, stopped_at).await;
        };
        tokio::select! {
            () = repair => {}
            () = leave.cancelled() => return,
        }
    }
}

/// Consumes until the partition is told to leave (none) or stops.
async fn consume(
    ready: &Ready,
    state: &Arc<PartitionState>,
    position: i64,
    window: Window,
    stops: &mut mpsc::Receiver<Stop>,
    leave: &CancellationToken,
) -> Option<Stop> {
    let tracker = Arc::new(Mutex::new(Tracker::new(position)));
    state.set_tracker(tracker.clone());
    state.set_consumed(true);
    state.set_status(PartitionStatus::Running, None);
    ready.pump.add(state.clone(), tracker.clone(), position, window);
    let stop = tokio::select! {
        stop = stops.recv() => stop,
        () = leave.cancelled() => None,
    };
    let (status, reason) = match &stop {
        Some(stop) => (PartitionStatus::Stopped, Some(stop.reason.clone())),
        None => (PartitionStatus::Draining, None),
    };
    state.set_consumed(false);
    state.set_status(status, reason);
    ready.pump.remove(state.partition).await;
    while !with_tracker(&tracker, |tracker| tracker.is_idle()) {
        tokio::time::sleep(IDLE_POLL).await;
    }
    stop
}

/// The position and its timestamp blocks, asked for until there is an answer. An error needs a person.
async fn begin(ready: &Ready, state: &PartitionState) -> Result<(i64, Window), Stop> {
    let (mut backoff, mut beyond_end) = (Backoff::default(), 0);
    let begun = loop {
        let reason = match try_begin(ready, state).await {
            Ok(begun) => break begun,
            Err(BeginError::Start(StartError::BeyondEnd { .. })) if beyond_end < BEYOND_END_LOOKS => {
                beyond_end += 1;
                tokio::time::sleep(BEYOND_END_PAUSE).await;
                continue;
            }
            // A topic made anew may grow to the committed offset: only a person can say that it is meant.
            Err(BeginError::Start(error)) => return Err(Stop { reason: error.to_string(), until_moved: true }),
            Err(BeginError::Refused(reason)) => return Err(Stop::other(reason)),
            Err(BeginError::Later(reason)) => reason,
        };
        state.set_status(PartitionStatus::Stalled, Some(reason));
        backoff.pause().await;
    };
    // In the name of this generation only now that no newer one has sealed it: that one would take the word for its own. Tried
    // on its own, for beginning again would go back to before the begin that has just been made.
    while begun.is_to_commit
        && let Err(error) = commit(ready, state.partition, begun.position).await
    {
        state.set_status(PartitionStatus::Stalled, Some(format!("Kafka: {error}")));
        backoff.pause().await;
    }
    Ok((begun.position, begun.window))
}

/// Where a partition begins.
struct Begun {
    position: i64,
    window: Window,
    /// An executor of another generation has committed last.
    is_to_commit: bool,
}

enum BeginError {
    Start(StartError),
    Refused(String),
    Later(String),
}

impl From<KafkaError> for BeginError {
    fn from(error: KafkaError) -> Self {
        BeginError::Later(format!("Kafka: {error}"))
    }
}

async fn try_begin(ready: &Ready, state: &PartitionState) -> Result<Begun, BeginError> {
    let (partition, source) = (state.partition, &ready.source);
    let (topic, start_at) = (source.topic.clone(), source.start);
    let mut facts: Facts = ready.ask(move |consumer| start::ask(consumer, &topic, partition, start_at)).await?;
    state.set_log_end(Some(facts.log_end));
    let list = CassandraList::new(ready.blocks.clone(), partition);
    let not_ours = facts.committed.is_some_and(|committed| committed.is_older_than(ready.generation));
    if not_ours {
        facts = not_beyond_our_begin(ready, &list, facts, partition).await?;
    }
    let position = start::decide(facts, source.start).map_err(BeginError::Start)?;
    if position.is_new {
        commit(ready, partition, position.offset).await?;
    }
    let backlog = Some((facts.log_end - position.offset).max(0));
    let ahead = ahead(Speed { backlog, ..Speed::default() }, None);
    let blocks =
        load(&list, ready.generation, position.offset, ahead).await.map_err(|error| match error.is_transient() {
            true => BeginError::Later(causes(&error)),
            false => BeginError::Refused(causes(&error)),
        })?;
    Ok(Begun { position: position.offset, window: Window::new(blocks), is_to_commit: not_ours && !position.is_new })
}

/// When this generation has begun already, an executor of an older one that woke up late has committed: how far this one has
/// come is not known any more, and what it has not written must not be passed over.
async fn not_beyond_our_begin(
    ready: &Ready,
    list: &CassandraList,
    facts: Facts,
    partition: i32,
) -> Result<Facts, BeginError> {
    let first = list.newest_from(ready.generation, 0).await.map_err(|error| BeginError::Later(causes(&error)))?;
    // Sealed before it began: `load` will say so.
    let Some(first) = first.filter(|first| !first.is_seal()) else { return Ok(facts) };
    let began_from = first.began_from();
    let back = facts.back_to(began_from);
    tracing::warn!(
        partition,
        committed = facts.committed.map(|committed| committed.offset),
        from = back.committed.map(|committed| committed.offset),
        "an executor of an older version has committed since this one began; reading again from before its begin"
    );
    if began_from < facts.log_start {
        let log_start = facts.log_start;
        tracing::warn!(
            partition,
            "records in [{began_from}, {log_start}) are gone from Kafka; whether this version had written them is not known"
        );
    }
    Ok(back)
}

async fn commit(ready: &Ready, partition: i32, offset: i64) -> Result<(), KafkaError> {
    let (topic, generation) = (ready.source.topic.clone(), ready.generation);
    let offsets = [(partition, offset)];
    ready.ask(move |consumer| start::commit(consumer, &topic, generation, &offsets, CommitMode::Sync)).await
}

/// Nobody reads a stopped partition, so statistics do not tell its end any more; its lag must grow all the same.
async fn look_at_log_end(ready: &Ready, state: &PartitionState) {
    let (topic, partition) = (ready.source.topic.clone(), state.partition);
    let log_end = ready.ask(move |consumer| start::log_end(consumer, &topic, partition)).await;
    state.set_log_end(log_end.ok());
}

/// Commits what is durable for the last time before the next start; returns it.
async fn commit_durable(ready: &Ready, state: &PartitionState) -> Option<i64> {
    let durable = state.take_last_commit()?;
    match commit(ready, state.partition, durable).await {
        Ok(()) => Some(durable),
        Err(error) => {
            tracing::warn!(partition = state.partition, %error, "commit before a stop failed");
            None
        }
    }
}

/// Ends when it makes sense to start again: after a while, or when somebody has moved the committed offset away from where
/// it was, which is `stopped_at` if that is known.
async fn wait_for_repair(ready: &Ready, state: &PartitionState, until_moved: bool, stopped_at: Option<i64>) {
    let mut stopped_at = match stopped_at {
        None if until_moved => committed(ready, state).await.ok(),
        known => known.map(Some),
    };
    loop {
        look_at_log_end(ready, state).await;
        tokio::time::sleep(LOOK_AGAIN).await;
        if !until_moved {
            return;
        }
        if let Ok(committed) = committed(ready, state).await
            && committed != *stopped_at.get_or_insert(committed)
        {
            return;
        }
    }
}

async fn committed(ready: &Ready, state: &PartitionState) -> Result<Option<i64>, KafkaError> {
    let (topic, partition) = (ready.source.topic.clone(), state.partition);
    let committed = ready.ask(move |consumer| start::committed(consumer, &topic, partition)).await?;
    Ok(committed.map(|committed| committed.offset))
}
