//! Changes of a running job: task by task where the slots stay as they are, and back when the new version fails.
//!
//! The version that runs is kept in the record until the new one has proven itself on every slot; a crash at any point
//! goes on from the records. A slot's `version` says what it runs or shall run: up to the good version's number the good
//! one, else the job's own. Executors belong to one version, so nothing of the new one ever enters an old one.

mod change;
mod health;

use millstream_spec::JobSpec;

pub(crate) use change::raised;
pub use change::{Change, change};
pub(crate) use health::{count_failure, is_well};

use crate::{
    Audit, Effects, State, ending, jobs,
    records::{Aim, GoodVersion, JobPhase, JobRecord, NextVersion, Rollout, SlotKey, SlotRecord},
};
use change::{generation_after, runs, same_slots};
use health::Progress;

/// After the first slot is well on the new version, this part of the slots changes at a time (at least one): a job of a
/// thousand tasks is changed in minutes, and never loses more than this share of its tasks at once.
const AT_ONCE_SHARE: usize = 10;

/// What a slot runs or shall run.
pub(crate) struct Wanted<'a> {
    pub(crate) spec: &'a JobSpec,
    pub(crate) generation: u64,
    pub(crate) version: u64,
}

impl Wanted<'_> {
    /// The name placement knows this version of the job by: wishes and executors are those of one version.
    pub(crate) fn placed_as(&self) -> String {
        placed_as(&self.spec.name.0, self.version)
    }
}

pub(crate) fn placed_as(job: &str, version: u64) -> String {
    format!("{job}@{version}")
}

impl JobRecord {
    /// What this slot of the job runs or shall run.
    pub(crate) fn wanted(&self, slot: &SlotRecord) -> Wanted<'_> {
        match self.good() {
            Some(good) if slot.version <= good.version => {
                Wanted { spec: &good.spec, generation: good.generation, version: good.version }
            }
            _ => Wanted { spec: &self.spec, generation: self.generation, version: self.version },
        }
    }

    /// What is kept while another version proves itself.
    pub(crate) fn good(&self) -> Option<&GoodVersion> {
        match &self.rollout {
            Some(Rollout::Rolling { good, .. }) => Some(good),
            _ => None,
        }
    }

    /// Version of a slot that comes to others while the job runs: a new version gets it only in its turn.
    pub(crate) fn version_of_added_slots(&self) -> u64 {
        self.good().filter(|good| same_slots(&good.spec, &self.spec)).map_or(self.version, |good| good.version)
    }

    /// Partitions that stood still before the change under way.
    pub(crate) fn excused(&self) -> &[i32] {
        match &self.rollout {
            Some(Rollout::Rolling { stopped, .. }) => stopped,
            _ => &[],
        }
    }

    fn as_good(&self) -> Box<GoodVersion> {
        let JobRecord { spec, toml, generation, version, .. } = self.clone();
        Box::new(GoodVersion { spec, toml, generation, version })
    }
}

/// Begins to change the job task by task. A change that is under way gets another target; what ran well stays in reserve.
pub(crate) fn roll(state: &mut State, effects: &mut Effects, next: NextVersion) {
    let name = next.spec.name.0.clone();
    let (version, stopped) = (state.store.next_number(), health::stopped_partitions(state, &name));
    let job = state.store.job_mut(&name).expect("callers have looked it up");
    if job.good().is_none() {
        job.rollout = Some(Rollout::Rolling { good: job.as_good(), stopped });
    }
    let from = job.good().map_or(job.generation, |good| good.generation);
    (job.spec, job.toml, job.generation, job.version) = (next.spec, next.toml, next.generation, version);
    let (to, tasks) = (job.generation, state.store.slots_of(&name).count());
    state.jobs.entry(name.clone()).or_default().start_anew();
    effects.audit.push(Audit::RolloutStarted { job: name.clone(), from, to, tasks });
    advance_job(state, effects, &name);
}

/// What is kept in reserve while the job drains for a version with other slots; none when nothing of it ran.
pub(crate) fn reserve(state: &State, name: &String) -> Option<Rollout> {
    let job = state.store.job(name)?;
    match (&job.rollout, job.phase, &job.next) {
        (Some(Rollout::Rolling { .. }), ..) => job.rollout.clone(),
        // On its way back to it.
        (Some(Rollout::RolledBack { .. }), JobPhase::Draining, Some(next)) => {
            let NextVersion { spec, toml, generation } = next.clone();
            let good = Box::new(GoodVersion { spec, toml, generation, version: job.version });
            Some(Rollout::Rolling { good, stopped: vec![] })
        }
        (_, JobPhase::Running, _) if runs(state, name) => {
            Some(Rollout::Rolling { good: job.as_good(), stopped: health::stopped_partitions(state, name) })
        }
        _ => None,
    }
}

/// Looks after all changes under way.
pub(crate) fn advance(state: &mut State, effects: &mut Effects) {
    let rolling = state.store.jobs().iter().filter(|(_, job)| job.phase == JobPhase::Running && job.good().is_some());
    for name in rolling.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
        advance_job(state, effects, &name);
    }
}

fn advance_job(state: &mut State, effects: &mut Effects, name: &String) {
    let slots: Vec<(SlotKey, Progress)> = health::progress(state, name);
    if let Some(reason) = health::failure(state, name, &slots) {
        return roll_back(state, effects, name, reason);
    }
    let (mut well, mut busy, mut waiting) = (0, 0, vec![]);
    for (key, progress) in &slots {
        match progress {
            Progress::Well => {
                well += 1;
                state.slots.entry(key.clone()).or_default().failures = 0;
            }
            Progress::Busy => busy += 1,
            Progress::Waiting { last } => waiting.push((*last, key.clone())),
            Progress::Failed(_) => {}
        }
    }
    if !slots.is_empty() && well == slots.len() {
        return finish(state, effects, name);
    }
    let at_once = if well == 0 { 1 } else { (slots.len() / AT_ONCE_SHARE).max(1) };
    waiting.sort();
    for (_, key) in waiting.into_iter().take(at_once.saturating_sub(busy)) {
        take_turn(state, effects, &key);
    }
}

/// The slot's task drains; what follows it is of the job's own version.
fn take_turn(state: &mut State, effects: &mut Effects, key: &SlotKey) {
    let Some(job) = state.store.job(&key.0) else { return };
    let (version, generation) = (job.version, job.generation);
    effects.audit.push(Audit::RolloutStep { job: key.0.clone(), slot: key.1, generation });
    let wish = state.slots.entry(key.clone()).or_default();
    (wish.failures, wish.last_failure) = (0, String::new());
    give_version(state, effects, key, version);
}

fn give_version(state: &mut State, effects: &mut Effects, key: &SlotKey, version: u64) {
    let (now, wall_ms) = (state.now(), state.clock.wall_ms);
    let Some(slot) = state.store.slot_mut(key) else { return };
    slot.version = version;
    let Some(task) = slot.task.clone() else {
        // It waits from now on: for a place of another kind.
        slot.since_ms = wall_ms;
        let wish = state.slots.entry(key.clone()).or_default();
        (wish.since, wish.wait) = (now, None);
        return state.manners.want();
    };
    if state.store.task(&task).is_some_and(|record| record.aim == Aim::Run) {
        ending::start_drain(state, effects, &task);
    }
}

fn finish(state: &mut State, effects: &mut Effects, name: &String) {
    let job = state.store.job_mut(name).expect("callers have looked it up");
    job.rollout = None;
    effects.audit.push(Audit::RolloutDone { job: name.clone(), generation: job.generation });
}

/// Generation and number of the good version when it comes back. Blocks of its old generation may be sealed where another
/// meaning has run since; where nothing differs, its executors that still run are good for further tasks.
fn number_back(good: &GoodVersion, job: &JobRecord) -> (u64, Option<u64>) {
    let generation = generation_after(job, &good.spec);
    (generation, (generation == good.generation).then_some(good.version))
}

/// The new version has failed: its slots get the good one again; those that still run the good one are left alone.
fn roll_back(state: &mut State, effects: &mut Effects, name: &String, reason: String) {
    let at_ms = state.clock.wall_ms;
    let Some(job) = state.store.job(name) else { return };
    let from = job.generation;
    let to = job.good().map_or(from, |good| number_back(good, job).0);
    let failed_toml = job.toml.clone();
    effects.audit.push(Audit::RolledBack { job: name.clone(), from, to, reason: reason.clone() });
    take_back(state, effects, name);
    let job = state.store.job_mut(name).expect("found above");
    job.rollout = Some(Rollout::RolledBack { generation: from, reason, at_ms });
    job.previous_toml = Some(failed_toml);
}

/// Goes back to the good version.
pub(crate) fn take_back(state: &mut State, effects: &mut Effects, name: &String) {
    let fresh = state.store.next_number();
    let job = state.store.job_mut(name).expect("callers have looked it up");
    let Some(Rollout::Rolling { good, .. }) = job.rollout.take() else { return };
    let (generation, version) = number_back(&good, job);
    let (version, before) = (version.unwrap_or(fresh), good.version);
    let GoodVersion { spec, toml, .. } = *good;
    if !same_slots(&spec, &job.spec) {
        job.next = Some(NextVersion { spec, toml, generation });
        state.topologies.remove(name);
        return jobs::drain(state, effects, name);
    }
    (job.spec, job.toml, job.generation, job.version) = (spec, toml, generation, version);
    state.jobs.entry(name.clone()).or_default().start_anew();
    let slots: Vec<_> = state.store.slots_of(name).filter(|(_, slot)| slot.version > before).collect();
    let slots: Vec<SlotKey> = slots.into_iter().map(|(key, _)| key.clone()).collect();
    for key in slots {
        give_version(state, effects, &key, version);
    }
}
