use std::collections::BTreeMap;

use millstream_mesos_types::TaskState;
use millstream_placement::{Reason, Tier};
use millstream_protocol::{BadRecordCounts, PartitionReport, PartitionStatus};
use millstream_spec::JobSpec;

use super::types::*;
use crate::{
    State,
    manners::REVIVE_EVERY_MS,
    offers::{constraint, task_resources},
    records::{Aim, JobPhase, JobRecord, SlotKey, SlotRecord},
    state::TaskWatch,
    tier, volumes,
};

/// So long a reason that is about one moment is shown; offers that may be good come again within 5 s.
const MOMENT_MS: u64 = 10_000;

/// So long a REVIVE may take to bring offers: the masters' default `--allocation_interval`, twice.
const ALLOCATED_WITHIN_MS: u64 = 2_000;

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
    }
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
        rollout: super::rollout::view(state, record),
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

/// The worst first.
fn summary(state: &State, record: &JobRecord, view: &JobView, partitions: &[PartitionLag]) -> String {
    let first = |status| partitions.iter().find(|p| p.status == Some(status));
    let because = |p: &PartitionLag| {
        let reason = p.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("partition {}{reason}", p.partition)
    };
    if let Some(back) = going_back(state, view) {
        return back;
    }
    if let Some(p) = first(PartitionStatus::Stopped) {
        return format!("{} of its partitions stopped; {}", view.stopped_partitions, because(p));
    }
    match record.phase {
        JobPhase::Stopped => return "stopped".into(),
        JobPhase::Draining if record.next.is_some() => return "draining, then updated".into(),
        JobPhase::Draining => return "draining, then stopped".into(),
        JobPhase::Running => {}
    }
    if let Some(backoff) = backoff(state, &view.name).filter(|_| view.waiting > 0) {
        let message = state.jobs.get(&view.name).and_then(|job| job.recent_failures.front());
        let message = message.map(|failure| format!(": {} ({})", failure.message, failure.cause)).unwrap_or_default();
        return format!(
            "failed {}, tries again in {} s{message}",
            counted(backoff.failures as usize, "time"),
            backoff.retry_in_ms.div_ceil(1_000)
        );
    }
    if view.slots == 0 {
        return "waits for its topic's metadata".into();
    }
    if let Some(waiting) = waiting(state, view) {
        return waiting;
    }
    if let Some(p) = first(PartitionStatus::Stalled) {
        return format!("{} stalled; {}", counted(view.stalled_partitions, "partition"), because(p));
    }
    if let Some(text) = super::rollout::text(view.rollout.as_ref()) {
        return text;
    }
    match view.launching {
        0 => "running".into(),
        1 => "1 task starts".into(),
        more => format!("{more} tasks start"),
    }
}

/// What failed is not to be hidden by its consequences.
fn going_back(state: &State, view: &JobView) -> Option<String> {
    let rollout = view.rollout.as_ref().filter(|rollout| rollout.state == RolloutState::RollingBack)?;
    let text = super::rollout::text(Some(rollout))?;
    Some(waiting(state, view).map_or(text.clone(), |waiting| format!("{text}; {waiting}")))
}

fn waiting(state: &State, view: &JobView) -> Option<String> {
    let key = state.pending.iter().find(|(job, _)| *job == view.name).filter(|_| view.waiting > 0)?;
    let verb = if view.waiting == 1 { "waits" } else { "wait" };
    Some(format!("{} of {} {verb}: {}", view.waiting, counted(view.slots, "task"), state_text(state, key)))
}

/// A number of things, as in `1 task` and `3 tasks`.
pub fn counted(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

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
        rollout: super::rollout::view(state, record),
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

fn backoff(state: &State, name: &str) -> Option<BackoffView> {
    let job = state.jobs.get(name).filter(|job| job.failures > 0)?;
    Some(BackoffView { failures: job.failures, retry_in_ms: job.not_before.saturating_sub(state.now()) })
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
        deadline_in_ms: if ends_by_waiting(&reason) { deadline.saturating_sub(now) } else { 0 },
        reason: on_the_wall(state, reason),
        refused: wish.map(|wish| wish.refused.clone()).unwrap_or_default(),
        backoff_in_ms: backoff(state, &key.0).map_or(0, |backoff| backoff.retry_in_ms),
    }
}

/// Does the deadline help? What does not fit, or is not allowed there, does not at the deadline either.
fn ends_by_waiting(reason: &Reason) -> bool {
    match reason {
        Reason::NoOffers
        | Reason::NothingWanted
        | Reason::Avoided
        | Reason::Locality { .. }
        | Reason::LaunchRate
        | Reason::Outbid => true,
        Reason::Role
        | Reason::Constraint { .. }
        | Reason::Maintenance
        | Reason::Cpus { .. }
        | Reason::Mem { .. }
        | Reason::Disk { .. }
        | Reason::Ports
        | Reason::SpreadCap { .. }
        | Reason::Backoff { .. } => false,
    }
}

/// Why the slot waits: what the last plan said, as long as it says something about now.
fn reason(state: &State, key: &SlotKey) -> Reason {
    let not_before = state.jobs.get(&key.0).map_or(0, |job| job.not_before);
    if not_before > state.now() {
        return Reason::Backoff { until_ms: not_before };
    }
    let wish = state.slots.get(key);
    let said = wish.and_then(|wish| Some((wish.wait.as_ref()?.reason.clone(), wish.wait_said_at)));
    said.filter(|(reason, at)| still_holds(reason, state.now() - at)).map_or(Reason::NoOffers, |(reason, _)| reason)
}

/// What was only so in that moment is no reason any more when no offers have come since (a quota, other frameworks).
fn still_holds(reason: &Reason, age_ms: u64) -> bool {
    match reason {
        Reason::Backoff { .. } => false,
        Reason::Outbid | Reason::LaunchRate => age_ms < MOMENT_MS,
        _ => true,
    }
}

fn state_text(state: &State, key: &SlotKey) -> String {
    let (reason, now) = (reason(state, key), state.now());
    let Some(spec) = wanted_spec(state, key).filter(|_| reason == Reason::NoOffers) else {
        return reason.describe(now);
    };
    if !state.is_subscribed() {
        return "there is no subscription at the Mesos master".into();
    }
    // Between two REVIVEs nothing can have been offered yet; that is no fault of the agents.
    if let Some(ms) = state.manners.revive_in_ms(now) {
        return format!("asks for offers in {:.1} s (at most every {} s)", ms as f64 / 1e3, REVIVE_EVERY_MS / 1_000);
    }
    if state.manners.revived_ms_ago(now).is_some_and(|ms| ms < ALLOCATED_WITHIN_MS) {
        return "has just asked for offers".into();
    }
    // The master leaves out what is of no use: say what would be.
    format!("{reason} that is wanted: {}", wanted(spec))
}

fn wanted_spec<'a>(state: &'a State, key: &SlotKey) -> Option<&'a JobSpec> {
    Some(state.store.job(&key.0)?.wanted(state.store.slot(key)?).spec)
}

/// What slots of a job wait for that no offer has had room for: each version of it, and its slots. Whether any agent could
/// ever hold such a task is not known here: the master leaves out what is too small.
pub fn without_room(state: &State, name: &str) -> Vec<(JobSpec, Vec<u32>)> {
    let Some(job) = state.store.job(&name.to_owned()).filter(|_| state.is_subscribed()) else { return vec![] };
    let mut versions: BTreeMap<u64, (JobSpec, Vec<u32>)> = BTreeMap::new();
    let asked = state.manners.revive_in_ms(state.now()).is_none();
    for (key, slot) in state.store.slots_of(name).filter(|(key, _)| state.pending.contains(key)) {
        let lacks_room = match reason(state, key) {
            Reason::NoOffers => asked,
            reason => !ends_by_waiting(&reason) && !matches!(reason, Reason::Backoff { .. }),
        };
        if lacks_room {
            let wanted = job.wanted(slot);
            versions.entry(wanted.version).or_insert_with(|| (wanted.spec.clone(), vec![])).1.push(key.1);
        }
    }
    versions.into_values().collect()
}

fn wanted(spec: &JobSpec) -> String {
    let constraints = spec.placement.constraints.iter().map(|c| format!(", `{}`", constraint(c)));
    format!("{}{}", task_resources(spec), constraints.collect::<String>())
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

/// A job's lag.
pub fn lag(state: &State, name: &str) -> Option<LagView> {
    let record = state.store.job(&name.to_owned())?;
    let partitions = partitions(state, name);
    Some(LagView {
        job: name.into(),
        topic: record.spec.source.topic.clone(),
        total_records: partitions.iter().filter_map(|p| p.records).sum(),
        max_ms: partitions.iter().filter_map(|p| p.ms).max().unwrap_or(0),
        unknown: partitions.iter().filter(|p| p.records.is_none() || p.ms.is_none()).count(),
        partitions,
    })
}

fn partitions(state: &State, name: &str) -> Vec<PartitionLag> {
    let mut lags = vec![];
    for (_, slot) in state.store.slots_of(name) {
        let task = slot.task.as_ref().and_then(|id| state.store.task(id));
        let report = slot.task.as_ref().and_then(|id| state.tasks.get(id)?.report.as_ref());
        let host = task.map(|task| state.host_of(&task.executor));
        for &partition in &slot.partitions {
            let report = report.and_then(|report| report.partitions.iter().find(|p| p.partition == partition));
            lags.push(partition_lag(partition, slot.task.clone(), host.clone(), report));
        }
    }
    lags.sort_by_key(|lag| lag.partition);
    lags
}

fn partition_lag(
    number: i32,
    task: Option<String>,
    host: Option<String>,
    report: Option<&PartitionReport>,
) -> PartitionLag {
    PartitionLag {
        partition: number,
        task,
        host,
        position: report.and_then(|p| p.position),
        durable: report.and_then(|p| p.durable),
        log_end: report.and_then(|p| p.log_end),
        records: report.and_then(PartitionReport::lag_records),
        ms: report.and_then(|p| p.lag_ms),
        status: report.map(|p| p.status),
        reason: report.and_then(|p| p.reason.clone()),
    }
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

/// What was deployed before that, or has failed since.
pub fn previous_toml(state: &State, name: &str) -> Option<String> {
    state.store.job(&name.to_owned())?.previous_toml.clone()
}
