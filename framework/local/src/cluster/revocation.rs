use std::time::Duration;

use super::{AgentIndex, Cluster, model::Phase};

impl Cluster {
    /// Takes the revocable resources of an agent back, as its QoS controller does: every executor that uses some, by
    /// itself or for a task, is killed. Returns how many were.
    pub fn revoke(&mut self, now: Duration, agent: AgentIndex) -> usize {
        self.at(now);
        let Some(record) = self.agents.get(agent) else { return 0 };
        let users = record.executors.iter().filter(|(key, executor)| {
            let tasks = self.frameworks.get(&key.0).map(|framework| &framework.tasks);
            let mut of_tasks = executor.tasks.iter().filter_map(|task| tasks?.get(task)).map(|task| &task.resources);
            let revocable = |amounts: &super::Amounts| amounts.kinds().any(|kind| kind.revocable);
            let alive = matches!(executor.phase, Phase::Registering { .. } | Phase::Running);
            alive && (revocable(&executor.resources) || of_tasks.any(revocable))
        });
        let users: Vec<_> = users.map(|(key, _)| key.clone()).collect();
        for key in &users {
            let message = "Container preempted by QoS correction".to_owned();
            let ending = self.gone(&key.0, "REASON_CONTAINER_PREEMPTED", message);
            self.destroy(agent, key, Some(ending));
        }
        users.len()
    }
}
