use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use millstream_mesos_types::{
    AgentId, Attribute, Base64, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, TaskId, TaskInfo, TaskState,
    TaskStatus,
};

use super::{AgentIndex, AgentSpec, Amounts, ContainerId, ExecutorKey, StreamId};

/// Ended tasks kept for the pages, as Mesos' `--max_completed_tasks_per_framework`.
const MAX_COMPLETED_TASKS: usize = 1_000;
/// Unreachable tasks that reconciliation still knows, as Mesos' `--max_unreachable_tasks_per_framework`.
const MAX_UNREACHABLE_TASKS: usize = 1_000;
/// Removed frameworks kept, as Mesos' `--max_completed_frameworks`.
const MAX_REMOVED_FRAMEWORKS: usize = 50;

/// Whose a stream is.
#[derive(Debug, Clone)]
pub(super) enum Owner {
    Framework(FrameworkId),
    Executor(AgentIndex, ExecutorKey),
}

#[derive(Debug)]
pub(super) struct Framework {
    pub(super) info: FrameworkInfo,
    /// None while it is disconnected.
    pub(super) stream: Option<StreamId>,
    /// When it is removed unless it comes back; set while disconnected.
    pub(super) remove_at: Option<Duration>,
    pub(super) next_heartbeat: Duration,
    pub(super) registered_unix_secs: f64,
    pub(super) suppressed: BTreeSet<String>,
    pub(super) filters: Vec<Filter>,
    /// Until the terminal update was acknowledged.
    pub(super) tasks: BTreeMap<TaskId, Task>,
    pub(super) completed: VecDeque<serde_json::Value>,
    pub(super) unreachable: VecDeque<(TaskId, AgentId)>,
}

impl Framework {
    pub(super) fn new(info: FrameworkInfo, registered_unix_secs: f64) -> Self {
        Self {
            info,
            stream: None,
            remove_at: None,
            next_heartbeat: Duration::ZERO,
            registered_unix_secs,
            suppressed: BTreeSet::new(),
            filters: vec![],
            tasks: BTreeMap::new(),
            completed: VecDeque::new(),
            unreachable: VecDeque::new(),
        }
    }

    /// `*` when it names none.
    pub(super) fn roles(&self) -> Vec<String> {
        if self.info.roles.is_empty() { vec!["*".to_owned()] } else { self.info.roles.clone() }
    }

    pub(super) fn is_partition_aware(&self) -> bool {
        self.info.capabilities.iter().any(|capability| capability.kind == "PARTITION_AWARE")
    }

    pub(super) fn complete(&mut self, task: serde_json::Value) {
        self.completed.push_back(task);
        if self.completed.len() > MAX_COMPLETED_TASKS {
            self.completed.pop_front();
        }
    }

    pub(super) fn remember_unreachable(&mut self, task: TaskId, agent: AgentId) {
        self.unreachable.push_back((task, agent));
        if self.unreachable.len() > MAX_UNREACHABLE_TASKS {
            self.unreachable.pop_front();
        }
    }
}

/// What a framework declined and does not want to be offered again.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) agent: AgentId,
    pub(super) role: String,
    pub(super) refused: Amounts,
    pub(super) until: Duration,
}

#[derive(Debug)]
pub(super) struct Task {
    pub(super) info: TaskInfo,
    pub(super) agent: AgentIndex,
    pub(super) executor_id: ExecutorId,
    pub(super) role: String,
    pub(super) resources: Amounts,
    /// As the executor said last.
    pub(super) latest: TaskState,
    /// As the scheduler was told last; what reconciliation answers.
    pub(super) told: TaskState,
    /// The newest status of each state, in order.
    pub(super) statuses: Vec<TaskStatus>,
    /// Not acknowledged by the scheduler; only the first is on its way.
    pub(super) updates: VecDeque<TaskStatus>,
    /// Of every update ever taken, so that one sent again is taken once.
    pub(super) uuids: BTreeSet<Vec<u8>>,
    pub(super) retry_at: Duration,
    pub(super) retry_pause: Duration,
    /// When a KILL's grace is over.
    pub(super) force_at: Option<Duration>,
}

impl Task {
    pub(super) fn knows(&self, uuid: &Base64) -> bool {
        self.uuids.contains(&uuid.0)
    }
}

#[derive(Debug)]
pub(super) struct Agent {
    pub(super) id: AgentId,
    pub(super) address: String,
    pub(super) port: u16,
    pub(super) attributes: Vec<Attribute>,
    pub(super) total: Amounts,
    /// By executors and by tasks that have not ended.
    pub(super) used: Amounts,
    pub(super) offered: Amounts,
    pub(super) active: bool,
    pub(super) registered_unix_secs: f64,
    pub(super) executors: BTreeMap<ExecutorKey, Executor>,
}

impl Agent {
    pub(super) fn new(id: AgentId, spec: AgentSpec, registered_unix_secs: f64) -> Self {
        Self {
            id,
            address: spec.address,
            port: spec.port,
            attributes: spec.attributes,
            total: spec.total,
            used: Amounts::default(),
            offered: Amounts::default(),
            active: true,
            registered_unix_secs,
            executors: BTreeMap::new(),
        }
    }

    /// Neither used nor offered.
    pub(super) fn free(&self) -> Amounts {
        let mut free = self.total.clone();
        free.subtract(&self.used);
        free.subtract(&self.offered);
        free
    }
}

#[derive(Debug)]
pub(super) struct Executor {
    pub(super) info: ExecutorInfo,
    pub(super) role: String,
    pub(super) resources: Amounts,
    pub(super) container: ContainerId,
    /// Known once the process runs.
    pub(super) pid: Option<u32>,
    pub(super) phase: Phase,
    pub(super) stream: Option<StreamId>,
    /// Not yet told to the executor.
    pub(super) queued: Vec<TaskInfo>,
    /// Tasks that have not ended, queued ones too.
    pub(super) tasks: BTreeSet<TaskId>,
    /// What its tasks come to when it ends by our doing.
    pub(super) ending: Option<Ending>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
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
pub(super) struct Ending {
    pub(super) state: TaskState,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

#[derive(Debug)]
pub(super) struct OfferRecord {
    pub(super) framework: FrameworkId,
    pub(super) agent: AgentIndex,
    pub(super) role: String,
    pub(super) resources: Amounts,
}

/// Frameworks that must not come back under their id.
#[derive(Debug, Default)]
pub(super) struct Removed(VecDeque<(FrameworkId, serde_json::Value)>);

impl Removed {
    pub(super) fn add(&mut self, id: FrameworkId, view: serde_json::Value) {
        self.0.push_back((id, view));
        if self.0.len() > MAX_REMOVED_FRAMEWORKS {
            self.0.pop_front();
        }
    }

    pub(super) fn contains(&self, id: &FrameworkId) -> bool {
        self.0.iter().any(|(known, _)| known == id)
    }

    pub(super) fn views(&self) -> impl Iterator<Item = &serde_json::Value> {
        self.0.iter().map(|(_, view)| view)
    }
}
