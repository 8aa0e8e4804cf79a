use std::collections::BTreeMap;

use millstream_placement::Reason;
use millstream_spec::JobSpec;

use crate::{
    State,
    ending::REST_MS,
    jobs,
    manners::REVIVE_EVERY_MS,
    offers::{constraint, task_resources, wanted},
    records::SlotKey,
};

/// So long a reason that is about one moment is shown; offers that may be good come again within 5 s.
const MOMENT_MS: u64 = 10_000;

/// So long a REVIVE may take to bring offers: the masters' default `--allocation_interval`, twice.
const ALLOCATED_WITHIN_MS: u64 = 2_000;

/// What slots of a job wait for that no offer has had room for: each version of it, and its slots. Whether any agent could
/// ever hold such a task is not known here: the master leaves out what is too small.
pub fn without_room(state: &State, name: &str) -> Vec<(JobSpec, Vec<u32>)> {
    let Some(job) = state.store.job(&name.to_owned()).filter(|_| state.is_subscribed()) else { return vec![] };
    let mut versions: BTreeMap<u64, (JobSpec, Vec<u32>)> = BTreeMap::new();
    let asked = state.manners.revive_in_ms(state.now()).is_none();
    for (key, slot) in state.store.slots_of(name).filter(|(key, _)| state.pending.contains(key)) {
        let lacks_room = match reason(state, key) {
            Reason::NoOffers => asked,
            reason => !ends_by_waiting(&reason) && !matches!(reason, Reason::Backoff { .. }),
        };
        if lacks_room {
            let wanted = job.wanted(slot);
            versions.entry(wanted.version).or_insert_with(|| (wanted.spec.clone(), vec![])).1.push(key.1);
        }
    }
    versions.into_values().collect()
}

/// Does the deadline help? What does not fit, or is not allowed there, does not at the deadline either.
pub(super) fn ends_by_waiting(reason: &Reason) -> bool {
    match reason {
        Reason::NoOffers
        | Reason::NothingWanted
        | Reason::Avoided
        | Reason::Locality { .. }
        | Reason::LaunchRate
        | Reason::Outbid => true,
        Reason::Role
        | Reason::Constraint { .. }
        | Reason::Maintenance
        | Reason::Cpus { .. }
        | Reason::Mem { .. }
        | Reason::Disk { .. }
        | Reason::Ports
        | Reason::SpreadCap { .. }
        | Reason::Backoff { .. } => false,
    }
}

/// When the version that the slot is to run may be launched.
pub(super) fn not_before(state: &State, key: &SlotKey) -> u64 {
    wanted(state, key).map_or(0, |wanted| jobs::slot_not_before(state, key, wanted.version))
}

/// Why the slot waits: what the last plan said, as long as it says something about now.
pub(super) fn reason(state: &State, key: &SlotKey) -> Reason {
    let not_before = not_before(state, key);
    if not_before > state.now() {
        return Reason::Backoff { until_ms: not_before };
    }
    let wish = state.slots.get(key);
    let said = wish.and_then(|wish| Some((wish.wait.as_ref()?.reason.clone(), wish.wait_said_at)));
    said.filter(|(reason, at)| still_holds(reason, state.now() - at)).map_or(Reason::NoOffers, |(reason, _)| reason)
}

/// What was only so in that moment is no reason any more when no offers have come since (a quota, other frameworks).
fn still_holds(reason: &Reason, age_ms: u64) -> bool {
    match reason {
        Reason::Backoff { .. } => false,
        Reason::Outbid | Reason::LaunchRate => age_ms < MOMENT_MS,
        _ => true,
    }
}

pub(super) fn state_text(state: &State, key: &SlotKey) -> String {
    let (reason, now) = (reason(state, key), state.now());
    let rest = state.slots.get(key).map_or(0, |wish| wish.rest_until);
    if matches!(reason, Reason::Backoff { until_ms } if until_ms == rest) {
        let secs = rest.saturating_sub(now).div_ceil(1_000);
        return format!(
            "its task was ended by an operator, which is no failure; starts again in {secs} s (at most every {} s)",
            REST_MS / 1_000
        );
    }
    let Some(wanted) = wanted(state, key).filter(|_| reason == Reason::NoOffers) else {
        return reason.describe(now);
    };
    if !state.is_subscribed() {
        return "there is no subscription at the Mesos master".into();
    }
    // Between two REVIVEs nothing can have been offered yet; that is no fault of the agents.
    if let Some(ms) = state.manners.revive_in_ms(now) {
        return format!("asks for offers in {:.1} s (at most every {} s)", ms as f64 / 1e3, REVIVE_EVERY_MS / 1_000);
    }
    if state.manners.revived_ms_ago(now).is_some_and(|ms| ms < ALLOCATED_WITHIN_MS) {
        return "has just asked for offers".into();
    }
    // The master leaves out what is of no use: say what would be.
    format!("{reason} that is wanted: {}", asked_for(wanted.spec))
}

fn asked_for(spec: &JobSpec) -> String {
    let constraints = spec.placement.constraints.iter().map(|c| format!(", `{}`", constraint(c)));
    format!("{}{}", task_resources(spec), constraints.collect::<String>())
}
