//! What comes out: launches, declines and waits, each with its reason.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Revocable, Tier};

/// A complete decision on all offers and requests of a [`crate::Problem`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Requests that get a place now.
    pub launches: Vec<Launch>,
    /// Agents' offers that nothing was launched on. Every offer is in a launch or here.
    pub declines: Vec<Decline>,
    /// Requests that wait. Every request is in a launch or here.
    pub waits: Vec<Wait>,
}

/// A request that gets a place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Launch {
    /// The request.
    pub request: String,
    /// The agent.
    pub agent: String,
    /// The role whose offers are used.
    pub role: String,
    /// Which of its resources (and of its executor's) are revocable.
    #[serde(default)]
    pub revocable: Revocable,
    /// How far the records come (the worst of the task's partitions).
    pub source_tier: Tier,
    /// How far the nearest replica of the ring is.
    pub sink_tier: Tier,
    /// Bytes × distance per second; what was minimised.
    pub cost: f64,
    /// Bytes per second by tier, Kafka and Cassandra together.
    pub bytes_by_tier: BTreeMap<Tier, f64>,
    /// The host or rack now holds more of the job than its cap allows: nothing else was offered in time (see
    /// [`crate::SPREAD_PATIENCE_MS`]). None when all caps hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_cap: Option<Tier>,
}

/// An agent's offers that nothing was launched on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decline {
    /// The agent.
    pub agent: String,
    /// The role.
    pub role: String,
    /// The offers.
    pub offer_ids: Vec<String>,
    /// Why: the one reason that counts, by fixed priority.
    pub reason: Reason,
    /// For how long its like is not wanted.
    pub filter: Filter,
}

/// How long what was declined shall not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// May soon be good: until the given time at most (same clock as `now_ms`).
    Until(u64),
    /// Useless as it is.
    Long,
}

/// A request that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Wait {
    /// The request.
    pub request: String,
    /// The reason to show first, by fixed priority (the one nearest to success).
    pub reason: Reason,
    /// How many agents said no for which reason.
    pub agents: BTreeMap<ReasonKind, usize>,
}

/// Why not. Closed: every no in Millstream is one of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Reason {
    /// Nothing is offered at all.
    NoOffers,
    /// Nothing is wanted (of the role).
    NothingWanted,
    /// Offered to a role the job does not use.
    Role,
    /// The agent does not fulfil a constraint.
    Constraint {
        /// Which, as text.
        constraint: String,
    },
    /// The agent will be in maintenance.
    Maintenance,
    /// An executor was just lost there.
    Avoided,
    /// Too few CPUs.
    Cpus {
        /// Thousandths wanted.
        need_milli: u64,
        /// Thousandths offered (the most of any agent).
        have_milli: u64,
    },
    /// Too little memory.
    Mem {
        /// Bytes wanted.
        need_bytes: u64,
        /// Bytes offered (the most of any agent).
        have_bytes: u64,
    },
    /// Too little disk.
    Disk {
        /// Bytes wanted.
        need_bytes: u64,
        /// Bytes offered (the most of any agent).
        have_bytes: u64,
    },
    /// No port is left for the executor.
    Ports,
    /// One host or rack would hold too much of the job.
    SpreadCap {
        /// Host or rack.
        tier: Tier,
    },
    /// Good, but a nearer place may come until then.
    Locality {
        /// When the next tier becomes good enough (same clock as `now_ms`).
        until_ms: u64,
    },
    /// The job crashed and waits.
    Backoff {
        /// Until then.
        until_ms: u64,
    },
    /// Enough launches for now.
    LaunchRate,
    /// Another task got the room.
    Outbid,
}

/// [`Reason`] without its facts: metric label and key of counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // as in Reason
pub enum ReasonKind {
    NoOffers,
    NothingWanted,
    Role,
    Constraint,
    Maintenance,
    Avoided,
    Cpus,
    Mem,
    Disk,
    Ports,
    SpreadCap,
    Locality,
    Backoff,
    LaunchRate,
    Outbid,
}
