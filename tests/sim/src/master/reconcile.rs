use millstream_mesos_types::{TaskState, scheduler::Reconcile};

use super::Admission;
use crate::world::World;

/// Of every answer to RECONCILE.
const REASON: &str = "REASON_RECONCILIATION";

impl World {
    /// `Master::reconcile`: the six cases, silence being one of them.
    pub(super) fn reconcile(&mut self, framework: &str, reconcile: Reconcile) {
        let Some(master) = &self.master else { return };
        let Some(known) = master.frameworks.get(framework) else { return };
        let mut answers = vec![];
        if reconcile.tasks.is_empty() {
            for (id, task) in &known.tasks {
                answers.push((id.clone(), Some(task.agent.clone()), task.shown()));
            }
        }
        for asked in reconcile.tasks {
            let agent = asked.agent_id.map(|agent| agent.value);
            let admission = |id: &String| self.registry.agents.get(id).map(|known| known.admission);
            let state = match (known.tasks.get(&asked.task_id.value), &agent) {
                (Some(task), _) => task.shown(),
                // Silence: the agent may still bring the task.
                (None, Some(agent)) if master.recovered.contains(agent) => continue,
                (None, None) if !master.recovered.is_empty() => continue,
                (None, Some(agent)) if master.agents.contains_key(agent) => TaskState::TaskGone,
                (None, Some(agent)) if admission(agent) == Some(Admission::Unreachable) => TaskState::TaskUnreachable,
                (None, Some(agent)) if admission(agent) == Some(Admission::Gone) => TaskState::TaskGoneByOperator,
                (None, _) => TaskState::TaskUnknown,
            };
            answers.push((asked.task_id.value, agent, state));
        }
        for (task, agent, state) in answers {
            self.master_status(framework, &task, agent.as_deref(), state, REASON);
        }
    }
}

impl super::Task {
    /// The state that reconciliation tells: the one forwarded last, which may be older than the newest.
    fn shown(&self) -> TaskState {
        self.told.as_ref().map_or(self.state, |(state, _)| *state)
    }
}
