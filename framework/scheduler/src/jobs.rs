//! Jobs: deploy, stop, delete; their slots; drains and back-off.

use std::collections::{BTreeMap, BTreeSet};

use millstream_placement::{JobTopology, group_partitions};
use millstream_spec::{JobSpec, TaskCount};

use crate::{
    Audit, Begun, Change, Effects, Reply, State, crashes, ending, kept,
    records::{Aim, JobPhase, JobRecord, NextVersion, Rollout, SlotKey, SlotRecord},
    refusal, rollout,
    state::{Backoff, JobState, SlotWish},
    volumes,
};

/// First pause after a failure, in milliseconds; doubles with each further one.
const BACKOFF_MIN_MS: u64 = 1_000;

/// Longest pause: a job that cannot start costs the cluster at most 12 launches an hour.
const BACKOFF_MAX_MS: u64 = 300_000;

/// After running this long without a failure, the next failure is a first one again.
const FORGIVE_AFTER_MS: u64 = 60_000;

/// Does what [`rollout::change`] says.
pub(crate) fn deploy(state: &mut State, effects: &mut Effects, spec: JobSpec, toml: String, begun: Option<Begun>) {
    if let Some(refusal) = refusal::refusal(state, &spec) {
        effects.reply = Some(Reply::Refused(refusal));
        return;
    }
    let name = spec.name.0.clone();
    let change = rollout::raised(state, &spec, rollout::change(state, &spec, &toml), begun);
    let wall_ms = state.clock.wall_ms;
    if let Some(job) = state.store.job(&name).filter(|_| change != Change::Nothing) {
        // What is watched is the version to come, if there is one.
        let watched = job.next.as_ref().map_or(&job.spec, |next| &next.spec);
        if watched.source != spec.source || (watched.sink != spec.sink && !matches!(change, Change::Roll { .. })) {
            // What is known is another topic's: slots are made of what comes now.
            forget_source(state, &name);
        }
        let job = state.store.job_mut(&name).expect("found above");
        job.changed_ms = wall_ms;
        if *job.deployed_toml() != toml {
            job.previous_toml = Some(job.deployed_toml().clone());
        }
    }
    match change {
        Change::Start { generation } => {
            reply(effects, &name, generation, Reply::Started { generation });
            start(state, effects, NextVersion { spec, toml, generation }, wall_ms);
        }
        Change::Nothing => {
            let Some(job) = state.store.job(&name) else { return };
            let (generation, seen) = (job.generation, matches!(job.rollout, Some(Rollout::RolledBack { .. })));
            if seen && job.phase == JobPhase::Running {
                state.store.job_mut(&name).expect("found above").rollout = None;
            }
            reply(effects, &name, generation, Reply::Unchanged);
        }
        Change::TextOnly => {
            let job = state.store.job_mut(&name).expect("it would be started otherwise");
            job.toml = toml;
            reply(effects, &name, job.generation, Reply::TextOnly);
        }
        Change::Roll { generation, tasks } => {
            reply(effects, &name, generation, Reply::Updating { generation, rolling: true, tasks });
            rollout::roll(state, effects, NextVersion { spec, toml, generation });
        }
        Change::TakeBack { generation, tasks } => {
            reply(effects, &name, generation, Reply::Updating { generation, rolling: true, tasks });
            rollout::take_back(state, effects, &name);
            state.store.job_mut(&name).expect("it is being changed").toml = toml;
        }
        Change::Restart { generation, tasks } => {
            reply(effects, &name, generation, Reply::Updating { generation, rolling: false, tasks });
            let reserve = rollout::reserve(state, &name);
            let job = state.store.job_mut(&name).expect("it would be started otherwise");
            (job.next, job.rollout) = (Some(NextVersion { spec, toml, generation }), reserve);
            drain(state, effects, &name);
        }
    }
}

/// Starts a job that is new or stopped.
fn start(state: &mut State, effects: &mut Effects, version: NextVersion, wall_ms: u64) {
    let (name, number) = (version.spec.name.0.clone(), state.store.next_number());
    let before = state.store.job(&name);
    let created_ms = before.map_or(wall_ms, |job| job.created_ms);
    let previous_toml = before.and_then(|job| job.previous_toml.clone());
    let NextVersion { spec, toml, generation } = version;
    let record = JobRecord {
        spec,
        toml,
        generation,
        version: number,
        phase: JobPhase::Running,
        next: None,
        rollout: None,
        previous_toml,
        created_ms,
        changed_ms: wall_ms,
        left: None,
    };
    state.store.insert_job(name.clone(), record);
    make_slots(state, effects, &name);
}

fn reply(effects: &mut Effects, job: &str, generation: u64, reply: Reply) {
    effects.audit.push(Audit::JobDeployed { job: job.into(), generation, reply: reply.clone() });
    effects.reply = Some(reply);
}

pub(crate) fn stop(state: &mut State, effects: &mut Effects, name: &String) {
    let wall_ms = state.clock.wall_ms;
    let Some(job) = state.store.job(name) else {
        effects.reply = Some(Reply::NoSuchJob);
        return;
    };
    if job.phase == JobPhase::Stopped || (job.phase == JobPhase::Draining && job.next.is_none()) {
        effects.reply = Some(Reply::Unchanged);
        return;
    }
    if job.next.as_ref().is_some_and(|next| next.spec.source != job.spec.source || next.spec.sink != job.spec.sink) {
        // It is of the topic of the version that will not come. Any other is kept: what is watched stays the same, and
        // nobody would tell it again.
        forget_source(state, name);
    }
    let job = state.store.job_mut(name).expect("found above");
    if let Some(next) = job.next.take() {
        job.previous_toml = Some(next.toml);
    }
    (job.rollout, job.changed_ms) = (None, wall_ms);
    effects.reply = Some(Reply::Stopping);
    drain(state, effects, name);
}

pub(crate) fn delete(state: &mut State, effects: &mut Effects, name: &String) {
    effects.reply = Some(match state.store.job(name).map(|job| job.phase) {
        None => Reply::NoSuchJob,
        Some(JobPhase::Running | JobPhase::Draining) => Reply::NotStopped,
        Some(JobPhase::Stopped) => {
            state.store.retire_job(name);
            state.jobs.remove(name);
            state.topologies.remove(name);
            volumes::review(state, effects, name);
            effects.audit.push(Audit::JobDeleted { job: name.clone() });
            Reply::Deleted
        }
    });
}

pub(crate) fn topology(state: &mut State, effects: &mut Effects, name: String, topology: JobTopology) {
    if state.store.job(&name).is_none() {
        return;
    }
    if state.jobs.get_mut(&name).and_then(|job| job.source_gone.take()).is_some() {
        effects.audit.push(Audit::SourceBack { job: name.clone() });
    }
    let changed = state.topologies.get(&name) != Some(&topology);
    state.topologies.insert(name.clone(), topology);
    make_slots(state, effects, &name);
    if changed && state.pending.iter().any(|(job, _)| *job == name) {
        // What was useless may be good now.
        state.manners.want();
    }
}

/// The job's topic is not there: its partitions stand still, whatever their executors say.
pub(crate) fn source_gone(state: &mut State, effects: &mut Effects, name: String, reason: String) {
    if state.store.job(&name).is_none() {
        return;
    }
    let job = state.jobs.entry(name.clone()).or_default();
    if job.source_gone.as_ref() != Some(&reason) {
        job.source_gone = Some(reason.clone());
        effects.audit.push(Audit::SourceGone { job: name, reason });
    }
}

/// The log ends of the job's topic as the scheduler itself has read them; for partitions of which no executor tells.
pub(crate) fn log_ends(state: &mut State, name: String, ends: BTreeMap<i32, i64>) {
    if state.store.job(&name).is_some() {
        state.jobs.entry(name).or_default().log_ends = ends;
    }
}

/// What is known of the topic is another one's.
fn forget_source(state: &mut State, name: &String) {
    state.topologies.remove(name);
    if let Some(job) = state.jobs.get_mut(name) {
        (job.log_ends, job.source_gone) = (BTreeMap::new(), None);
    }
}

/// Makes slots of all partitions that have none yet. Those that exist are never cut again: their tasks run.
fn make_slots(state: &mut State, effects: &mut Effects, name: &String) {
    let (Some(job), Some(topology)) = (state.store.job(name), state.topologies.get(name)) else { return };
    if job.phase != JobPhase::Running {
        return;
    }
    let slots: Vec<_> = state.store.slots_of(name).map(|(key, slot)| (key.1, slot.partitions.clone())).collect();
    let taken: BTreeSet<i32> = slots.iter().flat_map(|(_, partitions)| partitions).copied().collect();
    let mut fresh = topology.clone();
    fresh.partitions.retain(|partition, _| !taken.contains(partition));
    if fresh.partitions.is_empty() {
        return;
    }
    let count = match job.spec.tasks.count {
        TaskCount::PerPartition => None,
        TaskCount::Fixed(count) if slots.is_empty() => Some(count as usize),
        // Partitions added later get slots of the size of the others.
        TaskCount::Fixed(_) => Some(fresh.partitions.len().div_ceil(taken.len().div_ceil(slots.len()))),
    };
    let first = slots.iter().map(|(index, _)| index + 1).max().unwrap_or(0);
    let groups = group_partitions(&fresh, count);
    // Where all is made anew, partitions may have run a later generation than that of the version in reserve.
    let version = if slots.is_empty() { job.version } else { job.version_of_added_slots() };
    effects.audit.push(Audit::SlotsMade { job: name.clone(), slots: groups.len(), partitions: fresh.partitions.len() });
    for (index, partitions) in (first..).zip(groups) {
        let key = (name.clone(), index);
        let since_ms = state.clock.wall_ms;
        let (durable, stops) = (BTreeMap::new(), vec![]);
        state.store.insert_slot(key.clone(), SlotRecord { partitions, task: None, since_ms, version, durable, stops });
        state.slots.insert(key.clone(), SlotWish { since: state.now(), ..SlotWish::default() });
        state.pending.insert(key);
        state.manners.want();
    }
    volumes::review(state, effects, name);
}

/// Asks all tasks of the job to flush, commit and leave.
pub(crate) fn drain(state: &mut State, effects: &mut Effects, name: &String) {
    state.store.job_mut(name).expect("callers have looked it up").phase = JobPhase::Draining;
    state.pending.retain(|(job, _)| job != name);
    let tasks: Vec<_> = state.store.slots_of(name).filter_map(|(_, slot)| slot.task.clone()).collect();
    effects.audit.push(Audit::JobDraining { job: name.clone(), tasks: tasks.len() });
    for task in tasks {
        if state.store.task(&task).is_some_and(|record| record.aim == Aim::Run) {
            ending::start_drain(state, effects, &task);
        }
    }
}

/// Ends the drains whose last task has ended: the next version starts, or the job is stopped.
pub(crate) fn finish_drains(state: &mut State, effects: &mut Effects) {
    let draining = state.store.jobs().iter().filter(|(_, job)| job.phase == JobPhase::Draining);
    let drained: Vec<String> = draining
        .filter(|(name, _)| state.store.slots_of(name).all(|(_, slot)| slot.task.is_none()))
        .map(|(name, _)| name.clone())
        .collect();
    for name in drained {
        let left = kept::left(state, &name);
        let keys: Vec<SlotKey> = state.store.slots_of(&name).map(|(key, _)| key.clone()).collect();
        for key in keys {
            state.store.remove_slot(&key);
            state.slots.remove(&key);
        }
        state.jobs.entry(name.clone()).or_default().start_anew();
        let version = state.store.next_number();
        let job = state.store.job_mut(&name).expect("listed above");
        match job.next.take() {
            None => {
                (job.phase, job.left) = (JobPhase::Stopped, left);
                effects.audit.push(Audit::JobStopped { job: name });
            }
            Some(next) => {
                (job.spec, job.toml, job.generation, job.version) = (next.spec, next.toml, next.generation, version);
                job.phase = JobPhase::Running;
                effects.audit.push(Audit::JobStarted { job: name.clone(), generation: next.generation });
                make_slots(state, effects, &name);
            }
        }
    }
}

/// Counts a failure of a version and returns how long its tasks wait now, in milliseconds. Failures during a pause are part
/// of the one that caused it: an executor that dies takes several tasks along.
pub(crate) fn punish(state: &mut State, name: &str, version: u64) -> u64 {
    let now = state.now();
    let job = state.jobs.entry(name.to_owned()).or_default();
    job.healthy_since = None;
    let backoff = job.backoffs.entry(version).or_default();
    if now >= backoff.not_before {
        backoff.failures += 1;
        let doublings = (backoff.failures - 1).min(BACKOFF_MAX_MS.ilog2());
        backoff.not_before = now + (BACKOFF_MIN_MS << doublings).min(BACKOFF_MAX_MS);
    }
    backoff.not_before - now
}

/// Forgets the failures of jobs that have been well for a while.
pub(crate) fn forgive(state: &mut State) {
    let now = state.now();
    let State { jobs, slots, .. } = state;
    for (name, job) in jobs.iter_mut().filter(|(_, job)| !job.backoffs.is_empty()) {
        // What has run for a minute and then crashed at the same place has not been well.
        if crashes::repeats(slots, name) {
            continue;
        }
        if job.healthy_since.is_some_and(|since| now >= since + FORGIVE_AFTER_MS) {
            job.start_anew();
        }
    }
}

/// When tasks of the job's version may be launched.
pub(crate) fn not_before(state: &State, name: &str, version: u64) -> u64 {
    let backoff = state.jobs.get(name).and_then(|job| job.backoffs.get(&version));
    backoff.map_or(0, |backoff| backoff.not_before)
}

/// When the slot may be launched: after its job's back-off, and after its own rest.
pub(crate) fn slot_not_before(state: &State, key: &SlotKey, version: u64) -> u64 {
    let rest = state.slots.get(key).map_or(0, |wish| wish.rest_until);
    rest.max(not_before(state, &key.0, version))
}

impl JobState {
    /// Nothing that went wrong before is held against what starts now.
    pub(crate) fn start_anew(&mut self) {
        self.backoffs.clear();
        self.without_slots_since = None;
    }

    /// That of the version that waits longest; none when nothing has failed.
    pub(crate) fn longest_backoff(&self) -> Option<&Backoff> {
        self.backoffs.values().max_by_key(|backoff| backoff.not_before)
    }
}
