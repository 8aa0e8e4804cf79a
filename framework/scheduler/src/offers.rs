//! Offers: what is wanted now → plan → ACCEPT and DECLINE. Every offer is answered in the step that brings it.

pub(crate) mod view;

use std::collections::BTreeMap;

use millstream_mesos_types::{
    Filters, Offer, OfferId, Operation, Unavailability,
    scheduler::{Accept, Call, Decline},
};
use millstream_placement::{
    AgentOffer, Constraint, ConstraintTest, ExecutorOf, Filter, JobWishes, PlacedTask, Problem, ReasonKind, Request,
    Resources, Tier, Topology, plan,
};
use millstream_spec as spec;

use crate::{
    Audit, Effects, State, launch, maintenance,
    records::SlotKey,
    resources::{Pool, revocable_of, whole_mib},
    rollout::{self, Wanted},
    volumes,
};

/// Bytes per second of a partition nobody has measured yet. Only its ratio to other jobs' matters.
const GUESSED_BYTES_PER_SEC: f64 = 100_000.0;

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

/// What is wanted now, and what is offered.
pub(crate) fn problem(state: &State, offers: Vec<AgentOffer>) -> Problem {
    let now = state.now();
    let mut waiting: Vec<_> = state.pending.iter().filter_map(|key| Some((state.slots.get(key)?.since, key))).collect();
    waiting.sort_unstable();
    let requests: Vec<_> = waiting.into_iter().filter_map(|(_, key)| request(state, key, now)).collect();
    let mut jobs = BTreeMap::new();
    let mut topology = Topology::default();
    let mut placed = vec![];
    for request in &requests {
        let Some(key) = parse_request(&request.id).filter(|_| !jobs.contains_key(&request.job)) else { continue };
        let Some(wanted) = wanted(state, &key) else { continue };
        jobs.insert(request.job.clone(), wishes(state, wanted.spec));
        if let Some(known) = state.topologies.get(&key.0) {
            topology.jobs.insert(request.job.clone(), known.clone());
        }
        // Caps hold for all tasks of a job, of whatever version.
        placed.extend(state.store.slots_of(&key.0).filter_map(|(_, slot)| {
            let task = state.store.task(slot.task.as_ref()?)?;
            let place = state.store.executor(&task.executor)?.place.clone();
            Some(PlacedTask { job: request.job.clone(), place, partitions: slot.partitions.len() })
        }));
    }
    Problem {
        now_ms: now,
        placed,
        jobs,
        requests,
        offers,
        topology,
        distances: state.settings.distances,
        launches_max: state.settings.launches_max,
    }
}

/// A job's wishes as placement knows them.
pub(crate) fn wishes(state: &State, spec: &spec::JobSpec) -> JobWishes {
    let reports = state.store.slots_of(&spec.name.0).filter_map(|(_, slot)| {
        let report = state.tasks.get(slot.task.as_ref()?)?.report.as_ref()?;
        Some((report.bytes_in, report.bytes_out))
    });
    let (bytes_in, bytes_out) = reports.fold((0, 0), |sum, report| (sum.0 + report.0, sum.1 + report.1));
    let ratio = if bytes_in == 0 { 1.0 } else { bytes_out as f64 / bytes_in as f64 };
    JobWishes { bytes_out_per_byte_in: ratio, ..job_wishes(spec, &state.settings) }
}

/// The wishes of a job that has not run yet.
pub fn job_wishes(spec: &spec::JobSpec, settings: &crate::Settings) -> JobWishes {
    let placement = &spec.placement;
    JobWishes {
        goal: tier(placement.goal),
        max_share_per_host: placement.max_share_per_host,
        max_share_per_rack: placement.max_share_per_rack,
        constraints: placement.constraints.iter().map(constraint).collect(),
        executor_overhead: Resources {
            cpus_milli: settings.executor_cpus_milli,
            mem_bytes: whole_mib(settings.executor_mem_bytes),
            disk_bytes: 0,
            ports: u32::from(settings.executor_port),
        },
        bytes_out_per_byte_in: 1.0,
        roles: vec![settings.framework.role.clone()],
    }
}

/// What one task of a job takes besides the executor, rounded as Mesos counts.
pub fn task_resources(spec: &spec::JobSpec) -> Resources {
    Resources {
        cpus_milli: (spec.tasks.cpus * 1_000.0).round() as u64,
        mem_bytes: whole_mib(spec.tasks.mem_bytes),
        disk_bytes: whole_mib(spec.tasks.volume_bytes.unwrap_or(0)),
        ports: 0,
    }
}

/// Bytes per second to reckon with for this many partitions nobody has measured.
pub fn guessed_bytes_per_sec(partitions: usize) -> f64 {
    GUESSED_BYTES_PER_SEC * partitions as f64
}

fn request(state: &State, key: &SlotKey, now: u64) -> Option<Request> {
    let (wanted, slot, wish) = (wanted(state, key)?, state.store.slot(key)?, state.slots.get(key)?);
    let avoid = wish.avoid.iter().filter(|(_, until)| *until > now);
    let avoid_agents: Vec<String> = avoid.map(|(agent, _)| agent.clone()).collect();
    Some(Request {
        id: format!("{}/{}", key.0, key.1),
        job: wanted.placed_as(),
        partitions: slot.partitions.clone(),
        resources: task_resources(wanted.spec),
        bytes_in_per_sec: wish.bytes_per_sec.unwrap_or_else(|| guessed_bytes_per_sec(slot.partitions.len())),
        wait_from_ms: wish.since,
        deadline_ms: wish.since + wanted.spec.placement.max_wait_ms,
        not_before_ms: state.jobs.get(&key.0).map_or(0, |job| job.not_before),
        volume: volumes::home(state, key, wanted.spec.tasks.volume_bytes, &avoid_agents),
        avoid_agents,
        revocable: wanted.spec.tasks.revocable,
    })
}

fn wanted<'a>(state: &'a State, key: &SlotKey) -> Option<Wanted<'a>> {
    Some(state.store.job(&key.0)?.wanted(state.store.slot(key)?))
}

fn parse_request(id: &str) -> Option<SlotKey> {
    let (job, index) = id.rsplit_once('/')?;
    Some((job.into(), index.parse().ok()?))
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

/// The tier a job file names.
pub fn tier(tier: spec::Tier) -> Tier {
    match tier {
        spec::Tier::Host => Tier::Host,
        spec::Tier::Rack => Tier::Rack,
        spec::Tier::Zone => Tier::Zone,
        spec::Tier::Region => Tier::Region,
        spec::Tier::Any => Tier::Any,
    }
}

/// A test on an agent, as placement knows it.
pub(crate) fn constraint(constraint: &spec::Constraint) -> Constraint {
    let test = match &constraint.test {
        spec::ConstraintTest::Exists => ConstraintTest::Exists,
        spec::ConstraintTest::NotExists => ConstraintTest::NotExists,
        spec::ConstraintTest::In(values) => ConstraintTest::In(values.clone()),
        spec::ConstraintTest::NotIn(values) => ConstraintTest::NotIn(values.clone()),
    };
    Constraint { attribute: constraint.attribute.clone(), test }
}
