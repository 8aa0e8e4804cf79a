use millstream_mesos_types::{OperationState, TaskState, scheduler::Call};
use millstream_placement::{ReasonKind, Tier};
use millstream_protocol::PartitionStatus;
use serde::Serialize;
use serde_json::Value;

use crate::Refusal;

/// What a step wants done, in this order: records in one transaction, then calls in order, then audit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effects {
    /// Durable changes.
    pub records: Vec<RecordChange>,
    /// Calls to the master.
    pub calls: Vec<Call>,
    /// What happened, for logs and metrics.
    pub audit: Vec<Audit>,
    /// Answer to `Deploy`, `Stop` and `Delete`.
    pub reply: Option<Reply>,
}

/// One durable change.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordChange {
    /// The record, e.g. `slot/flights/3`.
    pub key: String,
    /// Its new value; none deletes it.
    pub value: Option<Value>,
}

/// Answer to what a person asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The job is new, or starts again.
    Started {
        /// Its generation.
        generation: u64,
    },
    /// Nothing to do: it is already so.
    Unchanged,
    /// The new text is stored; running tasks stay as they are (only comments or order differ).
    TextOnly,
    /// The job becomes what is now written.
    Updating {
        /// Generation it will have.
        generation: u64,
        /// Task by task; else all tasks drain before it starts.
        rolling: bool,
        /// Tasks to be restarted.
        tasks: usize,
    },
    /// The job drains and then stays stopped.
    Stopping,
    /// The job is gone.
    Deleted,
    /// There is no such job.
    NoSuchJob,
    /// Only a stopped job can be deleted.
    NotStopped,
    /// It cannot be deployed here; nothing was changed.
    Refused(Refusal),
}

/// Why a task ended or was given up. Closed: label of the failure metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    /// Drained because somebody asked for it.
    Drained,
    /// Its drain took too long.
    DrainTimeout,
    /// It failed by itself.
    Failed,
    /// It ended though nobody asked for it (killed by hand, finished).
    Unexpected,
    /// Mesos refused it as invalid: trying again needs another job file or executor.
    Invalid,
    /// Its offers were gone; tried again at once.
    InvalidOffers,
    /// It was dropped before it ran.
    Dropped,
    /// The master knows nothing of it: its launch never arrived, or master or agent are new. Nobody's fault.
    Unknown,
    /// Its agent is unreachable or gone.
    AgentLost,
    /// An operator drains its agent.
    AgentDraining,
    /// A person, or its machine that shuts down, asked its executor to leave (SIGTERM).
    Terminated,
    /// Its agent shut the executor down: the agent itself leaves, or an operator wants it.
    AgentShutdown,
    /// Its executor ended.
    ExecutorLost,
    /// Its executor exceeded its memory.
    OutOfMemory,
    /// Its agent took back the revocable resources it used.
    Preempted,
    /// Its executor missed its reports.
    Silent,
    /// The framework was removed by the master.
    FrameworkRemoved,
}

impl EndCause {
    /// Did an operator want it? Then it is no failure and is not held against the job.
    pub fn is_operators(self) -> bool {
        matches!(self, EndCause::Drained | EndCause::AgentDraining | EndCause::Terminated | EndCause::AgentShutdown)
    }

    /// As label and in sentences.
    pub fn as_str(self) -> &'static str {
        match self {
            EndCause::Drained => "drained",
            EndCause::DrainTimeout => "drain_timeout",
            EndCause::Failed => "failed",
            EndCause::Unexpected => "unexpected",
            EndCause::Invalid => "invalid",
            EndCause::InvalidOffers => "invalid_offers",
            EndCause::Dropped => "dropped",
            EndCause::Unknown => "unknown",
            EndCause::AgentLost => "agent_lost",
            EndCause::AgentDraining => "agent_draining",
            EndCause::Terminated => "terminated",
            EndCause::AgentShutdown => "agent_shutdown",
            EndCause::ExecutorLost => "executor_lost",
            EndCause::OutOfMemory => "out_of_memory",
            EndCause::Preempted => "preempted",
            EndCause::Silent => "silent",
            EndCause::FrameworkRemoved => "framework_removed",
        }
    }
}

/// What happened, as data. Every "no" and every change of a task is one of these.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
#[allow(missing_docs)] // field names as in Mesos and in the views
pub enum Audit {
    Subscribed {
        framework_id: String,
        known: bool,
        tasks: usize,
    },
    Disconnected,
    FrameworkRemoved {
        tasks: usize,
    },
    OffersAccepted {
        agent: String,
        role: String,
        offers: usize,
        tasks: usize,
    },
    OffersDeclined {
        agent: String,
        role: String,
        offers: usize,
        reason: ReasonKind,
        refuse_secs: f64,
    },
    OfferRescinded {
        offer: String,
    },
    InverseOfferAccepted {
        agent: String,
        tasks: usize,
        start_ms: u64,
    },
    InverseOfferDeclined {
        agent: String,
        tasks: usize,
        reason: String,
    },
    InverseOfferRescinded {
        offer: String,
    },
    MaintenanceDrain {
        agent: String,
        tasks: usize,
    },
    MaintenanceCancelled {
        agent: String,
    },
    Suppressed,
    Revived,
    WishesTold {
        sizes: usize,
        groups: usize,
        revocable: bool,
    },
    TaskLaunched {
        job: String,
        slot: u32,
        task: String,
        executor: String,
        agent: String,
        source_tier: Tier,
        sink_tier: Tier,
    },
    TaskChanged {
        job: String,
        task: String,
        agent: String,
        state: TaskState,
    },
    TaskEnded {
        job: String,
        slot: u32,
        task: String,
        agent: String,
        cause: EndCause,
        state: Option<TaskState>,
        message: String,
        retry_in_ms: u64,
    },
    CondemnedEnded {
        job: String,
        task: String,
        agent: String,
    },
    LaunchTimeout {
        job: String,
        task: String,
        agent: String,
    },
    ExecutorLost {
        job: String,
        executor: String,
        agent: String,
        cause: EndCause,
        tasks: usize,
    },
    AgentLost {
        agent: String,
        executors: usize,
    },
    UnknownTask {
        task: String,
        agent: String,
    },
    UnknownExecutor {
        executor: String,
        agent: String,
    },
    Reconciling {
        tasks: usize,
    },
    ReconcilingAll,
    Report {
        job: String,
        executor: String,
    },
    ReportRefused {
        executor: String,
        agent: String,
        error: String,
    },
    PartitionChanged {
        job: String,
        partition: i32,
        status: PartitionStatus,
        reason: String,
    },
    JobDeployed {
        job: String,
        generation: u64,
        reply: Reply,
    },
    JobStarted {
        job: String,
        generation: u64,
    },
    JobDraining {
        job: String,
        tasks: usize,
    },
    RolloutStarted {
        job: String,
        from: u64,
        to: u64,
        tasks: usize,
    },
    RolloutStep {
        job: String,
        slot: u32,
        generation: u64,
    },
    RolloutDone {
        job: String,
        generation: u64,
    },
    RolledBack {
        job: String,
        from: u64,
        to: u64,
        reason: String,
    },
    VolumeMade {
        job: String,
        slot: u32,
        volume: String,
        agent: String,
        size_bytes: u64,
    },
    VolumeGivenUp {
        job: String,
        slot: u32,
        volume: String,
        agent: String,
    },
    VolumeRemoved {
        volume: String,
        agent: String,
    },
    OperationFailed {
        operation: String,
        state: OperationState,
        message: String,
    },
    JobStopped {
        job: String,
    },
    JobDeleted {
        job: String,
    },
    SlotsMade {
        job: String,
        slots: usize,
        partitions: usize,
    },
    SchedulerStalled {
        gap_ms: u64,
    },
    ManySilent {
        executors: usize,
        of: usize,
    },
    StopKept {
        job: String,
        partition: i32,
        offset: i64,
        reason: String,
    },
    StopEnded {
        job: String,
        partition: i32,
        offset: i64,
    },
    CrashRepeats {
        job: String,
        partition: i32,
        offset: i64,
        crashes: u32,
    },
    SourceGone {
        job: String,
        reason: String,
    },
    SourceBack {
        job: String,
    },
}
