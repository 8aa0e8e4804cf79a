mod why;

use std::collections::BTreeMap;

use millstream_placement::Tier;
use millstream_protocol::{BadRecordCounts, PartitionStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use why::*;

use crate::records::JobPhase;

/// One job at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobView {
    /// Its name.
    pub name: String,
    /// What it does.
    pub phase: JobPhase,
    /// Data epoch.
    pub generation: u64,
    /// Generation that starts after the drain.
    #[serde(default)]
    pub next_generation: Option<u64>,
    /// The change under way, or why the last one was taken back.
    #[serde(default)]
    pub rollout: Option<RolloutView>,
    /// Source topic.
    pub topic: String,
    /// `keyspace.table`
    pub table: String,
    /// Consumer group, for other tools.
    pub group: String,
    /// Partitions of the topic; none while unknown.
    pub partitions: Option<usize>,
    /// Tasks wanted.
    pub slots: usize,
    /// Tasks that run.
    pub running: usize,
    /// Tasks on the way (launched, no sign of life yet).
    pub launching: usize,
    /// Tasks that wait for a place.
    pub waiting: usize,
    /// Partitions that need a person.
    pub stopped_partitions: usize,
    /// Partitions that wait for Kafka or Cassandra.
    pub stalled_partitions: usize,
    /// Sum over partitions; none while any is unknown.
    pub lag_records: Option<u64>,
    /// Oldest over partitions, in milliseconds; none while any is unknown.
    pub lag_ms: Option<u64>,
    /// Records per second, over all tasks.
    pub records_per_sec: f64,
    /// Rows acknowledged by Cassandra since the tasks started.
    pub rows: u64,
    /// Bad records since the tasks started.
    pub bad_records: BadRecordCounts,
    /// First deployed, in milliseconds since the epoch.
    pub created_ms: u64,
    /// One line for people: what is wrong, or that all is well.
    pub summary: String,
}

/// Lag of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LagView {
    /// The job.
    pub job: String,
    /// Its topic.
    pub topic: String,
    /// Each partition.
    pub partitions: Vec<PartitionLag>,
    /// Sum of the known lags in records.
    pub total_records: u64,
    /// Oldest of the known lags, in milliseconds.
    pub max_ms: u64,
    /// Partitions whose lag is unknown: never counted as 0.
    pub unknown: usize,
}

/// Lag of one partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PartitionLag {
    /// Its number.
    pub partition: i32,
    /// Its task, if it has one.
    pub task: Option<String>,
    /// Host of the task.
    pub host: Option<String>,
    /// Next offset to be consumed.
    pub position: Option<i64>,
    /// Lowest offset not durable yet; without a task, as its last one said.
    pub durable: Option<i64>,
    /// The broker's log end.
    pub log_end: Option<i64>,
    /// Records not durable yet; none while unknown.
    pub records: Option<u64>,
    /// Of these, records that wait behind an open transaction; none while unknown.
    #[serde(default)]
    pub behind_transaction: Option<u64>,
    /// Age of the oldest of them in milliseconds; none while unknown.
    pub ms: Option<u64>,
    /// How it is doing; none without a report.
    pub status: Option<PartitionStatus>,
    /// Why it is not running.
    #[serde(default)]
    pub reason: Option<String>,
    /// Offset of the record at which it stopped.
    #[serde(default)]
    pub stopped_at: Option<i64>,
}

/// Where bytes come from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LocalityView {
    /// Placed tasks by the tier of their source.
    pub tasks_by_source_tier: BTreeMap<Tier, usize>,
    /// Placed tasks by the tier of the nearest replica of the ring.
    pub tasks_by_sink_tier: BTreeMap<Tier, usize>,
    /// Bytes read since the tasks started, by the tier of the broker they came from.
    pub bytes_in_by_tier: BTreeMap<Tier, u64>,
}

/// One executor for Prometheus to scrape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrapeTarget {
    /// `http://host:port`
    pub url: String,
    /// Its job.
    pub job: String,
    /// The executor.
    pub executor: String,
    /// Agent's host name.
    pub host: String,
}

/// The scheduler itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OverviewView {
    /// Our id at the master.
    pub framework_id: Option<String>,
    /// Is there a subscription?
    pub subscribed: bool,
    /// Are offers wanted?
    pub suppressed: bool,
    /// Jobs.
    pub jobs: usize,
    /// Tasks by state; condemned ones apart.
    pub tasks: BTreeMap<String, usize>,
    /// Executors that have live tasks.
    pub executors: usize,
    /// Given-up tasks whose end is not known yet.
    pub condemned: usize,
    /// Tasks that wait for a place.
    pub waiting: usize,
    /// Agents with tasks of ours that will be in maintenance.
    #[serde(default)]
    pub maintenance: Vec<MaintenanceView>,
    /// Partitions that need a person, the first hundred over all jobs.
    #[serde(default)]
    pub stopped: Vec<StoppedOf>,
}

/// A partition of some job that needs a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoppedOf {
    /// The job.
    pub job: String,
    /// The partition, and why.
    #[serde(flatten)]
    pub stopped: StoppedPartition,
}

/// The planned maintenance of an agent with tasks of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MaintenanceView {
    /// The agent's id.
    pub agent: String,
    /// When it begins, in milliseconds since the epoch.
    pub start_ms: u64,
    /// Why it was declined: its tasks may not be gone in time. None when they will be.
    #[serde(default)]
    pub refused: Option<String>,
}
