//! Tasks and the executors they need, from a valid launch on.

use std::collections::{BTreeSet, VecDeque};

use millstream_mesos_types::{ExecutorInfo, FrameworkId, TaskId, TaskInfo, TaskState, executor};

use super::{
    AgentIndex, Amounts, Cluster, ContainerId, Effect, ExecutorKey, Start,
    launch_check::Takes,
    model::{Executor, OfferRecord, Phase, Task},
};

impl Cluster {
    /// Starts a task that has been checked.
    pub(super) fn launch(
        &mut self,
        id: &FrameworkId,
        task: TaskInfo,
        offer: &OfferRecord,
        takes: Takes,
        info: ExecutorInfo,
    ) {
        let (agent, key) = (offer.agent, (id.clone(), info.executor_id.clone()));
        let record = Task {
            info: task.clone(),
            agent,
            executor_id: info.executor_id.clone(),
            role: offer.role.clone(),
            resources: takes.task.clone(),
            latest: TaskState::TaskStaging,
            told: TaskState::TaskStaging,
            statuses: vec![],
            updates: VecDeque::new(),
            uuids: BTreeSet::new(),
            retry_at: self.now,
            retry_pause: self.settings.update_retry_min,
            force_at: None,
        };
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.tasks.insert(task.task_id.clone(), record);
        }
        self.agents[agent].used.add(&takes.task);
        if self.agents[agent].drain_config.is_some() {
            let message = "Task was received while agent was already draining";
            return self.drop_task(id, &task.task_id, "REASON_AGENT_DRAINING", message);
        }
        if let Some(resources) = takes.executor {
            self.start_executor(agent, &key, info, &offer.role, resources);
        }
        let Some(executor) = self.agents[agent].executors.get_mut(&key) else { return };
        executor.tasks.insert(task.task_id.clone());
        match (executor.phase, executor.stream) {
            (Phase::Terminating { .. } | Phase::Destroyed, _) => {
                let message = "the executor is terminating";
                self.drop_task(id, &task.task_id, "REASON_EXECUTOR_TERMINATED", message);
            }
            (Phase::Running, Some(_)) => {
                self.tell_executor(agent, &key, executor::Event::Launch { launch: executor::Launch { task } });
            }
            _ => executor.queued.push(task),
        }
    }

    /// The agent does not start it.
    fn drop_task(&mut self, id: &FrameworkId, task: &TaskId, reason: &str, message: &str) {
        let aware = self.frameworks.get(id).is_some_and(|framework| framework.is_partition_aware());
        let state = if aware { TaskState::TaskDropped } else { TaskState::TaskLost };
        self.agent_update(id, task, state, reason, message);
    }

    fn start_executor(
        &mut self,
        agent: AgentIndex,
        key: &ExecutorKey,
        info: ExecutorInfo,
        role: &str,
        resources: Amounts,
    ) {
        let Some(framework) = self.frameworks.get(&key.0).map(|framework| framework.info.clone()) else { return };
        let container = ContainerId(self.new_id("C"));
        self.agents[agent].used.add(&resources);
        let executor = Executor {
            info: info.clone(),
            role: role.to_owned(),
            resources,
            container: container.clone(),
            pid: None,
            phase: Phase::Registering { until: self.now + self.settings.registration_timeout },
            stream: None,
            queued: vec![],
            tasks: BTreeSet::new(),
            ending: None,
        };
        let shutdown_grace = self.shutdown_grace(&info);
        self.agents[agent].executors.insert(key.clone(), executor);
        self.containers.insert(container.clone(), (agent, key.clone()));
        let agent_id = self.agents[agent].id.clone();
        let start = Start { agent, agent_id, container, framework, executor: info, shutdown_grace };
        self.effects.push(Effect::Start(Box::new(start)));
    }
}
