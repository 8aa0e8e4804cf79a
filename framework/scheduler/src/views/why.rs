use std::borrow::Cow;

use millstream_placement::Reason;
use millstream_protocol::PartitionStatus;
use millstream_spec::JobSpec;

use super::{
    lag::partitions,
    rollout,
    types::*,
    wait::{ends_by_waiting, not_before, reason, state_text},
};
use crate::{
    State,
    crashes::REPEATS_MIN,
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
    let lags = partitions(state, name);
    let failures = state.jobs.get(name).map(|job| job.recent_failures.iter().cloned().collect());
    Some(WhyView {
        job: name.into(),
        phase: record.phase,
        note,
        rollout: rollout::view(state, record),
        stopped_partitions: held_up(&record.spec, &lags, PartitionStatus::Stopped),
        stalled_partitions: held_up(&record.spec, &lags, PartitionStatus::Stalled),
        slots,
        backoff: backoff(state, name),
        recent_failures: failures.unwrap_or_default(),
        recent_ends: state.jobs.get(name).map(|job| job.recent_ends.iter().cloned().collect()).unwrap_or_default(),
        repeated_crashes: repeated_crashes(state, name),
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

/// The partitions of this status, with what a person can do.
pub(super) fn held_up(spec: &JobSpec, lags: &[PartitionLag], status: PartitionStatus) -> Vec<StoppedPartition> {
    let named = lags.iter().filter(|lag| lag.status == Some(status)).map(|lag| StoppedPartition {
        partition: lag.partition,
        task: lag.task.clone().unwrap_or_default(),
        reason: lag.reason.clone().unwrap_or_else(|| "no reason given".into()),
        offset: lag.stopped_at,
        remedy: lag.stopped_at.map(|_| go_on(spec, lag.partition)),
    });
    named.collect()
}

/// What ends a stop that waits for the group's offset to be moved.
fn go_on(spec: &JobSpec, partition: i32) -> String {
    format!(
        "set the group's offset to where it shall go on (behind a bad record: one more than its offset): `{}`",
        reset_offset(spec, partition, "OFFSET")
    )
}

/// A command of Kafka's that a shell takes as it is.
fn reset_offset(spec: &JobSpec, partition: i32, offset: &str) -> String {
    let source = &spec.source;
    // A zero byte, which alone can't be quoted, is in none of these names.
    let word = |text: &str| shlex::try_quote(text).map_or_else(|_| text.to_owned(), Cow::into_owned);
    // Kafka's tools take a login and TLS from a file of their own.
    let is_plain =
        !source.options.keys().any(|name| ["security.", "sasl.", "ssl."].iter().any(|of| name.starts_with(of)));
    format!(
        "kafka-consumer-groups --bootstrap-server {}{} --group={} --topic {} --reset-offsets --to-offset {offset} --execute",
        word(&source.bootstrap.join(",")),
        if is_plain { "" } else { " --command-config YOUR-LOGIN.properties" },
        word(&source.group),
        word(&format!("{}:{partition}", source.topic)),
    )
}

/// Where tasks crash again and again, with what a person can do. Partitions with nothing left to read are not to blame.
pub fn repeated_crashes(state: &State, name: &str) -> Vec<RepeatedCrash> {
    let Some(job) = state.store.job(&name.to_owned()) else { return vec![] };
    let lags = partitions(state, name);
    let behind = |partition| lags.iter().any(|lag| lag.partition == partition && lag.records != Some(0));
    let slots = state.store.slots_of(name).filter_map(|(key, _)| Some(&state.slots.get(key)?.crashes));
    let mut found = vec![];
    for crashes in slots {
        for (&partition, stuck) in crashes.stuck.iter().filter(|(_, stuck)| stuck.crashes >= REPEATS_MIN) {
            if behind(partition) {
                found.push(RepeatedCrash {
                    partition,
                    offset: stuck.offset,
                    crashes: stuck.crashes,
                    last: crashes.last.clone(),
                    remedy: remedy(&job.spec, partition, stuck.offset),
                });
            }
        }
    }
    found.sort_by_key(|crash| crash.partition);
    found
}

fn remedy(spec: &JobSpec, partition: i32, offset: i64) -> String {
    format!(
        "if it ran out of memory, raise `mem` in [tasks] and deploy; to skip the record, `millstream stop {}`, then `{}` \
         (the record is the one at offset {offset}, or one shortly behind it), then deploy the job again",
        spec.name.0,
        reset_offset(spec, partition, &offset.saturating_add(1).to_string()),
    )
}

/// The same for people.
pub(super) fn crash_text(crash: &RepeatedCrash) -> String {
    let RepeatedCrash { partition, offset, crashes, last, .. } = crash;
    format!("has crashed {crashes} times without getting beyond offset {offset} of partition {partition}: {last}")
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
            note: state.hearing.note(&task.executor),
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
