//! Reports, and their absence (delivery.md D6: a wrong suspicion costs work, never data).

use std::collections::BTreeSet;

use millstream_protocol::{MISSED_REPORTS, PartitionStatus, REPORT_INTERVAL_MS, Report, TaskReport, VERSION};

use crate::{
    Audit, Effects, EndCause, State,
    ending::{self, End},
    records::Aim,
    rollout,
    state::TaskWatch,
};

/// Silence after which an executor that has reported in this subscription is replaced.
const SILENCE_MS: u64 = MISSED_REPORTS as u64 * REPORT_INTERVAL_MS;

/// Silence that is allowed while many agents are silent at once: then it is more likely the machines, the network or the
/// master that are slow (hundreds of executors starting together), and replacing them all would make it worse.
const SILENCE_OF_MANY_MS: u64 = 5 * SILENCE_MS;

/// Silent agents at once, as a part of those with executors, that are many; and how many never are.
const MANY_SHARE: usize = 100;
const FEW_AGENTS: usize = 2;

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
    (watch.report, watch.reported_at) = (Some(report), Some(now));
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

/// Replaces the executors that have been silent for too long.
pub(crate) fn replace_silent(state: &mut State, effects: &mut Effects) {
    let now = state.now();
    let silent = |(id, watch): (&String, &crate::state::ExecutorWatch)| {
        let (since, allowed) = match watch.reported_at {
            Some(at) => (at, SILENCE_MS),
            None => (watch.watched_from, FIRST_REPORT_MS),
        };
        // Cheap test first: this runs over all executors.
        if now <= since + allowed || !watch.tasks.iter().any(|task| is_due(state, task)) {
            return None;
        }
        Some((id.clone(), now - since))
    };
    let mut silent: Vec<_> = state.executors.iter().filter_map(silent).collect();
    if are_many(state, &silent) {
        silent.retain(|(_, silence_ms)| *silence_ms > SILENCE_OF_MANY_MS);
    }
    for (executor, silence_ms) in silent {
        let message = format!("no report for {silence_ms} ms");
        ending::lose_executor(state, effects, &executor, End::condemned(EndCause::Silent, &message, true));
    }
}

fn are_many(state: &State, silent: &[(String, u64)]) -> bool {
    if silent.len() <= FEW_AGENTS {
        return false;
    }
    let agent = |id: &String| state.store.executor(id).map(|record| record.agent.as_str());
    let agents: BTreeSet<_> = silent.iter().filter_map(|(id, _)| agent(id)).collect();
    agents.len() > FEW_AGENTS.max(state.store.agents() / MANY_SHARE)
}

/// Should an executor with this task report? Not one that was only just launched: the launch timeout looks after it.
fn is_due(state: &State, task: &String) -> bool {
    use millstream_mesos_types::TaskState;
    state.store.task(task).is_some_and(|record| record.aim != Aim::Condemned && record.state != TaskState::TaskStaging)
        || (state.is_current(task) && state.tasks.get(task).is_some_and(|watch| watch.reported_at.is_some()))
}
