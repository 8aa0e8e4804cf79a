//! Agents and masters whose processes restart while all else lives on.

use std::time::Duration;

use millstream_mesos_types::{FrameworkId, TaskState};

use super::{
    AgentIndex, Amounts, Cluster, Effect, Refusal,
    model::{Ending, Link, Phase},
};

impl Cluster {
    /// The agent's process restarts with its checkpoints: for `down_for` nobody can speak to it, then it waits for its
    /// executors, and then registers again. Executors of frameworks that do not checkpoint end.
    pub fn restart_agent(&mut self, now: Duration, agent: AgentIndex, down_for: Duration) {
        self.at(now);
        if self.agents.get(agent).is_none_or(|record| record.link != Link::Connected) {
            return;
        }
        self.agents[agent].link = Link::Restarting { back_at: now.saturating_add(down_for) };
        self.rescind_offers(agent);
        self.rescind_inverse_offers(agent);
        for executor in self.agents[agent].executors.values_mut() {
            if let Some(stream) = executor.stream.take() {
                self.streams.remove(&stream);
                self.effects.push(Effect::Close(stream));
            }
        }
        let without = self.frameworks.iter().filter(|(_, framework)| !framework.info.checkpoint);
        for id in without.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.drop_from_agent(agent, &id);
        }
    }

    /// The leading master is replaced by another one, which knows what the registry says and what it is told: all streams
    /// end, offers and filters are forgotten. For `leaderless_for` every call is answered 503; agents register again
    /// `agents_after` from now.
    pub fn fail_over(&mut self, now: Duration, master_id: String, leaderless_for: Duration, agents_after: Duration) {
        self.at(now);
        self.identity.master_id = master_id;
        self.leads_at = now.saturating_add(leaderless_for);
        let until = now.saturating_add(agents_after.max(leaderless_for));
        self.offers.clear();
        self.inverse_offers.clear();
        self.removed = super::model::Removed::default();
        self.machines.values_mut().for_each(|machine| machine.answers.clear());
        for agent in &mut self.agents {
            agent.offered = Amounts::default();
            agent.kills.clear();
            if agent.is_registered() {
                agent.link = Link::Unregistered { until };
            }
        }
        for framework in self.frameworks.values_mut() {
            if let Some(stream) = framework.stream.take() {
                self.streams.remove(&stream);
                self.effects.push(Effect::Close(stream));
            }
            let timeout = Duration::try_from_secs_f64(framework.info.failover_timeout).unwrap_or(Duration::MAX);
            framework.remove_at = Some(until.saturating_add(timeout));
            framework.forget_filters();
            framework.suppressed.clear();
            framework.constraints = Default::default();
            framework.completed.clear();
            framework.unreachable.clear();
        }
    }

    /// There is a leader now, or the call must come again.
    pub(super) fn led(&mut self, now: Duration) -> Result<(), Refusal> {
        self.at(now);
        match self.now < self.leads_at {
            true => Err(Refusal::new(503, "No leader elected")),
            false => Ok(()),
        }
    }

    /// Restarts that are over.
    pub(super) fn end_restarts(&mut self) {
        for agent in 0..self.agents.len() {
            match self.agents[agent].link {
                Link::Restarting { back_at } if back_at <= self.now => {
                    let until = self.now + self.settings.executor_reregistration_timeout;
                    self.agents[agent].link = Link::Recovering { until };
                }
                Link::Recovering { until } if until <= self.now => {
                    self.end_silent_executors(agent);
                    self.kill_for_drain(agent);
                    self.register(agent);
                }
                Link::Unregistered { until } if until <= self.now => self.register(agent),
                _ => {}
            }
        }
    }

    /// What waited for the agent goes on.
    fn register(&mut self, agent: AgentIndex) {
        self.agents[agent].link = Link::Connected;
        for (id, kill) in std::mem::take(&mut self.agents[agent].kills) {
            self.kill(&id, kill);
        }
        for (id, task) in self.tasks_of(agent) {
            self.send_update(&id, &task);
        }
        let operations = self.frameworks.iter().flat_map(|(id, framework)| {
            let there = framework.operations.iter().filter(|(_, operation)| operation.agent == agent);
            there.map(|(operation, _)| (id.clone(), operation.clone()))
        });
        for (id, operation) in operations.collect::<Vec<_>>() {
            self.send_operation(&id, &operation);
        }
    }

    /// Executors that have not come back to a restarted agent.
    fn end_silent_executors(&mut self, agent: AgentIndex) {
        let silent = self.agents[agent].executors.iter().filter(|(_, executor)| {
            executor.stream.is_none() && matches!(executor.phase, Phase::Registering { .. } | Phase::Running)
        });
        for key in silent.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            let message =
                format!("Executor did not reregister within {:?}", self.settings.executor_reregistration_timeout);
            let ending = self.gone(&key.0, "REASON_EXECUTOR_REREGISTRATION_TIMEOUT", message);
            self.destroy(agent, &key, Some(ending));
        }
    }

    /// An executor ended by the agent through no fault of its own.
    pub(super) fn gone(&self, id: &FrameworkId, reason: &'static str, message: String) -> Ending {
        let aware = self.frameworks.get(id).is_some_and(|framework| framework.is_partition_aware());
        Ending { state: if aware { TaskState::TaskGone } else { TaskState::TaskLost }, reason, message }
    }

    fn drop_from_agent(&mut self, agent: AgentIndex, id: &FrameworkId) {
        let message = format!("Agent {} disconnected", self.agents[agent].address);
        for (_, task_id) in self.tasks_of(agent).into_iter().filter(|(owner, _)| owner == id) {
            let Some(framework) = self.frameworks.get_mut(id) else { continue };
            let Some(task) = framework.tasks.remove(&task_id) else { continue };
            if !super::is_over(task.latest) {
                self.agents[agent].used.subtract(&task.resources);
            }
            self.master_status(id, &task.info, TaskState::TaskLost, "REASON_AGENT_DISCONNECTED", &message);
        }
        let keys = self.agents[agent].executors.keys().filter(|key| key.0 == *id).cloned().collect::<Vec<_>>();
        for key in keys {
            if let Some(executor) = self.agents[agent].executors.get_mut(&key) {
                executor.tasks.clear();
                executor.queued.clear();
            }
            self.destroy(agent, &key, None);
        }
    }
}
