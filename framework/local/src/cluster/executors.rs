use std::time::Duration;

use millstream_mesos_types::{
    ExecutorInfo, TaskState, TaskStatus,
    executor::{Acknowledged, AgentInfo, Call, Envelope, Event, Launch, Subscribe, Subscribed, Update},
    scheduler,
};

use super::{
    AgentIndex, Cluster, ContainerId, Effect, ExecutorKey, Refusal, StreamId,
    model::{Ending, Link, Owner, Phase},
};

impl Cluster {
    /// SUBSCRIBE of an executor on a stream that the edge has just opened. One that is not wanted is told to shut down.
    pub fn subscribe_executor(
        &mut self,
        now: Duration,
        agent: AgentIndex,
        stream: StreamId,
        key: ExecutorKey,
        subscribe: Subscribe,
    ) -> Result<(), Refusal> {
        self.at(now);
        if !self.agents[agent].is_running() {
            return Err(recovering());
        }
        let framework = self.frameworks.get(&key.0).map(|framework| framework.info.clone());
        let record = &mut self.agents[agent];
        let agent_info =
            AgentInfo { hostname: record.address.clone(), port: Some(record.port), id: Some(record.id.clone()) };
        let gone = record.link == Link::Gone;
        let (Some(framework_info), false, Some(executor)) = (framework, gone, record.executors.get_mut(&key)) else {
            self.turn_away(stream);
            return Ok(());
        };
        if !matches!(executor.phase, Phase::Registering { .. } | Phase::Running) {
            self.turn_away(stream);
            return Ok(());
        }
        executor.phase = Phase::Running;
        let (executor_info, queued) = (executor.info.clone(), std::mem::take(&mut executor.queued));
        if let Some(old) = executor.stream.replace(stream) {
            self.streams.remove(&old);
            self.effects.push(Effect::Close(old));
        }
        self.streams.insert(stream, Owner::Executor(agent, key.clone()));
        let subscribed = Subscribed { executor_info, framework_info, agent_info };
        self.tell_executor(agent, &key, Event::Subscribed { subscribed });
        for update in subscribe.unacknowledged_updates {
            self.executor_update(agent, &key, update);
        }
        for task in queued {
            self.tell_executor(agent, &key, Event::Launch { launch: Launch { task } });
        }
        Ok(())
    }

    /// Any other call of an executor.
    pub fn call_executor(&mut self, now: Duration, agent: AgentIndex, envelope: Envelope) -> Result<(), Refusal> {
        self.at(now);
        if !self.agents[agent].is_running() {
            return Err(recovering());
        }
        let key = (envelope.framework_id, envelope.executor_id);
        let executor = self.agents[agent].executors.get(&key);
        let executor = executor.ok_or_else(|| Refusal::new(400, "Executor cannot be found"))?;
        if executor.stream.is_none() {
            return Err(Refusal::new(403, "Executor is not subscribed"));
        }
        match envelope.call {
            Call::Update { update } => {
                check_update(&update.status)?;
                self.executor_update(agent, &key, update);
            }
            Call::Message { message } => {
                let message = scheduler::Message {
                    agent_id: self.agents[agent].id.clone(),
                    executor_id: key.1,
                    data: message.data,
                };
                self.tell(&key.0, scheduler::Event::Message { message });
            }
            Call::Heartbeat => {}
            Call::Subscribe { .. } => return Err(Refusal::new(400, "already subscribed")),
            Call::Unknown => return Err(Refusal::new(501, "this call is not implemented")),
        }
        Ok(())
    }

    /// The executor's process runs.
    pub fn container_started(&mut self, now: Duration, container: &ContainerId, pid: u32) {
        self.at(now);
        if let Some((agent, key)) = self.containers.get(container)
            && let Some(executor) = self.agents[*agent].executors.get_mut(key)
        {
            executor.pid = Some(pid);
        }
    }

    /// The executor's process has ended with `status` (as of wait(2)), or could not be started for the reason given.
    pub fn container_ended(&mut self, now: Duration, container: &ContainerId, ended: Result<i32, String>) {
        self.at(now);
        let Some((agent, key)) = self.containers.remove(container) else { return };
        let Some(executor) = self.agents[agent].executors.remove(&key) else { return };
        self.agents[agent].used.subtract(&executor.resources);
        if let Some(stream) = executor.stream {
            self.streams.remove(&stream);
            self.effects.push(Effect::Close(stream));
        }
        let ending = match (executor.ending, &ended) {
            (Some(ending), _) => ending,
            (None, Ok(status)) => Ending {
                state: TaskState::TaskFailed,
                reason: "REASON_EXECUTOR_TERMINATED",
                message: format!("executor terminated: {}", describe(*status)),
            },
            (None, Err(message)) => Ending {
                state: TaskState::TaskFailed,
                reason: "REASON_CONTAINER_LAUNCH_FAILED",
                message: message.clone(),
            },
        };
        for task in executor.tasks {
            self.agent_update(&key.0, &task, ending.state, ending.reason, &ending.message);
        }
        let failure = scheduler::Failure {
            agent_id: Some(self.agents[agent].id.clone()),
            executor_id: Some(key.1),
            status: ended.ok(),
        };
        if self.agents[agent].is_connected() {
            self.tell(&key.0, scheduler::Event::Failure { failure });
        }
    }

    /// Asks an executor to leave; one that has not subscribed yet is ended at once.
    pub(super) fn shut_executor_down(&mut self, agent: AgentIndex, key: &ExecutorKey) {
        let Some(executor) = self.agents[agent].executors.get_mut(key) else { return };
        match executor.phase {
            Phase::Registering { .. } => {
                let message = "the executor was shut down before it had subscribed".to_owned();
                let ending =
                    Ending { state: TaskState::TaskKilled, reason: "REASON_TASK_KILLED_DURING_LAUNCH", message };
                self.destroy(agent, key, Some(ending));
            }
            Phase::Running => {
                let grace = executor.info.shutdown_grace_period.and_then(|grace| u64::try_from(grace.nanoseconds).ok());
                let grace = grace.map_or(self.settings.shutdown_grace, Duration::from_nanos);
                executor.phase = Phase::Terminating { until: self.now.saturating_add(grace) };
                self.tell_executor(agent, key, Event::Shutdown);
            }
            Phase::Terminating { .. } | Phase::Destroyed => {}
        }
    }

    /// Ends an executor by force.
    pub(super) fn destroy(&mut self, agent: AgentIndex, key: &ExecutorKey, ending: Option<Ending>) {
        let Some(executor) = self.agents[agent].executors.get_mut(key) else { return };
        if executor.phase != Phase::Destroyed {
            executor.phase = Phase::Destroyed;
            executor.ending = ending;
            self.effects.push(Effect::Destroy(executor.container.clone()));
        }
    }

    pub(super) fn shutdown_grace(&self, info: &ExecutorInfo) -> Duration {
        let said = info.shutdown_grace_period.and_then(|grace| u64::try_from(grace.nanoseconds).ok());
        said.map_or(self.settings.shutdown_grace, Duration::from_nanos)
    }

    fn turn_away(&mut self, stream: StreamId) {
        self.effects.push(Effect::TellExecutor(stream, Event::Shutdown));
        self.effects.push(Effect::Close(stream));
    }

    /// The update is safe here from now on, whoever it is for: the executor need not keep it.
    fn executor_update(&mut self, agent: AgentIndex, key: &ExecutorKey, update: Update) {
        let (task_id, uuid) = (update.status.task_id.clone(), update.status.uuid.clone());
        let theirs = self.frameworks.get(&key.0).and_then(|framework| framework.tasks.get(&task_id));
        if theirs.is_some_and(|task| task.agent == agent && task.executor_id == key.1) {
            self.take_update(&key.0, update.status);
        }
        if let Some(uuid) = uuid {
            let acknowledged = Acknowledged { task_id, uuid };
            self.tell_executor(agent, key, Event::Acknowledged { acknowledged });
        }
    }
}

fn recovering() -> Refusal {
    Refusal::new(503, "Agent has not finished recovery")
}

fn check_update(status: &TaskStatus) -> Result<(), Refusal> {
    if status.uuid.as_ref().is_none_or(|uuid| uuid.0.len() != 16) {
        return Err(Refusal::new(400, "Expecting 'update.status.uuid' to be a uuid"));
    }
    if status.source.as_deref() != Some("SOURCE_EXECUTOR") {
        return Err(Refusal::new(400, "Received Call from executor with invalid source: expecting 'SOURCE_EXECUTOR'"));
    }
    if status.state == TaskState::TaskStaging {
        return Err(Refusal::new(400, "Received TASK_STAGING from executor which is not allowed"));
    }
    Ok(())
}

/// A wait(2) status in words.
fn describe(status: i32) -> String {
    match status & 0x7f {
        0 => format!("exited with status {}", (status >> 8) & 0xff),
        signal => format!("ended by signal {signal}"),
    }
}
