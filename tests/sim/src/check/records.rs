//! What the store must be.

use std::collections::{BTreeMap, BTreeSet};

use millstream_mesos_types::TaskState;
use millstream_scheduler::{
    RecordChange,
    records::{Aim, SlotRecord},
};

use super::step::read_task;
use crate::world::World;

impl World {
    /// Changes, before they are applied: nothing goes back.
    pub(crate) fn check_records(&mut self, changes: &[RecordChange]) {
        for change in changes {
            let result = match change.key.strip_prefix("task/") {
                Some(id) => self.check_task_change(id, change),
                None if change.key == "counter" => self.check_counter(change),
                None => Ok(()),
            };
            self.hold(result);
        }
    }

    fn check_task_change(&mut self, id: &str, change: &RecordChange) -> Result<(), String> {
        let before = self.store.records.get(&change.key).map(read_task).transpose()?;
        let Some(after) = change.value.as_ref().map(read_task).transpose()? else {
            self.checks.ended.insert(id.to_owned());
            return Ok(());
        };
        if self.checks.ended.contains(id) {
            return Err(format!("M5: task {id} has ended and comes back"));
        }
        let Some(before) = before else { return Ok(()) };
        if before.aim == Aim::Condemned && after.aim != Aim::Condemned {
            return Err(format!("M5: condemned task {id} is wanted again"));
        }
        if rank(after.state) < rank(before.state) {
            return Err(format!("M5: task {id} goes back from {:?} to {:?}", before.state, after.state));
        }
        Ok(())
    }

    fn check_counter(&self, change: &RecordChange) -> Result<(), String> {
        let next = |value: &serde_json::Value| value.get("next").and_then(serde_json::Value::as_u64);
        let before = self.store.records.get("counter").and_then(next);
        let after = change.value.as_ref().and_then(next);
        if after < before {
            return Err(format!("I5: the counter goes back from {before:?} to {after:?}"));
        }
        Ok(())
    }

    /// The store as a whole: each (job, partition) has at most one current assignment.
    pub(crate) fn check_store(&mut self, changes: &[RecordChange]) {
        let matters = |key: &str| ["slot/", "task/", "executor/"].iter().any(|kind| key.starts_with(kind));
        if changes.iter().any(|change| matters(&change.key)) {
            let result = self.one_plan();
            self.hold(result);
        }
    }

    fn one_plan(&self) -> Result<(), String> {
        let (mut partitions, mut assigned) = (BTreeSet::new(), BTreeMap::new());
        for (key, value) in self.store.records.range("slot/".to_owned().."slot0".to_owned()) {
            let job = key["slot/".len()..].rsplit_once('/').map_or("", |(job, _)| job);
            let slot: SlotRecord =
                serde_json::from_value(value.clone()).map_err(|error| format!("{key} cannot be read: {error}"))?;
            for partition in slot.partitions {
                if !partitions.insert((job, partition)) {
                    return Err(format!("I5: partition {partition} of {job} is in two slots"));
                }
            }
            if let Some(task) = slot.task
                && let Some(other) = assigned.insert(task.clone(), key)
            {
                return Err(format!("I5: task {task} is in {key} and {other}"));
            }
        }
        for (key, value) in self.store.records.range("task/".to_owned().."task0".to_owned()) {
            let task = read_task(value)?;
            let is_assigned = assigned.remove(&key["task/".len()..]).is_some();
            if is_assigned != (task.aim != Aim::Condemned) {
                return Err(format!("I5: {key} aims at {:?} and is assigned: {is_assigned}", task.aim));
            }
            if !self.store.records.contains_key(&format!("executor/{}", task.executor)) {
                return Err(format!("I5: {key} lacks its executor"));
            }
        }
        match assigned.first_key_value() {
            Some((task, slot)) => Err(format!("I5: {slot} names task {task}, which is not there")),
            None => Ok(()),
        }
    }
}

fn rank(state: TaskState) -> u8 {
    match state {
        TaskState::TaskStaging => 0,
        TaskState::TaskStarting => 1,
        TaskState::TaskRunning => 2,
        _ => 3,
    }
}
