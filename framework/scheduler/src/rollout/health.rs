//! Whether a new version does well on a slot.

use millstream_mesos_types::TaskState;
use millstream_protocol::{PartitionStatus, TaskReport};

use crate::{
    EndCause, State, jobs,
    records::{Aim, JobRecord, SlotKey, SlotRecord, TaskRecord},
    state::TaskWatch,
};

/// So long all partitions of a task must have been running, by its reports, before the next slot changes.
const WELL_FOR_MS: u64 = 5_000;

/// A task that is not well after this long will not be: fetching the program, starting it and reading blocks and offsets
/// take seconds, and Mesos itself gives an executor a minute to register.
const WELL_WITHIN_MS: u64 = 120_000;

/// Time to find a place in beyond the job's own `max_wait`: every agent's offer comes round in this time, and a drained
/// task's room may come back.
const PLACED_WITHIN_MS: u64 = 30_000;

/// Failures of one slot on the new version after which it is taken back: one may be an accident, a third is not.
const FAILURES_MAX: u32 = 3;

/// How far a slot is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// Its turn has not come. Those that do well now come last.
    Waiting {
        last: bool,
    },
    /// Its old task drains, or its new one has yet to prove itself.
    Busy,
    Well,
    /// The new version fails on it.
    Failed(String),
}

/// Have all partitions of the task (but those that stood still before) been seen running?
pub(crate) fn is_well(report: &TaskReport, task: &TaskRecord, excused: &[i32]) -> bool {
    task.partitions.iter().filter(|partition| !excused.contains(partition)).all(|partition| {
        let report = report.partitions.iter().find(|report| report.partition == *partition);
        report.is_some_and(|report| report.status == PartitionStatus::Running)
    })
}

/// Counts an end that is held against the version it happened to.
pub(crate) fn count_failure(state: &mut State, task: &TaskRecord, cause: EndCause, message: &str) {
    let Some(job) = state.store.job(&task.job).filter(|job| job.good().is_some()) else { return };
    if state.store.executor(&task.executor).is_none_or(|executor| executor.version != job.version) {
        return;
    }
    let weight = match cause {
        // Mesos will not take it another time either.
        EndCause::Invalid => FAILURES_MAX,
        _ => 1,
    };
    let wish = state.slots.entry((task.job.clone(), task.slot)).or_default();
    wish.failures = wish.failures.saturating_add(weight);
    wish.last_failure = format!("{message} ({})", cause.as_str());
}

/// Partitions of the job that need a person now.
pub(super) fn stopped_partitions(state: &State, name: &str) -> Vec<i32> {
    let watches = state.store.slots_of(name).filter_map(|(_, slot)| state.tasks.get(slot.task.as_ref()?));
    let stopped = watches.flat_map(|watch| &watch.statuses).filter(|(_, status)| **status == PartitionStatus::Stopped);
    stopped.map(|(partition, _)| *partition).collect()
}

/// Each slot of a job that is being changed.
pub(super) fn progress(state: &State, name: &String) -> Vec<(SlotKey, Progress)> {
    let Some(job) = state.store.job(name) else { return vec![] };
    state.store.slots_of(name).map(|(key, slot)| (key.clone(), of_slot(state, job, key, slot))).collect()
}

/// Why the change has failed, if it has.
pub(super) fn failure(state: &mut State, name: &str, slots: &[(SlotKey, Progress)]) -> Option<String> {
    let now = state.now();
    let job = state.jobs.entry(name.to_owned()).or_default();
    if !slots.is_empty() || state.subscribed_at.is_none() {
        job.without_slots_since = None;
    } else if now >= *job.without_slots_since.get_or_insert(now) + WELL_WITHIN_MS {
        return Some(format!("the partitions of its topic were not known after {} s", WELL_WITHIN_MS / 1_000));
    }
    slots.iter().find_map(|(_, progress)| match progress {
        Progress::Failed(reason) => Some(reason.clone()),
        _ => None,
    })
}

fn of_slot(state: &State, job: &JobRecord, key: &SlotKey, slot: &SlotRecord) -> Progress {
    let placed = slot.task.as_ref().and_then(|id| Some((state.store.task(id)?, state.tasks.get(id)?)));
    if slot.version != job.version {
        let good = job.good().is_some_and(|good| slot.version <= good.version);
        return Progress::Waiting { last: good && placed.is_some_and(|(_, watch)| watch.well_since.is_some()) };
    }
    let wish = state.slots.get(key);
    if let Some(wish) = wish.filter(|wish| wish.failures >= FAILURES_MAX) {
        return Progress::Failed(format!("task {} does not run: {}", key.1, wish.last_failure));
    }
    // Without a subscription nothing can begin, and nothing is heard.
    let Some(subscribed_at) = state.subscribed_at else { return Progress::Busy };
    let Some((task, watch)) = placed else {
        let backoff = jobs::not_before(state, &key.0, job.version);
        let since = wish.map_or(0, |wish| wish.since).max(subscribed_at).max(backoff);
        let allowed_ms = job.spec.placement.max_wait_ms + PLACED_WITHIN_MS;
        if state.now() < since + allowed_ms {
            return Progress::Busy;
        }
        let why =
            wish.and_then(|wish| wish.wait.as_ref()).map_or_else(String::new, |wait| format!(": {}", wait.reason));
        return Progress::Failed(format!("task {} found no place in {} s{why}", key.1, allowed_ms / 1_000));
    };
    let new = state.store.executor(&task.executor).is_some_and(|executor| executor.version == slot.version);
    if !new || task.aim != Aim::Run {
        return Progress::Busy;
    }
    of_task(state.now(), subscribed_at, job, key, task, watch)
}

/// A task of the new version.
fn of_task(
    now: u64,
    subscribed_at: u64,
    job: &JobRecord,
    key: &SlotKey,
    task: &TaskRecord,
    watch: &TaskWatch,
) -> Progress {
    let mut partitions = watch.report.iter().flat_map(|report| &report.partitions);
    let stopped = partitions
        .clone()
        .find(|p| p.status == PartitionStatus::Stopped && !job.excused().contains(&p.partition))
        .map(|p| format!("partition {} stopped: {}", p.partition, p.reason.as_deref().unwrap_or("no reason given")));
    if let Some(stopped) = stopped {
        return Progress::Failed(stopped);
    }
    let well_for_ms = watch.well_since.map_or(0, |since| watch.reported_at.unwrap_or(0).saturating_sub(since));
    if task.state == TaskState::TaskRunning && well_for_ms >= WELL_FOR_MS {
        return Progress::Well;
    }
    if watch.well_since.is_some() || now < watch.unwell_since.max(subscribed_at) + WELL_WITHIN_MS {
        return Progress::Busy;
    }
    let what = match partitions.find(|p| p.status != PartitionStatus::Running) {
        Some(p) => format!(", partition {}: {}", p.partition, p.reason.as_deref().unwrap_or("not running yet")),
        None => String::new(),
    };
    Progress::Failed(format!("task {} was not well in {} s{what}", key.1, WELL_WITHIN_MS / 1_000))
}
