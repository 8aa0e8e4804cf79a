use std::cmp::Ordering;

use millstream_mesos_types::Resource;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::AmountError;

/// What tells resources of one name apart: amounts of different kinds are never added up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// `cpus`, `mem`, `disk`, `ports`, …
    pub name: String,
    /// The stack of reservations, the innermost last; empty when anybody may have it.
    pub reservations: Vec<Reservation>,
    /// A persistent volume: all of it or nothing.
    pub volume: Option<Volume>,
    /// May be taken away at any time.
    pub revocable: bool,
}

/// `Resource.ReservationInfo`
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reservation {
    /// `STATIC` or `DYNAMIC`.
    #[serde(rename = "type")]
    pub kind: ReservationKind,
    /// For whom.
    pub role: String,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Part of its identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<millstream_mesos_types::Labels>,
}

/// `Resource.ReservationInfo.Type`
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReservationKind {
    /// By the agent's own options.
    Static,
    /// By RESERVE; UNRESERVE takes it away.
    Dynamic,
}

/// `Resource.DiskInfo` with persistence. As in Mesos, the id alone makes its identity: the rest says how it is used.
#[derive(Debug, Clone)]
pub struct Volume {
    /// `DiskInfo.persistence.id`
    pub id: String,
    /// The whole `DiskInfo`.
    pub disk: Value,
}

impl PartialEq for Volume {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Volume {}

impl PartialOrd for Volume {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Volume {
    fn cmp(&self, other: &Self) -> Ordering {
        self.id.cmp(&other.id)
    }
}

impl Kind {
    /// Unreserved, of this name.
    pub fn plain(name: impl Into<String>) -> Self {
        Self { name: name.into(), reservations: vec![], volume: None, revocable: false }
    }

    /// The kind of a resource in either format of reservations.
    pub(super) fn of(resource: &Resource) -> Result<Self, AmountError> {
        let bad = || AmountError::Kind(resource.name.clone());
        let rest = &resource.rest;
        if rest.contains_key("shared") || rest.contains_key("provider_id") {
            return Err(bad());
        }
        let reservations = match rest.get("reservations") {
            Some(list) => Vec::<Reservation>::deserialize(list).map_err(|_| bad())?,
            None => older_format(resource).into_iter().collect(),
        };
        let volume = match rest.get("disk") {
            None | Some(Value::Null) => None,
            Some(disk) => {
                let id = disk["persistence"]["id"].as_str().ok_or_else(bad)?;
                Some(Volume { id: id.to_owned(), disk: disk.clone() })
            }
        };
        Ok(Self { name: resource.name.clone(), reservations, volume, revocable: resource.is_revocable() })
    }

    /// Writes the kind into a resource of its name.
    pub(super) fn mark(&self, resource: &mut Resource) {
        if !self.reservations.is_empty() {
            resource.rest.insert("reservations".into(), json!(self.reservations));
        }
        if let Some(volume) = &self.volume {
            resource.rest.insert("disk".into(), volume.disk.clone());
        }
        if self.revocable {
            resource.rest.insert("revocable".into(), json!({}));
        }
    }

    /// Whose it is; `*` for everybody's.
    pub fn reservation_role(&self) -> &str {
        self.reservations.last().map_or("*", |reservation| &reservation.role)
    }

    /// The innermost reservation was made by RESERVE.
    pub fn is_dynamically_reserved(&self) -> bool {
        self.reservations.last().is_some_and(|reservation| reservation.kind == ReservationKind::Dynamic)
    }

    /// A role may have what is unreserved, its own, and what is reserved for a role above it.
    pub fn is_allocatable_to(&self, role: &str) -> bool {
        let reserved = self.reservation_role();
        let below = || role.strip_prefix(reserved).is_some_and(|rest| rest.starts_with('/'));
        self.reservations.is_empty() || reserved == role || below()
    }
}

/// `role` and `reservation`, as frameworks without RESERVATION_REFINEMENT say it.
fn older_format(resource: &Resource) -> Option<Reservation> {
    let role = resource.rest.get("role").and_then(Value::as_str).filter(|role| *role != "*")?;
    let dynamic = resource.rest.get("reservation");
    Some(Reservation {
        kind: if dynamic.is_some() { ReservationKind::Dynamic } else { ReservationKind::Static },
        role: role.to_owned(),
        principal: dynamic.and_then(|info| info["principal"].as_str()).map(str::to_owned),
        labels: dynamic.and_then(|info| Deserialize::deserialize(&info["labels"]).ok()),
    })
}
