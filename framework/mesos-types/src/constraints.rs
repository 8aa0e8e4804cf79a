//! What a framework wants to be offered: `FrameworkInfo.offer_filters` (amounts) and `OfferConstraints` (attributes).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Scalar;

/// `OfferFilters`
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct OfferFilters {
    /// Less than all of these is not offered; absent for the master's own minimum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_allocatable_resources: Option<MinAllocatableResources>,
}

/// `OfferFilters.MinAllocatableResources`: enough for any of these is offered. None in the list: anything is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MinAllocatableResources {
    /// Alternatives.
    #[serde(default)]
    pub quantities: Vec<ResourceQuantities>,
}

/// `OfferFilters.ResourceQuantities`
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ResourceQuantities {
    /// Scalar resources by name; `mem` and `disk` in MiB.
    #[serde(default)]
    pub quantities: BTreeMap<String, Scalar>,
}

/// `OfferConstraints`: for each role, one group must hold, and in it every constraint. Offers that are out already stay.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OfferConstraints {
    /// By role; a role that is not named has no constraints.
    #[serde(default)]
    pub role_constraints: BTreeMap<String, RoleConstraints>,
}

/// `OfferConstraints.RoleConstraints`: at least one group, or the call is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RoleConstraints {
    /// Alternatives.
    #[serde(default)]
    pub groups: Vec<ConstraintGroup>,
}

/// `OfferConstraints.RoleConstraints.Group`: at least one constraint, or the call is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConstraintGroup {
    /// All must hold.
    #[serde(default)]
    pub attribute_constraints: Vec<AttributeConstraint>,
}

/// `AttributeConstraint`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributeConstraint {
    /// Of what.
    pub selector: Selector,
    /// What must be so.
    pub predicate: Predicate,
}

/// `AttributeConstraint.Selector`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selector {
    /// Something every agent has without attributes.
    PseudoattributeType(Pseudoattribute),
    /// The first attribute of this name.
    AttributeName(String),
}

/// `AttributeConstraint.Selector.PseudoattributeType`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Pseudoattribute {
    /// The agent's host name.
    Hostname,
    /// Region of its fault domain.
    Region,
    /// Zone of its fault domain.
    Zone,
}

/// `AttributeConstraint.Predicate`. The four `text_` predicates hold for every attribute that is no TEXT; the two negated
/// ones hold for a missing attribute too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predicate {
    /// It is there.
    Exists {},
    /// It is not there.
    NotExists {},
    /// It is this text.
    TextEquals {
        /// The text.
        value: String,
    },
    /// It is not this text.
    TextNotEquals {
        /// The text.
        value: String,
    },
    /// All of it matches this RE2 expression (4 KB of memory and a program of 100 at most, or the whole call is refused).
    TextMatches {
        /// RE2.
        regex: String,
    },
    /// It does not match.
    TextNotMatches {
        /// RE2.
        regex: String,
    },
}
