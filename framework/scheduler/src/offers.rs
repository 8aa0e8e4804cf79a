//! Offers: what is wanted now → plan → ACCEPT and DECLINE. Every offer is answered in the step that brings it.

mod problem;
pub(crate) mod view;

use std::collections::BTreeMap;

use millstream_mesos_types::{
    Filters, Offer, OfferId, Operation, Unavailability,
    scheduler::{Accept, Call, Decline},
};
use millstream_placement::{AgentOffer, ExecutorOf, Filter, ReasonKind, plan};

use self::problem::parse_request;
pub(crate) use self::problem::{constraint, problem, wanted};
pub use self::problem::{guessed_bytes_per_sec, job_wishes, task_resources, tier};
use crate::{
    Audit, Effects, State, launch, maintenance,
    resources::{Pool, revocable_of},
    rollout, volumes,
};

/// Filter of offers that may soon be good, as Mesos' own default.
const SHORT_FILTER_MS: u64 = 5_000;

/// Shortest filter; less brings the same offer again in the next allocation.
const FILTER_MIN_MS: u64 = 1_000;

/// Offers of one agent to one role.
struct Group {
    offers: Vec<Offer>,
    view: AgentOffer,
}

pub(crate) fn answer(state: &mut State, effects: &mut Effects, offers: Vec<Offer>) {
    let mut groups = group(state, offers);
    let problem = problem(state, groups.values().map(|group| group.view.clone()).collect());
    let plan = plan(&problem);

    let mut launches: BTreeMap<(String, String), Vec<_>> = BTreeMap::new();
    for launch in plan.launches {
        launches.entry((launch.agent.clone(), launch.role.clone())).or_default().push(launch);
    }
    let now = state.now();
    for wait in plan.waits {
        let Some(wish) = parse_request(&wait.request).and_then(|key| state.slots.get_mut(&key)) else { continue };
        for (reason, count) in &wait.agents {
            *wish.refused.entry(*reason).or_default() += count;
        }
        (wish.wait, wish.wait_said_at) = (Some(wait), now);
    }
    let remainder_ms = remainder_filter_ms(state, launches.values().map(Vec::len).sum());
    for (key, launches) in launches {
        let Some(group) = groups.remove(&key) else { continue };
        let Group { offers, view } = accept(state, effects, group, &launches, remainder_ms);
        if !offers.is_empty() {
            groups.insert(key, Group { offers, view });
        }
    }
    for declined in plan.declines {
        if let Some(group) = groups.remove(&(declined.agent, declined.role)) {
            let ms = filter_ms(state, declined.filter);
            let removals = volumes::removals(state, effects, &group.offers);
            match removals.is_empty() {
                true => decline(state, effects, &group, declined.reason.kind(), ms),
                false => drop(accept_with(state, effects, group, 0, removals, ms)),
            }
        }
    }
    // Nothing is left when the plan keeps its promise; an offer is never kept all the same.
    for group in groups.into_values() {
        decline(state, effects, &group, ReasonKind::Outbid, SHORT_FILTER_MS);
    }
}

fn group(state: &State, offers: Vec<Offer>) -> BTreeMap<(String, String), Group> {
    let mut by_agent: BTreeMap<(String, String), Vec<Offer>> = BTreeMap::new();
    for offer in offers {
        let role = offer
            .allocation_info
            .as_ref()
            .map_or_else(|| state.settings.framework.role.clone(), |info| info.role.clone());
        by_agent.entry((offer.agent_id.value.clone(), role)).or_default().push(offer);
    }
    by_agent
        .into_iter()
        .filter_map(|((agent, role), offers)| {
            let at = |unavailability: &Unavailability| maintenance_at_ms(state, unavailability);
            let view = view::agent_offer(&role, &offers, executors_of(state, &agent), at)?;
            Some(((agent, role), Group { offers, view }))
        })
        .collect()
}

/// When a maintenance begins, on the scheduler's clock; none when it is over.
fn maintenance_at_ms(state: &State, unavailability: &Unavailability) -> Option<u64> {
    let (now, wall_ms) = (state.now(), state.clock.wall_ms);
    let start_ms = unavailability.start.nanoseconds / 1_000_000;
    let at = now.saturating_add_signed(start_ms.saturating_sub_unsigned(wall_ms));
    (!maintenance::is_over(unavailability, wall_ms)).then_some(at)
}

/// The executors on an agent that may get further tasks.
fn executors_of(state: &State, agent: &str) -> Vec<ExecutorOf> {
    let live = state.store.executors_on(agent).filter(|(_, record)| !record.lost);
    let of = live.map(|(_, record)| ExecutorOf {
        job: rollout::placed_as(&record.job, record.version),
        revocable: revocable_of(&record.info.resources),
    });
    of.collect()
}

/// Launches on a group's offers; gives the group back when (against the plan) nothing of it fits.
fn accept(
    state: &mut State,
    effects: &mut Effects,
    group: Group,
    launches: &[millstream_placement::Launch],
    remainder_ms: u64,
) -> Group {
    let mut pool = Pool::new(group.offers.iter().flat_map(|offer| &offer.resources), &group.view.role);
    let offer = &group.offers[0];
    let (tasks, before): (Vec<_>, Vec<_>) = launches
        .iter()
        .filter_map(|planned| {
            let key = parse_request(&planned.request)?;
            // What does not fit after all must not use up what the next one needs.
            let mut left = pool.clone();
            let launched = launch::launch(state, effects, &key, planned, offer, &group.view.place, &mut left)?;
            pool = left;
            Some(launched)
        })
        .unzip();
    if tasks.is_empty() {
        return group;
    }
    for task in &tasks {
        let offer_ids = group.offers.iter().map(|offer| offer.id.clone()).collect();
        state.tasks.entry(task.task_id.value.clone()).or_default().offers = offer_ids;
    }
    let count = tasks.len();
    let mut operations: Vec<_> = before.into_iter().flatten().chain([Operation::launch(tasks)]).collect();
    operations.extend(volumes::removals(state, effects, &group.offers));
    accept_with(state, effects, group, count, operations, remainder_ms)
}

/// One ACCEPT of all the group's offers.
fn accept_with(
    state: &mut State,
    effects: &mut Effects,
    mut group: Group,
    tasks: usize,
    operations: Vec<Operation>,
    remainder_ms: u64,
) -> Group {
    let until = state.now() + remainder_ms;
    state.manners.filtered(until);
    effects.audit.push(Audit::OffersAccepted {
        agent: group.view.agent.clone(),
        role: group.view.role.clone(),
        offers: group.offers.len(),
        tasks,
    });
    let offer_ids: Vec<_> = std::mem::take(&mut group.offers).into_iter().map(|offer| offer.id).collect();
    effects.calls.push(Call::Accept { accept: Accept { offer_ids, operations, filters: filters(remainder_ms) } });
    group
}

/// Gives back what a launch was to use that never arrived: until then the master holds it for us, and would take the
/// launch if it came after all. Offers that were used up or have died are nothing to it.
pub(crate) fn take_back(state: &mut State, effects: &mut Effects, task: &str) {
    let offer_ids = state.tasks.get_mut(task).map(|watch| std::mem::take(&mut watch.offers)).unwrap_or_default();
    if !offer_ids.is_empty() {
        effects.calls.push(Call::Decline { decline: Decline { offer_ids, filters: filters(0) } });
    }
}

fn decline(state: &mut State, effects: &mut Effects, group: &Group, reason: ReasonKind, ms: u64) {
    let until = state.now() + ms;
    state.manners.filtered(until);
    effects.audit.push(Audit::OffersDeclined {
        agent: group.view.agent.clone(),
        role: group.view.role.clone(),
        offers: group.offers.len(),
        reason,
        refuse_secs: ms as f64 / 1_000.0,
    });
    let offer_ids: Vec<OfferId> = group.offers.iter().map(|offer| offer.id.clone()).collect();
    effects.calls.push(Call::Decline { decline: Decline { offer_ids, filters: filters(ms) } });
}

fn filters(ms: u64) -> Option<Filters> {
    Some(Filters { refuse_seconds: Some(ms as f64 / 1_000.0) })
}

fn filter_ms(state: &State, filter: Filter) -> u64 {
    let long = (state.settings.decline_secs * 1_000.0) as u64;
    match filter {
        Filter::Long => long,
        Filter::Until(at) => at.saturating_sub(state.now()).clamp(FILTER_MIN_MS, long.max(FILTER_MIN_MS)),
    }
}

/// What is left of accepted offers comes back soon only when somebody still waits for something.
fn remainder_filter_ms(state: &State, launches: usize) -> u64 {
    if state.pending.len() <= launches { filter_ms(state, Filter::Long) } else { SHORT_FILTER_MS }
}
