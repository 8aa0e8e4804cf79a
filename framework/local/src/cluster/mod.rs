//! The cluster as a pure state machine: calls, ended streams, ended processes and time go in, effects come out.
//!
//! Master and agents are one state, as they never lose each other inside one process. Each public function is one input:
//! it takes `now` (time since the start of the cluster), and what it caused waits in [`Cluster::take_effects`].
//!
//! Map: `subscription` frameworks coming and going, `infos` what they may say of themselves · `calls` what schedulers ask
//! · `accept` what is done with offers: `launch_check` and `launch`, `operations` and `resources` · `allocator` who gets
//! which offer by `shares`, `constraints` and `quota` · `executors` the executor API and processes · `updates` and
//! `operation_updates` statuses until they are acknowledged · `tick` all timers · `agents` agents lost and back,
//! `restarts` of their processes and of the master, `revocation` · `operator` the operator API: `maintenance`,
//! `inverse_offers`, `drain` · `view` what `/state` shows.
//!
//! Differences from Mesos, on purpose:
//! - No command tasks, task groups, nested containers, resource providers, shared volumes, resizing of volumes, quota
//!   guarantees, weights, authentication or authorisation (a framework's principal is believed).
//! - A task that outlives the grace of its kill policy is ended by force when its executor has no other task (Mesos leaves
//!   that to the executor).
//! - Reservations are written as a list (`reservations`) to every framework; Mesos writes `role` and `reservation` to
//!   those without RESERVATION_REFINEMENT. Both are read.
//! - The data of a persistent volume is not mounted into the sandbox, and DESTROY has nothing to remove.
//! - The size of a regex in offer constraints is estimated, rather too high: see `constraints::program_size`.
//! - Shares of roles are compared one by one, not along the tree of hierarchical roles; the allocator runs every
//!   allocation interval only, not at events between.
//! - An agent that restarts answers 503 instead of refusing connections; after a failover of the master frameworks are
//!   known before their agents have registered again (a call is answered 403, not 400).
//! - An agent whose machine is brought up again comes back by itself, under a new id.

mod accept;
mod agents;
mod allocator;
mod amounts;
mod calls;
mod constraints;
mod drain;
mod executors;
mod infos;
mod inverse_offers;
mod launch;
mod launch_check;
mod maintenance;
mod model;
mod operation_updates;
mod operations;
mod operator;
mod quota;
mod resources;
mod restarts;
mod revocation;
mod settings;
mod shares;
mod subscription;
#[cfg(test)]
mod tests;
mod tick;
mod updates;
mod view;

use std::{collections::BTreeMap, time::Duration};

use millstream_mesos_types::{
    AgentId, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, OfferId, TaskState, executor, scheduler,
};

pub use amounts::Amounts;
use maintenance::Machine;
pub use maintenance::{MachineId, Schedule, Window};
use model::{Agent, Departed, Framework, InverseOfferRecord, OfferRecord, Owner, Removed};
pub use operator::*;
pub use quota::QuotaConfig;
pub use settings::{AgentSpec, Identity, Settings};
pub use view::MESOS_VERSION;

/// An open event stream, numbered by the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// One run of an executor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(pub String);

/// Index of an agent: its number minus one.
pub type AgentIndex = usize;

/// An executor, on an agent.
pub(crate) type ExecutorKey = (FrameworkId, ExecutorId);

/// What the edge has to do, in this order.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)] // made once, handed over once; a box for each event would cost more
pub enum Effect {
    /// Send an event to a scheduler.
    Tell(StreamId, scheduler::Event),
    /// Send an event to an executor.
    TellExecutor(StreamId, executor::Event),
    /// End a stream after what was sent on it.
    Close(StreamId),
    /// Start an executor.
    Start(Box<Start>),
    /// Kill all processes of a container that is left.
    Destroy(ContainerId),
}

/// An executor to be started.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// Where.
    pub agent: AgentIndex,
    /// Id of the agent.
    pub agent_id: AgentId,
    /// This run.
    pub container: ContainerId,
    /// Whose, with its id.
    pub framework: FrameworkInfo,
    /// What.
    pub executor: ExecutorInfo,
    /// Time it is given after SHUTDOWN.
    pub shutdown_grace: Duration,
}

/// A call that is answered with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub message: String,
}

impl Refusal {
    fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

/// A master and its agents.
#[derive(Debug)]
pub struct Cluster {
    identity: Identity,
    settings: Settings,
    now: Duration,
    /// Counts all ids ever made.
    made: u64,
    agents: Vec<Agent>,
    frameworks: BTreeMap<FrameworkId, Framework>,
    removed: Removed,
    /// Agents that are no longer registered.
    departed: Departed,
    offers: BTreeMap<OfferId, OfferRecord>,
    inverse_offers: BTreeMap<OfferId, InverseOfferRecord>,
    schedule: Schedule,
    /// Those of the schedule.
    machines: BTreeMap<MachineId, Machine>,
    quota: BTreeMap<String, QuotaConfig>,
    /// There is no leading master before this.
    leads_at: Duration,
    streams: BTreeMap<StreamId, Owner>,
    containers: BTreeMap<ContainerId, (AgentIndex, ExecutorKey)>,
    /// Where the next allocation begins, so that no agent is always last.
    first_agent: AgentIndex,
    stopping: bool,
    effects: Vec<Effect>,
}

impl Cluster {
    /// A cluster whose agents have all registered.
    pub fn new(identity: Identity, settings: Settings, agents: Vec<AgentSpec>) -> Self {
        let mut cluster = Self {
            identity,
            settings,
            now: Duration::ZERO,
            made: 0,
            agents: vec![],
            frameworks: BTreeMap::new(),
            removed: Removed::default(),
            departed: Departed::default(),
            offers: BTreeMap::new(),
            inverse_offers: BTreeMap::new(),
            schedule: Schedule::default(),
            machines: BTreeMap::new(),
            quota: BTreeMap::new(),
            leads_at: Duration::ZERO,
            streams: BTreeMap::new(),
            containers: BTreeMap::new(),
            first_agent: 0,
            stopping: false,
            effects: vec![],
        };
        for spec in agents {
            let id = AgentId::new(cluster.new_id("S"));
            cluster.agents.push(Agent::new(id, spec, cluster.unix_secs()));
        }
        cluster
    }

    /// What the inputs since the last call have caused.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Executors whose processes have not ended.
    pub fn running_containers(&self) -> usize {
        self.containers.len()
    }

    /// Shuts every executor down and starts nothing any more.
    pub fn begin_stop(&mut self, now: Duration) {
        self.at(now);
        self.stopping = true;
        for (agent, key) in self.containers.values().cloned().collect::<Vec<_>>() {
            self.shut_executor_down(agent, &key);
        }
    }

    /// Every input begins with it: time never goes back.
    fn at(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    fn unix_secs(&self) -> f64 {
        self.identity.started_unix_secs + self.now.as_secs_f64()
    }

    /// A number never used before.
    fn count(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    /// An id never used before; `kind` says at a glance whose it is.
    fn new_id(&mut self, kind: &str) -> String {
        let count = self.count();
        format!("{}-{kind}{count}", self.identity.master_id)
    }

    /// A uuid never used before.
    fn uuid(&mut self) -> Vec<u8> {
        let count = self.count();
        [self.identity.seed.to_be_bytes(), count.to_be_bytes()].concat()
    }

    /// Tells a framework, if it is there.
    fn tell(&mut self, framework: &FrameworkId, event: scheduler::Event) {
        if let Some(stream) = self.frameworks.get(framework).and_then(|framework| framework.stream) {
            self.effects.push(Effect::Tell(stream, event));
        }
    }
}

/// As master and agents see it: nothing more comes of the task.
fn is_over(state: TaskState) -> bool {
    state.is_terminal() || matches!(state, TaskState::TaskLost | TaskState::TaskGoneByOperator)
}
