use millstream_mesos_types::{
    AgentId, ExecutorId, TaskState, TaskStatus,
    scheduler::{Event as MesosEvent, Failure, Message, Update},
};

use super::{Admission, Agent, Known, PINGS_MS, Task};
use crate::{
    amounts::Amounts,
    event::{Event, FromAgent, KnownExecutor, KnownTask, ToAgent},
    nemesis::Fault,
    trace::say,
    world::{Ordered, World},
};

impl World {
    pub(super) fn hear_from_agent(&mut self, machine: usize, link: u64, message: FromAgent) {
        let agent = self.machines[machine].id.clone();
        let registered = |world: &World| {
            let known = world.master.as_ref().and_then(|master| master.agents.get(agent.as_ref()?));
            known.is_some_and(|known| known.link == link)
        };
        match message {
            FromAgent::Register { id, tasks, executors } => self.agent_registers(machine, link, id, tasks, executors),
            _ if !registered(self) => {}
            FromAgent::Update { framework, status, latest } => self.agent_update(&framework, *status, latest),
            FromAgent::Message { framework, executor, data } => {
                if self.is_on(Fault::MessagesLost) && self.rng.chance(self.plan.message_loss_per_mille) {
                    *self.outcome.faults.entry("message lost").or_default() += 1;
                    return;
                }
                let Some(agent) = agent else { return };
                let message = Message {
                    agent_id: AgentId::new(agent),
                    executor_id: ExecutorId::new(executor),
                    data: millstream_mesos_types::Base64(data),
                };
                self.tell_framework(&framework, MesosEvent::Message { message });
            }
            FromAgent::Exited { framework, executor, status } => {
                let Some(agent) = agent else { return };
                let known = self.master.as_mut().and_then(|master| master.agents.get_mut(&agent));
                if known.and_then(|known| known.executors.remove(&executor)).is_some() {
                    let failure = Failure {
                        agent_id: Some(AgentId::new(agent)),
                        executor_id: Some(ExecutorId::new(executor)),
                        status: Some(status),
                    };
                    self.tell_framework(&framework, MesosEvent::Failure { failure });
                }
            }
        }
    }

    fn agent_registers(
        &mut self,
        machine: usize,
        link: u64,
        id: Option<String>,
        tasks: Vec<KnownTask>,
        executors: Vec<KnownExecutor>,
    ) {
        if id.is_none() {
            self.replace_older_agents(machine, link);
        }
        let same = |agent: &Agent| agent.machine == machine && agent.link == link;
        let given = self.master.as_ref().and_then(|master| master.agents.iter().find(|(_, agent)| same(agent)));
        let id = match (id, given) {
            (Some(id), _) => id,
            (None, Some((id, _))) => id.clone(),
            (None, None) => format!("A{}-{machine}", self.number()),
        };
        if self.registry.agents.get(&id).is_some_and(|known| known.admission == Admission::Gone) {
            say!(self, "agent {id} is gone for the master, and told so");
            let epoch = self.epoch().unwrap_or_default();
            return self.after(2, Event::ToAgent { machine, link, epoch, message: ToAgent::Leave });
        }
        self.registry.agents.insert(id.clone(), Known { admission: Admission::Admitted });
        let removed = self.registry.removed_frameworks.clone();
        let Some(master) = &mut self.master else { return };
        master.recovered.remove(&id);
        let (mut unknown, mut kills) = (vec![], vec![]);
        if let Some(known) = master.agents.get_mut(&id) {
            // Known here: what the agent does not know of is asked of it, what shall die is killed.
            (known.connected, known.link, known.down) = (true, link, Ordered::default());
            known.executors.retain(|executor, _| executors.iter().any(|e| e.info.executor_id.value == *executor));
            for (framework, record) in &master.frameworks {
                for (task, theirs) in record.tasks.iter().filter(|(_, task)| task.agent == id) {
                    match tasks.iter().find(|known| known.id == *task) {
                        None => unknown.push((framework.clone(), task.clone())),
                        Some(known) if theirs.killed && !known.state.is_terminal() => {
                            kills.push((framework.clone(), task.clone()));
                        }
                        Some(_) => {}
                    }
                }
            }
        } else {
            let fresh = Agent {
                machine,
                link,
                connected: true,
                executors: Default::default(),
                others: Amounts::default(),
                down: Ordered::default(),
                asked_back: false,
            };
            master.agents.insert(id.clone(), fresh);
            self.add_known(&id, tasks.iter().filter(|task| !removed.contains(&task.framework)), &executors);
        }
        let over =
            executors.iter().map(|executor| &executor.framework).filter(|framework| removed.contains(*framework));
        let frameworks_over = over.cloned().collect();
        say!(self, "agent {id} registers with {} tasks", tasks.len());
        self.tell_agent(&id, ToAgent::Registered { id: id.clone(), unknown, frameworks_over });
        for (framework, task) in kills {
            self.tell_agent(&id, ToAgent::Kill { framework, task });
        }
    }

    /// "A new agent registered at the same address": the old one is out of the registry, its tasks are lost.
    fn replace_older_agents(&mut self, machine: usize, link: u64) {
        let agents = self.master.iter().flat_map(|master| &master.agents);
        let older = agents.filter(|(_, agent)| agent.machine == machine && agent.link != link);
        for agent in older.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.registry.agents.remove(&agent);
            self.lose_agent(&agent, TaskState::TaskLost, "REASON_SLAVE_REMOVED");
        }
    }

    fn add_known<'a>(&mut self, agent: &str, tasks: impl Iterator<Item = &'a KnownTask>, executors: &[KnownExecutor]) {
        let Some(master) = &mut self.master else { return };
        for task in tasks {
            let record = Task {
                agent: agent.to_owned(),
                takes: task.takes,
                state: task.state,
                told: task.told.as_ref().and_then(|told| Some((told.state, told.uuid.as_ref()?.0.clone()))),
                killed: false,
            };
            master.frameworks.entry(task.framework.clone()).or_default().tasks.insert(task.id.clone(), record);
        }
        let Some(known) = master.agents.get_mut(agent) else { return };
        for executor in executors {
            let record = (executor.framework.clone(), executor.info.clone(), executor.takes);
            known.executors.insert(executor.info.executor_id.value.clone(), record);
        }
    }

    fn agent_update(&mut self, framework: &str, status: TaskStatus, latest: TaskState) {
        let known = self.master.as_mut().and_then(|master| master.frameworks.get_mut(framework));
        let Some(known) = known else { return };
        let connected = known.stream.is_some();
        if let Some(task) = known.tasks.get_mut(&status.task_id.value) {
            if !task.state.is_terminal() {
                task.state = latest;
            }
            if connected {
                task.told = status.uuid.as_ref().map(|uuid| (status.state, uuid.0.clone()));
            }
        }
        self.tell_framework(framework, MesosEvent::Update { update: Update { status } });
    }

    /// An agent's connection broke, and the master saw it: its offers are void.
    pub(crate) fn agent_disconnected(&mut self, agent: &str) {
        let Some(master) = &mut self.master else { return };
        let Some(known) = master.agents.get_mut(agent) else { return };
        known.connected = false;
        self.rescind_all(agent);
    }

    fn rescind_all(&mut self, agent: &str) {
        self.rescind(agent, |_| true);
    }

    /// What an agent lends has changed.
    pub(crate) fn rescind_revocable(&mut self, agent: &str) {
        self.rescind(agent, Amounts::has_revocable);
    }

    fn rescind(&mut self, agent: &str, which: impl Fn(&Amounts) -> bool) {
        let Some(master) = &self.master else { return };
        let offers = master.offers.iter().filter(|(_, offer)| offer.agent == agent && which(&offer.amounts));
        for id in offers.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.take_back(&id, true);
        }
    }

    /// From now on the agent answers no ping.
    pub(crate) fn pings_begin_to_miss(&mut self, machine: usize) {
        let (Some(epoch), Some(agent)) = (self.epoch(), self.machines[machine].id.clone()) else { return };
        let link = self.machines[machine].link;
        self.after(PINGS_MS, Event::PingsMissed { epoch, agent, link });
    }

    pub(super) fn pings_missed(&mut self, agent: &str, link: u64) {
        let Some(known) = self.master.as_ref().and_then(|master| master.agents.get(agent)) else { return };
        let machine = &self.machines[known.machine];
        let away = machine.id.as_deref() != Some(agent) || machine.link == link;
        if away {
            self.remove_agent(agent, Admission::Unreachable);
        }
    }

    /// Marks an agent unreachable or gone: its tasks are told so, each once, and that it failed.
    pub(crate) fn remove_agent(&mut self, agent: &str, admission: Admission) {
        say!(self, "agent {agent} becomes {admission:?}");
        if let Some(known) = self.registry.agents.get_mut(agent) {
            known.admission = admission;
        }
        let Some(master) = &mut self.master else { return };
        let registered = master.agents.contains_key(agent);
        if admission == Admission::Gone && registered {
            self.tell_agent(agent, ToAgent::Leave);
        }
        let (state, reason) = match admission {
            Admission::Gone => (TaskState::TaskGoneByOperator, "REASON_SLAVE_REMOVED_BY_OPERATOR"),
            _ => (TaskState::TaskUnreachable, "REASON_SLAVE_REMOVED"),
        };
        self.lose_agent(agent, state, reason);
    }

    fn lose_agent(&mut self, agent: &str, state: TaskState, reason: &str) {
        self.rescind_all(agent);
        let Some(master) = &mut self.master else { return };
        master.recovered.remove(agent);
        master.agents.remove(agent);
        let mut lost = vec![];
        for (framework, known) in &mut master.frameworks {
            known.tasks.retain(|task, record| {
                let theirs = record.agent == agent;
                if theirs {
                    lost.push((framework.clone(), task.clone()));
                }
                !theirs
            });
        }
        for (framework, task) in lost {
            self.master_status(&framework, &task, Some(agent), state, reason);
        }
        let frameworks: Vec<String> = self.master.iter().flat_map(|master| master.frameworks.keys().cloned()).collect();
        for framework in frameworks {
            let failure = Failure { agent_id: Some(AgentId::new(agent)), executor_id: None, status: None };
            self.tell_framework(&framework, MesosEvent::Failure { failure });
        }
    }

    /// Agents that did not come back after a failover are unreachable.
    pub(super) fn reregistration_over(&mut self) {
        let recovered: Vec<String> = self.master.iter().flat_map(|master| master.recovered.clone()).collect();
        for agent in recovered {
            self.remove_agent(&agent, Admission::Unreachable);
        }
    }
}
