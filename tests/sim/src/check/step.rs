//! What a step must not do.

use std::collections::BTreeSet;

use millstream_mesos_types::{OperationKind, scheduler::Call};
use millstream_scheduler::{
    Audit, Effects, RecordChange,
    records::{Aim, TaskRecord},
};
use serde_json::Value;

use super::{CALLS_PER_MINUTE_MAX, REVIVE_EVERY_MS};
use crate::{scheduler::Facts, world::World};

impl World {
    /// Before anything of the step is done.
    pub(crate) fn check_effects(&mut self, at: usize, facts: &Facts, effects: &Effects) {
        let process = &self.processes[at];
        if !effects.calls.is_empty() && !process.state.is_subscribed() {
            let what = format!("I5: {} calls without a subscription", effects.calls.len());
            return self.violation(what);
        }
        self.remember_executors(effects);
        self.remember_asked(at, facts, effects);
        let results = [
            check_offers(&mut self.checks.accepted, facts, effects),
            self.check_acknowledgements(facts, effects),
            self.check_ends(effects),
            self.check_revives(at, effects),
        ];
        results.into_iter().for_each(|result| self.hold(result));
    }

    fn remember_executors(&mut self, effects: &Effects) {
        for call in &effects.calls {
            let Call::Accept { accept } = call else { continue };
            let Some(offer) = accept.offer_ids.first() else { continue };
            for operation in &accept.operations {
                let OperationKind::Launch { launch } = &operation.kind else { continue };
                for executor in launch.task_infos.iter().filter_map(|task| task.executor.as_ref()) {
                    let known = self.checks.executors.entry(executor.executor_id.value.clone());
                    known.or_insert_with(|| offer.value.clone());
                }
            }
        }
    }

    fn remember_asked(&mut self, at: usize, facts: &Facts, effects: &Effects) {
        let process = &mut self.processes[at];
        if let Some((task, _)) = &facts.update {
            process.asked.remove(task);
        }
        for call in &effects.calls {
            if let Call::Reconcile { reconcile } = call {
                let ticks = process.ticks;
                process.asked.extend(reconcile.tasks.iter().map(|task| (task.task_id.value.clone(), ticks)));
            }
        }
    }

    /// Only what has a uuid, in the step that brought it, and remembered.
    fn check_acknowledgements(&self, facts: &Facts, effects: &Effects) -> Result<(), String> {
        for call in &effects.calls {
            let Call::Acknowledge { acknowledge } = call else { continue };
            let (task, uuid) = (&acknowledge.task_id.value, &acknowledge.uuid.0);
            if facts.update.as_ref() != Some(&(task.clone(), Some(uuid.clone()))) {
                return Err(format!("M5: an acknowledgement of {task} that no update of this step asks for"));
            }
            let record = self.record_after(&effects.records, &format!("task/{task}"));
            let Some(record) = record.map(read_task).transpose()? else { continue };
            if record.last_uuid.is_none_or(|known| known.0 != *uuid) {
                return Err(format!("M5: {task} is acknowledged, and its uuid is not stored"));
            }
        }
        if let Some((task, Some(_))) = &facts.update
            && !effects.calls.iter().any(|call| matches!(call, Call::Acknowledge { .. }))
        {
            return Err(format!("M5: an update of {task} with a uuid is not acknowledged"));
        }
        Ok(())
    }

    fn record_after<'a>(&'a self, changes: &'a [RecordChange], key: &str) -> Option<&'a Value> {
        match changes.iter().find(|change| change.key == key) {
            Some(change) => change.value.as_ref(),
            None => self.store.records.get(key),
        }
    }

    /// Every end of a task is told (I7).
    fn check_ends(&self, effects: &Effects) -> Result<(), String> {
        let mut told = BTreeSet::new();
        for audit in &effects.audit {
            if let Audit::TaskEnded { task, .. } | Audit::CondemnedEnded { task, .. } = audit {
                told.insert(task.as_str());
            }
        }
        for RecordChange { key, value } in &effects.records {
            let Some(id) = key.strip_prefix("task/") else { continue };
            let Some(before) = self.store.records.get(key).map(read_task).transpose()? else { continue };
            let after = value.as_ref().map(read_task).transpose()?;
            let gone = after.is_none();
            let given_up = before.aim != Aim::Condemned && after.is_some_and(|after| after.aim == Aim::Condemned);
            if (gone || given_up) && !told.contains(id) {
                return Err(format!("I7: task {id} has ended silently"));
            }
        }
        Ok(())
    }

    fn check_revives(&mut self, at: usize, effects: &Effects) -> Result<(), String> {
        let revives = effects.calls.iter().filter(|call| matches!(call, Call::Revive { .. })).count();
        if revives == 0 {
            return Ok(());
        }
        let last = self.checks.last_revive.insert(self.processes[at].id, self.now);
        if revives > 1 || last.is_some_and(|last| self.now < last + REVIVE_EVERY_MS) {
            return Err(format!("I5: REVIVE at {last:?} and again"));
        }
        Ok(())
    }

    /// A call leaves: not too many of them.
    pub(crate) fn check_call(&mut self, at: usize, call: &Call) {
        if matches!(call, Call::Acknowledge { .. }) {
            return;
        }
        let minute = self.now / 60_000;
        let (id, entry) = (self.processes[at].id, self.checks.calls.entry(self.processes[at].id).or_default());
        if entry.0 != minute {
            *entry = (minute, 0);
        }
        entry.1 += 1;
        let count = entry.1;
        self.outcome.calls_per_minute_max = self.outcome.calls_per_minute_max.max(count);
        if count > CALLS_PER_MINUTE_MAX {
            self.violation(format!("M12: scheduler {id} makes more than {CALLS_PER_MINUTE_MAX} calls a minute"));
        }
    }
}

/// Every offer is answered once, in the step that brings it.
fn check_offers(accepted: &mut BTreeSet<String>, facts: &Facts, effects: &Effects) -> Result<(), String> {
    let mut answered: Vec<&str> = vec![];
    for call in &effects.calls {
        match call {
            Call::Accept { accept } => {
                answered.extend(accept.offer_ids.iter().map(|id| id.value.as_str()));
                accepted.extend(accept.offer_ids.iter().map(|id| id.value.clone()));
            }
            // Of a launch that never arrived: given back.
            Call::Decline { decline } if decline.offer_ids.iter().all(|id| accepted.contains(&id.value)) => {}
            Call::Decline { decline } => answered.extend(decline.offer_ids.iter().map(|id| id.value.as_str())),
            _ => {}
        }
    }
    answered.sort_unstable();
    let mut given: Vec<&str> = facts.offers.iter().map(String::as_str).collect();
    given.sort_unstable();
    if answered != given && !facts.is_subscription {
        return Err(format!("I5: offers {given:?} are answered {answered:?}"));
    }
    Ok(())
}

pub(super) fn read_task(value: &Value) -> Result<TaskRecord, String> {
    serde_json::from_value(value.clone()).map_err(|error| format!("a task record cannot be read: {error}"))
}
