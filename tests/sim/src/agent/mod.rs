//! Agents: they keep executors, tasks and unacknowledged updates through restarts, and register again with every master.
//! After `src/slave/slave.cpp` of Mesos 1.11, with checkpointing.

mod containers;
mod updates;

use std::collections::{BTreeMap, BTreeSet};

use millstream_mesos_types::{ExecutorInfo, TaskInfo, TaskState, TaskStatus};

use crate::{
    Ms,
    amounts::Amounts,
    event::{Event, FromAgent, KnownExecutor, KnownTask, ToAgent, ToExecutor},
    rng::Rng,
    trace::say,
    world::{Ordered, World},
};

/// `--executor_reregistration_timeout`
const EXECUTORS_COME_BACK_MS: Ms = 2_000;

/// A host with its agent.
pub(crate) struct Machine {
    pub(crate) total: Amounts,
    /// The agent's id; none before its first registration, and after the agent's state was lost.
    pub(crate) id: Option<String>,
    /// The agent's process runs.
    pub(crate) up: bool,
    /// The machine is off.
    pub(crate) off: bool,
    /// Nothing passes between agent and master.
    pub(crate) cut: bool,
    /// Number of the connection to a master: what was sent on an older one is lost.
    pub(crate) link: u64,
    /// How often its process has started.
    starts: u64,
    /// Since its last start it has looked after its executors; before, it does not register.
    recovered: bool,
    /// The master it is registered with.
    registered: Option<u64>,
    pub(crate) draining: bool,
    /// Begin and end.
    pub(crate) maintenance: Option<(Ms, Ms)>,
    pub(crate) slots: BTreeMap<String, Slot>,
    tasks: BTreeMap<String, AgentTask>,
    upward: Ordered,
}

/// An executor as its agent knows it.
pub(crate) struct Slot {
    executor: usize,
    framework: String,
    info: ExecutorInfo,
    takes: Amounts,
    terminating: bool,
    /// Its revocable resources are taken back.
    preempted: bool,
    /// It has subscribed before.
    running: bool,
    /// Its connection; none while there is none.
    session: Option<u64>,
    /// Tasks that wait for it.
    queued: Vec<TaskInfo>,
    /// It ended while the agent was away.
    exited: Option<i32>,
}

/// A task whose end is not acknowledged.
struct AgentTask {
    framework: String,
    executor: String,
    takes: Amounts,
    latest: TaskState,
    /// Unacknowledged, oldest first.
    updates: Vec<TaskStatus>,
    uuids: BTreeSet<Vec<u8>>,
    /// The last one that was sent to a master.
    told: Option<TaskStatus>,
    pause_ms: Ms,
    token: u64,
}

impl Machine {
    pub(crate) fn new(at: usize, rng: &mut Rng) -> Machine {
        let reserved = if at == 0 { rng.below(2) } else { 0 };
        let total = Amounts { cpus_milli: [4_000, reserved * 1_000, 0], mem_mib: [4_096, reserved * 512, 0], ports: 0 };
        let mut machine = Machine {
            total: total.with_ports(rng.between(6, 12) as u32),
            id: None,
            up: false,
            off: false,
            cut: false,
            link: 0,
            starts: 0,
            recovered: false,
            registered: None,
            draining: false,
            maintenance: None,
            slots: BTreeMap::new(),
            tasks: BTreeMap::new(),
            upward: Ordered::default(),
        };
        machine.oversubscribe(rng);
        machine
    }

    /// Its estimate of what may be lent.
    pub(crate) fn oversubscribe(&mut self, rng: &mut Rng) {
        self.total = self.total.with_revocable(rng.below(3) * 700, rng.below(3) * 400);
    }

    /// Can master and agent hear each other?
    pub(crate) fn is_connected(&self, epoch: Option<u64>) -> bool {
        self.up && !self.off && !self.cut && self.registered.is_some() && self.registered == epoch
    }
}

impl World {
    pub(crate) fn agent_event(&mut self, event: Event) {
        match event {
            Event::ToAgent { machine, link, epoch, message } => {
                let known = &self.machines[machine];
                let for_it = matches!(message, ToAgent::Registered { .. } | ToAgent::Leave);
                let heard = known.link == link && known.up && !known.cut;
                if heard && (for_it || known.registered == Some(epoch)) {
                    self.hear_master(machine, epoch, message);
                }
            }
            Event::Register { machine, link } => self.register(machine, link),
            Event::AgentUp { machine } => self.agent_up(machine),
            Event::AgentRecovered { machine, start } => self.agent_recovered(machine, start),
            Event::Heal { machine, link } if self.machines[machine].link == link && self.machines[machine].cut => {
                self.heal(machine);
            }
            Event::RetryUpdate { machine, task, token } => {
                let due = self.machines[machine].tasks.get(&task).is_some_and(|task| task.token == token);
                if due && self.machines[machine].up {
                    self.forward(machine, &task);
                }
            }
            Event::RegistrationTimeout { machine, executor } => {
                let waits = |slot: &Slot| slot.executor == executor && !slot.running;
                if self.machines[machine].slots.values().any(waits) {
                    self.destroy(executor);
                }
            }
            Event::ShutdownTimeout { executor } => self.destroy(executor),
            Event::FromExecutor { executor, session, message } => self.hear_executor(executor, session, message),
            Event::ExecutorExited { executor, status } => self.executor_exited(executor, status),
            Event::DrainOver { machine } => self.machines[machine].draining = false,
            _ => {}
        }
    }

    fn tell_master(&mut self, machine: usize, message: FromAgent) {
        let ms = self.latency();
        let Some(epoch) = self.epoch() else { return };
        let known = &mut self.machines[machine];
        if known.up && !known.cut {
            let (link, at) = (known.link, known.upward.arrival(self.now + ms));
            self.queue.push(at, Event::ToMaster { epoch, machine, link, message });
        }
    }

    fn register(&mut self, machine: usize, link: u64) {
        let epoch = self.epoch();
        let known = &self.machines[machine];
        if known.link != link || !known.recovered || known.cut || known.is_connected(epoch) {
            return;
        }
        let tasks = known.tasks.iter().map(|(id, task)| KnownTask {
            framework: task.framework.clone(),
            id: id.clone(),
            state: task.latest,
            told: task.told.clone(),
            takes: task.takes,
        });
        let executors = known.slots.values().map(|slot| KnownExecutor {
            framework: slot.framework.clone(),
            info: slot.info.clone(),
            takes: slot.takes,
        });
        let message =
            FromAgent::Register { id: known.id.clone(), tasks: tasks.collect(), executors: executors.collect() };
        self.tell_master(machine, message);
        // The answer may be long in coming; a second one would be a second agent.
        let again = if self.machines[machine].id.is_some() { 3_000 } else { 10_000 };
        let ms = self.rng.between(again, again * 2);
        self.after(if epoch.is_none() { 1_000 } else { ms }, Event::Register { machine, link });
    }

    /// The master an agent was registered with is dead.
    pub(crate) fn master_lost(&mut self, machine: usize) {
        self.machines[machine].registered = None;
        let link = self.machines[machine].link;
        // Agents come back one by one, some late.
        let latest = if self.rng.chance(100) { 40_000 } else { 12_000 };
        let ms = self.rng.between(600, latest);
        let ms = if self.calm_since.is_some() { ms.min(5_000) } else { ms };
        self.after(ms, Event::Register { machine, link });
    }

    fn hear_master(&mut self, machine: usize, epoch: u64, message: ToAgent) {
        match message {
            ToAgent::Registered { id, unknown, frameworks_over } => {
                (self.machines[machine].registered, self.machines[machine].id) = (Some(epoch), Some(id));
                for (framework, task) in unknown {
                    if !self.machines[machine].tasks.contains_key(&task) {
                        self.agent_says(
                            machine,
                            &framework,
                            &task,
                            "",
                            TaskState::TaskDropped,
                            "REASON_RECONCILIATION",
                        );
                    }
                }
                for framework in frameworks_over {
                    self.framework_over(machine, &framework);
                }
                for task in self.machines[machine].tasks.keys().cloned().collect::<Vec<_>>() {
                    self.forward_anew(machine, &task);
                }
            }
            ToAgent::Launch { framework, task, new_executor } => self.run_task(machine, framework, *task, new_executor),
            ToAgent::Kill { framework, task } => self.kill_task(machine, &framework, &task),
            ToAgent::Shutdown { executor } => self.shutdown_executor(machine, &executor),
            ToAgent::Acknowledge { task, uuid } => self.acknowledged(machine, &task, &uuid),
            ToAgent::FrameworkOver { framework } => self.framework_over(machine, &framework),
            ToAgent::Leave => self.leave(machine),
        }
    }

    fn framework_over(&mut self, machine: usize, framework: &str) {
        let slots = self.machines[machine].slots.iter().filter(|(_, slot)| slot.framework == framework);
        for executor in slots.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.shutdown_executor(machine, &executor);
        }
        self.machines[machine].tasks.retain(|_, task| task.framework != framework);
    }

    /// The agent ends with all its executors, and comes back as a new one.
    fn leave(&mut self, machine: usize) {
        let executors: Vec<usize> = self.machines[machine].slots.values().map(|slot| slot.executor).collect();
        executors.into_iter().for_each(|executor| self.executors[executor].die());
        self.forget_all(machine);
        let ms = self.rng.between(2_000, 15_000);
        self.after(ms, Event::AgentUp { machine });
    }

    fn forget_all(&mut self, machine: usize) {
        let known = &mut self.machines[machine];
        known.slots.clear();
        known.tasks.clear();
        (known.id, known.up, known.recovered, known.registered) = (None, false, false, None);
        known.link += 1;
    }

    /// The machine loses power; `back_ms`: until it is on again, under a new agent id.
    pub(crate) fn power_off(&mut self, machine: usize, back_ms: Option<Ms>) {
        self.machines[machine].link += 1;
        self.pings_begin_to_miss(machine);
        let executors = self.executors.iter_mut().filter(|executor| executor.machine == machine);
        executors.for_each(crate::executor::Executor::die);
        self.forget_all(machine);
        self.machines[machine].off = true;
        self.machines[machine].cut = false;
        if let Some(ms) = back_ms {
            self.after(ms, Event::AgentUp { machine });
        }
    }

    /// Packets between agent and master are lost.
    pub(crate) fn cut(&mut self, machine: usize, ms: Ms) {
        let known = &mut self.machines[machine];
        known.cut = true;
        known.link += 1;
        known.registered = None;
        let link = known.link;
        self.pings_begin_to_miss(machine);
        self.after(ms, Event::Heal { machine, link });
    }

    pub(crate) fn heal(&mut self, machine: usize) {
        let known = &mut self.machines[machine];
        known.cut = false;
        known.link += 1;
        let link = known.link;
        let ms = self.rng.between(100, 2_500);
        self.after(ms, Event::Register { machine, link });
    }

    /// The agent's process ends; its executors live on.
    pub(crate) fn agent_down(&mut self, machine: usize, ms: Ms) {
        let known = &mut self.machines[machine];
        (known.up, known.recovered, known.registered) = (false, false, None);
        known.link += 1;
        let sessions: Vec<_> = known.slots.values_mut().map(|slot| (slot.executor, slot.session.take())).collect();
        known.slots.values_mut().for_each(|slot| slot.queued.clear());
        for (executor, session) in sessions {
            if let Some(session) = session {
                self.after(1, Event::ToExecutor { executor, session, message: ToExecutor::Closed });
            }
        }
        if let Some(id) = self.machines[machine].id.clone()
            && !self.machines[machine].cut
        {
            self.agent_disconnected(&id);
        }
        self.after(ms, Event::AgentUp { machine });
    }

    fn agent_up(&mut self, machine: usize) {
        let known = &mut self.machines[machine];
        if known.up {
            return;
        }
        (known.up, known.off, known.recovered) = (true, false, false);
        known.starts += 1;
        let start = known.starts;
        say!(self, "agent on machine {machine} starts");
        let ms = if known.slots.is_empty() { 50 } else { EXECUTORS_COME_BACK_MS };
        self.after(ms, Event::AgentRecovered { machine, start });
    }

    /// Executors that have not come back are ended, then the agent registers.
    fn agent_recovered(&mut self, machine: usize, start: u64) {
        if self.machines[machine].starts != start || !self.machines[machine].up {
            return;
        }
        let slots = self.machines[machine].slots.values();
        let slots: Vec<_> = slots.map(|slot| (slot.executor, slot.session.is_some(), slot.exited)).collect();
        for (executor, is_back, exited) in slots {
            match exited {
                Some(status) => self.executor_exited(executor, status),
                None if !is_back => self.destroy(executor),
                None => {}
            }
        }
        self.machines[machine].recovered = true;
        self.register(machine, self.machines[machine].link);
    }
}
