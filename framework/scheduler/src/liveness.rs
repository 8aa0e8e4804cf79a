//! Reports, and their absence (delivery.md D6: a wrong suspicion costs work, never data).

use std::collections::BTreeSet;

use millstream_protocol::{MISSED_REPORTS, PartitionStatus, REPORT_INTERVAL_MS, Report, TaskReport, VERSION};

use crate::{
    Audit, Effects, EndCause, State, crashes,
    ending::{self, End},
    kept,
    records::Aim,
    rollout,
    state::TaskWatch,
};

/// Silence after which an executor that has reported in this subscription is replaced.
const SILENCE_MS: u64 = MISSED_REPORTS as u64 * REPORT_INTERVAL_MS;

/// Silence that is allowed while many are silent at once: then it is more likely the machines, the network, the master or
/// the scheduler that are slow (hundreds of executors starting together), and replacing them all would make it worse.
pub(crate) const SILENCE_OF_MANY_MS: u64 = 5 * SILENCE_MS;

/// Silence from which an executor counts among the silent: whoever fell silent together with one that has missed its
/// reports has itself said nothing for at least this long, for all report once a second.
const SUSPECT_MS: u64 = SILENCE_MS - REPORT_INTERVAL_MS - crate::TICK_MS;

/// Silent agents at once, as a part of those with executors, that are many even when they are not most; and how many never are.
const MANY_SHARE: usize = 100;
const FEW_AGENTS: usize = 2;

/// Fewest executors (or agents) that can be silent together.
const TOGETHER_MIN: usize = 2;

/// Silence that is allowed before the first report: after a subscription, agents may have to register again first, and
/// until then the master passes nothing on.
const FIRST_REPORT_MS: u64 = 30_000;

/// Weight of the newest interval in measured rates.
const RATE_WEIGHT: f64 = 0.3;

pub(crate) fn message(state: &mut State, effects: &mut Effects, agent: String, executor: String, data: &[u8]) {
    let report = match serde_json::from_slice::<Report>(data) {
        Ok(report) if report.version <= VERSION => report,
        Ok(report) => {
            let error = format!("version {} is newer than this scheduler's {VERSION}", report.version);
            return effects.audit.push(Audit::ReportRefused { executor, agent, error });
        }
        Err(error) => {
            return effects.audit.push(Audit::ReportRefused { executor, agent, error: error.to_string() });
        }
    };
    let now = state.now();
    match (state.store.executor(&executor), state.executors.get_mut(&executor)) {
        (Some(record), Some(watch)) if record.agent == agent => {
            watch.reported_at = Some(now);
            watch.metrics_url = Some(report.metrics_url);
            effects.audit.push(Audit::Report { job: record.job.clone(), executor: executor.clone() });
        }
        _ => ending::shutdown_stranger(state, effects, &executor, &agent),
    }
    for task in report.tasks {
        let id = task.task_id.clone();
        match state.store.task(&id).map(|record| record.aim) {
            None => ending::kill_stranger(state, effects, &id, Some(&agent)),
            Some(Aim::Condemned) => ending::condemned_seen(state, effects, &id),
            Some(Aim::Run | Aim::Drain) => task_report(state, effects, &id, task),
        }
    }
}

fn task_report(state: &mut State, effects: &mut Effects, id: &String, report: TaskReport) {
    let now = state.now();
    let (Some(record), Some(watch)) = (state.store.task(id), state.tasks.get_mut(id)) else { return };
    watch.launch_deadline = None;
    for partition in report.partitions.iter().filter(|report| record.partitions.contains(&report.partition)) {
        let before = watch.statuses.insert(partition.partition, partition.status);
        if before != Some(partition.status) && (before.is_some() || partition.status != PartitionStatus::Starting) {
            effects.audit.push(Audit::PartitionChanged {
                job: record.job.clone(),
                partition: partition.partition,
                status: partition.status,
                reason: partition.reason.clone().unwrap_or_default(),
            });
        }
    }
    if let Some((bytes_per_sec, records_per_sec)) = rates(watch, &report, now) {
        watch.records_per_sec = smooth(Some(watch.records_per_sec), records_per_sec);
        if let Some(wish) = state.slots.get_mut(&(record.job.clone(), record.slot)) {
            wish.bytes_per_sec = Some(smooth(wish.bytes_per_sec, bytes_per_sec));
        }
    }
    let excused = state.store.job(&record.job).map_or(&[][..], |job| job.excused());
    if rollout::is_well(&report, record, excused) {
        watch.well_since.get_or_insert(now);
    } else if watch.well_since.take().is_some() {
        watch.unwell_since = now;
    }
    let running_ms = watch.running_since.map_or(0, |since| now.saturating_sub(since));
    (watch.report, watch.reported_at) = (Some(report), Some(now));
    crashes::reported(state, id, running_ms);
    kept::reported(state, effects, id);
}

/// Bytes and records per second since the report before.
fn rates(watch: &TaskWatch, report: &TaskReport, now: u64) -> Option<(f64, f64)> {
    let (before, at) = (watch.report.as_ref()?, watch.reported_at?);
    let secs = now.checked_sub(at).filter(|ms| *ms > 0)? as f64 / 1_000.0;
    let bytes = report.bytes_in.checked_sub(before.bytes_in)? as f64;
    let records = report.records.checked_sub(before.records)? as f64;
    Some((bytes / secs, records / secs))
}

fn smooth(before: Option<f64>, new: f64) -> f64 {
    before.map_or(new, |before| before + RATE_WEIGHT * (new - before))
}

/// What the scheduler knows of its own hearing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hearing {
    /// Silence counts from here at the earliest: before, the scheduler itself may not have heard.
    since: u64,
    /// Executors that are waited for because most are silent, and of how many.
    waited_for: BTreeSet<String>,
    of: usize,
}

impl Hearing {
    /// The scheduler did not run for a while: what was said meanwhile is still to be read. At most once in the time that
    /// many are waited for, so that a scheduler that is always slow finds dead executors all the same.
    pub(crate) fn stalled(&mut self, now: u64) {
        if self.since == 0 || now >= self.since + SILENCE_OF_MANY_MS {
            self.since = now;
        }
    }

    /// Why an executor is not replaced though it is silent, for people.
    pub(crate) fn note(&self, executor: &String) -> Option<String> {
        self.waited_for.contains(executor).then(|| {
            format!(
                "silent together with most others ({} of {} executors): the scheduler, the master or the machines are \
                 slow, so it is replaced only after {} s",
                self.waited_for.len(),
                self.of,
                SILENCE_OF_MANY_MS / 1_000
            )
        })
    }
}

/// An executor that says nothing.
struct Silent {
    executor: String,
    /// For how long, as far as it could be heard.
    ms: u64,
    /// What is allowed.
    allowed_ms: u64,
}

/// Replaces the executors that have been silent for too long.
pub(crate) fn replace_silent(state: &mut State, effects: &mut Effects) {
    let overdue = silent(state, SILENCE_MS);
    let mut many = None;
    if !overdue.is_empty() {
        let suspects = silent(state, SUSPECT_MS);
        let due = state.executors.values().filter(|watch| watch.tasks.iter().any(|task| is_due(state, task))).count();
        many = are_many(state, &suspects, due).then_some((suspects, due));
    }
    let was_many = !std::mem::take(&mut state.hearing.waited_for).is_empty();
    let Some((suspects, due)) = many else {
        if was_many {
            // They come back one after the other: who is still silent now has its usual time from here.
            state.hearing.since = state.now();
            return;
        }
        return lose(state, effects, overdue);
    };
    if !was_many {
        effects.audit.push(Audit::ManySilent { executors: suspects.len(), of: due });
    }
    state.hearing.of = due;
    state.hearing.waited_for = suspects.into_iter().map(|silent| silent.executor).collect();
    // The one that was heard last is at most a report's interval behind the first: they are given up together.
    let is_over = |silent: &Silent, before_ms| silent.ms + before_ms > silent.allowed_ms.max(SILENCE_OF_MANY_MS);
    if overdue.iter().any(|silent| is_over(silent, 0)) {
        let lost: Vec<_> = overdue.into_iter().filter(|silent| is_over(silent, 2 * REPORT_INTERVAL_MS)).collect();
        for silent in &lost {
            state.hearing.waited_for.remove(&silent.executor);
        }
        lose(state, effects, lost);
    }
}

fn lose(state: &mut State, effects: &mut Effects, silent: Vec<Silent>) {
    for Silent { executor, ms, .. } in silent {
        let message = format!("no report for {ms} ms");
        ending::lose_executor(state, effects, &executor, End::condemned(EndCause::Silent, &message, true));
    }
}

/// Those that have said nothing for longer than this, or for longer than a first report may take.
fn silent(state: &State, allowed_ms: u64) -> Vec<Silent> {
    let now = state.now();
    let hearing = state.hearing.since;
    let silent = |(id, watch): (&String, &crate::state::ExecutorWatch)| {
        let (since, due_at, counts_as) = match watch.reported_at {
            Some(at) => (at.max(hearing), at.max(hearing) + allowed_ms, SILENCE_MS),
            None => {
                (watch.watched_from, (watch.watched_from + FIRST_REPORT_MS).max(hearing + allowed_ms), FIRST_REPORT_MS)
            }
        };
        // Cheap test first: this runs over all executors.
        if now <= due_at || !watch.tasks.iter().any(|task| is_due(state, task)) {
            return None;
        }
        Some(Silent { executor: id.clone(), ms: now - since, allowed_ms: counts_as })
    };
    state.executors.iter().filter_map(silent).collect()
}

/// Are most silent, or more agents than can fail at once by chance?
fn are_many(state: &State, silent: &[Silent], due: usize) -> bool {
    let agent = |id: &String| state.store.executor(id).map(|record| record.agent.as_str());
    let agents: BTreeSet<_> = silent.iter().filter_map(|silent| agent(&silent.executor)).collect();
    let all = state.store.agents();
    let most = |part: usize, whole: usize| part >= TOGETHER_MIN && 2 * part > whole;
    // An agent with many executors is one machine that fails, unless there is no other to compare it with.
    let most = if all > 1 { most(agents.len(), all) } else { most(silent.len(), due) };
    most || agents.len() > FEW_AGENTS.max(all / MANY_SHARE)
}

/// Should an executor with this task report? Not one that was only just launched: the launch timeout looks after it.
fn is_due(state: &State, task: &String) -> bool {
    use millstream_mesos_types::TaskState;
    state.store.task(task).is_some_and(|record| record.aim != Aim::Condemned && record.state != TaskState::TaskStaging)
        || (state.is_current(task) && state.tasks.get(task).is_some_and(|watch| watch.reported_at.is_some()))
}
