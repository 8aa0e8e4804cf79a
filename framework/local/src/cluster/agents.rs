use std::time::Duration;

use millstream_mesos_types::{
    AgentId, OfferId, TaskState,
    scheduler::{Event, Failure, Rescind},
};

use super::{AgentIndex, Amounts, Cluster, Effect, model::Phase};

impl Cluster {
    /// An agent and all that runs there is gone, as when its host loses power.
    pub fn lose_agent(&mut self, now: Duration, agent: AgentIndex) {
        self.at(now);
        let Some(record) = self.agents.get_mut(agent).filter(|record| record.active) else { return };
        record.active = false;
        let agent_id = record.id.clone();
        let executors = std::mem::take(&mut record.executors);
        for executor in executors.into_values() {
            self.containers.remove(&executor.container);
            if executor.phase != Phase::Destroyed {
                self.effects.push(Effect::Destroy(executor.container));
            }
            if let Some(stream) = executor.stream {
                self.streams.remove(&stream);
                self.effects.push(Effect::Close(stream));
            }
        }
        self.rescind_offers(agent);
        self.lose_tasks(agent, &agent_id);
        let record = &mut self.agents[agent];
        (record.used, record.offered) = (Amounts::default(), Amounts::default());
        let failure = Failure { agent_id: Some(agent_id), executor_id: None, status: None };
        for id in self.frameworks.keys().cloned().collect::<Vec<_>>() {
            self.tell(&id, Event::Failure { failure: failure.clone() });
        }
    }

    /// A lost agent's host is back, empty, as a new agent.
    pub fn restore_agent(&mut self, now: Duration, agent: AgentIndex) {
        self.at(now);
        let id = AgentId::new(self.new_id("S"));
        let unix_secs = self.unix_secs();
        if let Some(record) = self.agents.get_mut(agent).filter(|record| !record.active) {
            record.active = true;
            record.id = id;
            record.registered_unix_secs = unix_secs;
        }
    }

    fn rescind_offers(&mut self, agent: AgentIndex) {
        let gone: Vec<OfferId> =
            self.offers.iter().filter(|(_, offer)| offer.agent == agent).map(|(id, _)| id.clone()).collect();
        for offer_id in gone {
            if let Some(offer) = self.take_offer(&offer_id) {
                self.tell(&offer.framework, Event::Rescind { rescind: Rescind { offer_id } });
            }
        }
    }

    fn lose_tasks(&mut self, agent: AgentIndex, agent_id: &AgentId) {
        let mut lost = vec![];
        for (id, framework) in &mut self.frameworks {
            let aware = framework.is_partition_aware();
            let state = if aware { TaskState::TaskUnreachable } else { TaskState::TaskLost };
            let ids: Vec<_> =
                framework.tasks.iter().filter(|(_, task)| task.agent == agent).map(|(id, _)| id.clone()).collect();
            for task_id in ids {
                let Some(task) = framework.tasks.remove(&task_id) else { continue };
                if aware {
                    framework.remember_unreachable(task_id, agent_id.clone());
                }
                lost.push((id.clone(), task.info, state));
            }
        }
        let message = format!("Agent {agent_id} was removed");
        for (id, task, state) in lost {
            self.master_status(&id, &task, state, "REASON_AGENT_REMOVED", &message);
        }
    }
}
