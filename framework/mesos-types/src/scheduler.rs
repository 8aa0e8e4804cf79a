//! Calls and events of the scheduler API, `POST /api/v1/scheduler`.

use serde::{Deserialize, Serialize};

use crate::{
    AgentId, Base64, ExecutorId, Filters, FrameworkId, FrameworkInfo, InverseOffer, KillPolicy, Offer,
    OfferConstraints, OfferId, Operation, OperationId, OperationStatus, TaskId, TaskStatus,
};

/// What a scheduler asks. `framework_id` is added by the session on the way out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Call {
    /// Opens the event stream.
    Subscribe {
        /// Who subscribes.
        subscribe: Subscribe,
    },
    /// Ends the framework: all its executors and tasks are killed.
    Teardown,
    /// Uses offers; what is left of them counts as declined with the filters.
    Accept {
        /// Which, and for what.
        accept: Accept,
    },
    /// Gives offers back.
    Decline {
        /// Which.
        decline: Decline,
    },
    /// Promises to have left an agent when its maintenance begins.
    AcceptInverseOffers {
        /// Which.
        accept_inverse_offers: InverseOfferAnswer,
    },
    /// Cannot promise to leave in time.
    DeclineInverseOffers {
        /// Which.
        decline_inverse_offers: InverseOfferAnswer,
    },
    /// Replaces what SUBSCRIBE said; all but principal, user and checkpoint may change. Answered 200 once it is done,
    /// 400, 403 or 409 otherwise.
    UpdateFramework {
        /// As in SUBSCRIBE.
        update_framework: Subscribe,
    },
    /// Clears all filters and ends SUPPRESS.
    Revive {
        /// For which roles; empty for all.
        #[serde(default)]
        revive: Roles,
    },
    /// Wants no offers.
    Suppress {
        /// For which roles; empty for all.
        #[serde(default)]
        suppress: Roles,
    },
    /// Ends a task, with grace.
    Kill {
        /// Which.
        kill: Kill,
    },
    /// Ends an executor and all its tasks.
    Shutdown {
        /// Which.
        shutdown: Shutdown,
    },
    /// An update is durable here and need not be sent again.
    Acknowledge {
        /// Which.
        acknowledge: Acknowledge,
    },
    /// Asks for the current state of tasks.
    Reconcile {
        /// Which; empty for all.
        reconcile: Reconcile,
    },
    /// The outcome of an operation is durable here and need not be sent again.
    AcknowledgeOperationStatus {
        /// Which.
        acknowledge_operation_status: AcknowledgeOperationStatus,
    },
    /// Asks for the current state of operations; answered by UPDATE_OPERATION_STATUS.
    ReconcileOperations {
        /// Which; empty for all.
        reconcile_operations: ReconcileOperations,
    },
    /// Data for an executor; may be lost.
    Message {
        /// For whom.
        message: Message,
    },
    /// A call this version does not know: `millstream local` answers 501 to it, as Mesos does to what it lacks.
    #[serde(other)]
    Unknown,
}

/// `Call.Subscribe`, and `Call.UpdateFramework`, which has the same fields.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Subscribe {
    /// Who subscribes.
    pub framework_info: FrameworkInfo,
    /// Roles that are suppressed from now on; all others are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppressed_roles: Vec<String>,
    /// Which agents shall be offered; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer_constraints: Option<OfferConstraints>,
}

/// `Call.AcceptInverseOffers`, `Call.DeclineInverseOffers`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InverseOfferAnswer {
    /// Which.
    pub inverse_offer_ids: Vec<OfferId>,
    /// For how long they shall not come again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filters: Option<Filters>,
}

/// `Call.AcknowledgeOperationStatus`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcknowledgeOperationStatus {
    /// From the update's status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    /// From the update's status.
    pub uuid: Base64,
    /// From the update's status.
    pub operation_id: OperationId,
}

/// `Call.ReconcileOperations`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReconcileOperations {
    /// The operations; empty asks for all.
    #[serde(default)]
    pub operations: Vec<ReconcileOperation>,
}

/// `Call.ReconcileOperations.Operation`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconcileOperation {
    /// The operation.
    pub operation_id: OperationId,
    /// Where it was asked for: makes the answer finer than OPERATION_UNKNOWN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
}

/// `Call.Accept`: all offers share agent and role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accept {
    /// The offers.
    pub offer_ids: Vec<OfferId>,
    /// What to do with them, in order.
    #[serde(default)]
    pub operations: Vec<Operation>,
    /// For what is left of them.
    #[serde(default)]
    pub filters: Option<Filters>,
}

/// `Call.Decline`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decline {
    /// The offers.
    pub offer_ids: Vec<OfferId>,
    /// For how long their like is not wanted.
    #[serde(default)]
    pub filters: Option<Filters>,
}

/// `Call.Revive`, `Call.Suppress`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Roles {
    /// The roles; empty for all.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// `Call.Kill`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kill {
    /// The task.
    pub task_id: TaskId,
    /// Where it is believed to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    /// Overrides the task's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_policy: Option<KillPolicy>,
}

/// `Call.Shutdown`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shutdown {
    /// The executor.
    pub executor_id: ExecutorId,
    /// Where it is.
    pub agent_id: AgentId,
}

/// `Call.Acknowledge`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledge {
    /// From the update's status.
    pub agent_id: AgentId,
    /// From the update's status.
    pub task_id: TaskId,
    /// From the update's status.
    pub uuid: Base64,
}

/// `Call.Reconcile`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reconcile {
    /// The tasks; empty asks for all (implicit reconciliation).
    #[serde(default)]
    pub tasks: Vec<ReconcileTask>,
}

/// `Call.Reconcile.Task`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconcileTask {
    /// The task.
    pub task_id: TaskId,
    /// Where it is believed to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
}

/// `Call.Message`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Where the executor is.
    pub agent_id: AgentId,
    /// The executor.
    pub executor_id: ExecutorId,
    /// What to say.
    pub data: Base64,
}

/// What the master tells a scheduler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Event {
    /// First event of every stream.
    Subscribed {
        /// The framework's id and the heartbeat's interval.
        subscribed: Subscribed,
    },
    /// New offers.
    Offers {
        /// The offers.
        offers: Offers,
    },
    /// An offer is no longer valid.
    Rescind {
        /// Which.
        rescind: Rescind,
    },
    /// Agents are asked back for a maintenance.
    InverseOffers {
        /// The inverse offers.
        inverse_offers: InverseOffers,
    },
    /// An inverse offer is no longer valid.
    RescindInverseOffer {
        /// Which.
        rescind_inverse_offer: RescindInverseOffer,
    },
    /// A task has another state.
    Update {
        /// Which.
        update: Update,
    },
    /// What became of an operation that has an id.
    UpdateOperationStatus {
        /// Which.
        update_operation_status: UpdateOperationStatus,
    },
    /// Data from an executor; may be lost or doubled.
    Message {
        /// From whom.
        message: Message,
    },
    /// An agent was removed, or an executor ended.
    Failure {
        /// Which.
        failure: Failure,
    },
    /// The subscription failed for good.
    Error {
        /// Why.
        error: ErrorMessage,
    },
    /// The stream lives.
    Heartbeat,
    /// An event this version does not know: ignored.
    #[serde(other)]
    Unknown,
}

/// `Event.Subscribed`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subscribed {
    /// To be persisted before the first launch.
    pub framework_id: FrameworkId,
    /// Seconds between heartbeats (15).
    #[serde(default)]
    pub heartbeat_interval_seconds: Option<f64>,
}

/// `Event.Offers`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offers {
    /// The offers.
    #[serde(default)]
    pub offers: Vec<Offer>,
}

/// `Event.Rescind`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rescind {
    /// The offer.
    pub offer_id: OfferId,
}

/// `Event.InverseOffers`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InverseOffers {
    /// The inverse offers.
    #[serde(default)]
    pub inverse_offers: Vec<InverseOffer>,
}

/// `Event.RescindInverseOffer`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RescindInverseOffer {
    /// The inverse offer.
    pub inverse_offer_id: OfferId,
}

/// `Event.UpdateOperationStatus`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdateOperationStatus {
    /// The status; acknowledge it exactly when it has a uuid.
    pub status: OperationStatus,
}

/// `Event.Update`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Update {
    /// The status; acknowledge it exactly when it has a uuid.
    pub status: TaskStatus,
}

/// `Event.Failure`: an agent's when there is no executor id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The agent.
    #[serde(default)]
    pub agent_id: Option<AgentId>,
    /// The executor.
    #[serde(default)]
    pub executor_id: Option<ExecutorId>,
    /// Its exit status (as of wait(2)).
    #[serde(default)]
    pub status: Option<i32>,
}

/// `Event.Error`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorMessage {
    /// Why, for people.
    pub message: String,
}

/// A call as it travels, with the framework it is from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// Absent only in the very first SUBSCRIBE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framework_id: Option<FrameworkId>,
    /// The call.
    #[serde(flatten)]
    pub call: Call,
}
