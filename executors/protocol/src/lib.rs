//! All that travels between scheduler and executor, versioned: what a task is told, and what an executor reports.
//!
//! Travels as JSON: [`ExecutorData`] in `ExecutorInfo.data`, [`TaskData`] in `TaskInfo.data`, [`Report`] in `MESSAGE`.
//! Readers ignore unknown fields; a field may be added with a default, never renamed.

use millstream_spec::{JobSpec, Tier};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version written into every message. A reader refuses a newer major form instead of guessing.
pub const VERSION: u32 = 1;

/// How often an executor reports. The scheduler replaces an executor after [`MISSED_REPORTS`] of these (delivery.md D6).
pub const REPORT_INTERVAL_MS: u64 = 1_000;

/// Reports that may be missed in a row before the executor's tasks are replaced.
pub const MISSED_REPORTS: u32 = 3;

/// A partition number of the job's topic.
pub type Partition = i32;

/// What every task of one executor shares; the same bytes for every task, as Mesos demands of a running executor id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutorData {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// The job, secrets only by name.
    pub job: JobSpec,
    /// The job's data epoch, in the key of its timestamp blocks (delivery.md D1, D5).
    pub generation: u64,
    /// Where the executor runs, as the accepted offer said.
    pub location: Location,
    /// Port of the accepted offer for the executor's HTTP endpoint; none for any free one.
    #[serde(default)]
    pub metrics_port: Option<u16>,
    /// SHA-256, in hex, of the token that its metrics are told for; none when they are told to all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_sha256: Option<String>,
}

/// Where an executor runs, learnt from the accepted offer (never configured: quickwit#5926).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// Host name of the agent.
    pub host: String,
    /// Address of the agent: what the executor's HTTP endpoint binds to.
    pub address: String,
    /// Kafka rack, for `client.rack`.
    #[serde(default)]
    pub kafka_rack: Option<String>,
    /// Datacenter of the nearest Cassandra nodes.
    #[serde(default)]
    pub cassandra_dc: Option<String>,
    /// Rack of the nearest Cassandra nodes.
    #[serde(default)]
    pub cassandra_rack: Option<String>,
}

/// What one task is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskData {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// The partitions this task consumes, ascending.
    pub partitions: Vec<Partition>,
    /// Partitions that an earlier task of this version left stopped until a person acts: they stay stopped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stops: Vec<KeptStop>,
}

/// A stop that outlives the executor that met it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptStop {
    /// The partition.
    pub partition: Partition,
    /// Offset of the record it stopped at.
    pub offset: i64,
    /// For people, one line.
    pub reason: String,
}

/// Data of a task's last status update, when it ends though its scheduler did not ask for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndData {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// Who asked its executor to leave.
    pub asked_by: AskedBy,
}

/// Who asks an executor to leave, besides its scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskedBy {
    /// SIGTERM: a person, or the machine that shuts down.
    Signal,
    /// The agent shuts its executors down, with itself or because of an operator's call.
    Agent,
}

/// One executor's report on all its tasks, every [`REPORT_INTERVAL_MS`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// Counts up from 0 within one executor process.
    pub sequence: u64,
    /// `http://host:port` of the executor's metrics, for service discovery.
    pub metrics_url: String,
    /// One for each task that has been launched and has not ended.
    pub tasks: Vec<TaskReport>,
}

/// State of one task. Counters run from the task's start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// The Mesos task id.
    pub task_id: String,
    /// One for each partition of the task.
    pub partitions: Vec<PartitionReport>,
    /// Records consumed.
    pub records: u64,
    /// Rows acknowledged by Cassandra.
    pub rows: u64,
    /// Bytes read from Kafka (keys and values).
    pub bytes_in: u64,
    /// Of these, bytes from a replica on each tier (`host`, `rack`, …).
    pub bytes_in_by_tier: Vec<(Tier, u64)>,
    /// Bytes sent to Cassandra.
    pub bytes_out: u64,
    /// Bad records, by what became of them.
    pub bad_records: BadRecordCounts,
    /// Busy seconds of each stage (`poll`, `decode`, `sql`, `encode`, `write`, `commit`), so that the slow one has a name.
    pub stage_busy_secs: Vec<(String, f64)>,
}

/// Bad records, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BadRecordCounts {
    /// Counted and passed over.
    pub skipped: u64,
    /// Written to the dead-letter topic.
    pub dead_lettered: u64,
}

/// State of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionReport {
    /// Its number.
    pub partition: Partition,
    /// Next offset to be consumed; none before the first fetch.
    pub position: Option<i64>,
    /// Lowest offset not yet durable in Cassandra; what is (or may be) committed.
    pub durable: Option<i64>,
    /// The broker's log end (high watermark); none while unknown.
    pub log_end: Option<i64>,
    /// The last stable offset: records from here to the log end wait behind an open transaction. None while unknown.
    #[serde(default)]
    pub stable_end: Option<i64>,
    /// Age of the oldest record not yet durable in milliseconds; 0 when there is none, none while unknown.
    pub lag_ms: Option<u64>,
    /// How it is doing.
    pub status: PartitionStatus,
    /// Why it is not `running`: for people, one line.
    #[serde(default)]
    pub reason: Option<String>,
    /// Offset of the record at which it is `stopped` until a person acts; to be kept for the next task ([`KeptStop`]).
    #[serde(default)]
    pub stopped_at: Option<i64>,
}

impl PartitionReport {
    /// Records that wait behind an open transaction; none while that is unknown.
    pub fn behind_transaction(&self) -> Option<u64> {
        Some(self.log_end?.saturating_sub(self.stable_end?).max(0) as u64)
    }

    /// Records between what is durable and the log end; none while either is unknown, never a made-up 0.
    pub fn lag_records(&self) -> Option<u64> {
        Some(self.log_end?.saturating_sub(self.durable?).max(0) as u64)
    }
}

/// How a partition is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartitionStatus {
    /// Reads its timestamp blocks and offsets.
    Starting,
    /// Consumes.
    Running,
    /// Waits for Kafka or Cassandra and tries again by itself.
    Stalled,
    /// Needs a person: bad record under `fail`, offset out of range, schema change.
    Stopped,
    /// Flushes and commits before it leaves.
    Draining,
}
