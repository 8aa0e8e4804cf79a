//! `Offer.Operation` and what becomes of it.

use serde::{Deserialize, Serialize};

use crate::{AgentId, Base64, OperationId, Resource, TaskInfo};

/// `Offer.Operation`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// With it, UPDATE_OPERATION_STATUS tells the outcome. LAUNCH must have none: its outcome is the tasks' updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<OperationId>,
    /// What to do.
    #[serde(flatten)]
    pub kind: OperationKind,
}

impl Operation {
    /// Starts tasks.
    pub fn launch(task_infos: Vec<TaskInfo>) -> Self {
        Operation { id: None, kind: OperationKind::Launch { launch: Launch { task_infos } } }
    }
}

/// `Offer.Operation.Type` with its message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OperationKind {
    /// Starts tasks.
    Launch {
        /// Which.
        launch: Launch,
    },
    /// Reserves what was offered (one reservation more than it had) for the offers' role.
    Reserve {
        /// What, as it will be.
        reserve: Resources,
    },
    /// Takes the innermost reservation away.
    Unreserve {
        /// What, as it is.
        unreserve: Resources,
    },
    /// Makes persistent volumes out of reserved disk.
    Create {
        /// Which, as they will be.
        create: Volumes,
    },
    /// Removes persistent volumes with all that is in them.
    Destroy {
        /// Which.
        destroy: Volumes,
    },
    /// One this version does not know.
    #[serde(other)]
    Unknown,
}

/// `Offer.Operation.Launch`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// The tasks.
    pub task_infos: Vec<TaskInfo>,
}

/// `Offer.Operation.Reserve`, `.Unreserve`
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Resources {
    /// The resources.
    #[serde(default)]
    pub resources: Vec<Resource>,
}

/// `Offer.Operation.Create`, `.Destroy`
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Volumes {
    /// Disk resources with a persistence id.
    #[serde(default)]
    pub volumes: Vec<Resource>,
}

/// `OperationStatus`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationStatus {
    /// Of which operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<OperationId>,
    /// The state.
    pub state: OperationState,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Present exactly when the update must be acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
}

/// `UUID`, a message of its own here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uuid {
    /// Its bytes.
    pub value: Base64,
}

/// `OperationState`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)] // Mesos' own names say it
pub enum OperationState {
    OperationPending,
    OperationFinished,
    OperationFailed,
    OperationError,
    OperationDropped,
    OperationUnreachable,
    OperationGoneByOperator,
    OperationRecovering,
    #[serde(other)]
    OperationUnknown,
}

impl OperationState {
    /// It is over. GONE_BY_OPERATOR is when the operator was right; UNKNOWN says nothing.
    pub fn is_terminal(self) -> bool {
        use OperationState::*;
        matches!(
            self,
            OperationFinished | OperationFailed | OperationError | OperationDropped | OperationGoneByOperator
        )
    }
}
