use std::collections::BTreeMap;

use millstream_mesos_types::TaskState;
use millstream_placement::Tier;
use millstream_protocol::{BadRecordCounts, PartitionStatus};

use super::{lag::partitions, rollout, summary::summary, types::*, why::held_up};
use crate::{
    State,
    records::{Aim, JobRecord, SlotRecord},
    state::TaskWatch,
    tier,
};

/// The scheduler at a glance.
pub fn overview(state: &State) -> OverviewView {
    OverviewView {
        framework_id: state.framework_id().map(str::to_owned),
        subscribed: state.is_subscribed(),
        suppressed: state.manners.is_suppressed(),
        jobs: state.store.jobs().len(),
        tasks: tasks_by_state(state),
        executors: state.store.executors().values().filter(|record| !record.lost).count(),
        condemned: state.store.tasks().values().filter(|task| task.aim == Aim::Condemned).count(),
        waiting: state.pending.len(),
        maintenance: state
            .maintenance
            .iter()
            .map(|(agent, planned)| MaintenanceView {
                agent: agent.clone(),
                start_ms: planned.start_ms,
                refused: planned.refused.clone(),
            })
            .collect(),
        stopped: stopped(state),
    }
}

/// Most stopped partitions that are named at a glance.
const STOPPED_SHOWN: usize = 100;

fn stopped(state: &State) -> Vec<StoppedOf> {
    let of = |(job, record): (&String, &JobRecord)| {
        let stopped = held_up(&record.spec, &partitions(state, job), PartitionStatus::Stopped);
        let job = job.clone();
        stopped.into_iter().map(move |stopped| StoppedOf { job: job.clone(), stopped })
    };
    state.store.jobs().iter().flat_map(of).take(STOPPED_SHOWN).collect()
}

/// Current tasks by Mesos state in lower case (`running`, `staging`, …); those being drained as `draining`.
pub fn tasks_by_state(state: &State) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for task in state.store.tasks().values() {
        let name = match (task.aim, task.state) {
            (Aim::Condemned, _) => continue,
            (Aim::Drain, _) => "draining",
            (_, TaskState::TaskStaging) => "staging",
            (_, TaskState::TaskStarting) => "starting",
            (_, TaskState::TaskKilling) => "killing",
            _ => "running",
        };
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    counts
}

/// All jobs, by name.
pub fn jobs(state: &State) -> Vec<JobView> {
    state.store.jobs().keys().filter_map(|name| job(state, name)).collect()
}

/// One job.
pub fn job(state: &State, name: &str) -> Option<JobView> {
    let record = state.store.job(&name.to_owned())?;
    let partitions = partitions(state, name);
    let count = |status| partitions.iter().filter(|p| p.status == Some(status)).count();
    let mut view = JobView {
        name: name.into(),
        phase: record.phase,
        generation: record.generation,
        next_generation: record.next.as_ref().map(|next| next.generation),
        rollout: rollout::view(state, record),
        topic: record.spec.source.topic.clone(),
        table: format!("{}.{}", record.spec.sink.keyspace, record.spec.sink.table),
        group: record.spec.source.group.clone(),
        partitions: state.topologies.get(name).map(|topology| topology.partitions.len()),
        slots: 0,
        running: 0,
        launching: 0,
        waiting: 0,
        stopped_partitions: count(PartitionStatus::Stopped),
        stalled_partitions: count(PartitionStatus::Stalled),
        lag_records: all(partitions.iter().map(|p| p.records)).map(|lags| lags.iter().sum()),
        lag_ms: all(partitions.iter().map(|p| p.ms)).and_then(|lags| lags.into_iter().max()),
        records_per_sec: 0.0,
        rows: 0,
        bad_records: BadRecordCounts::default(),
        created_ms: record.created_ms,
        summary: String::new(),
    };
    for (key, slot) in state.store.slots_of(name) {
        view.slots += 1;
        match task_of(state, slot) {
            None => view.waiting += usize::from(state.pending.contains(key)),
            Some((TaskState::TaskStaging | TaskState::TaskStarting, _)) => view.launching += 1,
            Some((_, watch)) => {
                view.running += 1;
                view.records_per_sec += watch.records_per_sec;
                if let Some(report) = &watch.report {
                    view.rows += report.rows;
                    view.bad_records.skipped += report.bad_records.skipped;
                    view.bad_records.dead_lettered += report.bad_records.dead_lettered;
                }
            }
        }
    }
    view.summary = summary(state, record, &view, &partitions);
    Some(view)
}

fn task_of<'a>(state: &'a State, slot: &SlotRecord) -> Option<(TaskState, &'a TaskWatch)> {
    let id = slot.task.as_ref()?;
    Some((state.store.task(id)?.state, state.tasks.get(id)?))
}

fn all(values: impl Iterator<Item = Option<u64>>) -> Option<Vec<u64>> {
    values.collect::<Option<Vec<_>>>().filter(|values| !values.is_empty())
}

/// Where bytes come from, over all jobs.
pub fn locality(state: &State) -> LocalityView {
    let mut view = LocalityView::default();
    for tier in Tier::ALL {
        view.tasks_by_source_tier.insert(tier, 0);
        view.tasks_by_sink_tier.insert(tier, 0);
        view.bytes_in_by_tier.insert(tier, 0);
    }
    for (id, task) in state.store.tasks().iter().filter(|(_, task)| task.aim != Aim::Condemned) {
        *view.tasks_by_source_tier.entry(task.source_tier).or_default() += 1;
        *view.tasks_by_sink_tier.entry(task.sink_tier).or_default() += 1;
        let report = state.tasks.get(id).and_then(|watch| watch.report.as_ref());
        for (from, bytes) in report.into_iter().flat_map(|report| &report.bytes_in_by_tier) {
            *view.bytes_in_by_tier.entry(tier(*from)).or_default() += bytes;
        }
    }
    view
}

/// Executors for Prometheus to scrape.
pub fn scrape_targets(state: &State) -> Vec<ScrapeTarget> {
    let targets = state.store.executors().iter().filter(|(_, record)| !record.lost).filter_map(|(id, record)| {
        Some(ScrapeTarget {
            url: state.executors.get(id)?.metrics_url.clone()?,
            job: record.job.clone(),
            executor: id.clone(),
            host: record.location.host.clone(),
        })
    });
    targets.collect()
}

/// A job's file as deployed: what runs, or will when its drain is done.
pub fn job_toml(state: &State, name: &str) -> Option<String> {
    state.store.job(&name.to_owned()).map(|record| record.deployed_toml().clone())
}

/// Differs after each change of the job: which one of its versions somebody has seen.
pub fn job_version(state: &State, name: &str) -> Option<String> {
    let record = state.store.job(&name.to_owned())?;
    Some(format!("{}-{}", record.generation, record.changed_ms))
}

/// What was deployed before that, or has failed since.
pub fn previous_toml(state: &State, name: &str) -> Option<String> {
    state.store.job(&name.to_owned())?.previous_toml.clone()
}
