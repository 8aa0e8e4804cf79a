use std::time::Duration;

use millstream_mesos_types::{
    Filters, FrameworkId, KillPolicy, OfferId, TaskId, TaskState, executor,
    scheduler::{Acknowledge, Call, Decline, Envelope, Kill, Message, Reconcile, ReconcileTask, Roles},
};

use super::{
    Cluster, Effect, Refusal, StreamId,
    model::{Filter, OfferRecord, Phase},
};

/// How long what was declined is not offered again when the scheduler does not say.
pub(super) const DEFAULT_REFUSAL: Duration = Duration::from_secs(5);
/// Longest, as in Mesos.
const MAX_REFUSAL: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Cluster {
    /// Any call but SUBSCRIBE; `stream` is what its `Mesos-Stream-Id` names, if that is known.
    pub fn call(&mut self, now: Duration, stream: Option<StreamId>, envelope: Envelope) -> Result<(), Refusal> {
        self.led(now)?;
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
                let agent = self.registered(&shutdown.agent_id);
                if let Some(agent) = agent.filter(|agent| self.agents[*agent].is_connected()) {
                    self.shut_executor_down(agent, &(id, shutdown.executor_id));
                }
            }
            Call::Acknowledge { acknowledge } => return self.acknowledge(&id, &acknowledge),
            Call::Reconcile { reconcile } => self.reconcile(&id, reconcile),
            Call::Message { message } => self.message_to_executor(&id, message),
            Call::Teardown => self.remove_framework(&id),
            Call::Subscribe { .. } => return Err(Refusal::new(400, "already subscribed")),
            Call::UpdateFramework { update_framework } => return self.update_framework(&id, update_framework),
            Call::AcceptInverseOffers { accept_inverse_offers } => {
                self.answer_inverse_offers(&id, accept_inverse_offers, true);
            }
            Call::DeclineInverseOffers { decline_inverse_offers } => {
                self.answer_inverse_offers(&id, decline_inverse_offers, false);
            }
            Call::AcknowledgeOperationStatus { acknowledge_operation_status } => {
                return self.acknowledge_operation(&id, &acknowledge_operation_status);
            }
            Call::ReconcileOperations { reconcile_operations } => self.reconcile_operations(&id, reconcile_operations),
            Call::Unknown => return Err(Refusal::new(501, "this call is not implemented")),
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
    pub(super) fn filter(&mut self, id: &FrameworkId, offer: OfferRecord, refuse: Duration) {
        if refuse.is_zero() || offer.resources.is_empty() {
            return;
        }
        let (agent, until) = (self.agents[offer.agent].id.clone(), self.now.saturating_add(refuse));
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.filters.push(Filter { agent, role: offer.role, refused: offer.resources, until });
        }
    }

    fn decline(&mut self, id: &FrameworkId, decline: Decline) {
        let refuse = refusal_time(decline.filters);
        for offer in decline.offer_ids {
            if self.offers.get(&offer).is_some_and(|offer| offer.framework == *id)
                && let Some(offer) = self.take_offer(&offer)
            {
                self.filter(id, offer, refuse);
            }
        }
    }

    fn revive(&mut self, id: &FrameworkId, roles: &Roles) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let named = |role: &String| roles.roles.is_empty() || roles.roles.contains(role);
        framework.filters.retain(|filter| !named(&filter.role));
        framework.inverse_filters.clear();
        framework.suppressed.retain(|role| !named(role));
    }

    fn suppress(&mut self, id: &FrameworkId, roles: Roles) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let roles = if roles.roles.is_empty() { framework.roles() } else { roles.roles };
        framework.suppressed.extend(roles);
    }

    /// KILL: told to the agent, now or when it has registered again.
    pub(super) fn kill(&mut self, id: &FrameworkId, kill: Kill) {
        let Some(framework) = self.frameworks.get(id) else { return };
        let agent = framework.tasks.get(&kill.task_id).map(|task| task.agent);
        match agent.filter(|agent| self.agents[*agent].is_registered()) {
            None => self.reconcile_one(id, &ReconcileTask { task_id: kill.task_id, agent_id: kill.agent_id }),
            Some(agent) if kill.agent_id.as_ref().is_some_and(|said| *said != self.agents[agent].id) => {}
            Some(agent) if !self.agents[agent].is_connected() => self.agents[agent].kills.push((id.clone(), kill)),
            Some(_) => self.kill_task(id, &kill.task_id, kill.kill_policy),
        }
    }

    /// As the task's agent does it; `over` goes before the task's own policy.
    pub(super) fn kill_task(&mut self, id: &FrameworkId, task_id: &TaskId, over: Option<KillPolicy>) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let Some(task) = framework.tasks.get_mut(task_id).filter(|task| !super::is_over(task.latest)) else { return };
        let (agent, key) = (task.agent, (id.clone(), task.executor_id.clone()));
        let Some(executor) = self.agents[agent].executors.get_mut(&key) else { return };
        if executor.queued.iter().any(|queued| queued.task_id == *task_id) {
            executor.queued.retain(|queued| queued.task_id != *task_id);
            let message = "killed before it was delivered to the executor";
            self.agent_update(id, task_id, TaskState::TaskKilled, "REASON_TASK_KILLED_DURING_LAUNCH", message);
            let idle = self.agents[agent].executors.get(&key).is_some_and(|executor| {
                executor.tasks.is_empty() && matches!(executor.phase, Phase::Registering { .. })
            });
            if idle {
                self.shut_executor_down(agent, &key);
            }
            return;
        }
        let policy = over.or(task.info.kill_policy);
        let grace = policy
            .and_then(|policy| policy.grace_period)
            .map(|grace| Duration::from_nanos(u64::try_from(grace.nanoseconds).unwrap_or_default()));
        if let Some(grace) = grace {
            let force_at = self.now.saturating_add(grace);
            task.force_at = Some(task.force_at.map_or(force_at, |earlier| earlier.min(force_at)));
        }
        let event = executor::Kill { task_id: task_id.clone(), kill_policy: over };
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
        let tasks = self.frameworks.get(id).into_iter().flat_map(|framework| &framework.tasks);
        let registered = tasks.filter(|(_, task)| self.agents[task.agent].is_registered());
        registered.map(|(task, _)| ReconcileTask { task_id: task.clone(), agent_id: None }).collect()
    }

    fn message_to_executor(&mut self, id: &FrameworkId, message: Message) {
        let agent = self.registered(&message.agent_id).filter(|agent| self.agents[*agent].is_connected());
        let Some(agent) = agent else { return };
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

/// How long what is refused shall not come again. As in Mesos the default for what is absent or negative.
pub(super) fn refusal_time(filters: Option<Filters>) -> Duration {
    let seconds = filters.and_then(|filters| filters.refuse_seconds).filter(|seconds| *seconds >= 0.0);
    let refuse = seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(MAX_REFUSAL));
    refuse.unwrap_or(DEFAULT_REFUSAL).min(MAX_REFUSAL)
}
