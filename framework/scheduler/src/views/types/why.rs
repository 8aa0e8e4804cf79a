use std::collections::BTreeMap;

use millstream_mesos_types::TaskState;
use millstream_placement::{Reason, ReasonKind, Tier};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::records::JobPhase;

/// Why a job's tasks are where they are, or nowhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WhyView {
    /// The job.
    pub job: String,
    /// What it does.
    pub phase: JobPhase,
    /// What the whole job waits for, if it does.
    #[serde(default)]
    pub note: Option<String>,
    /// The change under way, or why the last one was taken back.
    #[serde(default)]
    pub rollout: Option<RolloutView>,
    /// Partitions that need a person.
    #[serde(default)]
    pub stopped_partitions: Vec<StoppedPartition>,
    /// Partitions that wait for something and go on by themselves.
    #[serde(default)]
    pub stalled_partitions: Vec<StoppedPartition>,
    /// Every slot.
    pub slots: Vec<SlotWhy>,
    /// Back-off after failures.
    #[serde(default)]
    pub backoff: Option<BackoffView>,
    /// The job's last ends of tasks nobody asked for, newest first.
    #[serde(default)]
    pub recent_failures: Vec<FailureView>,
    /// The last ends of tasks that an operator wanted (SIGTERM, a drain of the agent, …), newest first: no failures.
    #[serde(default)]
    pub recent_ends: Vec<FailureView>,
    /// Crashes that repeat at the same offset.
    #[serde(default)]
    pub repeated_crashes: Vec<RepeatedCrash>,
}

impl WhyView {
    /// No agent could ever hold what these slots wait for: that is why, and no deadline mends it.
    pub fn never_placed(&mut self, slots: &[u32], why: &str) {
        for slot in self.slots.iter_mut().filter(|slot| slots.contains(&slot.slot)) {
            if let SlotState::Waiting { text, deadline_in_ms, .. } = &mut slot.state {
                (*text, *deadline_in_ms) = (format!("as the cluster is, it will never be placed: {why}"), 0);
            }
        }
    }
}

/// A change of a running job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RolloutView {
    /// How it stands.
    pub state: RolloutState,
    /// Generation before; after a roll-back that of the version that failed.
    pub from: u64,
    /// Generation it comes to.
    pub to: u64,
    /// Tasks that are well there.
    pub done: usize,
    /// All tasks.
    pub total: usize,
    /// Why it was taken back.
    #[serde(default)]
    pub reason: Option<String>,
}

/// How a change of a running job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// Task by task to the new version.
    Rolling,
    /// All tasks have drained or drain, and start as the new version.
    Restarting,
    /// It failed; tasks go back to the version before.
    RollingBack,
    /// It failed, and the version before runs. Shown until the next deploy.
    RolledBack,
}

/// A partition that does not go on, or not now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoppedPartition {
    /// Its number.
    pub partition: i32,
    /// Its task; empty while it has none.
    pub task: String,
    /// Why.
    pub reason: String,
    /// Offset of the record it stopped at; none when it is no record's fault.
    #[serde(default)]
    pub offset: Option<i64>,
    /// How a person moves the group's offset, where it waits for that.
    #[serde(default)]
    pub remedy: Option<String>,
}

/// A partition whose tasks crash one after the other without getting further.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepeatedCrash {
    /// Its number.
    pub partition: i32,
    /// Lowest offset that is not durable.
    pub offset: i64,
    /// Crashes in a row.
    pub crashes: u32,
    /// How the last one ended.
    pub last: String,
    /// What to do, one line.
    pub remedy: String,
}

/// One slot: where it runs, or why it waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlotWhy {
    /// Its index.
    pub slot: u32,
    /// Its partitions.
    pub partitions: Vec<i32>,
    /// Since when it is as it is, in milliseconds since the epoch.
    pub since_ms: u64,
    /// Its persistent volume, once one was made.
    #[serde(default)]
    pub volume: Option<VolumeView>,
    /// How it is.
    #[serde(flatten)]
    pub state: SlotState,
}

/// The persistent volume of a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeView {
    /// Its id, also at Mesos.
    pub id: String,
    /// Id of the agent it is on.
    pub agent: String,
    /// Agent's host name.
    pub host: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Has Mesos said that it is made?
    pub made: bool,
}

/// How a slot is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum SlotState {
    /// It has no task.
    Waiting {
        /// The reason to show first.
        reason: Reason,
        /// The same for people.
        text: String,
        /// How many offers were refused for which reason since it waits.
        refused: BTreeMap<ReasonKind, usize>,
        /// Until it takes whatever there is, in milliseconds from now; 0 when that time has passed, or when the reason is
        /// one that no waiting mends.
        deadline_in_ms: u64,
        /// Until it may start at all (back-off), in milliseconds from now.
        backoff_in_ms: u64,
    },
    /// It has a task.
    Placed {
        /// The task.
        task: String,
        /// Its state.
        task_state: TaskState,
        /// Is it being drained?
        draining: bool,
        /// Its executor.
        executor: String,
        /// Agent id.
        agent: String,
        /// Agent's host name.
        host: String,
        /// How far its records come.
        source_tier: Tier,
        /// How far the nearest replica of the ring is.
        sink_tier: Tier,
        /// Age of its executor's last report; none before the first one.
        last_report_ms: Option<u64>,
        /// Why it is not replaced though it is silent.
        #[serde(default)]
        note: Option<String>,
    },
}

/// Back-off after failures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackoffView {
    /// Failures in a row.
    pub failures: u32,
    /// Until the next launch, in milliseconds from now.
    pub retry_in_ms: u64,
}

/// A task that ended though nobody asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailureView {
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The task.
    pub task: String,
    /// Agent's host name.
    pub host: String,
    /// Label of the cause.
    pub cause: String,
    /// What Mesos or the executor said.
    pub message: String,
}
