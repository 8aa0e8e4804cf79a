//! Outcomes of operations: told again until acknowledged, and on reconciliation. Source: `src/master/master.cpp` of 1.11.

use millstream_mesos_types::{
    AgentId, Base64, FrameworkId, OperationId, OperationState, OperationStatus, Uuid,
    scheduler::{AcknowledgeOperationStatus, Event, ReconcileOperation, ReconcileOperations, UpdateOperationStatus},
};

use super::{
    AgentIndex, Cluster, Refusal,
    model::{Departure, Link, Operation},
};

impl Cluster {
    /// The agent has done it.
    pub(super) fn operation_finished(&mut self, id: &FrameworkId, operation: OperationId, agent: AgentIndex) {
        let status = OperationStatus {
            operation_id: Some(operation.clone()),
            state: OperationState::OperationFinished,
            message: None,
            uuid: Some(Uuid { value: Base64(self.uuid()) }),
            agent_id: Some(self.agents[agent].id.clone()),
        };
        let (retry_at, retry_pause) = (self.now, self.settings.update_retry_min);
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.operations.insert(operation.clone(), Operation { agent, status, retry_at, retry_pause });
        }
        self.send_operation(id, &operation);
    }

    /// What the master says once, without a uuid.
    pub(super) fn tell_operation(
        &mut self,
        id: &FrameworkId,
        operation: OperationId,
        state: OperationState,
        message: &str,
        agent_id: Option<AgentId>,
    ) {
        let message = Some(message.to_owned());
        let status = OperationStatus { operation_id: Some(operation), state, message, uuid: None, agent_id };
        self.tell(id, Event::UpdateOperationStatus { update_operation_status: UpdateOperationStatus { status } });
    }

    /// ACKNOWLEDGE_OPERATION_STATUS; lost when the agent is not connected.
    pub(super) fn acknowledge_operation(
        &mut self,
        id: &FrameworkId,
        acknowledge: &AcknowledgeOperationStatus,
    ) -> Result<(), Refusal> {
        if acknowledge.uuid.0.len() != 16 {
            return Err(Refusal::new(400, "'acknowledge_operation_status.uuid' is no uuid"));
        }
        let Some(framework) = self.frameworks.get_mut(id) else { return Ok(()) };
        let agents = &self.agents;
        let known = framework.operations.get(&acknowledge.operation_id).is_some_and(|operation| {
            agents[operation.agent].is_connected()
                && operation.status.uuid.as_ref().is_some_and(|uuid| uuid.value == acknowledge.uuid)
        });
        if known {
            framework.operations.remove(&acknowledge.operation_id);
            self.check_draining();
        }
        Ok(())
    }

    /// RECONCILE_OPERATIONS
    pub(super) fn reconcile_operations(&mut self, id: &FrameworkId, asked: ReconcileOperations) {
        if asked.operations.is_empty() {
            let known: Vec<_> = self.known_operations(id).collect();
            for status in known {
                self.tell_status(id, status);
            }
            return;
        }
        for asked in asked.operations {
            let known =
                self.known_operations(id).find(|known| known.operation_id.as_ref() == Some(&asked.operation_id));
            match known {
                Some(status) => self.tell_status(id, status),
                None => self.reconcile_unknown_operation(id, asked),
            }
        }
    }

    pub(super) fn retry_operations(&mut self) {
        let now = self.now;
        let due =
            self.frameworks.iter().filter(|(_, framework)| framework.stream.is_some()).flat_map(|(id, framework)| {
                let overdue = framework.operations.iter().filter(|(_, operation)| operation.retry_at <= now);
                overdue.map(|(operation, _)| (id.clone(), operation.clone()))
            });
        for (id, operation) in due.collect::<Vec<_>>() {
            self.send_operation(&id, &operation);
        }
    }

    pub(super) fn send_operation(&mut self, id: &FrameworkId, operation: &OperationId) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let Some(operation) = framework.operations.get_mut(operation) else { return };
        operation.retry_at = self.now + operation.retry_pause;
        operation.retry_pause = (operation.retry_pause * 2).min(self.settings.update_retry_max);
        if self.agents[operation.agent].is_connected() {
            let update_operation_status = UpdateOperationStatus { status: operation.status.clone() };
            self.tell(id, Event::UpdateOperationStatus { update_operation_status });
        }
    }

    /// As reconciliation tells them: without uuid.
    fn known_operations(&self, id: &FrameworkId) -> impl Iterator<Item = OperationStatus> {
        let operations = self.frameworks.get(id).into_iter().flat_map(|framework| framework.operations.values());
        let registered = operations.filter(|operation| self.agents[operation.agent].is_registered());
        registered.map(|operation| OperationStatus { uuid: None, ..operation.status.clone() })
    }

    fn tell_status(&mut self, id: &FrameworkId, status: OperationStatus) {
        self.tell(id, Event::UpdateOperationStatus { update_operation_status: UpdateOperationStatus { status } });
    }

    fn reconcile_unknown_operation(&mut self, id: &FrameworkId, asked: ReconcileOperation) {
        let recovered = |agent: &AgentId| {
            self.agents.iter().any(|known| known.id == *agent && matches!(known.link, Link::Unregistered { .. }))
        };
        let departure = asked.agent_id.as_ref().and_then(|agent| self.departed.how(agent));
        let (state, message) = match (&asked.agent_id, departure) {
            (Some(agent), _) if recovered(agent) => {
                (OperationState::OperationRecovering, "Reconciliation: Agent is recovered but has not re-registered")
            }
            (_, Some(Departure::Unreachable)) => {
                (OperationState::OperationUnreachable, "Reconciliation: Agent is unreachable")
            }
            (_, Some(Departure::Gone)) => {
                (OperationState::OperationGoneByOperator, "Reconciliation: Agent marked gone by operator")
            }
            _ => (OperationState::OperationUnknown, "Reconciliation: Operation is unknown"),
        };
        self.tell_operation(id, asked.operation_id, state, message, asked.agent_id);
    }
}
