//! Task states as Mesos tells them.

use millstream_mesos_types::{
    AgentId, TaskState, TaskStatus,
    scheduler::{Acknowledge, Call},
};

use millstream_protocol::{AskedBy, EndData};

use crate::{
    Audit, Effects, EndCause, State,
    ending::{self, End},
    offers,
    records::Aim,
    resources::revocable_of,
};

/// Of a wait status, the signal that ended the process; 0 when it exited.
const SIGNAL_BITS: i32 = 0x7f;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// What a status means for its task.
enum Verdict {
    /// It is on its way or runs.
    Alive,
    /// It is over.
    Over(EndCause),
    /// It may be over or may come back (mesos.md: uncertain states).
    Uncertain(EndCause),
}

/// Takes in a status: idempotent by uuid and by state, never back from an end, acknowledged once it is durable (the
/// driver stores this step's records before the acknowledgement leaves).
pub(crate) fn update(state: &mut State, effects: &mut Effects, status: TaskStatus) {
    let id = status.task_id.value.clone();
    state.reconciliation.answered(&id);
    take_in(state, effects, &id, &status);
    let agent_id = status.agent_id.or_else(|| state.store.task(&id).map(|task| AgentId::new(&task.agent)));
    if let (Some(uuid), Some(agent_id)) = (status.uuid, agent_id) {
        // In front of KILLs and SHUTDOWNs of this step: an executor waits for it before it leaves.
        let acknowledge = Acknowledge { agent_id, task_id: status.task_id, uuid };
        effects.calls.insert(0, Call::Acknowledge { acknowledge });
    }
}

fn take_in(state: &mut State, effects: &mut Effects, id: &String, status: &TaskStatus) {
    let verdict = judge(status);
    let Some(task) = state.store.task(id) else {
        // Over and forgotten, or never ours (its launch was given up): an end needs nothing but the acknowledgement.
        if matches!(verdict, Verdict::Alive) {
            ending::kill_stranger(state, effects, id, status.agent_id.as_ref().map(|agent| &agent.value));
        }
        return;
    };
    let uuid = status.uuid.clone();
    if uuid.is_some() && uuid == task.last_uuid {
        return;
    }
    let (aim, executor, message) = (task.aim, task.executor.clone(), status.message.as_deref().unwrap_or_default());
    if let Some(uuid) = uuid {
        state.store.task_mut(id).expect("found above").last_uuid = Some(uuid);
    }
    let agent_failed = |cause| matches!(cause, EndCause::AgentLost | EndCause::AgentDraining | EndCause::AgentShutdown);
    match (verdict, aim) {
        (Verdict::Alive, Aim::Condemned) => ending::condemned_seen(state, effects, id),
        (Verdict::Alive, _) => alive(state, effects, id, status.state),
        (Verdict::Over(_), Aim::Condemned) => ending::forget(state, effects, id),
        // A second word of the same: no agent that an operator has declared gone may come back, and what lives there all
        // the same is killed as a stranger. (The first may stand for TASK_KILLING: slave.cpp, draining with `mark_gone`.)
        (Verdict::Uncertain(_), Aim::Condemned) if status.state == TaskState::TaskGoneByOperator => {
            ending::forget(state, effects, id);
        }
        (Verdict::Uncertain(_), Aim::Condemned) => {}
        (Verdict::Over(cause), _) => {
            // Its ACCEPT may not have arrived (M4): then its offers are still with us.
            if cause == EndCause::Unknown {
                offers::take_back(state, effects, id);
            }
            use EndCause::*;
            let leaves = matches!(cause, ExecutorLost | OutOfMemory | Preempted | Terminated | AgentShutdown);
            if leaves || agent_failed(cause) {
                give_up_executor(state, &executor);
            }
            let end = End { cause, state: Some(status.state), message, over: true, avoid: agent_failed(cause) };
            ending::end(state, effects, id, end);
        }
        (Verdict::Uncertain(cause), _) => {
            give_up_executor(state, &executor);
            let end = End { cause, state: Some(status.state), message, over: false, avoid: agent_failed(cause) };
            ending::end(state, effects, id, end);
        }
    }
}

/// The executor gets no new task.
fn give_up_executor(state: &mut State, executor: &String) {
    if state.store.executor(executor).is_some_and(|record| !record.lost) {
        state.store.executor_mut(executor).expect("found above").lost = true;
    }
}

fn alive(state: &mut State, effects: &mut Effects, id: &String, new: TaskState) {
    let now = state.now();
    let Some(task) = state.store.task(id) else { return };
    let watch = state.tasks.entry(id.clone()).or_default();
    watch.launch_deadline = None;
    watch.offers.clear();
    if new == TaskState::TaskRunning && watch.running_since.is_none() {
        watch.running_since = Some(now);
        state.jobs.entry(task.job.clone()).or_default().healthy_since.get_or_insert(now);
        if let Some(wish) = state.slots.get_mut(&(task.job.clone(), task.slot)) {
            wish.innocent_ends = 0;
        }
    }
    if rank(new) <= rank(task.state) {
        return;
    }
    if let Some(executor) = state.executors.get_mut(&task.executor)
        && executor.reported_at.is_none()
        && task.state == TaskState::TaskStaging
    {
        // Its first report is due from now on, not from the launch on: fetching may take long.
        executor.watched_from = now;
    }
    let (job, agent) = (task.job.clone(), task.agent.clone());
    effects.audit.push(Audit::TaskChanged { job, task: id.clone(), agent, state: new });
    state.store.task_mut(id).expect("found above").state = new;
}

/// Living states only go forward; an older one is a late answer to a reconciliation.
fn rank(state: TaskState) -> u8 {
    match state {
        TaskState::TaskStaging => 0,
        TaskState::TaskStarting => 1,
        TaskState::TaskRunning => 2,
        _ => 3,
    }
}

fn judge(status: &TaskStatus) -> Verdict {
    use TaskState::*;
    let reason = status.reason.as_deref().unwrap_or_default();
    match status.state {
        TaskStaging | TaskStarting | TaskRunning | TaskKilling => Verdict::Alive,
        // The agent's QoS controller: TASK_GONE, or TASK_LOST as frameworks that are not partition-aware would see it.
        _ if reason == "REASON_CONTAINER_PREEMPTED" => Verdict::Over(EndCause::Preempted),
        _ if reason == "REASON_INVALID_OFFERS" => Verdict::Over(EndCause::InvalidOffers),
        TaskFinished => Verdict::Over(EndCause::Unexpected),
        // A master that is another one, an agent that never got the launch (TASK_GONE, when it is registered), …
        TaskUnknown | TaskGone | TaskLost | TaskDropped if reason == "REASON_RECONCILIATION" => {
            Verdict::Over(EndCause::Unknown)
        }
        // DRAIN_AGENT: the agent gives this reason to all its KILLING and KILLED, and to launches that come too late.
        TaskKilled | TaskDropped if reason == "REASON_AGENT_DRAINING" => Verdict::Over(EndCause::AgentDraining),
        TaskGoneByOperator if reason == "REASON_AGENT_DRAINING" => Verdict::Uncertain(EndCause::AgentDraining),
        TaskKilled => Verdict::Over(asked_by(status).unwrap_or(EndCause::Unexpected)),
        TaskFailed => Verdict::Over(match reason {
            "REASON_CONTAINER_LIMITATION_MEMORY" => EndCause::OutOfMemory,
            "REASON_EXECUTOR_TERMINATED" | "REASON_EXECUTOR_UNREGISTERED" | "REASON_EXECUTOR_REGISTRATION_TIMEOUT" => {
                EndCause::ExecutorLost
            }
            _ => EndCause::Failed,
        }),
        TaskError => Verdict::Over(EndCause::Invalid),
        TaskDropped => Verdict::Over(EndCause::Dropped),
        TaskUnknown => Verdict::Over(EndCause::Unknown),
        TaskGone => Verdict::Over(EndCause::AgentLost),
        TaskLost | TaskUnreachable | TaskGoneByOperator => Verdict::Uncertain(EndCause::AgentLost),
    }
}

/// Who else than the scheduler asked the executor to leave, as it says itself.
fn asked_by(status: &TaskStatus) -> Option<EndCause> {
    let data = serde_json::from_slice::<EndData>(&status.data.as_ref()?.0).ok()?;
    Some(match data.asked_by {
        AskedBy::Signal => EndCause::Terminated,
        AskedBy::Agent => EndCause::AgentShutdown,
    })
}

/// How an executor ended, from its wait status: what it was, and for people.
fn ended(status: Option<i32>) -> (EndCause, String) {
    let Some(status) = status else { return (EndCause::ExecutorLost, "the executor ended".into()) };
    match (status & SIGNAL_BITS, status >> 8) {
        (0, code) => (EndCause::ExecutorLost, format!("the executor exited with status {code}")),
        // Before it could take the signal, while it started.
        (SIGTERM, _) => (EndCause::Terminated, "the executor was ended by SIGTERM".into()),
        (SIGKILL, _) => (EndCause::ExecutorLost, "the executor was killed by signal 9 (perhaps out of memory)".into()),
        (signal, _) => (EndCause::ExecutorLost, format!("the executor was killed by signal {signal}")),
    }
}

/// An agent or an executor is gone. The order of FAILURE and the updates of the same loss is not guaranteed; whichever
/// comes first replaces the tasks.
pub(crate) fn failure(
    state: &mut State,
    effects: &mut Effects,
    agent_id: Option<String>,
    executor_id: Option<String>,
    status: Option<i32>,
) {
    if let Some(executor) = executor_id {
        let record = state.store.executor(&executor);
        let record = record.filter(|record| agent_id.is_none_or(|agent| agent == record.agent));
        let Some(record) = record else { return };
        if revocable_of(&record.info.resources).any() {
            // Preempted or crashed: the updates of its tasks say it, and often come later. If they never do, it is silent.
            return give_up_executor(state, &executor);
        }
        let (cause, message) = ended(status);
        ending::lose_executor(state, effects, &executor, End::condemned(cause, &message, false));
    } else if let Some(agent) = agent_id {
        let executors: Vec<_> = state.store.executors_on(&agent).map(|(id, _)| id.clone()).collect();
        effects.audit.push(Audit::AgentLost { agent, executors: executors.len() });
        for executor in executors {
            let end = End::condemned(EndCause::AgentLost, "the master removed the agent", true);
            ending::lose_executor(state, effects, &executor, end);
        }
    }
}
