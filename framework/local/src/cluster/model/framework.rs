use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use millstream_mesos_types::{AgentId, FrameworkInfo, OperationId, TaskId};

use super::{Filter, Operation, Task};
use crate::cluster::{AgentIndex, StreamId, constraints::Constraints};

/// Ended tasks kept for the pages, as Mesos' `--max_completed_tasks_per_framework`.
const MAX_COMPLETED_TASKS: usize = 1_000;
/// Unreachable tasks kept, as Mesos' `--max_unreachable_tasks_per_framework`.
const MAX_UNREACHABLE_TASKS: usize = 1_000;

#[derive(Debug)]
pub(in crate::cluster) struct Framework {
    pub(in crate::cluster) info: FrameworkInfo,
    /// None while it is disconnected.
    pub(in crate::cluster) stream: Option<StreamId>,
    /// When it is removed unless it comes back; set while disconnected.
    pub(in crate::cluster) remove_at: Option<Duration>,
    pub(in crate::cluster) next_heartbeat: Duration,
    pub(in crate::cluster) registered_unix_secs: f64,
    pub(in crate::cluster) suppressed: BTreeSet<String>,
    pub(in crate::cluster) constraints: Constraints,
    pub(in crate::cluster) filters: Vec<Filter>,
    /// Agents for which no inverse offer comes for a while.
    pub(in crate::cluster) inverse_filters: Vec<(AgentIndex, Duration)>,
    /// Until the terminal update was acknowledged.
    pub(in crate::cluster) tasks: BTreeMap<TaskId, Task>,
    /// Until the outcome was acknowledged.
    pub(in crate::cluster) operations: BTreeMap<OperationId, Operation>,
    pub(in crate::cluster) completed: VecDeque<serde_json::Value>,
    pub(in crate::cluster) unreachable: VecDeque<(TaskId, AgentId)>,
}

impl Framework {
    pub(in crate::cluster) fn new(info: FrameworkInfo, registered_unix_secs: f64) -> Self {
        Self {
            info,
            stream: None,
            remove_at: None,
            next_heartbeat: Duration::ZERO,
            registered_unix_secs,
            suppressed: BTreeSet::new(),
            constraints: Constraints::default(),
            filters: vec![],
            inverse_filters: vec![],
            tasks: BTreeMap::new(),
            operations: BTreeMap::new(),
            completed: VecDeque::new(),
            unreachable: VecDeque::new(),
        }
    }

    /// `*` when it names none.
    pub(in crate::cluster) fn roles(&self) -> Vec<String> {
        if self.info.roles.is_empty() { vec!["*".to_owned()] } else { self.info.roles.clone() }
    }

    pub(in crate::cluster) fn is_partition_aware(&self) -> bool {
        self.is_capable_of("PARTITION_AWARE")
    }

    /// It has said so in its capabilities.
    pub(in crate::cluster) fn is_capable_of(&self, what: &str) -> bool {
        self.info.capabilities.iter().any(|capability| capability.kind == what)
    }

    /// Offers, and all that refuses them, end with a subscription.
    pub(in crate::cluster) fn forget_filters(&mut self) {
        self.filters.clear();
        self.inverse_filters.clear();
    }

    pub(in crate::cluster) fn complete(&mut self, task: serde_json::Value) {
        self.completed.push_back(task);
        if self.completed.len() > MAX_COMPLETED_TASKS {
            self.completed.pop_front();
        }
    }

    pub(in crate::cluster) fn remember_unreachable(&mut self, task: TaskId, agent: AgentId) {
        self.unreachable.push_back((task, agent));
        if self.unreachable.len() > MAX_UNREACHABLE_TASKS {
            self.unreachable.pop_front();
        }
    }
}
