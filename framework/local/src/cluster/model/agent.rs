use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use millstream_mesos_types::{
    AgentId, Attribute, DomainInfo, ExecutorInfo, FrameworkId, TaskId, TaskInfo, TaskState, scheduler::Kill,
};

use crate::cluster::{AgentSpec, Amounts, ContainerId, ExecutorKey, MachineId, StreamId};

#[derive(Debug)]
pub(in crate::cluster) struct Agent {
    pub(in crate::cluster) id: AgentId,
    pub(in crate::cluster) address: String,
    pub(in crate::cluster) port: u16,
    pub(in crate::cluster) attributes: Vec<Attribute>,
    pub(in crate::cluster) domain: Option<DomainInfo>,
    /// All it has when nobody has reserved anything.
    pub(in crate::cluster) initial: Amounts,
    pub(in crate::cluster) total: Amounts,
    /// By executors and by tasks that have not ended.
    pub(in crate::cluster) used: Amounts,
    pub(in crate::cluster) offered: Amounts,
    pub(in crate::cluster) link: Link,
    /// An operator wants nothing started there.
    pub(in crate::cluster) deactivated: bool,
    pub(in crate::cluster) draining: Option<Draining>,
    /// What the agent itself still drains: until its last executor has ended, even if the master calls it drained or has
    /// reactivated it.
    pub(in crate::cluster) drain_config: Option<Draining>,
    /// Kills that came while it was not connected.
    pub(in crate::cluster) kills: Vec<(FrameworkId, Kill)>,
    pub(in crate::cluster) registered_unix_secs: f64,
    pub(in crate::cluster) executors: BTreeMap<ExecutorKey, Executor>,
}

impl Agent {
    pub(in crate::cluster) fn new(id: AgentId, spec: AgentSpec, registered_unix_secs: f64) -> Self {
        Self {
            id,
            address: spec.address,
            port: spec.port,
            attributes: spec.attributes,
            domain: spec.domain,
            initial: spec.total.clone(),
            total: spec.total,
            used: Amounts::default(),
            offered: Amounts::default(),
            link: Link::Connected,
            deactivated: false,
            draining: None,
            drain_config: None,
            kills: vec![],
            registered_unix_secs,
            executors: BTreeMap::new(),
        }
    }

    /// The master knows it, even if it is not connected just now.
    pub(in crate::cluster) fn is_registered(&self) -> bool {
        !matches!(self.link, Link::Unregistered { .. } | Link::Gone)
    }

    pub(in crate::cluster) fn is_connected(&self) -> bool {
        self.link == Link::Connected
    }

    /// Its process speaks to its executors.
    pub(in crate::cluster) fn is_running(&self) -> bool {
        !matches!(self.link, Link::Restarting { .. })
    }

    /// What runs there may be added to.
    pub(in crate::cluster) fn is_active(&self) -> bool {
        self.is_connected() && !self.deactivated
    }

    /// As schedules of maintenance name it.
    pub(in crate::cluster) fn machine(&self) -> MachineId {
        MachineId { hostname: self.address.clone(), ip: self.address.clone() }
    }

    /// Neither used nor offered.
    pub(in crate::cluster) fn free(&self) -> Amounts {
        let mut free = self.total.clone();
        free.subtract(&self.used);
        free.subtract(&self.offered);
        free
    }
}

/// Between agent and master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cluster) enum Link {
    Connected,
    /// The agent's process is away; its executors live on.
    Restarting {
        back_at: Duration,
    },
    /// The agent's process is back and waits for its executors.
    Recovering {
        until: Duration,
    },
    /// The master has failed over and has not heard of it yet.
    Unregistered {
        until: Duration,
    },
    /// Lost, down or gone for good.
    Gone,
}

/// An operator wants an agent to be empty.
#[derive(Debug, Clone, Copy)]
pub(in crate::cluster) struct Draining {
    pub(in crate::cluster) max_grace: Option<Duration>,
    pub(in crate::cluster) mark_gone: bool,
    /// Nothing is left there.
    pub(in crate::cluster) drained: bool,
}

#[derive(Debug)]
pub(in crate::cluster) struct Executor {
    pub(in crate::cluster) info: ExecutorInfo,
    pub(in crate::cluster) role: String,
    pub(in crate::cluster) resources: Amounts,
    pub(in crate::cluster) container: ContainerId,
    /// Known once the process runs.
    pub(in crate::cluster) pid: Option<u32>,
    pub(in crate::cluster) phase: Phase,
    pub(in crate::cluster) stream: Option<StreamId>,
    /// Not yet told to the executor.
    pub(in crate::cluster) queued: Vec<TaskInfo>,
    /// Tasks that have not ended, queued ones too.
    pub(in crate::cluster) tasks: BTreeSet<TaskId>,
    /// What its tasks come to when it ends by our doing.
    pub(in crate::cluster) ending: Option<Ending>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cluster) enum Phase {
    /// Started; has to subscribe in time.
    Registering { until: Duration },
    /// Has subscribed.
    Running,
    /// Was told to shut down, and is ended by force in time.
    Terminating { until: Duration },
    /// Its container is being destroyed.
    Destroyed,
}

/// Why the tasks of an executor ended with it.
#[derive(Debug, Clone)]
pub(in crate::cluster) struct Ending {
    pub(in crate::cluster) state: TaskState,
    pub(in crate::cluster) reason: &'static str,
    pub(in crate::cluster) message: String,
}
