//! What became of operations: taken in once, acknowledged, and asked for after each subscription.

use std::collections::BTreeSet;

use millstream_mesos_types::{
    AgentId, OperationId, OperationState, OperationStatus,
    scheduler::{AcknowledgeOperationStatus, Call, ReconcileOperation, ReconcileOperations},
};

use crate::{
    Audit, Effects, State,
    reconcile::{BACKOFF_MAX_MS, BACKOFF_MIN_MS, PER_CALL},
    volumes,
};

/// Operations without an outcome at the last subscription. Those of this subscription are not asked for: their updates come
/// by themselves, and the master may not have seen the ACCEPT yet, which would look like a loss.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reconciliation {
    open: BTreeSet<String>,
    next_at: u64,
    pause_ms: u64,
}

impl Reconciliation {
    pub(crate) fn stop(&mut self) {
        self.open.clear();
    }
}

/// Takes in an outcome and acknowledges it once it is durable (the driver stores this step's records before).
pub(crate) fn status(state: &mut State, effects: &mut Effects, status: OperationStatus) {
    // Without an id nobody asked for it.
    let Some(operation_id) = status.operation_id else { return };
    let (id, volume) = (&operation_id.value, volume_of(&operation_id.value));
    let record = volume.as_ref().and_then(|volume| state.store.volume(volume));
    let agent_id = status.agent_id.or_else(|| record.map(|record| AgentId::new(&record.agent)));
    // OPERATION_UNKNOWN answers a question: the ACCEPT never arrived, or what was refused is forgotten.
    if status.state.is_terminal() || status.state == OperationState::OperationUnknown {
        state.operations.open.remove(id);
        if status.state != OperationState::OperationFinished {
            let message = status.message.unwrap_or_default();
            effects.audit.push(Audit::OperationFailed { operation: id.clone(), state: status.state, message });
        }
        if let Some(volume) = &volume {
            volumes::outcome(state, effects, volume, id, status.state);
        }
    }
    if let Some(uuid) = status.uuid {
        let acknowledge_operation_status = AcknowledgeOperationStatus { agent_id, uuid: uuid.value, operation_id };
        effects.calls.push(Call::AcknowledgeOperationStatus { acknowledge_operation_status });
    }
}

/// The volume an operation of ours is about.
fn volume_of(operation: &str) -> Option<String> {
    operation.rsplitn(3, '.').nth(2).map(str::to_owned)
}

/// Asks for every operation whose outcome is not known.
pub(crate) fn start(state: &mut State, effects: &mut Effects) {
    let operations = state.store.volumes().values().flat_map(|record| &record.operations);
    let open = operations.filter(|operation| operation.outcome.is_none()).map(|operation| operation.id.clone());
    state.operations = Reconciliation { open: open.collect(), next_at: state.now(), pause_ms: BACKOFF_MIN_MS };
    tick(state, effects);
}

pub(crate) fn tick(state: &mut State, effects: &mut Effects) {
    let now = state.now();
    if state.operations.open.is_empty() || now < state.operations.next_at {
        return;
    }
    let pause_ms = state.operations.pause_ms;
    (state.operations.next_at, state.operations.pause_ms) = (now + pause_ms, (pause_ms * 2).min(BACKOFF_MAX_MS));
    let agent_of = |id: &String| Some(AgentId::new(&state.store.volume(&volume_of(id)?)?.agent));
    let operation = |id: &String| ReconcileOperation { operation_id: OperationId::new(id), agent_id: agent_of(id) };
    let operations: Vec<_> = state.operations.open.iter().map(operation).collect();
    for chunk in operations.chunks(PER_CALL) {
        let reconcile_operations = ReconcileOperations { operations: chunk.to_vec() };
        effects.calls.push(Call::ReconcileOperations { reconcile_operations });
    }
}
