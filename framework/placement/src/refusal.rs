//! Why a place is not to be had: one reason for each pair of request and offer, in a fixed order.

use crate::{
    AgentOffer, Distances, Filter, JobWishes, Reason, ReasonKind, Request, Resources, SPREAD_PATIENCE_MS, Tier,
};

/// Maintenance that begins within this time keeps tasks away. Streams do not end, so they would run into any planned
/// maintenance; but a day's work is worth the move, and a cluster that plans weeks ahead must not look full.
pub const MAINTENANCE_HORIZON_MS: u64 = 24 * 3600 * 1000;

/// What is declined for the launch rate may come back after this time.
pub const RATE_RETRY_MS: u64 = 1_000;

/// What is declined because an executor was just lost there may come back after this time.
pub const AVOID_RETRY_MS: u64 = 5_000;

impl Reason {
    /// Without the facts.
    pub fn kind(&self) -> ReasonKind {
        match self {
            Reason::NoOffers => ReasonKind::NoOffers,
            Reason::NothingWanted => ReasonKind::NothingWanted,
            Reason::Role => ReasonKind::Role,
            Reason::Constraint { .. } => ReasonKind::Constraint,
            Reason::Maintenance => ReasonKind::Maintenance,
            Reason::Avoided => ReasonKind::Avoided,
            Reason::Cpus { .. } => ReasonKind::Cpus,
            Reason::Mem { .. } => ReasonKind::Mem,
            Reason::Disk { .. } => ReasonKind::Disk,
            Reason::Ports => ReasonKind::Ports,
            Reason::SpreadCap { .. } => ReasonKind::SpreadCap,
            Reason::Locality { .. } => ReasonKind::Locality,
            Reason::Backoff { .. } => ReasonKind::Backoff,
            Reason::LaunchRate => ReasonKind::LaunchRate,
            Reason::Outbid => ReasonKind::Outbid,
        }
    }

    /// The one of two reasons that counts: the nearer to success, which is the later in [`ReasonKind`]. Of two alike the one
    /// with the smaller gap or the earlier end, else this one.
    pub(crate) fn or_nearer(self, other: Reason) -> Reason {
        let other_wins = match (&self, &other) {
            (Reason::Cpus { need_milli: n, have_milli: h }, Reason::Cpus { need_milli: on, have_milli: oh })
            | (Reason::Mem { need_bytes: n, have_bytes: h }, Reason::Mem { need_bytes: on, have_bytes: oh })
            | (Reason::Disk { need_bytes: n, have_bytes: h }, Reason::Disk { need_bytes: on, have_bytes: oh }) => {
                on.saturating_sub(*oh) < n.saturating_sub(*h)
            }
            (Reason::Locality { until_ms: a }, Reason::Locality { until_ms: b })
            | (Reason::Backoff { until_ms: a }, Reason::Backoff { until_ms: b }) => b < a,
            _ => other.kind() > self.kind(),
        };
        if other_wins { other } else { self }
    }

    /// For how long an offer that was refused for this reason is not wanted by the request.
    pub(crate) fn filter(&self, request: &Request, now_ms: u64) -> Filter {
        match self {
            Reason::Locality { until_ms } | Reason::Backoff { until_ms } => Filter::Until(*until_ms),
            Reason::LaunchRate | Reason::Outbid => Filter::Until(now_ms.saturating_add(RATE_RETRY_MS)),
            Reason::Avoided => Filter::Until(now_ms.saturating_add(AVOID_RETRY_MS)),
            Reason::SpreadCap { .. } => Filter::Until(request.deadline_ms.saturating_add(SPREAD_PATIENCE_MS)),
            Reason::NoOffers
            | Reason::NothingWanted
            | Reason::Role
            | Reason::Constraint { .. }
            | Reason::Maintenance
            | Reason::Cpus { .. }
            | Reason::Mem { .. }
            | Reason::Disk { .. }
            | Reason::Ports => Filter::Long,
        }
    }
}

impl Filter {
    /// The one that ends first.
    pub(crate) fn or_sooner(self, other: Filter) -> Filter {
        match (self, other) {
            (Filter::Until(a), Filter::Until(b)) => Filter::Until(a.min(b)),
            (Filter::Until(a), Filter::Long) | (Filter::Long, Filter::Until(a)) => Filter::Until(a),
            (Filter::Long, Filter::Long) => Filter::Long,
        }
    }
}

/// Refusals that hold for all requests of a job.
pub(crate) fn standing(wishes: &JobWishes, offer: &AgentOffer, now_ms: u64) -> Option<Reason> {
    if !wishes.roles.is_empty() && !wishes.roles.contains(&offer.role) {
        return Some(Reason::Role);
    }
    if let Some(broken) = wishes.constraints.iter().find(|c| !c.fulfilled(offer)) {
        return Some(Reason::Constraint { constraint: broken.to_string() });
    }
    let horizon = now_ms.saturating_add(MAINTENANCE_HORIZON_MS);
    offer.unavailable_from_ms.is_some_and(|from| from < horizon).then_some(Reason::Maintenance)
}

/// The resource that is missing, CPUs before memory before disk before ports.
pub(crate) fn missing(need: &Resources, have: &Resources) -> Option<Reason> {
    if need.cpus_milli > have.cpus_milli {
        Some(Reason::Cpus { need_milli: need.cpus_milli, have_milli: have.cpus_milli })
    } else if need.mem_bytes > have.mem_bytes {
        Some(Reason::Mem { need_bytes: need.mem_bytes, have_bytes: have.mem_bytes })
    } else if need.disk_bytes > have.disk_bytes {
        Some(Reason::Disk { need_bytes: need.disk_bytes, have_bytes: have.disk_bytes })
    } else {
        (need.ports > have.ports).then_some(Reason::Ports)
    }
}

/// When a place becomes good enough whose records come from `distance` (mean) away: at once up to the goal's distance, or up
/// to the `least` that is possible anywhere; then tier by tier in equal steps; the farthest at the deadline. A request with a
/// volume is at home at once, and anywhere else at the deadline.
pub(crate) fn good_from(
    goal: Tier,
    distances: &Distances,
    request: &Request,
    offer: &AgentOffer,
    distance: f64,
    least: f64,
) -> u64 {
    if request.volume.is_some() {
        return if request.is_at_home(offer) { 0 } else { request.deadline_ms };
    }
    // Means of equal distances may differ in their last bits.
    const SLACK: f64 = 1e-9;
    let wider: Vec<Tier> = Tier::ALL.into_iter().filter(|tier| *tier > goal).collect();
    if distance <= distances.of(goal).max(least) + SLACK || wider.is_empty() {
        return 0;
    }
    let step = wider.iter().position(|tier| distances.of(*tier) + SLACK >= distance).map_or(wider.len(), |at| at + 1);
    let whole = u128::from(request.deadline_ms.saturating_sub(request.wait_from_ms));
    let waited = whole * step as u128 / wider.len() as u128;
    // At the deadline anything goes, whatever was given as the beginning.
    request.wait_from_ms.saturating_add(waited as u64).min(request.deadline_ms)
}
