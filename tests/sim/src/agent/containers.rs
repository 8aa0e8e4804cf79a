//! Executors as their agent starts, tells and ends them.

use std::collections::BTreeSet;

use millstream_mesos_types::{TaskInfo, TaskState, TaskStatus};

use super::{AgentTask, Slot};
use crate::{
    Ms,
    amounts::Amounts,
    event::{Event, FromAgent, FromExecutor, ToExecutor},
    executor::Executor,
    trace::say,
    world::World,
};

/// `--executor_registration_timeout`
const REGISTRATION_MS: Ms = 60_000;

const TERMINATED: &str = "REASON_EXECUTOR_TERMINATED";
const PREEMPTED: &str = "REASON_CONTAINER_PREEMPTED";

impl World {
    pub(super) fn run_task(&mut self, machine: usize, framework: String, task: TaskInfo, new_executor: bool) {
        let (Some(info), id) = (task.executor.clone(), task.task_id.value.clone()) else { return };
        let executor_id = info.executor_id.value.clone();
        let slot = self.machines[machine].slots.get(&executor_id);
        let refused = if self.machines[machine].draining {
            Some("REASON_SLAVE_DRAINING")
        } else if slot.is_some_and(|slot| slot.terminating) || slot.is_some() == new_executor {
            // Master and agent differ on whether the executor is there.
            Some(TERMINATED)
        } else {
            None
        };
        if let Some(reason) = refused {
            say!(self, "agent refuses {id}: {reason}");
            self.agent_says(machine, &framework, &id, &executor_id, TaskState::TaskDropped, reason);
            if new_executor {
                self.tell_master(machine, FromAgent::Exited { framework, executor: executor_id, status: 0 });
            }
            return;
        }
        let fresh = AgentTask {
            framework: framework.clone(),
            executor: executor_id.clone(),
            takes: Amounts::of(&task.resources),
            latest: TaskState::TaskStaging,
            updates: vec![],
            uuids: BTreeSet::new(),
            told: None,
            pause_ms: 0,
            token: 0,
        };
        self.machines[machine].tasks.insert(id, fresh);
        if new_executor {
            let executor = self.executors.len();
            self.executors.push(Executor::new(machine, executor_id.clone(), framework.clone()));
            let slot = Slot {
                executor,
                framework,
                takes: Amounts::of(&info.resources),
                info,
                terminating: false,
                preempted: false,
                running: false,
                session: None,
                queued: vec![],
                exited: None,
            };
            self.machines[machine].slots.insert(executor_id.clone(), slot);
            let ms = self.rng.between(40, 1_500);
            self.after(ms, Event::ExecutorStarts { executor });
            self.after(REGISTRATION_MS, Event::RegistrationTimeout { machine, executor });
        }
        let Some(slot) = self.machines[machine].slots.get_mut(&executor_id) else { return };
        match slot.session {
            Some(session) => {
                let executor = slot.executor;
                let message = ToExecutor::Launch(Box::new(task));
                self.after(1, Event::ToExecutor { executor, session, message });
            }
            None => slot.queued.push(task),
        }
    }

    pub(super) fn kill_task(&mut self, machine: usize, framework: &str, id: &str) {
        let known = self.machines[machine].tasks.get(id);
        let executor_id = known.map(|task| task.executor.clone()).unwrap_or_default();
        let Some(slot) = self.machines[machine].slots.get_mut(&executor_id) else {
            // "Cannot find executor"
            return self.agent_says(machine, framework, id, "", TaskState::TaskDropped, TERMINATED);
        };
        if let Some(at) = slot.queued.iter().position(|task| task.task_id.value == id) {
            slot.queued.remove(at);
            let reason = "REASON_TASK_KILLED_DURING_LAUNCH";
            return self.agent_says(machine, framework, id, &executor_id, TaskState::TaskKilled, reason);
        }
        if let (Some(session), executor) = (slot.session, slot.executor) {
            let message = ToExecutor::Kill(id.to_owned());
            self.after(1, Event::ToExecutor { executor, session, message });
        }
    }

    pub(super) fn shutdown_executor(&mut self, machine: usize, id: &str) {
        let Some(slot) = self.machines[machine].slots.get_mut(id) else { return };
        if std::mem::replace(&mut slot.terminating, true) {
            return;
        }
        let grace = slot.info.shutdown_grace_period.map_or(5_000, |grace| grace.nanoseconds as u64 / 1_000_000);
        let (executor, session) = (slot.executor, slot.session);
        if let Some(session) = session {
            self.after(1, Event::ToExecutor { executor, session, message: ToExecutor::Shutdown });
        }
        self.after(grace, Event::ShutdownTimeout { executor });
    }

    /// Ends an executor by force, if it lives.
    pub(super) fn destroy(&mut self, executor: usize) {
        if self.executors[executor].is_alive() {
            say!(self, "executor {} is destroyed", self.executors[executor].id);
        }
        self.executors[executor].die();
        self.after(2, Event::ExecutorExited { executor, status: 9 });
    }

    /// The agent takes revocable resources back: what it lends changes, and executors that use some are killed.
    pub(crate) fn revoke(&mut self, machine: usize) {
        let known = &mut self.machines[machine];
        known.oversubscribe(&mut self.rng);
        let lent = |slot: &&mut Slot| slot.takes.has_revocable() && !slot.terminating;
        let preempted = known.slots.values_mut().filter(lent).map(|slot| {
            slot.preempted = true;
            slot.executor
        });
        for executor in preempted.collect::<Vec<_>>() {
            self.count("executor preempted");
            self.destroy(executor);
        }
        if let Some(agent) = self.machines[machine].id.clone() {
            self.rescind_revocable(&agent);
        }
    }

    pub(super) fn executor_exited(&mut self, executor: usize, status: i32) {
        let machine = self.executors[executor].machine;
        let slots = &mut self.machines[machine].slots;
        let Some(id) = slots.iter().find(|(_, slot)| slot.executor == executor).map(|(id, _)| id.clone()) else {
            return;
        };
        if !self.machines[machine].up {
            if let Some(slot) = self.machines[machine].slots.get_mut(&id) {
                slot.exited = Some(status);
            }
            return;
        }
        let Some(slot) = self.machines[machine].slots.remove(&id) else { return };
        say!(self, "executor {id} has ended with {status}");
        let exited = FromAgent::Exited { framework: slot.framework.clone(), executor: id.clone(), status };
        // FAILURE and the updates of one loss come in any order.
        let failure_first = self.rng.chance(500);
        if failure_first {
            self.tell_master(machine, exited.clone());
        }
        let theirs = self.machines[machine].tasks.iter().filter(|(_, task)| task.executor == id);
        let theirs: Vec<String> =
            theirs.filter(|(_, task)| !task.latest.is_terminal()).map(|(id, _)| id.clone()).collect();
        let reason = if slot.preempted { PREEMPTED } else { TERMINATED };
        for task in theirs {
            self.agent_says(machine, &slot.framework, &task, &id, TaskState::TaskFailed, reason);
        }
        if !failure_first {
            self.tell_master(machine, exited);
        }
    }

    pub(super) fn hear_executor(&mut self, executor: usize, session: u64, message: FromExecutor) {
        let (machine, id) = (self.executors[executor].machine, self.executors[executor].id.clone());
        let up = self.machines[machine].up;
        let Some(slot) = self.machines[machine].slots.get_mut(&id).filter(|slot| slot.executor == executor && up)
        else {
            return;
        };
        match message {
            FromExecutor::Subscribe { tasks, updates } => {
                if slot.terminating {
                    return self.after(1, Event::ToExecutor { executor, session, message: ToExecutor::Shutdown });
                }
                (slot.session, slot.running) = (Some(session), true);
                let (queued, framework) = (std::mem::take(&mut slot.queued), slot.framework.clone());
                updates.into_iter().for_each(|status| self.executor_update(machine, executor, session, status));
                self.drop_undelivered(machine, &framework, &id, &tasks, &queued);
                for task in queued {
                    let message = ToExecutor::Launch(Box::new(task));
                    self.after(1, Event::ToExecutor { executor, session, message });
                }
            }
            _ if slot.session != Some(session) => {}
            FromExecutor::Update(status) => self.executor_update(machine, executor, session, *status),
            FromExecutor::Message(data) => {
                let framework = slot.framework.clone();
                if self.machines[machine].registered.is_some() {
                    self.tell_master(machine, FromAgent::Message { framework, executor: id, data });
                }
            }
        }
    }

    /// Tasks that were on their way to an executor when the agent restarted.
    fn drop_undelivered(&mut self, machine: usize, framework: &str, id: &str, known: &[String], queued: &[TaskInfo]) {
        let tasks = self.machines[machine].tasks.iter().filter(|(task, record)| {
            record.executor == *id
                && record.latest == TaskState::TaskStaging
                && !known.contains(task)
                && !queued.iter().any(|queued| queued.task_id.value == **task)
        });
        for task in tasks.map(|(task, _)| task.clone()).collect::<Vec<_>>() {
            self.agent_says(machine, framework, &task, id, TaskState::TaskDropped, "REASON_SLAVE_RESTARTED");
        }
    }

    /// Safe here from now on, whoever it is for.
    fn executor_update(&mut self, machine: usize, executor: usize, session: u64, status: TaskStatus) {
        let uuid = status.uuid.as_ref().map(|uuid| uuid.0.clone()).unwrap_or_default();
        self.update(machine, status);
        let message = ToExecutor::Acknowledged(uuid);
        self.after(1, Event::ToExecutor { executor, session, message });
    }

    /// An agent that drains kills its tasks, with the executor's grace.
    pub(crate) fn drain_agent(&mut self, machine: usize) {
        self.machines[machine].draining = true;
        let tasks = self.machines[machine].tasks.iter().filter(|(_, task)| !task.latest.is_terminal());
        let tasks: Vec<_> = tasks.map(|(id, task)| (task.framework.clone(), id.clone())).collect();
        for (framework, task) in tasks {
            self.kill_task(machine, &framework, &task);
        }
    }
}
