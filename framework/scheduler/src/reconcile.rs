//! Asking the master what it knows of our tasks (mesos.md: high availability).

use std::collections::BTreeSet;

use millstream_mesos_types::{
    AgentId, TaskId,
    scheduler::{Call, Reconcile, ReconcileTask},
};

use crate::{Audit, Effects, State};

/// A launch without any update is asked for after this long, never assumed: ACCEPT's 202 is only "accepted for processing".
/// Short, so that a launch that was lost is known as such, and its task placed anew, within 10 s (faults.md, M4).
pub(crate) const LAUNCH_TIMEOUT_MS: u64 = 4_000;

/// Each question doubles the time to the next, up to 2^4 × 4 s: an agent that fetches the program for minutes is still
/// staging, and hundreds of such tasks make no storm.
const LAUNCH_DOUBLINGS_MAX: u32 = 4;

/// First pause between two explicit reconciliations of what is not answered yet; doubles.
pub(crate) const BACKOFF_MIN_MS: u64 = 1_000;

/// Longest such pause. The master is silent about agents that have not registered again (10 minutes or more).
pub(crate) const BACKOFF_MAX_MS: u64 = 30_000;

/// Time between two reconciliations of everything.
const ALL_EVERY_MS: u64 = 15 * 60_000;

/// Tasks or operations named in one call, so that it stays far below Mesos' message limits.
pub(crate) const PER_CALL: usize = 1_000;

/// One run at a time: what has been asked for and not answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reconciliation {
    open: BTreeSet<String>,
    next_at: u64,
    pause_ms: u64,
    /// When everything is asked for again; none before the first subscription.
    all_at: Option<u64>,
}

impl Reconciliation {
    /// Any update of the task is an answer.
    pub(crate) fn answered(&mut self, task: &String) {
        self.open.remove(task);
    }

    pub(crate) fn stop(&mut self) {
        self.open.clear();
    }
}

/// Asks for every task whose end is not known.
pub(crate) fn start(state: &mut State, effects: &mut Effects) {
    let now = state.now();
    let open = state.store.tasks().keys().cloned().collect();
    // A connection that breaks every few minutes must not put it off for ever.
    let all_at = state.reconciliation.all_at.unwrap_or(now + ALL_EVERY_MS);
    state.reconciliation = Reconciliation { open, next_at: now, pause_ms: BACKOFF_MIN_MS, all_at: Some(all_at) };
    tick(state, effects);
}

/// Until a launch is asked for, after so many questions.
pub(crate) fn launch_timeout_ms(asked: u32) -> u64 {
    LAUNCH_TIMEOUT_MS << asked.min(LAUNCH_DOUBLINGS_MAX)
}

/// Asks for some tasks now, and again until each is answered.
pub(crate) fn ask(state: &mut State, effects: &mut Effects, tasks: Vec<String>) {
    if tasks.is_empty() {
        return;
    }
    let now = state.now();
    if state.reconciliation.open.is_empty() {
        (state.reconciliation.pause_ms, state.reconciliation.next_at) = (BACKOFF_MIN_MS, now + BACKOFF_MIN_MS);
    }
    state.reconciliation.open.extend(tasks.iter().cloned());
    call(state, effects, tasks);
}

pub(crate) fn tick(state: &mut State, effects: &mut Effects) {
    let now = state.now();
    if state.reconciliation.all_at.is_some_and(|at| now >= at) {
        // Implicit: the master names all it knows, so that unknown tasks come to light; then explicit again.
        effects.audit.push(Audit::ReconcilingAll);
        effects.calls.push(Call::Reconcile { reconcile: Reconcile { tasks: vec![] } });
        state.reconciliation.all_at = Some(now + ALL_EVERY_MS);
        if state.reconciliation.open.is_empty() {
            state.reconciliation.open = state.store.tasks().keys().cloned().collect();
            (state.reconciliation.pause_ms, state.reconciliation.next_at) = (BACKOFF_MIN_MS, now);
        }
    }
    if !state.reconciliation.open.is_empty() && now >= state.reconciliation.next_at {
        let open = state.reconciliation.open.iter().cloned().collect();
        let pause_ms = state.reconciliation.pause_ms;
        state.reconciliation.next_at = now + pause_ms;
        state.reconciliation.pause_ms = (pause_ms * 2).min(BACKOFF_MAX_MS);
        call(state, effects, open);
    }
}

fn call(state: &State, effects: &mut Effects, tasks: Vec<String>) {
    effects.audit.push(Audit::Reconciling { tasks: tasks.len() });
    for chunk in tasks.chunks(PER_CALL) {
        let tasks = chunk.iter().map(|id| ReconcileTask {
            task_id: TaskId::new(id),
            agent_id: state.store.task(id).map(|task| AgentId::new(&task.agent)),
        });
        effects.calls.push(Call::Reconcile { reconcile: Reconcile { tasks: tasks.collect() } });
    }
}
