//! What a `FrameworkInfo` must be. Source: `src/master/validation.cpp` of 1.11.

use std::collections::BTreeSet;

use millstream_mesos_types::{FrameworkInfo, scheduler::Subscribe};

use super::constraints::Constraints;

/// The largest amount Mesos takes, as its scalars have three exact decimals.
const MAX_SCALAR: f64 = (1_u64 << 53) as f64 / 1000.0;

/// Why a framework may not subscribe with this, if it may not.
pub(super) fn framework_error(info: &FrameworkInfo) -> Option<String> {
    let multi_role = info.capabilities.iter().any(|capability| capability.kind == "MULTI_ROLE");
    if !info.roles.is_empty() && !multi_role {
        return Some("'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable".into());
    }
    let mut seen = BTreeSet::new();
    if let Some(role) = info.roles.iter().find(|role| !seen.insert(*role)) {
        return Some(format!("'FrameworkInfo.roles' contains duplicate items: {{ {role} }}"));
    }
    if let Some(role) = info.roles.iter().find(|role| !is_role(role)) {
        return Some(format!("'FrameworkInfo.roles' contains invalid role: '{role}'"));
    }
    let minima = info.offer_filters.values().filter_map(|filters| filters.min_allocatable_resources.as_ref());
    for quantities in minima.flat_map(|minimum| &minimum.quantities) {
        if quantities.quantities.is_empty() {
            return Some("Resource quantities must contain at least one quantity".into());
        }
        let invalid = |value: f64| !value.is_finite() || !(0.0..=MAX_SCALAR).contains(&value);
        if let Some((name, _)) = quantities.quantities.iter().find(|(_, scalar)| invalid(scalar.value)) {
            return Some(format!("Invalid resource quantity for '{name}'"));
        }
    }
    let timeout = info.failover_timeout;
    (!timeout.is_finite() || timeout < 0.0).then(|| format!("The framework failover_timeout ({timeout}) is invalid"))
}

/// Why a framework that is known may not become this, if it may not.
pub(super) fn update_error(old: &FrameworkInfo, new: &FrameworkInfo) -> Option<String> {
    if old.principal != new.principal {
        return Some("Changing framework's principal is not allowed.".into());
    }
    if old.user != new.user {
        let message = "Updating 'FrameworkInfo.user' is unsupported; attempted to update";
        return Some(format!("{message} from '{}' to '{}'", old.user, new.user));
    }
    (old.checkpoint != new.checkpoint).then(|| {
        let message = "Updating 'FrameworkInfo.checkpoint' is unsupported; attempted to update";
        format!("{message} from '{}' to '{}'", old.checkpoint, new.checkpoint)
    })
}

/// The constraints of a SUBSCRIBE or UPDATE_FRAMEWORK, or why the call is wrong.
pub(super) fn constraints(call: &Subscribe) -> Result<Constraints, String> {
    let known = |role: &String| match call.framework_info.roles.is_empty() {
        true => role == "*",
        false => call.framework_info.roles.contains(role),
    };
    if let Some(role) = call.suppressed_roles.iter().find(|role| !known(role)) {
        return Err(format!("Suppressed roles {{ {role} }} are not contained in the set of roles"));
    }
    let Some(constraints) = &call.offer_constraints else { return Ok(Constraints::default()) };
    if let Some(role) = constraints.role_constraints.keys().find(|role| !known(role)) {
        let message = "Offer constraints specify `role_constraints` for a role";
        return Err(format!("{message} '{role}'not contained in the set of roles"));
    }
    Constraints::compile(constraints).map_err(|error| format!("Offer constraints are not valid: {error}"))
}

/// Each part of a path may be in it; `*` only as a whole. Source: `src/common/roles.cpp`.
pub(super) fn is_role(role: &str) -> bool {
    let bad_part = |part: &str| {
        matches!(part, "" | "." | ".." | "*") || part.starts_with('-') || part.contains(char::is_whitespace)
    };
    role == "*" || !role.split('/').any(bad_part)
}
