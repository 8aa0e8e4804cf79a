use std::time::Duration;

use millstream_mesos_types::{
    AgentId, OfferId, OperationState, TaskState,
    scheduler::{Event, Failure, Rescind},
};

use super::{
    AgentIndex, Amounts, Cluster, Effect,
    model::{Departure, Link, Phase},
};

impl Cluster {
    /// An agent and all that runs there is gone, as when its host loses power.
    pub fn lose_agent(&mut self, now: Duration, agent: AgentIndex) {
        self.at(now);
        if self.agents.get(agent).is_some_and(|record| record.link != Link::Gone) {
            let message = format!("Agent {} was removed", self.agents[agent].id);
            self.remove_agent(agent, Departure::Unreachable, &message);
        }
    }

    /// A lost agent's host is back, empty, as a new agent; unless its machine is down for a maintenance.
    pub fn restore_agent(&mut self, now: Duration, agent: AgentIndex) {
        self.at(now);
        let Some(record) = self.agents.get(agent).filter(|record| record.link == Link::Gone) else { return };
        if self.machines.get(&record.machine()).is_some_and(|machine| machine.down) {
            return;
        }
        let id = AgentId::new(self.new_id("S"));
        let unix_secs = self.unix_secs();
        let record = &mut self.agents[agent];
        (record.id, record.link, record.registered_unix_secs) = (id, Link::Connected, unix_secs);
        (record.deactivated, record.draining) = (false, None);
        record.total = record.initial.clone();
        record.drain_config = None;
        record.kills.clear();
    }

    /// Takes an agent out of the master. Unreachable is all that ran there ended at once; else executors are shut down.
    pub(super) fn remove_agent(&mut self, agent: AgentIndex, how: Departure, message: &str) {
        self.agents[agent].link = Link::Gone;
        let agent_id = self.agents[agent].id.clone();
        self.departed.add(agent_id.clone(), how);
        self.lose_operations(agent, how);
        self.lose_tasks(agent, &agent_id, how, message);
        match how {
            Departure::Unreachable => self.end_executors_at_once(agent),
            Departure::Gone | Departure::Removed => self.shut_agent_down(agent),
        }
        self.rescind_offers(agent);
        self.rescind_inverse_offers(agent);
        let record = &mut self.agents[agent];
        (record.used, record.offered) = (Amounts::default(), Amounts::default());
        let failure = Failure { agent_id: Some(agent_id), executor_id: None, status: None };
        for id in self.frameworks.keys().cloned().collect::<Vec<_>>() {
            self.tell(&id, Event::Failure { failure: failure.clone() });
        }
    }

    pub(super) fn rescind_offers(&mut self, agent: AgentIndex) {
        let gone: Vec<OfferId> =
            self.offers.iter().filter(|(_, offer)| offer.agent == agent).map(|(id, _)| id.clone()).collect();
        for offer_id in gone {
            self.rescind(offer_id);
        }
    }

    pub(super) fn rescind(&mut self, offer_id: OfferId) {
        if let Some(offer) = self.take_offer(&offer_id) {
            self.tell(&offer.framework, Event::Rescind { rescind: Rescind { offer_id } });
        }
    }

    fn end_executors_at_once(&mut self, agent: AgentIndex) {
        for executor in std::mem::take(&mut self.agents[agent].executors).into_values() {
            self.containers.remove(&executor.container);
            if executor.phase != Phase::Destroyed {
                self.effects.push(Effect::Destroy(executor.container));
            }
            if let Some(stream) = executor.stream {
                self.streams.remove(&stream);
                self.effects.push(Effect::Close(stream));
            }
        }
    }

    /// The agent lives until its executors have left, but the master has forgotten it.
    fn shut_agent_down(&mut self, agent: AgentIndex) {
        for key in self.agents[agent].executors.keys().cloned().collect::<Vec<_>>() {
            if let Some(executor) = self.agents[agent].executors.get_mut(&key) {
                executor.tasks.clear();
                executor.queued.clear();
                executor.resources = Amounts::default();
            }
            self.shut_executor_down(agent, &key);
        }
    }

    fn lose_operations(&mut self, agent: AgentIndex, how: Departure) {
        for id in self.frameworks.keys().cloned().collect::<Vec<_>>() {
            let Some(framework) = self.frameworks.get_mut(&id) else { continue };
            let lost: Vec<_> = framework.operations.extract_if(.., |_, operation| operation.agent == agent).collect();
            let state = match how {
                Departure::Unreachable => OperationState::OperationUnreachable,
                Departure::Gone => OperationState::OperationGoneByOperator,
                Departure::Removed => continue,
            };
            for (operation, _) in lost {
                self.tell_operation(&id, operation, state, "Agent was removed", Some(self.agents[agent].id.clone()));
            }
        }
    }

    fn lose_tasks(&mut self, agent: AgentIndex, agent_id: &AgentId, how: Departure, message: &str) {
        let message = match how {
            Departure::Removed => format!("Agent {} removed: {message}", self.agents[agent].address),
            Departure::Unreachable | Departure::Gone => message.to_owned(),
        };
        for (id, task_id) in self.tasks_of(agent) {
            let view = self.task_view(&id, &task_id);
            let Some(framework) = self.frameworks.get_mut(&id) else { continue };
            let Some(task) = framework.tasks.remove(&task_id) else { continue };
            let aware = framework.is_partition_aware();
            if aware && how == Departure::Unreachable {
                framework.remember_unreachable(task_id, agent_id.clone());
            } else {
                framework.complete(view);
            }
            let (state, reason) = match how {
                Departure::Unreachable if aware => (TaskState::TaskUnreachable, "REASON_AGENT_REMOVED"),
                Departure::Gone if aware => (TaskState::TaskGoneByOperator, "REASON_AGENT_REMOVED_BY_OPERATOR"),
                _ => (TaskState::TaskLost, "REASON_AGENT_REMOVED"),
            };
            self.master_status(&id, &task.info, state, reason, &message);
        }
    }
}
