use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `Resource`. Sent back in ACCEPT exactly as offered but for the amount, so fields we don't read are kept in `rest`
/// (reservations, disk, revocable, shared, provider_id).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// `cpus`, `mem`, `disk`, `ports`, `gpus`, or one the operator named.
    pub name: String,
    /// Which of the values is set.
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// Value of a SCALAR; Mesos keeps three decimals. `mem` and `disk` are in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scalar: Option<Scalar>,
    /// Value of RANGES.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranges: Option<Ranges>,
    /// Value of a SET.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<Set>,
    /// The role it is allocated to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation_info: Option<AllocationInfo>,
    /// Everything else, kept.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Resource {
    /// An unreserved scalar; `allocated_to` as in the offer it comes from.
    pub fn scalar(name: &str, value: f64, allocated_to: Option<AllocationInfo>) -> Self {
        Resource {
            name: name.into(),
            kind: ResourceType::Scalar,
            scalar: Some(Scalar { value }),
            ranges: None,
            set: None,
            allocation_info: allocated_to,
            rest: Map::new(),
        }
    }

    /// Kept for certain frameworks' tasks: a revocable resource may be taken away at any time.
    pub fn is_revocable(&self) -> bool {
        self.rest.contains_key("revocable")
    }

    /// Reserved for a role (statically or dynamically).
    pub fn is_reserved(&self) -> bool {
        self.rest.get("reservations").and_then(Value::as_array).is_some_and(|list| !list.is_empty())
    }
}

/// Sum of all scalars called `name`.
pub fn scalar_sum(resources: &[Resource], name: &str) -> f64 {
    resources.iter().filter(|r| r.name == name).filter_map(|r| r.scalar).map(|s| s.value).sum()
}

/// `Value.Type` of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ResourceType {
    /// One number.
    Scalar,
    /// Ranges of whole numbers.
    Ranges,
    /// A set of texts.
    Set,
    /// One this version does not know.
    #[serde(other)]
    Unknown,
}

/// `Value.Scalar`
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Scalar {
    /// The number.
    pub value: f64,
}

/// `Value.Ranges`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ranges {
    /// The ranges, both ends included.
    #[serde(default)]
    pub range: Vec<Range>,
}

/// `Value.Range`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// First.
    pub begin: u64,
    /// Last.
    pub end: u64,
}

/// `Value.Set`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Set {
    /// The items.
    #[serde(default)]
    pub item: Vec<String>,
}

/// `Resource.AllocationInfo`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationInfo {
    /// The role.
    pub role: String,
}
