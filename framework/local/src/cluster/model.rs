use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use millstream_mesos_types::{
    AgentId, Base64, ExecutorId, FrameworkId, OperationStatus, TaskInfo, TaskState, TaskStatus,
};

use super::{AgentIndex, Amounts, ExecutorKey};

mod agent;
mod framework;

pub(super) use agent::{Agent, Draining, Ending, Executor, Link, Phase};
pub(super) use framework::Framework;

/// Removed frameworks kept, as Mesos' `--max_completed_frameworks`.
const MAX_REMOVED_FRAMEWORKS: usize = 50;

/// Removed agents that reconciliation still knows; more than any test loses.
const MAX_DEPARTED_AGENTS: usize = 1_000;

/// Whose a stream is.
#[derive(Debug, Clone)]
pub(super) enum Owner {
    Framework(FrameworkId),
    Executor(AgentIndex, ExecutorKey),
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
pub(super) struct OfferRecord {
    pub(super) framework: FrameworkId,
    pub(super) agent: AgentIndex,
    pub(super) role: String,
    pub(super) resources: Amounts,
}

/// An agent is asked back from a framework for a maintenance.
#[derive(Debug)]
pub(super) struct InverseOfferRecord {
    pub(super) framework: FrameworkId,
    pub(super) agent: AgentIndex,
}

/// An operation whose outcome the scheduler has not acknowledged.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) agent: AgentIndex,
    /// With the uuid of the update.
    pub(super) status: OperationStatus,
    pub(super) retry_at: Duration,
    pub(super) retry_pause: Duration,
}

/// Agents that were removed, for reconciliation.
#[derive(Debug, Default)]
pub(super) struct Departed(VecDeque<(AgentId, Departure)>);

/// How an agent went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Departure {
    /// It is no longer heard of.
    Unreachable,
    /// An operator said that it is gone.
    Gone,
    /// Its machine was taken down.
    Removed,
}

impl Departed {
    pub(super) fn add(&mut self, id: AgentId, how: Departure) {
        self.0.push_back((id, how));
        if self.0.len() > MAX_DEPARTED_AGENTS {
            self.0.pop_front();
        }
    }

    pub(super) fn how(&self, id: &AgentId) -> Option<Departure> {
        self.0.iter().find(|(known, _)| known == id).map(|(_, how)| *how)
    }
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
