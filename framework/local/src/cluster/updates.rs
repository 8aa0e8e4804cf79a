//! Status updates: kept per task, the oldest on its way, sent again until acknowledged.

use millstream_mesos_types::{
    AgentId, Base64, FrameworkId, TaskId, TaskInfo, TaskState, TaskStatus,
    scheduler::{Event, ReconcileTask, Update},
};

use super::{
    Cluster,
    drain::mark_drained,
    model::{Departure, Link},
};

impl Cluster {
    /// Takes an update of an executor or agent; one that is known already, or comes after the end, changes nothing.
    pub(super) fn take_update(&mut self, id: &FrameworkId, mut status: TaskStatus) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let aware = framework.is_partition_aware();
        let Some(task) = framework.tasks.get_mut(&status.task_id) else { return };
        let Some(uuid) = status.uuid.clone() else { return };
        if task.knows(&uuid) || super::is_over(task.latest) {
            return;
        }
        task.uuids.insert(uuid.0);
        let agent = &mut self.agents[task.agent];
        if let Some(draining) = &agent.drain_config {
            mark_drained(&mut status, draining, aware);
        }
        task.latest = status.state;
        status.agent_id = Some(agent.id.clone());
        status.executor_id = Some(task.executor_id.clone());
        if super::is_over(status.state) {
            agent.used.subtract(&task.resources);
            if let Some(executor) = agent.executors.get_mut(&(id.clone(), task.executor_id.clone())) {
                executor.tasks.remove(&status.task_id);
            }
        }
        task.statuses.retain(|known| known.state != status.state);
        task.statuses.push(status.clone());
        let task_id = status.task_id.clone();
        task.updates.push_back(status);
        if task.updates.len() == 1 {
            task.retry_pause = self.settings.update_retry_min;
            self.send_update(id, &task_id);
        }
    }

    /// An update that an agent makes on its own.
    pub(super) fn agent_update(
        &mut self,
        id: &FrameworkId,
        task: &TaskId,
        state: TaskState,
        reason: &str,
        message: &str,
    ) {
        let uuid = Some(Base64(self.uuid()));
        let status = self.status(task, state, "SOURCE_AGENT", reason, message);
        self.take_update(id, TaskStatus { uuid, ..status });
    }

    /// A status the master tells once: it has no uuid and is not to be acknowledged.
    pub(super) fn master_status(
        &mut self,
        id: &FrameworkId,
        task: &TaskInfo,
        state: TaskState,
        reason: &str,
        message: &str,
    ) {
        let status = self.status(&task.task_id, state, "SOURCE_MASTER", reason, message);
        let executor_id = task.executor.as_ref().map(|executor| executor.executor_id.clone());
        let agent_id = Some(task.agent_id.clone());
        self.tell(id, Event::Update { update: Update { status: TaskStatus { agent_id, executor_id, ..status } } });
    }

    /// The scheduler has the update: on to the next, or the task is done.
    pub(super) fn acknowledged(&mut self, id: &FrameworkId, task_id: &TaskId, uuid: &Base64) {
        let retry_min = self.settings.update_retry_min;
        let Some(task) = self.frameworks.get_mut(id).and_then(|framework| framework.tasks.get_mut(task_id)) else {
            return;
        };
        if !self.agents[task.agent].is_connected() {
            return; // the agent does not hear of it and sends the update again
        }
        let Some(acknowledged) = task.updates.pop_front_if(|update| update.uuid.as_ref() == Some(uuid)) else { return };
        if super::is_over(acknowledged.state) {
            let view = self.task_view(id, task_id);
            if let Some(framework) = self.frameworks.get_mut(id) {
                framework.tasks.remove(task_id);
                framework.complete(view);
            }
            self.check_draining();
            return;
        }
        task.retry_pause = retry_min;
        self.send_update(id, task_id);
    }

    /// The oldest unacknowledged update of every task, at a new subscription.
    pub(super) fn resend_updates(&mut self, id: &FrameworkId) {
        let Some(framework) = self.frameworks.get(id) else { return };
        let waiting = framework.tasks.iter().filter(|(_, task)| !task.updates.is_empty());
        for task in waiting.map(|(task, _)| task.clone()).collect::<Vec<_>>() {
            self.send_update(id, &task);
        }
    }

    /// Sends the oldest unacknowledged update of a task, if there is one.
    pub(super) fn send_update(&mut self, id: &FrameworkId, task_id: &TaskId) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let connected = framework.stream.is_some();
        let Some(task) = framework.tasks.get_mut(task_id) else { return };
        let Some(status) = task.updates.front().cloned() else { return };
        task.retry_at = self.now + task.retry_pause;
        task.retry_pause = (task.retry_pause * 2).min(self.settings.update_retry_max);
        if connected && self.agents[task.agent].is_connected() {
            task.told = status.state;
            self.tell(id, Event::Update { update: Update { status } });
        }
    }

    /// Answers for one task as the master does; silent while the agent may still register and tell.
    pub(super) fn reconcile_one(&mut self, id: &FrameworkId, asked: &ReconcileTask) {
        let Some(framework) = self.frameworks.get(id) else { return };
        let known = framework.tasks.get(&asked.task_id).filter(|task| self.agents[task.agent].is_registered());
        let mut agent_id = asked.agent_id.clone();
        let (mut state, mut executor_id, mut message) = (TaskState::TaskUnknown, None, "Task is unknown");
        if let Some(task) = known {
            (state, message) = (task.told, "Latest task state");
            (agent_id, executor_id) = (Some(self.agents[task.agent].id.clone()), Some(task.executor_id.clone()));
        } else if self.may_be_told_later(agent_id.as_ref()) {
            return;
        } else if let Some(agent) = &agent_id {
            (state, message) = match self.departed.how(agent) {
                _ if self.registered(agent).is_some() => (TaskState::TaskGone, "Task is unknown to the agent"),
                Some(Departure::Unreachable) => (TaskState::TaskUnreachable, "Task is unreachable"),
                Some(Departure::Gone) => (TaskState::TaskGoneByOperator, "Task is gone"),
                Some(Departure::Removed) | None => (state, message),
            };
        }
        if known.is_none() && !framework.is_partition_aware() {
            state = TaskState::TaskLost;
        }
        let message = format!("Reconciliation: {message}");
        let status = self.status(&asked.task_id, state, "SOURCE_MASTER", "REASON_RECONCILIATION", &message);
        self.tell(id, Event::Update { update: Update { status: TaskStatus { agent_id, executor_id, ..status } } });
    }

    /// The agent, or any if it is not named, has not registered since the master's failover.
    fn may_be_told_later(&self, agent: Option<&AgentId>) -> bool {
        let named = |id: &AgentId| agent.is_none_or(|agent| agent == id);
        self.agents.iter().any(|agent| matches!(agent.link, Link::Unregistered { .. }) && named(&agent.id))
    }

    /// A status without uuid.
    pub(super) fn status(
        &self,
        task: &TaskId,
        state: TaskState,
        source: &str,
        reason: &str,
        message: &str,
    ) -> TaskStatus {
        TaskStatus {
            task_id: task.clone(),
            state,
            message: Some(message.into()),
            source: Some(source.into()),
            reason: Some(reason.into()),
            data: None,
            agent_id: None,
            executor_id: None,
            timestamp: Some(self.unix_secs()),
            uuid: None,
        }
    }
}
