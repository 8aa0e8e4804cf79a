//! Planned maintenance: inverse offers are answered in the step that brings them, and tasks leave in time.
//!
//! Nothing is stored: the allocator sends an inverse offer again whenever its filter has ended, for as long as we hold
//! anything on the agent (hierarchical.cpp, `generateInverseOffers`), and after a failover of either side. An answered one
//! is never rescinded when its maintenance is cancelled; that it is not sent again is all there is to see.

use millstream_mesos_types::{
    Filters, InverseOffer, Offer, OfferId, Unavailability,
    scheduler::{Call, InverseOfferAnswer},
};
use millstream_spec::ConstraintTest;

use crate::{Audit, Effects, State, ending, records::Aim};

/// Tasks begin to leave this long before the start (or as soon as it is known): time to find places, far more than a drain
/// takes, and little enough that a maintenance planned for next week costs nothing today.
const LEAD_MS: u64 = 10 * 60_000;

/// Tasks of one agent that drain at once. A cluster's maintenance takes many agents at a time.
const LEAVING_MAX: usize = 5;

/// An answered inverse offer is not wanted again for this long. One call per agent and minute is no storm.
const ANSWER_FILTER_MS: u64 = 60_000;

/// An inverse offer that does not come again by then has been cancelled. Allocations are a second apart.
const CANCELLED_AFTER_MS: u64 = ANSWER_FILTER_MS + 30_000;

/// A place is avoided for at most this long: a maintenance may have no end, and its offers say so again.
const AVOID_MAX_MS: u64 = 24 * 3_600_000;

/// The maintenance of an agent with tasks of ours.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Maintenance {
    inverse_offer: String,
    /// In milliseconds since the epoch, as operators plan.
    pub(crate) start_ms: u64,
    end_ms: Option<u64>,
    /// Why it was declined; none when accepted.
    pub(crate) refused: Option<String>,
    /// On the scheduler's clock.
    last_seen: u64,
}

/// Answers each, and asks tasks to leave where it is time.
pub(crate) fn answer(state: &mut State, effects: &mut Effects, offers: Vec<InverseOffer>) {
    let (mut accepted, mut declined) = (vec![], vec![]);
    for offer in offers {
        match take_in(state, effects, &offer) {
            None => accepted.push(offer.id),
            Some(_) => declined.push(offer.id),
        }
    }
    let answer = |inverse_offer_ids: Vec<OfferId>| {
        let filters = Some(Filters { refuse_seconds: Some(ANSWER_FILTER_MS as f64 / 1_000.0) });
        InverseOfferAnswer { inverse_offer_ids, filters }
    };
    if !accepted.is_empty() {
        effects.calls.push(Call::AcceptInverseOffers { accept_inverse_offers: answer(accepted) });
    }
    if !declined.is_empty() {
        effects.calls.push(Call::DeclineInverseOffers { decline_inverse_offers: answer(declined) });
    }
    leave(state, effects);
}

/// Remembers it; returns why it is declined.
fn take_in(state: &mut State, effects: &mut Effects, offer: &InverseOffer) -> Option<String> {
    let start_ms = millis(offer.unavailability.start.nanoseconds);
    let Some(agent) = offer.agent_id.as_ref().map(|id| id.value.clone()) else {
        let reason = "it names no agent".to_owned();
        effects.audit.push(Audit::InverseOfferDeclined { agent: String::new(), tasks: 0, reason: reason.clone() });
        return Some(reason);
    };
    if is_over(&offer.unavailability, state.clock.wall_ms) {
        // The machine is still in the operator's schedule. Nothing is to be left any more.
        state.maintenance.remove(&agent);
        return None;
    }
    let tasks = tasks_on(state, &agent);
    let refused = refusal(state, &tasks, start_ms);
    let tasks = tasks.len();
    let known = state.maintenance.get(&agent);
    if known.is_none_or(|known| known.start_ms != start_ms || known.refused.is_some() != refused.is_some()) {
        effects.audit.push(match &refused {
            None => Audit::InverseOfferAccepted { agent: agent.clone(), tasks, start_ms },
            Some(reason) => Audit::InverseOfferDeclined { agent: agent.clone(), tasks, reason: reason.clone() },
        });
    }
    if tasks > 0 {
        let end_ms = end_ms(&offer.unavailability);
        let (inverse_offer, last_seen) = (offer.id.value.clone(), state.now());
        let maintenance = Maintenance { inverse_offer, start_ms, end_ms, refused: refused.clone(), last_seen };
        state.maintenance.insert(agent, maintenance);
    }
    refused
}

/// Whether its time has passed: operators leave machines in the schedule until they take them out by hand.
pub(crate) fn is_over(unavailability: &Unavailability, wall_ms: u64) -> bool {
    end_ms(unavailability).is_some_and(|end_ms| end_ms <= wall_ms)
}

fn end_ms(unavailability: &Unavailability) -> Option<u64> {
    let duration = unavailability.duration?;
    Some(millis(unavailability.start.nanoseconds) + millis(duration.nanoseconds))
}

fn millis(nanoseconds: i64) -> u64 {
    u64::try_from(nanoseconds / 1_000_000).unwrap_or(0)
}

/// Why not all tasks can be gone before the start.
fn refusal(state: &State, tasks: &[String], start_ms: u64) -> Option<String> {
    let left_ms = start_ms.saturating_sub(state.clock.wall_ms);
    let needed_ms = time_to_leave_ms(state, tasks.len());
    if needed_ms > left_ms {
        let (needed, left) = (needed_ms.div_ceil(1_000), left_ms / 1_000);
        return Some(format!("{} tasks may need {needed} s to leave, and it begins in {left} s", tasks.len()));
    }
    let bound =
        tasks.iter().find_map(|id| state.store.task(id).map(|task| &task.job).filter(|_| is_bound(state, id)))?;
    Some(format!("job {bound} may run on this host only"))
}

/// Time the drains of so many tasks take at worst.
fn time_to_leave_ms(state: &State, tasks: usize) -> u64 {
    tasks.div_ceil(LEAVING_MAX) as u64 * (state.settings.grace_ms + ending::DRAIN_SLACK_MS)
}

/// Tasks on an agent that are their slots' current ones.
fn tasks_on(state: &State, agent: &str) -> Vec<String> {
    state.store.executors_on(agent).flat_map(|(id, _)| state.current_tasks(id)).collect()
}

/// Does its job allow this very host only? Then nothing is won by stopping it early.
fn is_bound(state: &State, id: &String) -> bool {
    let Some(task) = state.store.task(id) else { return false };
    let (Some(job), Some(slot)) = (state.store.job(&task.job), state.store.slot(&(task.job.clone(), task.slot))) else {
        return false;
    };
    let host = state.host_of(&task.executor);
    let mut constraints = job.wanted(slot).spec.placement.constraints.iter();
    constraints.any(|constraint| {
        constraint.attribute == "hostname"
            && matches!(&constraint.test, ConstraintTest::In(hosts) if hosts.iter().all(|name| *name == host))
    })
}

/// Tasks that have not been asked to leave stay.
pub(crate) fn rescinded(state: &mut State, effects: &mut Effects, offer: String) {
    state.maintenance.retain(|_, maintenance| maintenance.inverse_offer != offer);
    effects.audit.push(Audit::InverseOfferRescinded { offer });
}

/// An agent that is offered without unavailability has none planned any more.
pub(crate) fn offered(state: &mut State, effects: &mut Effects, offers: &[Offer]) {
    for offer in offers.iter().filter(|offer| offer.unavailability.is_none()) {
        if state.maintenance.remove(&offer.agent_id.value).is_some() {
            effects.audit.push(Audit::MaintenanceCancelled { agent: offer.agent_id.value.clone() });
        }
    }
}

pub(crate) fn tick(state: &mut State, effects: &mut Effects) {
    let (now, wall_ms) = (state.now(), state.clock.wall_ms);
    state.maintenance.retain(|_, maintenance| maintenance.end_ms.is_none_or(|end| wall_ms < end));
    state.maintenance.retain(|agent, maintenance| {
        let cancelled = now >= maintenance.last_seen + CANCELLED_AFTER_MS;
        if cancelled {
            effects.audit.push(Audit::MaintenanceCancelled { agent: agent.clone() });
        }
        !cancelled
    });
    leave(state, effects);
}

/// Asks the next tasks to leave, wherever it is time. Where it was too late to promise, the sooner the better.
fn leave(state: &mut State, effects: &mut Effects) {
    let wall_ms = state.clock.wall_ms;
    for (agent, maintenance) in state.maintenance.clone() {
        let tasks = tasks_on(state, &agent);
        if tasks.is_empty() {
            state.maintenance.remove(&agent);
            continue;
        }
        // Half of the time is left for places to be found.
        let lead_ms = LEAD_MS.max(2 * time_to_leave_ms(state, tasks.len()));
        if wall_ms + lead_ms < maintenance.start_ms {
            continue;
        }
        let drains = |id: &String| state.store.task(id).is_some_and(|task| task.aim == Aim::Drain);
        let room = LEAVING_MAX.saturating_sub(tasks.iter().filter(|id| drains(id)).count());
        let next: Vec<_> = tasks.iter().filter(|id| !drains(id) && !is_bound(state, id)).take(room).cloned().collect();
        if next.is_empty() {
            continue;
        }
        effects.audit.push(Audit::MaintenanceDrain { agent: agent.clone(), tasks: next.len() });
        let lasts_ms = maintenance.end_ms.map_or(AVOID_MAX_MS, |end| end.saturating_sub(wall_ms).min(AVOID_MAX_MS));
        let until = state.now() + lasts_ms;
        for id in next {
            let Some(task) = state.store.task(&id) else { continue };
            let wish = state.slots.entry((task.job.clone(), task.slot)).or_default();
            wish.avoid.push((agent.clone(), until));
            ending::start_drain(state, effects, &id);
        }
    }
}
