//! JSON of the HTTP API, both ways. The CLI and the status page speak these; the views come from the scheduler.
//!
//! | method and path | body | answer |
//! |---|---|---|
//! | `GET /health` | | [`Health`], 200 or 503; of a standby too |
//! | `GET /health/live` | | [`Live`], at once, whatever else fails; of a standby too |
//! | `GET /health/ready` | | [`Ready`] when it leads or can send to who does, or 503; of a standby too |
//! | `GET /api/v1/openapi.json` | | all of this as an OpenAPI document; of a standby too |
//! | `GET /api/v1/jobs` | | [`Jobs`] |
//! | `GET /api/v1/jobs/{name}` | | [`JobDetail`] |
//! | `PUT /api/v1/jobs/{name}?file=&force=` | the job file's TOML text | [`Deployed`]; 422 [`ErrorBody`] when refused, 429 when too many are checked at once |
//! | `DELETE /api/v1/jobs/{name}` | | 204 |
//! | `POST /api/v1/jobs/{name}/stop` | | [`Stopped`] |
//! | `GET /api/v1/jobs/{name}/why` | | [`WhyView`] |
//! | `GET /api/v1/jobs/{name}/lag` | | [`LagView`] |
//! | `POST /api/v1/plan?file=` | the job file's TOML text | [`PlanView`] |
//! | `GET /api/v1/sd` | | `[`[`SdTarget`]`]`, as Prometheus' HTTP service discovery wants it |
//! | `GET /api/v1/state` | | a backup of the state ([`crate::state::backup`]), for the role `admin`; 429 while another is under way |
//! | `GET /metrics` | | Prometheus text; of a standby too |
//! | `GET /executor/{sha256}` | | the executor's program, when it is served; of a standby too |
//!
//! `file` is the file's name, for messages; `force=true` changes a job that runs even if no agent could hold it. A standby answers everything else with 307 to the leader, or 503.

use std::collections::BTreeMap;

pub use millstream_placement::{Plan, Tier};
pub use millstream_scheduler::views::{
    BackoffView, FailureView, JobView, LagView, LocalityView, MaintenanceView, OverviewView, PartitionLag,
    RepeatedCrash, RolloutState, RolloutView, SlotState, SlotWhy, StoppedOf, StoppedPartition, VolumeView, WhyView,
    counted, plural,
};
pub use millstream_scheduler::{Change, records::JobPhase};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Any answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// What is wrong.
    pub error: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// For a refused job file: each fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<DiagnosticView>,
}

/// One fault of a job file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiagnosticView {
    /// Reason, one line.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Line in the file, from 1; none when the fault has no place in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The fault as `millstream validate` prints it, with the marked source.
    pub rendered: String,
}

/// `GET /health/live`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Live {
    /// `live`
    pub status: String,
}

/// `GET /health/ready`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ready {
    /// `ready`
    pub status: String,
}

/// `GET /health`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// `ok`, `connecting` (no subscription), or `standby` (another one leads, or nobody). While the state store fails, the answer is an [`ErrorBody`] with 503.
    pub status: HealthStatus,
    /// What is wrong, if something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Version of the program.
    pub version: String,
    /// Master of the subscription.
    #[serde(default)]
    pub master: Option<String>,
    /// Of a standby: URL of the scheduler that leads, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// The scheduler at a glance; none of a standby.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overview: Option<OverviewView>,
    /// Where bytes come from; none of a standby.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locality: Option<LocalityView>,
}

impl Health {
    pub(crate) fn standby(leader: Option<String>) -> Self {
        let reason = leader.is_none().then(|| "no scheduler leads at the moment".to_owned());
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Health { status: HealthStatus::Standby, reason, version, master: None, leader, overview: None, locality: None }
    }
}

/// State of the scheduler process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// Subscribed.
    Ok,
    /// No subscription at the moment; tasks run on.
    Connecting,
    /// It waits for its turn to lead.
    Standby,
}

/// `GET /api/v1/jobs`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Jobs {
    /// All jobs, by name.
    pub jobs: Vec<JobView>,
    /// What holds for all of them: that no master is heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// `GET /api/v1/jobs/{name}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobDetail {
    /// At a glance.
    #[serde(flatten)]
    pub job: JobView,
    /// The job file as deployed: what runs, or will when its drain is done.
    pub toml: String,
    /// What was deployed before that, or has failed since; none before the first change.
    #[serde(default)]
    pub previous_toml: Option<String>,
}

/// What a deployment does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeployOutcome {
    /// The job is new, or starts again.
    Started,
    /// It is already so.
    Unchanged,
    /// Only comments or order differ: stored, nothing restarts.
    TextOnly,
    /// Its tasks drain, then it starts as now written.
    Updating,
    /// Task by task drains and starts as now written.
    Rolling,
}

/// `PUT /api/v1/jobs/{name}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deployed {
    /// The job.
    pub job: String,
    /// What happens.
    pub outcome: DeployOutcome,
    /// Its generation from now on.
    pub generation: u64,
    /// What is changed; none for a new job and for one that is already so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeView>,
    /// What was noticed on the way and does not hinder the job.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A change of a deployed job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeView {
    /// From the deployed file to the new one, as a unified diff.
    pub diff: String,
    /// What a deploy does about it.
    pub what: Change,
    /// The same for people.
    pub effect: String,
}

/// `POST /api/v1/jobs/{name}/stop`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stopped {
    /// The job.
    pub job: String,
    /// False when it was stopped (or on its way) already.
    pub changed: bool,
}

/// `POST /api/v1/plan`: what would be placed where if all that is free now were offered. Nothing is changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanView {
    /// The job.
    pub job: String,
    /// What deploying it would change; none for a job that is not deployed, or already so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeView>,
    /// It is deployed already, as written: a deploy would change nothing.
    #[serde(default)]
    pub unchanged: bool,
    /// What was noticed on the way and does not hinder a deploy.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Partitions of its topic.
    pub partitions: usize,
    /// Each task.
    pub tasks: Vec<PlannedTask>,
    /// Agents that nothing would be launched on, with the reason.
    pub agents_refused: Vec<RefusedAgent>,
    /// Bytes per second by tier, of all placed tasks.
    pub bytes_by_tier: BTreeMap<Tier, f64>,
    /// Sum of costs (bytes per second × distance).
    pub cost: f64,
    /// The plan itself, complete.
    pub plan: Plan,
    /// The whole as text, for people.
    pub text: String,
}

/// One task of a [`PlanView`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedTask {
    /// Its partitions.
    pub partitions: Vec<i32>,
    /// Host it would go to; none when it would wait.
    pub host: Option<String>,
    /// Agent id.
    #[serde(default)]
    pub agent: Option<String>,
    /// How far its records would come.
    #[serde(default)]
    pub source_tier: Option<Tier>,
    /// How far the nearest replica of the ring would be.
    #[serde(default)]
    pub sink_tier: Option<Tier>,
    /// Bytes per second × distance.
    #[serde(default)]
    pub cost: Option<f64>,
    /// Why it would wait, or why there.
    pub reason: String,
}

/// An agent nothing would be launched on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusedAgent {
    /// Agent id.
    pub agent: String,
    /// Host name.
    pub host: String,
    /// Why.
    pub reason: String,
}

/// `GET /api/v1/sd`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SdTarget {
    /// `host:port`
    pub targets: Vec<String>,
    /// `job`, `executor`, `host` (as `millstream_job`, …: `job` belongs to Prometheus).
    pub labels: BTreeMap<String, String>,
}
