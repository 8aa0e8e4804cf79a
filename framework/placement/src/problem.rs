//! What goes in: jobs, requests, offers, what runs, topology and `now`.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Place, Tier, Topology};

/// All facts of one decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// Milliseconds on any clock; deadlines are on the same.
    pub now_ms: u64,
    /// Placement wishes by job.
    pub jobs: BTreeMap<String, JobWishes>,
    /// Tasks that want a place, in the order in which they shall be served.
    pub requests: Vec<Request>,
    /// What is offered, one entry for each agent and role.
    pub offers: Vec<AgentOffer>,
    /// Tasks that have a place, for spread caps.
    pub placed: Vec<PlacedTask>,
    /// Where the bytes are.
    pub topology: Topology,
    /// Cost of a byte by tier.
    pub distances: Distances,
    /// Most launches in this plan (launch rate).
    pub launches_max: usize,
}

/// Cost of moving one byte over each tier.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Distances {
    /// Same rack (same host costs 0).
    pub rack: f64,
    /// Same zone.
    pub zone: f64,
    /// Same region.
    pub region: f64,
    /// Anywhere.
    pub any: f64,
}

impl Default for Distances {
    fn default() -> Self {
        Distances { rack: 1.0, zone: 2.0, region: 4.0, any: 8.0 }
    }
}

/// A job's wishes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobWishes {
    /// Nearest tier worth waiting for.
    pub goal: Tier,
    /// Most of the job's partitions on one host, as a share in (0, 1]. Rounded up, so that a job always fits somewhere.
    pub max_share_per_host: f64,
    /// Likewise for a rack.
    pub max_share_per_rack: f64,
    /// What an agent must fulfil.
    pub constraints: Vec<Constraint>,
    /// What an executor takes besides its tasks; counted once for each agent and job.
    pub executor_overhead: Resources,
    /// Bytes written to Cassandra for each byte read, as measured; 1 before anything was.
    pub bytes_out_per_byte_in: f64,
    /// Roles whose offers the job may use; empty for all.
    #[serde(default)]
    pub roles: Vec<String>,
}

impl Default for JobWishes {
    fn default() -> Self {
        JobWishes {
            goal: Tier::Host,
            max_share_per_host: 1.0,
            max_share_per_rack: 1.0,
            constraints: vec![],
            executor_overhead: Resources::default(),
            bytes_out_per_byte_in: 1.0,
            roles: vec![],
        }
    }
}

/// A test on the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraint {
    /// `hostname`, `zone`, `region`, or an attribute.
    pub attribute: String,
    /// The test.
    pub test: ConstraintTest,
}

/// Tests of a [`Constraint`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConstraintTest {
    /// It is there.
    Exists,
    /// It is not there.
    NotExists,
    /// Its text is one of these.
    In(Vec<String>),
    /// Its text is none of these, or it is not there.
    NotIn(Vec<String>),
}

/// One task that wants a place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Unique among the requests; comes back in the plan.
    pub id: String,
    /// Its job.
    pub job: String,
    /// The partitions it will consume.
    pub partitions: Vec<i32>,
    /// What it takes.
    pub resources: Resources,
    /// Bytes per second it reads, measured or estimated.
    pub bytes_in_per_sec: f64,
    /// Absolute: until then only the goal tier is good enough; over time the allowed tier widens in equal steps, and from
    /// `deadline_ms` on anything goes. Set when the request was made and never reset (SPARK-18886).
    pub wait_from_ms: u64,
    /// Absolute end of all waiting for locality.
    pub deadline_ms: u64,
    /// Not before this time (crash back-off); 0 for at once.
    pub not_before_ms: u64,
    /// Agents not to use now (an executor was just lost there).
    pub avoid_agents: Vec<String>,
    /// Revocable resources will do, and are used first.
    #[serde(default)]
    pub revocable: bool,
    /// The persistent volume it had before, by id. The agent that offers it is the nearest place of all, and the volume is
    /// all the disk the request needs there; other agents must wait until `deadline_ms`.
    #[serde(default)]
    pub volume: Option<String>,
}

impl Request {
    /// Its volume is there.
    pub fn is_at_home(&self, offer: &AgentOffer) -> bool {
        self.volume.as_ref().is_some_and(|volume| offer.volumes.contains(volume))
    }

    /// What it takes of an offer.
    pub fn resources_on(&self, offer: &AgentOffer) -> Resources {
        let disk_bytes = if self.is_at_home(offer) { 0 } else { self.resources.disk_bytes };
        Resources { disk_bytes, ..self.resources }
    }
}

/// CPUs, memory, disk, ports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// CPUs in thousandths (Mesos keeps three decimals): whole numbers, so that sums are exact.
    pub cpus_milli: u64,
    /// Memory in bytes.
    pub mem_bytes: u64,
    /// Disk in bytes.
    pub disk_bytes: u64,
    /// How many ports.
    #[serde(default)]
    pub ports: u32,
}

/// Which of a task's and its executor's resources are revocable. Mesos takes all of one name of one kind only
/// (`validateRevocableAndNonRevocableResources` in `src/master/validation.cpp`); disk and ports are never revocable here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Revocable {
    /// CPUs are.
    pub cpus: bool,
    /// Memory is.
    pub mem: bool,
}

/// An executor that takes further tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutorOf {
    /// Its job.
    pub job: String,
    /// What it uses, and so what its tasks must use.
    pub revocable: Revocable,
}

impl From<&str> for ExecutorOf {
    /// On firm resources.
    fn from(job: &str) -> Self {
        ExecutorOf { job: job.into(), revocable: Revocable::default() }
    }
}

/// All that one agent offers to one role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentOffer {
    /// Mesos' agent id.
    pub agent: String,
    /// The role the offers are for.
    pub role: String,
    /// The offers that make it up; accepted or declined together.
    pub offer_ids: Vec<String>,
    /// Where it is.
    pub place: Place,
    /// TEXT attributes.
    pub attributes: BTreeMap<String, String>,
    /// SCALAR attributes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<String, f64>,
    /// Names of its other attributes: they exist, and no value of theirs can be tested.
    #[serde(default)]
    pub attributes_without_text: BTreeSet<String>,
    /// What is free and nobody takes back.
    pub resources: Resources,
    /// The part of `resources` that is reserved for the role: used before what others could have as well.
    #[serde(default)]
    pub reserved: Resources,
    /// What is free and may be taken back at any time; not in `resources`.
    #[serde(default)]
    pub revocable: Resources,
    /// Ids of persistent volumes; their disk is not in `resources`, since it serves nobody else.
    #[serde(default)]
    pub volumes: BTreeSet<String>,
    /// Executors that are there already.
    pub executors_of: Vec<ExecutorOf>,
    /// Maintenance begins then (same clock as `now_ms`); none when none is planned.
    pub unavailable_from_ms: Option<u64>,
}

/// A task that has a place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlacedTask {
    /// Its job.
    pub job: String,
    /// Its agent's place.
    pub place: Place,
    /// Number of partitions it consumes.
    pub partitions: usize,
}
