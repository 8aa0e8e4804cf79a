//! The status update manager: per task the oldest unacknowledged update is sent, and again, until it is acknowledged.

use std::collections::BTreeSet;

use millstream_mesos_types::{TaskState, TaskStatus};

use super::AgentTask;
use crate::{
    Ms,
    amounts::Amounts,
    event::{Event, FromAgent},
    master::{agent_status, uuid},
    world::World,
};

/// As Mesos: 10 s, doubling to 10 minutes.
const RETRY_MIN_MS: Ms = 10_000;
const RETRY_MAX_MS: Ms = 600_000;

impl World {
    /// An update the agent makes itself.
    pub(super) fn agent_says(
        &mut self,
        machine: usize,
        framework: &str,
        task: &str,
        executor: &str,
        state: TaskState,
        reason: &str,
    ) {
        let agent = self.machines[machine].id.clone().unwrap_or_default();
        let mut status = agent_status(task, &agent, executor, state, Some(reason));
        status.uuid = Some(uuid(self.number()));
        self.machines[machine].tasks.entry(task.to_owned()).or_insert_with(|| AgentTask {
            framework: framework.to_owned(),
            executor: executor.to_owned(),
            takes: Amounts::default(),
            latest: TaskState::TaskStaging,
            updates: vec![],
            uuids: BTreeSet::new(),
            told: None,
            pause_ms: RETRY_MIN_MS,
            token: 0,
        });
        self.update(machine, status);
    }

    /// Takes an update in: kept until it is acknowledged.
    pub(super) fn update(&mut self, machine: usize, status: TaskStatus) {
        let id = status.task_id.value.clone();
        let Some(task) = self.machines[machine].tasks.get_mut(&id) else { return };
        let new = status.uuid.as_ref().is_some_and(|uuid| task.uuids.insert(uuid.0.clone()));
        if !new || task.latest.is_terminal() {
            return;
        }
        task.latest = status.state;
        task.updates.push(status);
        if task.updates.len() == 1 {
            self.forward_anew(machine, &id);
        }
    }

    /// Sends the oldest update of a task, for the first time on this connection.
    pub(super) fn forward_anew(&mut self, machine: usize, id: &str) {
        if let Some(task) = self.machines[machine].tasks.get_mut(id) {
            task.pause_ms = RETRY_MIN_MS;
        }
        self.forward(machine, id);
    }

    /// Sends the oldest update of a task; again after a while.
    pub(super) fn forward(&mut self, machine: usize, id: &str) {
        let token = self.number();
        let Some(task) = self.machines[machine].tasks.get_mut(id) else { return };
        let Some(status) = task.updates.first().cloned() else { return };
        (task.token, task.told) = (token, Some(status.clone()));
        let pause = task.pause_ms;
        task.pause_ms = (pause * 2).min(RETRY_MAX_MS);
        let (framework, latest) = (task.framework.clone(), task.latest);
        self.after(pause, Event::RetryUpdate { machine, task: id.to_owned(), token });
        if self.machines[machine].registered.is_some() {
            self.tell_master(machine, FromAgent::Update { framework, status: Box::new(status), latest });
        }
    }

    pub(super) fn acknowledged(&mut self, machine: usize, id: &str, uuid: &[u8]) {
        let Some(task) = self.machines[machine].tasks.get_mut(id) else { return };
        let first = task.updates.first().and_then(|status| status.uuid.as_ref());
        if first.is_none_or(|first| first.0 != uuid) {
            return;
        }
        let status = task.updates.remove(0);
        if status.state.is_terminal() {
            self.machines[machine].tasks.remove(id);
            return;
        }
        self.forward_anew(machine, id);
    }
}
