use super::types::*;
use crate::{
    State,
    records::{Aim, JobPhase, JobRecord, Rollout, SlotRecord},
};

/// The change under way, or why the last one was taken back.
pub(super) fn view(state: &State, record: &JobRecord) -> Option<RolloutView> {
    let slots: Vec<_> = state.store.slots_of(&record.spec.name.0).map(|(_, slot)| slot).collect();
    let draining = record.phase == JobPhase::Draining;
    let to = record.next.as_ref().map_or(record.generation, |next| next.generation);
    let total = slots.len();
    match record.rollout.as_ref()? {
        Rollout::Rolling { good, .. } => {
            let new = |slot: &&&SlotRecord| !draining && slot.version == record.version && is_well(state, slot);
            // Slots were made anew, or will be: there is no going task by task.
            let restarts = draining
                || slots.iter().all(|slot| slot.version > good.version)
                    && record.version_of_added_slots() == record.version;
            Some(RolloutView {
                state: if restarts { RolloutState::Restarting } else { RolloutState::Rolling },
                from: good.generation,
                to,
                done: slots.iter().filter(new).count(),
                total,
                reason: None,
            })
        }
        Rollout::RolledBack { generation, reason, .. } => {
            let done = slots.iter().filter(|slot| !draining && runs_its_version(state, slot)).count();
            let back = !draining && done == total;
            Some(RolloutView {
                state: if back { RolloutState::RolledBack } else { RolloutState::RollingBack },
                from: *generation,
                to,
                done,
                total,
                reason: Some(reason.clone()),
            })
        }
    }
}

fn runs_its_version(state: &State, slot: &SlotRecord) -> bool {
    let task = slot.task.as_ref().and_then(|id| state.store.task(id)).filter(|task| task.aim == Aim::Run);
    task.and_then(|task| state.store.executor(&task.executor)).is_some_and(|executor| executor.version == slot.version)
}

fn is_well(state: &State, slot: &SlotRecord) -> bool {
    let watch = slot.task.as_ref().and_then(|id| state.tasks.get(id));
    runs_its_version(state, slot) && watch.is_some_and(|watch| watch.well_since.is_some())
}

/// The same for people. A change that leaves the generation as it is does not name it.
pub(super) fn text(view: Option<&RolloutView>) -> Option<String> {
    let RolloutView { state, from, to, done, total, reason } = view?;
    let reason = reason.as_deref().unwrap_or_default();
    let named = |named: String| if from == to { String::new() } else { named };
    Some(match state {
        RolloutState::Rolling => {
            format!("changes{} task by task: {done} of {total} are well", named(format!(" to generation {to}")))
        }
        RolloutState::Restarting => {
            format!("starts{} anew: {done} of {total} tasks are well", named(format!(" as generation {to}")))
        }
        RolloutState::RollingBack => {
            format!("the last change failed ({reason}): goes back, {done} of {total} tasks are there")
        }
        RolloutState::RolledBack => format!("running; the last change was taken back: {reason}"),
    })
}
