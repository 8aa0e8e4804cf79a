//! The masters: one leads, and forgets with its death all but the registry. After `src/master/master.cpp` of Mesos 1.11.

mod accept;
mod agents;
mod allocator;
mod calls;
mod frameworks;
mod reconcile;

use std::collections::{BTreeMap, BTreeSet};

use millstream_mesos_types::{
    AgentId, Base64, ExecutorId, ExecutorInfo, RoleConstraints, TaskId, TaskState, TaskStatus,
    scheduler::{Event as MesosEvent, Update},
};

use crate::{
    Ms,
    amounts::Amounts,
    event::{Event, ToAgent},
    nemesis::Fault,
    trace::say,
    world::{Ordered, World},
};

/// Time between two heartbeats of a stream: short, so that silence matters within a run.
pub(crate) const HEARTBEAT_MS: Ms = 3_000;

/// `--allocation_interval`
const ALLOCATION_MS: Ms = 1_000;

/// `--agent_ping_timeout` × `--max_agent_ping_timeouts`, shortened likewise.
const PINGS_MS: Ms = 20_000;

/// `--agent_reregister_timeout`, shortened likewise.
const REREGISTER_MS: Ms = 60_000;

/// What outlives a master: the replicated log. Removed frameworks are kept too, which Mesos does for as long as a master
/// lives; without it an agent that was away would bring a framework back that nobody knows.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) agents: BTreeMap<String, Known>,
    pub(crate) removed_frameworks: BTreeSet<String>,
    epochs: u64,
}

pub(crate) struct Known {
    pub(crate) admission: Admission,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    Unreachable,
    Gone,
}

/// The leading master.
pub(crate) struct Master {
    pub(crate) epoch: u64,
    pub(crate) frameworks: BTreeMap<String, Framework>,
    pub(crate) agents: BTreeMap<String, Agent>,
    /// Admitted before the failover and not back yet: the master says nothing about them.
    pub(crate) recovered: BTreeSet<String>,
    pub(crate) offers: BTreeMap<String, Offered>,
    /// It dies when it has answered 202 to the next ACCEPT.
    pub(crate) dies_after_202: bool,
    processing: Ordered,
}

#[derive(Default)]
pub(crate) struct Framework {
    pub(crate) stream: Option<u64>,
    pub(crate) suppressed: bool,
    /// It takes revocable resources.
    revocable: bool,
    filters: Vec<Filter>,
    pub(crate) tasks: BTreeMap<String, Task>,
    /// `min_allocatable_resources`: CPUs and memory, any of them.
    minimum: Vec<(u64, u64)>,
    constraints: Option<RoleConstraints>,
}

struct Filter {
    agent: String,
    until: Ms,
    refused: Amounts,
}

pub(crate) struct Task {
    pub(crate) agent: String,
    takes: Amounts,
    /// The newest state the agent has told.
    state: TaskState,
    /// The state and uuid of the update that was forwarded last.
    told: Option<(TaskState, Vec<u8>)>,
    killed: bool,
}

pub(crate) struct Agent {
    pub(crate) machine: usize,
    link: u64,
    pub(crate) connected: bool,
    executors: BTreeMap<String, (String, ExecutorInfo, Amounts)>,
    /// What other frameworks have.
    others: Amounts,
    down: Ordered,
    /// Whether an inverse offer is out.
    asked_back: bool,
}

pub(crate) struct Offered {
    framework: String,
    pub(crate) agent: String,
    amounts: Amounts,
    pub(crate) at: Ms,
}

impl World {
    pub(crate) fn master_event(&mut self, event: Event) {
        let meant_for = match &event {
            Event::Processes { epoch, .. }
            | Event::StreamGone { epoch, .. }
            | Event::Heartbeat { epoch, .. }
            | Event::Allocate { epoch }
            | Event::ReregistrationOver { epoch }
            | Event::PingsMissed { epoch, .. }
            | Event::ToMaster { epoch, .. } => Some(*epoch),
            _ => None,
        };
        if meant_for.is_some() && meant_for != self.epoch() {
            return; // that master is dead
        }
        match event {
            Event::Elected => self.elected(),
            Event::SubscribeArrives { process, session, subscribe } => {
                self.subscribe_arrives(process, session, *subscribe);
            }
            Event::CallArrives { process, stream, call } => self.call_arrives(process, stream, *call),
            Event::Processes { stream, call, .. } => self.process_call(stream, *call),
            Event::StreamGone { stream, .. } => self.framework_disconnected(stream),
            Event::Heartbeat { epoch, stream } => self.heartbeat(epoch, stream),
            Event::Allocate { epoch } => {
                self.allocate();
                self.after(ALLOCATION_MS, Event::Allocate { epoch });
            }
            Event::ReregistrationOver { .. } => self.reregistration_over(),
            Event::PingsMissed { agent, link, .. } => self.pings_missed(&agent, link),
            Event::ToMaster { machine, link, message, .. }
                if self.machines[machine].link == link && !self.machines[machine].cut =>
            {
                self.hear_from_agent(machine, link, message);
            }
            _ => {}
        }
    }

    fn heartbeat(&mut self, epoch: u64, stream: u64) {
        let connected = |master: &Master| master.frameworks.values().any(|framework| framework.stream == Some(stream));
        if self.master.as_ref().is_some_and(connected) {
            self.send(stream, MesosEvent::Heartbeat);
            self.after(HEARTBEAT_MS, Event::Heartbeat { epoch, stream });
        }
    }

    pub(crate) fn epoch(&self) -> Option<u64> {
        self.master.as_ref().map(|master| master.epoch)
    }

    fn elected(&mut self) {
        self.registry.epochs += 1;
        let epoch = self.registry.epochs;
        let admitted = self.registry.agents.iter().filter(|(_, known)| known.admission == Admission::Admitted);
        let recovered = admitted.map(|(id, _)| id.clone()).collect();
        say!(self, "master {epoch} leads");
        self.master = Some(Master {
            epoch,
            frameworks: BTreeMap::new(),
            agents: BTreeMap::new(),
            recovered,
            offers: BTreeMap::new(),
            dies_after_202: false,
            processing: Ordered::default(),
        });
        self.after(ALLOCATION_MS, Event::Allocate { epoch });
        self.after(REREGISTER_MS, Event::ReregistrationOver { epoch });
    }

    /// The leading master dies; another is elected after a while.
    pub(crate) fn master_dies(&mut self) {
        let Some(master) = self.master.take() else { return };
        say!(self, "master {} dies", master.epoch);
        let streams: Vec<u64> =
            self.streams.iter().filter(|(_, s)| s.epoch == master.epoch).map(|(id, _)| *id).collect();
        for stream in streams {
            self.cut_stream(stream);
        }
        for machine in 0..self.machines.len() {
            self.master_lost(machine);
        }
        let ms = self.rng.between(500, 6_000);
        self.after(ms, Event::Elected);
    }

    /// A stream breaks: of what is on its way, some arrives still.
    pub(crate) fn cut_stream(&mut self, stream: u64) {
        let (arrives, ms) = (self.rng.below(10), self.latency());
        let Some(known) = self.streams.get_mut(&stream) else { return };
        known.cut_at = Some(self.now + arrives);
        let at = known.down.arrival(self.now + arrives + ms);
        let (process, session, half_open) = (known.process, known.session, known.half_open);
        if !half_open {
            self.queue.push(at, Event::StreamEnds { process, session, stream: Some(stream) });
        }
    }

    /// Sends an event on a stream.
    fn send(&mut self, stream: u64, event: MesosEvent) {
        let ms = self.latency();
        let Some(known) = self.streams.get_mut(&stream) else { return };
        if known.half_open || known.cut_at.is_some() {
            return;
        }
        let at = known.down.arrival(self.now + ms);
        let process = known.process;
        self.queue.push(at, Event::StreamSays { process, stream, event: Box::new(event) });
    }

    /// Tells a framework, if it is connected.
    fn tell_framework(&mut self, framework: &str, event: MesosEvent) {
        let known = self.master.as_ref().and_then(|master| master.frameworks.get(framework));
        if let Some(stream) = known.and_then(|framework| framework.stream) {
            self.send(stream, event);
        }
    }

    /// A status the master makes itself: told once, without uuid.
    fn master_status(&mut self, framework: &str, task: &str, agent: Option<&str>, state: TaskState, reason: &str) {
        let status = TaskStatus {
            task_id: TaskId::new(task),
            state,
            message: None,
            source: Some("SOURCE_MASTER".into()),
            reason: Some(reason.into()),
            data: None,
            agent_id: agent.map(AgentId::new),
            executor_id: None,
            timestamp: None,
            uuid: None,
        };
        self.tell_framework(framework, MesosEvent::Update { update: Update { status } });
    }

    /// Tells an agent that is registered here. What the link loses is lost.
    fn tell_agent(&mut self, agent: &str, message: ToAgent) {
        let ms = self.latency();
        let Some(master) = &mut self.master else { return };
        let epoch = master.epoch;
        let Some(known) = master.agents.get_mut(agent) else { return };
        let (machine, link) = (known.machine, known.link);
        let at = known.down.arrival(self.now + ms);
        if !self.machines[machine].cut {
            self.queue.push(at, Event::ToAgent { machine, link, epoch, message });
        }
    }
}

/// What an agent or executor tells of a task.
pub(crate) fn agent_status(
    task: &str,
    agent: &str,
    executor: &str,
    state: TaskState,
    reason: Option<&str>,
) -> TaskStatus {
    TaskStatus {
        task_id: TaskId::new(task),
        state,
        message: None,
        source: Some(if reason.is_some() { "SOURCE_AGENT" } else { "SOURCE_EXECUTOR" }.into()),
        reason: reason.map(str::to_owned),
        data: None,
        agent_id: Some(AgentId::new(agent)),
        executor_id: Some(ExecutorId::new(executor)),
        timestamp: None,
        uuid: None,
    }
}

/// Sixteen bytes that never come again.
pub(crate) fn uuid(number: u64) -> Base64 {
    Base64(u128::from(number).to_be_bytes().to_vec())
}

/// Does the competition want something now?
fn others_want(world: &World) -> bool {
    world.is_on(Fault::OthersTake)
}
