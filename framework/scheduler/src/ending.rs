//! How tasks end: drains, condemned tasks, and what becomes of their slots.

use millstream_mesos_types::{
    AgentId, ExecutorId, TaskId, TaskState,
    scheduler::{Call, Kill, Shutdown},
};

use crate::{
    Audit, Effects, EndCause, State, crashes, jobs, kept, reconcile,
    records::{Aim, JobPhase, TaskRecord},
    rollout,
};

/// For how long an agent is avoided whose executor was lost there.
const AVOID_MS: u64 = 30_000;

/// Ends in a row without ever running, nobody's fault each, after which they count as failures after all.
const INNOCENT_ENDS_MAX: u32 = 3;

/// Shortest time between two launches of a slot whose task an operator ended: no failure, but no hot loop either.
pub(crate) const REST_MS: u64 = 10_000;

/// Shortest time between two KILLs of one task, and two SHUTDOWNs of one executor.
const KILL_AGAIN_MS: u64 = 1_000;

/// A condemned or draining task that gives no sign is killed again this often, since a KILL may be lost.
const KILL_UNSEEN_MS: u64 = 5_000;

/// Each KILL of a condemned task doubles the pause to the next, up to 2^6 × 5 s, so that many tasks on lost agents make no storm.
const KILL_DOUBLINGS_MAX: u32 = 6;

/// Time a drain may take beyond the grace before the task is given up.
pub(crate) const DRAIN_SLACK_MS: u64 = 15_000;

/// Most ids of tasks and executors nobody knows that are remembered for rate limiting.
const STRANGERS_MAX: usize = 10_000;

/// How a task ended.
pub(crate) struct End<'a> {
    pub(crate) cause: EndCause,
    pub(crate) state: Option<TaskState>,
    pub(crate) message: &'a str,
    /// It is known to be over; else it is condemned.
    pub(crate) over: bool,
    /// Its slot shall not go back to the agent for now.
    pub(crate) avoid: bool,
}

impl<'a> End<'a> {
    pub(crate) fn known(cause: EndCause, message: &'a str) -> Self {
        End { cause, state: None, message, over: true, avoid: false }
    }

    pub(crate) fn condemned(cause: EndCause, message: &'a str, avoid: bool) -> Self {
        End { cause, state: None, message, over: false, avoid }
    }
}

/// Ends a current task: frees its slot, and forgets or condemns it.
pub(crate) fn end(state: &mut State, effects: &mut Effects, id: &String, end: End<'_>) {
    let Some(task) = state.store.task(id).cloned() else { return };
    debug_assert!(task.aim != Aim::Condemned, "a condemned task has left its slot already");
    // Whatever ends it while it drains (an executor that was told to leave before it had begun, its agent), it was to end.
    let cause =
        if task.aim == Aim::Drain && end.cause != EndCause::DrainTimeout { EndCause::Drained } else { end.cause };
    let host = state.host_of(&task.executor);
    kept::ended(state, id, &task);
    let retry_in_ms = free_slot(state, effects, &task, cause, &end);
    if !matches!(cause, EndCause::Drained | EndCause::Unknown) {
        state.remember_failure(&task.job, id, host, cause, end.message);
    }
    effects.audit.push(Audit::TaskEnded {
        job: task.job.clone(),
        slot: task.slot,
        task: id.clone(),
        agent: task.agent.clone(),
        cause,
        state: end.state,
        message: end.message.into(),
        retry_in_ms,
    });
    if end.over {
        return forget(state, effects, id);
    }
    state.store.task_mut(id).expect("found above").aim = Aim::Condemned;
    state.attention.insert(id.clone());
    if let Some(watch) = state.tasks.get_mut(id) {
        (watch.launch_deadline, watch.drain_deadline, watch.report) = (None, None, None);
    }
    kill(state, effects, id, KILL_AGAIN_MS);
}

/// Takes the slot's task away; returns how long its job waits now.
fn free_slot(state: &mut State, effects: &mut Effects, task: &TaskRecord, cause: EndCause, end: &End<'_>) -> u64 {
    let key = (task.job.clone(), task.slot);
    let (now, wall_ms) = (state.now(), state.clock.wall_ms);
    if let Some(slot) = state.store.slot_mut(&key) {
        (slot.task, slot.since_ms) = (None, wall_ms);
    }
    let wish = state.slots.entry(key.clone()).or_default();
    (wish.since, wish.wait) = (now, None);
    wish.refused.clear();
    wish.avoid.retain(|(_, until)| *until > now);
    if end.avoid {
        wish.avoid.push((task.agent.clone(), now + AVOID_MS));
    }
    if state.store.job(&task.job).is_none_or(|job| job.phase != JobPhase::Running) {
        return 0;
    }
    let guilty = match cause {
        EndCause::Failed
        | EndCause::Unexpected
        | EndCause::Invalid
        | EndCause::ExecutorLost
        | EndCause::OutOfMemory
        | EndCause::DrainTimeout => true,
        EndCause::Drained | EndCause::FrameworkRemoved | EndCause::AgentDraining | EndCause::AgentShutdown => false,
        // Its agent stays, so that nothing else would slow a loop down.
        EndCause::Terminated => {
            let lived_ms = wall_ms.saturating_sub(task.launched_ms);
            wish.rest_until = now + REST_MS.saturating_sub(lived_ms);
            false
        }
        EndCause::InvalidOffers
        | EndCause::Dropped
        | EndCause::Unknown
        | EndCause::AgentLost
        | EndCause::Preempted
        | EndCause::Silent => {
            wish.innocent_ends += 1;
            wish.innocent_ends >= INNOCENT_ENDS_MAX
        }
    };
    let rest_ms = wish.rest_until.saturating_sub(now);
    state.pending.insert(key.clone());
    state.manners.want();
    if !guilty {
        return rest_ms;
    }
    crashes::count(state, effects, &key, cause, end.message);
    if cause != EndCause::DrainTimeout {
        rollout::count_failure(state, task, cause, end.message);
    }
    let version = state.store.executor(&task.executor).map_or(0, |executor| executor.version);
    jobs::punish(state, &task.job, version)
}

/// Forgets a task that is over. An executor that has nothing left to do is told to end, and its id is not used again.
pub(crate) fn forget(state: &mut State, effects: &mut Effects, id: &String) {
    state.tasks.remove(id);
    state.attention.remove(id);
    state.reconciliation.answered(id);
    let Some(task) = state.store.remove_task(id) else { return };
    if task.aim == Aim::Condemned {
        effects.audit.push(Audit::CondemnedEnded { job: task.job, task: id.clone(), agent: task.agent });
    }
    let Some(watch) = state.executors.get_mut(&task.executor) else { return };
    watch.tasks.remove(id);
    if watch.tasks.is_empty() {
        shutdown(state, effects, &task.executor);
        state.executors.remove(&task.executor);
        state.store.remove_executor(&task.executor);
    }
}

/// Gives up an executor: its tasks are replaced and condemned.
pub(crate) fn lose_executor(state: &mut State, effects: &mut Effects, id: &String, end: End<'_>) {
    let tasks = state.current_tasks(id);
    if tasks.is_empty() {
        return;
    }
    let Some(record) = state.store.executor_mut(id) else { return };
    record.lost = true;
    let (job, agent) = (record.job.clone(), record.agent.clone());
    let wanted = tasks.iter().filter(|task| state.store.task(task).is_some_and(|task| task.aim == Aim::Run)).count();
    if wanted > 0 {
        effects.audit.push(Audit::ExecutorLost { job, executor: id.clone(), agent, cause: end.cause, tasks: wanted });
    }
    for task in tasks {
        self::end(state, effects, &task, End::condemned(end.cause, end.message, end.avoid));
    }
    shutdown(state, effects, id);
}

/// Asks a task to flush, commit and end.
pub(crate) fn start_drain(state: &mut State, effects: &mut Effects, id: &String) {
    state.store.task_mut(id).expect("callers have looked it up").aim = Aim::Drain;
    let deadline = state.now() + state.settings.grace_ms + DRAIN_SLACK_MS;
    state.tasks.entry(id.clone()).or_default().drain_deadline = Some(deadline);
    state.attention.insert(id.clone());
    kill(state, effects, id, 0);
}

/// A condemned task has shown up.
pub(crate) fn condemned_seen(state: &mut State, effects: &mut Effects, id: &String) {
    kill(state, effects, id, KILL_AGAIN_MS);
    if let Some(task) = state.store.task(id).cloned() {
        shutdown(state, effects, &task.executor);
    }
}

/// Looks after tasks that are launching, draining or condemned.
pub(crate) fn look_after(state: &mut State, effects: &mut Effects) {
    let (now, mut unheard) = (state.now(), vec![]);
    for id in state.attention.clone() {
        let (Some(task), Some(watch)) = (state.store.task(&id), state.tasks.get_mut(&id)) else { continue };
        match task.aim {
            // It may be on an agent that is gone for days.
            Aim::Condemned => {
                let pause = KILL_UNSEEN_MS << watch.kills.min(KILL_DOUBLINGS_MAX);
                kill(state, effects, &id, pause);
            }
            Aim::Drain => {
                // After a restart the drain has its whole time again.
                let drain_time = state.settings.grace_ms + DRAIN_SLACK_MS;
                if now >= *watch.drain_deadline.get_or_insert(now + drain_time) {
                    let message = "the drain took too long";
                    // Its executor runs the old version: the new one must not be launched into it.
                    let executor = task.executor.clone();
                    if let Some(record) = state.store.executor_mut(&executor) {
                        record.lost = true;
                    }
                    end(state, effects, &id, End::condemned(EndCause::DrainTimeout, message, false));
                } else {
                    kill(state, effects, &id, KILL_UNSEEN_MS);
                }
            }
            Aim::Run if task.state == TaskState::TaskStaging => {
                if now >= *watch.launch_deadline.get_or_insert(now + reconcile::launch_timeout_ms(watch.launch_asks)) {
                    watch.launch_asks = watch.launch_asks.saturating_add(1);
                    watch.launch_deadline = Some(now + reconcile::launch_timeout_ms(watch.launch_asks));
                    let (job, agent) = (task.job.clone(), task.agent.clone());
                    effects.audit.push(Audit::LaunchTimeout { job, task: id.clone(), agent });
                    unheard.push(id);
                }
            }
            Aim::Run => drop(state.attention.remove(&id)),
        }
    }
    reconcile::ask(state, effects, unheard);
}

fn kill(state: &mut State, effects: &mut Effects, id: &String, at_most_every_ms: u64) {
    let now = state.now();
    let (Some(task), Some(watch)) = (state.store.task(id), state.tasks.get_mut(id)) else { return };
    if state.subscribed_at.is_none() || watch.last_kill.is_some_and(|at| now < at + at_most_every_ms) {
        return;
    }
    (watch.last_kill, watch.kills) = (Some(now), watch.kills.saturating_add(1));
    effects.calls.push(kill_call(id, Some(&task.agent)));
}

fn kill_call(task: &str, agent: Option<&String>) -> Call {
    Call::Kill { kill: Kill { task_id: TaskId::new(task), agent_id: agent.map(AgentId::new), kill_policy: None } }
}

/// Ends an executor, unless one of its tasks is still wanted there.
fn shutdown(state: &mut State, effects: &mut Effects, id: &String) {
    let now = state.now();
    let (Some(record), Some(watch)) = (state.store.executor(id), state.executors.get(id)) else { return };
    if state.subscribed_at.is_none()
        || watch.tasks.iter().any(|task| state.is_current(task))
        || watch.last_shutdown.is_some_and(|at| now < at + KILL_AGAIN_MS)
    {
        return;
    }
    effects.calls.push(shutdown_call(id, &record.agent));
    state.executors.get_mut(id).expect("found above").last_shutdown = Some(now);
}

fn shutdown_call(executor: &str, agent: &str) -> Call {
    Call::Shutdown { shutdown: Shutdown { executor_id: ExecutorId::new(executor), agent_id: AgentId::new(agent) } }
}

/// A task lives that the store does not know: left over from a lost launch, or already replaced and forgotten.
pub(crate) fn kill_stranger(state: &mut State, effects: &mut Effects, task: &str, agent: Option<&String>) {
    if seldom(state, format!("task/{task}")) {
        effects.calls.push(kill_call(task, agent));
        effects.audit.push(Audit::UnknownTask { task: task.into(), agent: agent.cloned().unwrap_or_default() });
    }
}

/// Likewise an executor.
pub(crate) fn shutdown_stranger(state: &mut State, effects: &mut Effects, executor: &str, agent: &str) {
    if seldom(state, format!("executor/{executor}")) {
        effects.calls.push(shutdown_call(executor, agent));
        effects.audit.push(Audit::UnknownExecutor { executor: executor.into(), agent: agent.into() });
    }
}

fn seldom(state: &mut State, id: String) -> bool {
    let now = state.now();
    if state.strangers.get(&id).is_some_and(|at| now < at + KILL_AGAIN_MS) {
        return false;
    }
    if state.strangers.len() >= STRANGERS_MAX {
        state.strangers.retain(|_, at| now < *at + KILL_AGAIN_MS);
    }
    if state.strangers.len() >= STRANGERS_MAX {
        return false;
    }
    state.strangers.insert(id, now);
    true
}
