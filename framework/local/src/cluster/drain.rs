//! Agents emptied and taken out by an operator. Source: `src/master/http.cpp`, `src/slave/slave.cpp` of 1.11.

use std::time::Duration;

use millstream_mesos_types::{AgentId, DurationInfo, FrameworkId, KillPolicy, TaskId, TaskState, TaskStatus};

use super::{
    AgentIndex, Cluster, Refusal,
    model::{Departure, Draining},
};

impl Cluster {
    /// DRAIN_AGENT: no offers of it any more, its tasks are killed. A task's own grace is cut to `max_grace`. When
    /// nothing is left there it is drained, or marked gone.
    pub fn drain_agent(
        &mut self,
        now: Duration,
        id: &AgentId,
        max_grace: Option<Duration>,
        mark_gone: bool,
    ) -> Result<(), Refusal> {
        self.led(now)?;
        let agent = self.agent_to_change(id)?;
        let machine = self.agents[agent].machine();
        if self.machines.contains_key(&machine) {
            let machine = serde_json::json!(machine);
            let message = "is part of a maintenance schedule under Machine";
            return Err(Refusal::new(400, format!("Agent {id} {message} {machine}")));
        }
        self.deactivate(agent);
        let draining = Draining { max_grace, mark_gone, drained: false };
        (self.agents[agent].draining, self.agents[agent].drain_config) = (Some(draining), Some(draining));
        self.kill_for_drain(agent);
        self.check_draining();
        Ok(())
    }

    /// DEACTIVATE_AGENT: no offers of it any more.
    pub fn deactivate_agent(&mut self, now: Duration, id: &AgentId) -> Result<(), Refusal> {
        self.led(now)?;
        let agent = self.agent_to_change(id)?;
        self.deactivate(agent);
        Ok(())
    }

    /// REACTIVATE_AGENT: offers again, and no longer draining.
    pub fn reactivate_agent(&mut self, now: Duration, id: &AgentId) -> Result<(), Refusal> {
        self.led(now)?;
        let agent = self.agents.iter_mut().find(|agent| agent.id == *id && agent.deactivated);
        let agent = agent.ok_or_else(|| Refusal::new(400, "Agent is not deactivated"))?;
        if agent.draining.is_some_and(|draining| !draining.drained) {
            return Err(Refusal::new(400, "Agent is still in the DRAINING state"));
        }
        (agent.draining, agent.deactivated) = (None, false);
        Ok(())
    }

    /// MARK_AGENT_GONE: it is shut down and will not come back under its id.
    pub fn mark_agent_gone(&mut self, now: Duration, id: &AgentId) -> Result<(), Refusal> {
        self.led(now)?;
        if self.departed.how(id) == Some(Departure::Gone) {
            return Ok(());
        }
        let agent = self.registered(id).ok_or_else(|| Refusal::new(404, "Agent not found"))?;
        self.remove_agent(agent, Departure::Gone, "Agent has been marked gone");
        Ok(())
    }

    /// Kills what runs on an agent that drains.
    pub(super) fn kill_for_drain(&mut self, agent: AgentIndex) {
        let Some(config) = self.agents[agent].drain_config.filter(|_| self.agents[agent].is_running()) else { return };
        for (framework, task) in self.tasks_of(agent) {
            let policy = self.drain_policy(&framework, &task, config.max_grace);
            self.kill_task(&framework, &task, policy);
        }
    }

    /// Agents that have become empty are drained.
    pub(super) fn check_draining(&mut self) {
        for agent in 0..self.agents.len() {
            let record = &self.agents[agent];
            if (record.draining.is_none() && record.drain_config.is_none()) || !self.is_idle(agent) {
                continue;
            }
            if self.agents[agent].executors.is_empty() {
                self.agents[agent].drain_config = None;
            }
            let draining = self.agents[agent].draining.filter(|draining| !draining.drained);
            let Some(draining) = draining.filter(|_| self.agents[agent].is_registered()) else { continue };
            if draining.mark_gone {
                self.remove_agent(agent, Departure::Gone, "Agent has been marked gone");
            } else {
                self.agents[agent].draining = Some(Draining { drained: true, ..draining });
            }
        }
    }

    /// The registered agent of this id.
    pub(super) fn registered(&self, id: &AgentId) -> Option<AgentIndex> {
        self.agents.iter().position(|agent| agent.id == *id && agent.is_registered())
    }

    /// Neither tasks nor operations, acknowledged ones apart.
    fn is_idle(&self, agent: AgentIndex) -> bool {
        let mut operations = self.frameworks.values().flat_map(|framework| framework.operations.values());
        self.tasks_of(agent).is_empty() && !operations.any(|operation| operation.agent == agent)
    }

    fn agent_to_change(&self, id: &AgentId) -> Result<AgentIndex, Refusal> {
        self.registered(id).ok_or_else(|| Refusal::new(400, "Unknown agent"))
    }

    fn deactivate(&mut self, agent: AgentIndex) {
        self.agents[agent].deactivated = true;
        self.rescind_offers(agent);
        self.rescind_inverse_offers(agent);
    }

    /// Ended ones too, until that is acknowledged.
    pub(super) fn tasks_of(&self, agent: AgentIndex) -> Vec<(FrameworkId, TaskId)> {
        let tasks = self.frameworks.iter().flat_map(|(id, framework)| {
            let there = framework.tasks.iter().filter(|(_, task)| task.agent == agent);
            there.map(|(task, _)| (id.clone(), task.clone()))
        });
        tasks.collect()
    }

    fn drain_policy(&self, id: &FrameworkId, task: &TaskId, max_grace: Option<Duration>) -> Option<KillPolicy> {
        let nanoseconds = i64::try_from(max_grace?.as_nanos()).unwrap_or(i64::MAX);
        let task = self.frameworks.get(id)?.tasks.get(task)?;
        let own = task.info.kill_policy.and_then(|policy| policy.grace_period);
        let shorter = own.is_none_or(|own| nanoseconds < own.nanoseconds);
        shorter.then_some(KillPolicy { grace_period: Some(DurationInfo { nanoseconds }) })
    }
}

/// As an agent that drains changes updates of killed tasks.
pub(super) fn mark_drained(status: &mut TaskStatus, draining: &Draining, partition_aware: bool) {
    if matches!(status.state, TaskState::TaskKilling | TaskState::TaskKilled) {
        status.reason = Some("REASON_AGENT_DRAINING".into());
        if draining.mark_gone && partition_aware {
            status.state = TaskState::TaskGoneByOperator;
        }
    }
}
