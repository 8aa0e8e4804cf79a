use std::time::Duration;

use millstream_mesos_types::{
    FrameworkId, OfferId, TaskId, TaskState, executor,
    scheduler::{Acknowledge, Call, Decline, Envelope, Kill, Message, Reconcile, ReconcileTask, Roles},
};

use super::{
    Cluster, Effect, Refusal, StreamId,
    model::{Filter, OfferRecord, Phase},
};

/// Seconds that a declined resource is not offered again when the scheduler does not say.
const DEFAULT_REFUSE_SECS: f64 = 5.0;

impl Cluster {
    /// Any call but SUBSCRIBE; `stream` is what its `Mesos-Stream-Id` names, if that is known.
    pub fn call(&mut self, now: Duration, stream: Option<StreamId>, envelope: Envelope) -> Result<(), Refusal> {
        self.at(now);
        let id = envelope.framework_id.ok_or_else(|| Refusal::new(400, "Expecting 'framework_id' to be present"))?;
        let framework = self.frameworks.get(&id).ok_or_else(|| Refusal::new(400, "Framework cannot be found"))?;
        match framework.stream {
            None => return Err(Refusal::new(403, "Framework is not subscribed")),
            Some(current) if Some(current) != stream => {
                let message = "The stream ID included in this request didn't match the stream ID currently associated \
                               with framework ID";
                return Err(Refusal::new(400, format!("{message} '{id}'")));
            }
            Some(_) => {}
        }
        match envelope.call {
            Call::Accept { accept } => self.accept(&id, accept),
            Call::Decline { decline } => self.decline(&id, decline),
            Call::Revive { revive } => self.revive(&id, &revive),
            Call::Suppress { suppress } => self.suppress(&id, suppress),
            Call::Kill { kill } => self.kill(&id, kill),
            Call::Shutdown { shutdown } => {
                let agent = self.agents.iter().position(|agent| agent.active && agent.id == shutdown.agent_id);
                if let Some(agent) = agent {
                    self.shut_executor_down(agent, &(id, shutdown.executor_id));
                }
            }
            Call::Acknowledge { acknowledge } => return self.acknowledge(&id, &acknowledge),
            Call::Reconcile { reconcile } => self.reconcile(&id, reconcile),
            Call::Message { message } => self.message_to_executor(&id, message),
            Call::Teardown => self.remove_framework(&id),
            Call::Subscribe { .. } => return Err(Refusal::new(400, "already subscribed")),
            // Next commits.
            Call::AcceptInverseOffers { .. }
            | Call::DeclineInverseOffers { .. }
            | Call::UpdateFramework { .. }
            | Call::AcknowledgeOperationStatus { .. }
            | Call::ReconcileOperations { .. }
            | Call::Unknown => return Err(Refusal::new(501, "this call is not implemented")),
        }
        Ok(())
    }

    /// Takes an offer back, so that its resources are free again.
    pub(super) fn take_offer(&mut self, id: &OfferId) -> Option<OfferRecord> {
        let offer = self.offers.remove(id)?;
        self.agents[offer.agent].offered.subtract(&offer.resources);
        Some(offer)
    }

    /// What is left of an offer is not offered again for a while.
    pub(super) fn filter(&mut self, id: &FrameworkId, offer: OfferRecord, refuse_secs: Option<f64>) {
        let refuse = Duration::try_from_secs_f64(refuse_secs.unwrap_or(DEFAULT_REFUSE_SECS)).unwrap_or_default();
        if refuse.is_zero() || offer.resources.is_empty() {
            return;
        }
        let (agent, until) = (self.agents[offer.agent].id.clone(), self.now.saturating_add(refuse));
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.filters.push(Filter { agent, role: offer.role, refused: offer.resources, until });
        }
    }

    fn decline(&mut self, id: &FrameworkId, decline: Decline) {
        let refuse_secs = decline.filters.and_then(|filters| filters.refuse_seconds);
        for offer in decline.offer_ids {
            if self.offers.get(&offer).is_some_and(|offer| offer.framework == *id)
                && let Some(offer) = self.take_offer(&offer)
            {
                self.filter(id, offer, refuse_secs);
            }
        }
    }

    fn revive(&mut self, id: &FrameworkId, roles: &Roles) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let named = |role: &String| roles.roles.is_empty() || roles.roles.contains(role);
        framework.filters.retain(|filter| !named(&filter.role));
        framework.suppressed.retain(|role| !named(role));
    }

    fn suppress(&mut self, id: &FrameworkId, roles: Roles) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let roles = if roles.roles.is_empty() { framework.roles() } else { roles.roles };
        framework.suppressed.extend(roles);
    }

    fn kill(&mut self, id: &FrameworkId, kill: Kill) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let Some(task) = framework.tasks.get_mut(&kill.task_id) else {
            return self.reconcile_one(id, &ReconcileTask { task_id: kill.task_id, agent_id: kill.agent_id });
        };
        if task.latest.is_terminal() {
            return; // its update is on the way
        }
        let (agent, key) = (task.agent, (id.clone(), task.executor_id.clone()));
        let Some(executor) = self.agents[agent].executors.get_mut(&key) else { return };
        if executor.queued.iter().any(|queued| queued.task_id == kill.task_id) {
            executor.queued.retain(|queued| queued.task_id != kill.task_id);
            let message = "killed before it was delivered to the executor";
            self.agent_update(id, &kill.task_id, TaskState::TaskKilled, "REASON_TASK_KILLED_DURING_LAUNCH", message);
            let idle = self.agents[agent].executors.get(&key).is_some_and(|executor| {
                executor.tasks.is_empty() && matches!(executor.phase, Phase::Registering { .. })
            });
            if idle {
                self.shut_executor_down(agent, &key);
            }
            return;
        }
        let policy = kill.kill_policy.or(task.info.kill_policy);
        let grace = policy
            .and_then(|policy| policy.grace_period)
            .map(|grace| Duration::from_nanos(u64::try_from(grace.nanoseconds).unwrap_or_default()));
        if let Some(grace) = grace {
            let force_at = self.now.saturating_add(grace);
            task.force_at = Some(task.force_at.map_or(force_at, |earlier| earlier.min(force_at)));
        }
        let event = executor::Kill { task_id: kill.task_id, kill_policy: kill.kill_policy };
        self.tell_executor(agent, &key, executor::Event::Kill { kill: event });
    }

    fn acknowledge(&mut self, id: &FrameworkId, acknowledge: &Acknowledge) -> Result<(), Refusal> {
        if acknowledge.uuid.0.len() != 16 {
            return Err(Refusal::new(400, "'acknowledge.uuid' is no uuid"));
        }
        self.acknowledged(id, &acknowledge.task_id, &acknowledge.uuid);
        Ok(())
    }

    fn reconcile(&mut self, id: &FrameworkId, reconcile: Reconcile) {
        let tasks = if reconcile.tasks.is_empty() { self.all_tasks(id) } else { reconcile.tasks };
        for task in tasks {
            self.reconcile_one(id, &task);
        }
    }

    fn all_tasks(&self, id: &FrameworkId) -> Vec<ReconcileTask> {
        let tasks = self.frameworks.get(id).into_iter().flat_map(|framework| framework.tasks.keys());
        let all = |task: &TaskId| ReconcileTask { task_id: task.clone(), agent_id: None };
        tasks.map(all).collect()
    }

    fn message_to_executor(&mut self, id: &FrameworkId, message: Message) {
        let Some(agent) = self.agents.iter().position(|agent| agent.active && agent.id == message.agent_id) else {
            return;
        };
        let event = executor::Event::Message { message: executor::Message { data: message.data } };
        self.tell_executor(agent, &(id.clone(), message.executor_id), event);
    }

    /// Tells an executor, if it is there.
    pub(super) fn tell_executor(&mut self, agent: usize, key: &super::ExecutorKey, event: executor::Event) {
        if let Some(stream) = self.agents[agent].executors.get(key).and_then(|executor| executor.stream) {
            self.effects.push(Effect::TellExecutor(stream, event));
        }
    }
}
