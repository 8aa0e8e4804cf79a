//! What a deploy does: one answer for `millstream plan` and for the deploy itself.

use millstream_mesos_types::TaskState;
use millstream_spec::JobSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::number_back;
use crate::{
    Begun, State,
    records::{JobPhase, JobRecord},
};

/// What a deploy of a job file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum Change {
    /// The job is new or stopped: it starts.
    Start {
        /// Generation it will have.
        generation: u64,
    },
    /// It is already so.
    Nothing,
    /// Comments or order differ: tasks stay as they are.
    TextOnly,
    /// Task by task: each drains and starts as now written; back to what runs now if that fails.
    Roll {
        /// Generation it will have.
        generation: u64,
        /// Tasks to be restarted.
        tasks: usize,
    },
    /// All tasks drain, then it starts as now written: the source or the number of tasks differs, or nothing of it runs.
    Restart {
        /// Generation it will have.
        generation: u64,
        /// Tasks to be drained.
        tasks: usize,
    },
    /// Back to the version that ran before the change under way.
    TakeBack {
        /// Generation it will have.
        generation: u64,
        /// Tasks to be restarted.
        tasks: usize,
    },
}

/// What a deploy would do now; [`crate::Input::Deploy`] does just that.
pub fn change(state: &State, spec: &JobSpec, toml: &str) -> Change {
    let name = &spec.name.0;
    let Some(job) = state.store.job(name) else {
        return Change::Start { generation: state.store.first_generation(name) };
    };
    let generation = generation_after(job, spec);
    let slots = || state.store.slots_of(name);
    let placed = || slots().filter(|(_, slot)| slot.task.is_some()).count();
    match (job.phase, &job.next) {
        (JobPhase::Stopped, _) => return Change::Start { generation },
        (JobPhase::Draining, Some(next)) if next.toml == toml => return Change::Nothing,
        (JobPhase::Draining, _) => return Change::Restart { generation, tasks: placed() },
        (JobPhase::Running, _) => {}
    }
    if job.toml == toml {
        return Change::Nothing;
    }
    if job.spec == *spec {
        return Change::TextOnly;
    }
    match job.good() {
        Some(good) if good.spec == *spec && same_slots(&good.spec, &job.spec) => {
            let tasks = slots().filter(|(_, slot)| slot.version > good.version).count();
            Change::TakeBack { generation: number_back(good, job).0, tasks }
        }
        _ if same_slots(&job.spec, spec) && runs(state, name) => Change::Roll { generation, tasks: slots().count() },
        _ => Change::Restart { generation, tasks: placed() },
    }
}

/// The same with what the table knows: no generation goes below one that has written with another meaning, and what would
/// stay as it is starts anew where it could write no more.
pub(crate) fn raised(state: &State, spec: &JobSpec, change: Change, begun: Option<Begun>) -> Change {
    let Some(begun) = begun else { return change };
    let least = begun.least();
    match change {
        Change::Start { generation } => Change::Start { generation: generation.max(least) },
        Change::Roll { generation, tasks } => Change::Roll { generation: generation.max(least), tasks },
        Change::Restart { generation, tasks } => Change::Restart { generation: generation.max(least), tasks },
        // Its generation is chosen where it is carried out.
        Change::TakeBack { .. } => change,
        Change::Nothing | Change::TextOnly => {
            let name = &spec.name.0;
            let is_sealed = |job: &JobRecord| job.next.is_none() && job.generation < begun.generation && !begun.is_same;
            if !state.store.job(name).is_some_and(is_sealed) {
                return change;
            }
            let tasks = state.store.slots_of(name).filter(|(_, slot)| slot.task.is_some()).count();
            Change::Restart { generation: least, tasks }
        }
    }
}

/// Tasks, placement and error policy do not change what a record means; everything else does, and a changed meaning
/// needs a new data epoch (delivery.md D5).
fn same_meaning(a: &JobSpec, b: &JobSpec) -> bool {
    a.source == b.source && a.columns == b.columns && a.transform == b.transform && a.sink == b.sink
}

/// The partitions are cut alike, so that one task can take the place of the other.
pub(super) fn same_slots(a: &JobSpec, b: &JobSpec) -> bool {
    a.source == b.source && a.tasks.count == b.tasks.count
}

/// The job's generation is the greatest that any slot has ever run.
pub(super) fn generation_after(job: &JobRecord, spec: &JobSpec) -> u64 {
    if same_meaning(&job.spec, spec) { job.generation } else { job.generation + 1 }
}

/// Does anything of it run that is worth being kept?
pub(super) fn runs(state: &State, name: &str) -> bool {
    let mut tasks = state.store.slots_of(name).filter_map(|(_, slot)| state.store.task(slot.task.as_ref()?));
    tasks.any(|task| task.state == TaskState::TaskRunning)
}
