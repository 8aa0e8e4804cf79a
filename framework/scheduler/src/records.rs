//! The durable forms: what [`crate::State::restore`] needs to go on after a crash.
//!
//! Keys: `framework`, `counter`, `job/{name}`, `retired/{name}`, `slot/{name}/{index}`, `task/{id}`, `executor/{id}`,
//! `volume/{id}`.
//! Values are JSON; a field may be added with a default, never renamed.

use std::{collections::BTreeMap, fmt};

use millstream_mesos_types::{Base64, ExecutorInfo, OperationState, TaskState};
use millstream_placement::{Place, Tier};
use millstream_protocol::{KeptStop, Location};
use millstream_spec::JobSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names a slot: job and index.
pub type SlotKey = (String, u32);

/// Key of a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// [`FrameworkRecord`]
    Framework,
    /// [`CounterRecord`]
    Counter,
    /// [`JobRecord`]
    Job(String),
    /// [`RetiredRecord`]
    Retired(String),
    /// [`SlotRecord`]
    Slot(SlotKey),
    /// [`TaskRecord`]
    Task(String),
    /// [`ExecutorRecord`]
    Executor(String),
    /// [`VolumeRecord`]
    Volume(String),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Framework => f.write_str("framework"),
            Key::Counter => f.write_str("counter"),
            Key::Job(name) => write!(f, "job/{name}"),
            Key::Retired(name) => write!(f, "retired/{name}"),
            Key::Slot((job, index)) => write!(f, "slot/{job}/{index}"),
            Key::Task(id) => write!(f, "task/{id}"),
            Key::Executor(id) => write!(f, "executor/{id}"),
            Key::Volume(id) => write!(f, "volume/{id}"),
        }
    }
}

impl Key {
    /// The key of this text; none for a text of another form.
    pub fn parse(text: &str) -> Option<Key> {
        Some(match text.split_once('/') {
            None if text == "framework" => Key::Framework,
            None if text == "counter" => Key::Counter,
            Some(("job", name)) => Key::Job(name.into()),
            Some(("retired", name)) => Key::Retired(name.into()),
            Some(("slot", rest)) => {
                let (job, index) = rest.rsplit_once('/')?;
                Key::Slot((job.into(), index.parse().ok()?))
            }
            Some(("task", id)) => Key::Task(id.into()),
            Some(("executor", id)) => Key::Executor(id.into()),
            Some(("volume", id)) => Key::Volume(id.into()),
            _ => return None,
        })
    }
}

/// Our id at the master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameworkRecord {
    /// Mesos' FrameworkID.
    pub id: String,
}

/// Makes ids of tasks, executors, volumes and operations unique for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterRecord {
    /// Next number never used.
    pub next: u64,
}

/// Last generation of a deleted job, so that one of the same name never reuses its timestamp blocks (delivery.md D5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetiredRecord {
    /// Last generation used.
    pub generation: u64,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// What runs (or ran last).
    pub spec: JobSpec,
    /// As written.
    pub toml: String,
    /// Data epoch of `spec`.
    pub generation: u64,
    /// Number of `spec`, greater than those before it. Unlike `generation` it changes whenever tasks must be restarted;
    /// executors of one version never get tasks of another. 0 in records of release 0.1.
    #[serde(default)]
    pub version: u64,
    /// What it does.
    pub phase: JobPhase,
    /// What follows the drain; none to stay stopped.
    #[serde(default)]
    pub next: Option<NextVersion>,
    /// The change under way, or why the last one was taken back.
    #[serde(default)]
    pub rollout: Option<Rollout>,
    /// The text that was deployed before the present one, or has failed since, for people; none before the first change.
    #[serde(default)]
    pub previous_toml: Option<String>,
    /// First deployed, in milliseconds since the epoch.
    pub created_ms: u64,
    /// Last changed by a person.
    pub changed_ms: u64,
    /// How far it had come when it was stopped; none while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<LeftRecord>,
}

/// What a stopped job's tasks last said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftRecord {
    /// Partition → lowest offset that was not durable.
    #[serde(default)]
    pub durable: BTreeMap<i32, i64>,
    /// Partitions that had stopped.
    #[serde(default)]
    pub stops: Vec<KeptStop>,
}

impl JobRecord {
    /// As deployed last: what runs, or follows the drain.
    pub fn deployed_toml(&self) -> &String {
        self.next.as_ref().map_or(&self.toml, |next| &next.toml)
    }
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobPhase {
    /// Its slots are filled.
    Running,
    /// Its tasks flush, commit and leave.
    Draining,
    /// It has no tasks.
    Stopped,
}

/// A job's version that waits for the drain of the one before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NextVersion {
    /// What it will be.
    pub spec: JobSpec,
    /// As written.
    pub toml: String,
    /// Its data epoch.
    pub generation: u64,
}

/// A change of a job that has not proven itself, or that has failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Rollout {
    /// To the job's `spec`, or (while the job drains) to its `next`.
    Rolling {
        /// What ran before, and runs again if this fails. Slots up to its number run it.
        good: Box<GoodVersion>,
        /// Partitions that stood still when it began: the new version is not to blame for them.
        #[serde(default)]
        stopped: Vec<i32>,
    },
    /// The job's `spec` (or `next`) is what ran before; remembered for people until the next deploy.
    RolledBack {
        /// Data epoch of the version that failed.
        generation: u64,
        /// Why, one line.
        reason: String,
        /// When, in milliseconds since the epoch.
        at_ms: u64,
    },
}

/// A job's version that ran until a person changed it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GoodVersion {
    /// What it is.
    pub spec: JobSpec,
    /// As written.
    pub toml: String,
    /// Its data epoch.
    pub generation: u64,
    /// Its number.
    pub version: u64,
}

/// A share of a job's partitions, filled by at most one current task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRecord {
    /// Its partitions, ascending. Never cut again while the job runs.
    pub partitions: Vec<i32>,
    /// Its current task: the one assignment of these partitions.
    #[serde(default)]
    pub task: Option<String>,
    /// Since when it has (or lacks) its task, in milliseconds since the epoch.
    pub since_ms: u64,
    /// The job's version that it runs or shall run next.
    #[serde(default)]
    pub version: u64,
    /// Partition → lowest offset not durable, as its last task said before it ended.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub durable: BTreeMap<i32, i64>,
    /// Partitions that stay stopped until a person acts, whatever becomes of their executor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stops: Vec<StopRecord>,
}

/// A stop that outlives its executor, for tasks of the version that met it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRecord {
    /// The job's version that met it.
    pub version: u64,
    /// Where and why.
    pub stop: KeptStop,
}

/// A task that has been launched and whose end is not known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Its job.
    pub job: String,
    /// Its slot.
    pub slot: u32,
    /// Data epoch.
    pub generation: u64,
    /// Its partitions.
    pub partitions: Vec<i32>,
    /// Where it is.
    pub agent: String,
    /// Its executor.
    pub executor: String,
    /// Last state heard of; TASK_STAGING from the intent on.
    pub state: TaskState,
    /// What is wanted of it.
    pub aim: Aim,
    /// When the intent was stored, in milliseconds since the epoch.
    pub launched_ms: u64,
    /// When the launch is given up without any update (then reconciled, never assumed), in milliseconds since the epoch.
    pub deadline_ms: u64,
    /// How far its records come.
    pub source_tier: Tier,
    /// How far the nearest replica of the ring is.
    pub sink_tier: Tier,
    /// uuid of the last update taken in, so that its repetition changes nothing.
    #[serde(default)]
    pub last_uuid: Option<Base64>,
}

/// What is wanted of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// It shall run: it is its slot's current task.
    Run,
    /// It shall flush, commit and end; still its slot's current task.
    Drain,
    /// It was given up and replaced; it is killed whenever it shows up, until it is known to have ended.
    Condemned,
}

/// An executor that may live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutorRecord {
    /// Its job.
    pub job: String,
    /// Data epoch of its job.
    pub generation: u64,
    /// The job's version it was told: it gets tasks of no other.
    #[serde(default)]
    pub version: u64,
    /// Where it is.
    pub agent: String,
    /// The agent's place, for spread caps and locality.
    pub place: Place,
    /// What it was told about its place.
    pub location: Location,
    /// Sent with each of its tasks, byte for byte the same, as Mesos demands.
    pub info: ExecutorInfo,
    /// Given up: gets no new task.
    #[serde(default)]
    pub lost: bool,
}

/// A persistent volume, from the intent to make it until its disk is given back. Its id begins with job and slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// Its job.
    pub job: String,
    /// The slot whose tasks get it, one after the other.
    pub slot: u32,
    /// Where it is.
    pub agent: String,
    /// Agent's host name, for people; empty in records from before it was kept.
    #[serde(default)]
    pub host: String,
    /// Its size as the job asked for it.
    pub size_bytes: u64,
    /// Since when nobody wants it any more, in milliseconds since the epoch; it is destroyed when it is offered.
    #[serde(default)]
    pub given_up_ms: Option<u64>,
    /// RESERVE and CREATE; then the last DESTROY and UNRESERVE.
    pub operations: Vec<OperationRecord>,
}

impl VolumeRecord {
    /// All that makes it is known to be done.
    pub fn is_made(&self) -> bool {
        let mut making = self.operations.iter().filter(|operation| operation.of.makes());
        making.all(|operation| operation.outcome == Some(OperationState::OperationFinished))
    }
}

/// An operation of which the master tells the outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationRecord {
    /// Mesos' OperationID.
    pub id: String,
    /// What it does.
    pub of: OperationOf,
    /// How it ended. OPERATION_UNKNOWN: the master does not know it.
    #[serde(default)]
    pub outcome: Option<OperationState>,
}

/// What an operation does to a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationOf {
    /// Makes disk ours.
    Reserve,
    /// Makes a volume of it.
    Create,
    /// Makes disk of the volume.
    Destroy,
    /// Gives the disk back.
    Unreserve,
}

impl OperationOf {
    /// Part of the operation's id.
    pub fn as_str(self) -> &'static str {
        match self {
            OperationOf::Reserve => "reserve",
            OperationOf::Create => "create",
            OperationOf::Destroy => "destroy",
            OperationOf::Unreserve => "unreserve",
        }
    }

    /// Is it on the way to a volume, not away from it?
    pub fn makes(self) -> bool {
        matches!(self, OperationOf::Reserve | OperationOf::Create)
    }
}
