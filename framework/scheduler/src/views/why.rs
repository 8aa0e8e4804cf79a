use millstream_placement::Reason;
use millstream_protocol::PartitionStatus;

use super::{
    lag::partitions,
    rollout,
    types::*,
    wait::{ends_by_waiting, not_before, reason, state_text},
};
use crate::{
    State,
    records::{Aim, JobPhase, JobRecord, SlotKey, SlotRecord},
    volumes,
};

/// Why a job's tasks are where they are, or nowhere.
pub fn why(state: &State, name: &str) -> Option<WhyView> {
    let record = state.store.job(&name.to_owned())?;
    let slots = state.store.slots_of(name).map(|(key, slot)| SlotWhy {
        slot: key.1,
        partitions: slot.partitions.clone(),
        since_ms: slot.since_ms,
        volume: volume(state, key),
        state: slot_state(state, record, key, slot),
    });
    let slots: Vec<_> = slots.collect();
    let note = match record.phase {
        JobPhase::Running if !state.is_subscribed() => Some("no subscription at the Mesos master at the moment".into()),
        JobPhase::Running if slots.is_empty() => Some("waits for the metadata of its topic and keyspace".into()),
        JobPhase::Draining => Some("its tasks flush, commit and leave".into()),
        _ => None,
    };
    let failures = state.jobs.get(name).map(|job| job.recent_failures.iter().cloned().collect());
    Some(WhyView {
        job: name.into(),
        phase: record.phase,
        note,
        rollout: rollout::view(state, record),
        stopped_partitions: stopped_partitions(state, name),
        slots,
        backoff: backoff(state, name),
        recent_failures: failures.unwrap_or_default(),
    })
}

fn volume(state: &State, key: &SlotKey) -> Option<VolumeView> {
    let (id, record) = volumes::current(state, key)?;
    Some(VolumeView {
        id: id.clone(),
        agent: record.agent.clone(),
        host: record.host.clone(),
        size_bytes: record.size_bytes,
        made: record.is_made(),
    })
}

fn stopped_partitions(state: &State, name: &str) -> Vec<StoppedPartition> {
    let stopped = partitions(state, name).into_iter().filter(|lag| lag.status == Some(PartitionStatus::Stopped));
    let named = stopped.map(|lag| StoppedPartition {
        partition: lag.partition,
        task: lag.task.unwrap_or_default(),
        reason: lag.reason.unwrap_or_else(|| "no reason given".into()),
    });
    named.collect()
}

pub(super) fn backoff(state: &State, name: &str) -> Option<BackoffView> {
    let backoff = state.jobs.get(name)?.longest_backoff()?;
    Some(BackoffView { failures: backoff.failures, retry_in_ms: backoff.not_before.saturating_sub(state.now()) })
}

fn slot_state(state: &State, record: &JobRecord, key: &SlotKey, slot: &SlotRecord) -> SlotState {
    let now = state.now();
    let placed = slot.task.as_ref().and_then(|id| Some((id, state.store.task(id)?)));
    if let Some((id, task)) = placed {
        let reported_at = state.executors.get(&task.executor).and_then(|watch| watch.reported_at);
        return SlotState::Placed {
            task: id.clone(),
            task_state: task.state,
            draining: task.aim == Aim::Drain,
            executor: task.executor.clone(),
            agent: task.agent.clone(),
            host: state.host_of(&task.executor),
            source_tier: task.source_tier,
            sink_tier: task.sink_tier,
            last_report_ms: reported_at.map(|at| now.saturating_sub(at)),
        };
    }
    let (reason, wish) = (reason(state, key), state.slots.get(key));
    let deadline = wish.map_or(0, |wish| wish.since + record.wanted(slot).spec.placement.max_wait_ms);
    SlotState::Waiting {
        text: state_text(state, key),
        deadline_in_ms: if state.is_subscribed() && ends_by_waiting(&reason) {
            deadline.saturating_sub(now)
        } else {
            0
        },
        reason: on_the_wall(state, reason),
        refused: wish.map(|wish| wish.refused.clone()).unwrap_or_default(),
        backoff_in_ms: not_before(state, key).saturating_sub(now),
    }
}

/// The scheduler's own clock means nothing outside: times become milliseconds since the epoch.
fn on_the_wall(state: &State, reason: Reason) -> Reason {
    let wall = |until_ms: u64| state.clock.wall_ms + until_ms.saturating_sub(state.now());
    match reason {
        Reason::Locality { until_ms } => Reason::Locality { until_ms: wall(until_ms) },
        Reason::Backoff { until_ms } => Reason::Backoff { until_ms: wall(until_ms) },
        other => other,
    }
}
