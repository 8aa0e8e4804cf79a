//! The nouns of the Mesos v1 HTTP API (1.11 and clusterd) as serde types: the subset Millstream speaks.
//!
//! PURE, and apart from `mesos` (the sessions), so that the scheduler's decisions may be made on them without IO.
//! JSON as Mesos' own: bytes are base64, enums go by name, what a reader does not know it ignores. Where an object must
//! be sent back as it came (resources of an offer), the unknown fields are kept.
//!
//! Source: `include/mesos/v1/{mesos,scheduler/scheduler,executor/executor}.proto` of 1.11.0.
//!
//! Map: [`scheduler`] and [`executor`] hold the calls and events of the two APIs, the rest is what they are made of.

pub mod executor;
pub mod scheduler;

mod base64_bytes;
mod constraints;
mod operation;
mod resource;
mod task;

pub use base64_bytes::Base64;
pub use constraints::*;
pub use operation::*;
pub use resource::{AllocationInfo, Range, Ranges, Resource, ResourceType, Scalar, Set, scalar_sum};
pub use task::*;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        pub struct $name {
            /// The id's text: 1–255 characters without `/`, `\` and control characters.
            pub value: String,
        }

        impl $name {
            /// An id of this text.
            pub fn new(value: impl Into<String>) -> Self {
                Self { value: value.into() }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.value)
            }
        }
    )*};
}

ids! {
    /// Names a framework across its whole life.
    FrameworkId,
    /// Names an agent until it is removed.
    AgentId,
    /// Names one offer.
    OfferId,
    /// Names a task; unique within the framework for ever.
    TaskId,
    /// Names an executor; unique among those of one framework on one agent.
    ExecutorId,
    /// Names an operation whose outcome the framework wants to hear of.
    OperationId,
}

/// `FrameworkInfo`
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FrameworkInfo {
    /// Unix user the executors run as.
    pub user: String,
    /// Shown in Mesos' own pages.
    pub name: String,
    /// None only before the very first subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<FrameworkId>,
    /// Seconds a disconnected framework and its tasks are kept. 0 kills everything at a disconnect.
    #[serde(default)]
    pub failover_timeout: f64,
    /// Agents write state to disk, so that executors survive an agent's restart.
    #[serde(default)]
    pub checkpoint: bool,
    /// Roles whose resources are wanted (needs `MULTI_ROLE`).
    #[serde(default)]
    pub roles: Vec<String>,
    /// What the framework understands.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// Host of the scheduler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Must equal the name used in HTTP Basic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Page of the framework.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webui_url: Option<String>,
    /// For people and other tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// By role: what is too little to be offered.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub offer_filters: BTreeMap<String, OfferFilters>,
}

/// `Labels`
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Labels {
    /// The labels.
    #[serde(default)]
    pub labels: Vec<Label>,
}

/// `Label`
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Label {
    /// Key.
    pub key: String,
    /// Value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// `FrameworkInfo.Capability`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// `MULTI_ROLE`, `PARTITION_AWARE`, …
    #[serde(rename = "type")]
    pub kind: String,
}

/// `Offer`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// Names the offer in ACCEPT and DECLINE.
    pub id: OfferId,
    /// To whom it was made.
    pub framework_id: FrameworkId,
    /// The agent whose resources these are.
    pub agent_id: AgentId,
    /// Host name of the agent.
    pub hostname: String,
    /// Where the agent listens.
    #[serde(default)]
    pub url: Option<Url>,
    /// What is offered.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// The agent's attributes.
    #[serde(default)]
    pub attributes: Vec<Attribute>,
    /// Executors of this framework that run there.
    #[serde(default)]
    pub executor_ids: Vec<ExecutorId>,
    /// The role it was allocated to.
    #[serde(default)]
    pub allocation_info: Option<AllocationInfo>,
    /// The agent's fault domain.
    #[serde(default)]
    pub domain: Option<DomainInfo>,
    /// Planned maintenance of the agent.
    #[serde(default)]
    pub unavailability: Option<Unavailability>,
}

/// `URL`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Url {
    /// `http` or `https`.
    pub scheme: String,
    /// Host, ip and port.
    pub address: Address,
    /// Path, e.g. `/slave(1)`.
    #[serde(default)]
    pub path: Option<String>,
}

/// `Address`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Host name.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Address.
    #[serde(default)]
    pub ip: Option<String>,
    /// Port.
    pub port: u16,
}

/// `Attribute`: only TEXT attributes can be constrained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// `TEXT`, `SCALAR`, `RANGES`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Value of a TEXT attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Text>,
    /// Value of a SCALAR attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scalar: Option<Scalar>,
}

/// `Value.Text`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// The text.
    pub value: String,
}

/// `DomainInfo`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainInfo {
    /// Region and zone.
    #[serde(default)]
    pub fault_domain: Option<FaultDomain>,
}

/// `DomainInfo.FaultDomain`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultDomain {
    /// Region.
    pub region: Named,
    /// Zone within it.
    pub zone: Named,
}

/// A name in a message of its own, as `RegionInfo` and `ZoneInfo` are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The name.
    pub name: String,
}

/// `InverseOffer`: all that the framework has on an agent is asked back for a maintenance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InverseOffer {
    /// Names it in ACCEPT_INVERSE_OFFERS and DECLINE_INVERSE_OFFERS.
    pub id: OfferId,
    /// Who shall go.
    pub framework_id: FrameworkId,
    /// From where; absent for everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    /// When the maintenance is.
    pub unavailability: Unavailability,
}

/// `Unavailability`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailability {
    /// When it begins.
    pub start: TimeInfo,
    /// How long it lasts; none for ever.
    #[serde(default)]
    pub duration: Option<DurationInfo>,
}

/// `TimeInfo`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeInfo {
    /// Nanoseconds since the Unix epoch.
    pub nanoseconds: i64,
}

/// `DurationInfo`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DurationInfo {
    /// Nanoseconds.
    pub nanoseconds: i64,
}

/// `Filters`: for how long what was declined is not offered again.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Filters {
    /// Seconds; Mesos' own default is 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refuse_seconds: Option<f64>,
}
