//! Post-conditions of a plan, counted anew from the problem alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    AgentOffer, Filter, Plan, Problem, Request, Resources, Revocable, SPREAD_PATIENCE_MS,
    refusal::{good_from, standing},
    spread::{Caps, HostIndex, totals},
    view::JobView,
};

/// What is wrong with a plan, one line each; empty when all promises hold: every offer and request accounted for once, never
/// more launched than offered or than the rate allows, nothing launched against a wish, before its time or (without saying
/// so) over a cap. [`crate::plan()`] asserts this in debug builds.
pub fn violations(problem: &Problem, plan: &Plan) -> Vec<String> {
    let mut wrong = vec![];
    accounts(problem, plan, &mut wrong);
    resources(problem, plan, &mut wrong);
    wishes(problem, plan, &mut wrong);
    caps(problem, plan, &mut wrong);
    wrong
}

fn accounts(problem: &Problem, plan: &Plan, wrong: &mut Vec<String>) {
    let mut asked: Vec<&str> = problem.requests.iter().map(|r| r.id.as_str()).collect();
    let launched = plan.launches.iter().map(|l| l.request.as_str());
    let mut answered: Vec<&str> = launched.chain(plan.waits.iter().map(|w| w.request.as_str())).collect();
    asked.sort_unstable();
    answered.sort_unstable();
    if asked != answered {
        wrong.push(format!("requests {asked:?} are answered as {answered:?}"));
    }
    let mut offered: Vec<(&str, &str)> = problem.offers.iter().map(|o| (o.agent.as_str(), o.role.as_str())).collect();
    let used: BTreeSet<(&str, &str)> = plan.launches.iter().map(|l| (l.agent.as_str(), l.role.as_str())).collect();
    let declined = plan.declines.iter().map(|d| (d.agent.as_str(), d.role.as_str()));
    let mut decided: Vec<(&str, &str)> = used.into_iter().chain(declined).collect();
    offered.sort_unstable();
    decided.sort_unstable();
    if offered != decided {
        wrong.push(format!("offers {offered:?} are decided as {decided:?}"));
    }
    if plan.launches.len() > problem.launches_max {
        wrong.push(format!("{} launches, at most {} allowed", plan.launches.len(), problem.launches_max));
    }
    for decline in &plan.declines {
        if matches!(decline.filter, Filter::Until(until) if until <= problem.now_ms) {
            wrong.push(format!("the filter of {} has ended already", decline.agent));
        }
    }
}

/// Pairs of what was launched with what it was launched on.
fn pairs<'a>(problem: &'a Problem, plan: &'a Plan) -> Vec<(&'a Request, &'a AgentOffer)> {
    let requests: HashMap<&str, &Request> = problem.requests.iter().map(|r| (r.id.as_str(), r)).collect();
    let offers: HashMap<(&str, &str), &AgentOffer> =
        problem.offers.iter().map(|o| ((o.agent.as_str(), o.role.as_str()), o)).collect();
    let pair = |l: &'a crate::Launch| {
        Some((*requests.get(l.request.as_str())?, *offers.get(&(l.agent.as_str(), l.role.as_str()))?))
    };
    plan.launches.iter().filter_map(pair).collect()
}

/// Firm and revocable, of which the latter has no disk and no ports.
type Taken = (Resources, Resources);

fn resources(problem: &Problem, plan: &Plan, wrong: &mut Vec<String>) {
    let launches: HashMap<&str, &crate::Launch> = plan.launches.iter().map(|l| (l.request.as_str(), l)).collect();
    let mut taken: BTreeMap<(&str, &str), Taken> = BTreeMap::new();
    let mut roles: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let mut executors: BTreeSet<(&str, &str, Revocable)> = BTreeSet::new();
    let pairs = pairs(problem, plan);
    for (request, offer) in &pairs {
        let way = launches[request.id.as_str()].revocable;
        let mut need = request.resources_on(offer);
        let running = offer.executors_of.iter().any(|e| e.job == request.job && e.revocable == way);
        if !running && executors.insert((&offer.agent, &request.job, way)) {
            let overhead = problem.jobs.get(&request.job).map(|j| j.executor_overhead).unwrap_or_default();
            need = need.plus(&overhead);
        }
        let (firm, revocable) = taken.entry((&offer.agent, &offer.role)).or_default();
        let split = split(need, way);
        (*firm, *revocable) = (firm.plus(&split.0), revocable.plus(&split.1));
        if way.any() && !request.revocable {
            wrong.push(format!("{} is launched on {way}", request.id));
        }
        if *roles.entry((&offer.agent, &request.job)).or_insert(&offer.role) != offer.role {
            wrong.push(format!("{} of {} on {} in two roles", request.id, request.job, offer.agent));
        }
    }
    for (_, offer) in &pairs {
        let (firm, revocable) = taken[&(offer.agent.as_str(), offer.role.as_str())];
        if !offer.resources.covers(&firm) {
            wrong.push(format!("{} offers {:?}, {firm:?} are launched", offer.agent, offer.resources));
        }
        if !offer.revocable.covers(&revocable) {
            wrong.push(format!("{} lends {:?}, {revocable:?} are launched", offer.agent, offer.revocable));
        }
    }
}

fn split(need: Resources, way: Revocable) -> Taken {
    let revocable = Resources {
        cpus_milli: if way.cpus { need.cpus_milli } else { 0 },
        mem_bytes: if way.mem { need.mem_bytes } else { 0 },
        ..Resources::default()
    };
    (need.minus(&revocable).expect("a part of it"), revocable)
}

fn wishes(problem: &Problem, plan: &Plan, wrong: &mut Vec<String>) {
    let now = problem.now_ms;
    let mut views: HashMap<&str, JobView> = HashMap::new();
    for (request, offer) in pairs(problem, plan) {
        let wishes = problem.jobs.get(&request.job).cloned().unwrap_or_default();
        if let Some(reason) = standing(&wishes, offer, now) {
            wrong.push(format!("{} is launched on {} against {reason:?}", request.id, offer.agent));
        }
        if request.avoid_agents.contains(&offer.agent) || request.not_before_ms > now {
            wrong.push(format!("{} is launched on {} too early", request.id, offer.agent));
        }
        let view = views.entry(&request.job).or_insert_with(|| {
            let topology = problem.topology.jobs.get(&request.job);
            JobView::new(topology, wishes.bytes_out_per_byte_in, problem.distances)
        });
        let distance = view.cost(request, &view.tiers(&offer.place)).source_distance;
        let least = view.least_source_distance(request);
        let from = good_from(wishes.goal, &problem.distances, request, offer, distance, least);
        if from > now {
            wrong.push(format!("{} is launched on {}, good from {from}, at {now}", request.id, offer.agent));
        }
    }
}

fn caps(problem: &Problem, plan: &Plan, wrong: &mut Vec<String>) {
    let totals = totals(problem);
    let launches: HashMap<&str, &crate::Launch> = plan.launches.iter().map(|l| (l.request.as_str(), l)).collect();
    let offered = problem.offers.iter().map(|o| &o.place);
    let mut hosts = HostIndex::new(offered.chain(problem.placed.iter().map(|p| &p.place)));
    // Job and host or rack → tasks and partitions there, and whether a launch said that it is over the cap.
    let mut held: BTreeMap<(&str, String), (usize, usize, bool, bool)> = BTreeMap::new();
    let mut add = |job, place: &crate::Place, partitions, launched: bool, over: bool| {
        let host = hosts.of(place);
        let rack = place.rack.as_ref().map(|rack| format!("rack {rack}"));
        for key in [Some(format!("host {host}")), rack].into_iter().flatten() {
            let entry: &mut (usize, usize, bool, bool) = held.entry((job, key)).or_default();
            *entry = (entry.0 + 1, entry.1 + partitions, entry.2 || launched, entry.3 || over);
        }
    };
    for placed in problem.placed.iter().filter(|placed| placed.partitions > 0) {
        add(placed.job.as_str(), &placed.place, placed.partitions, false, false);
    }
    for (request, offer) in pairs(problem, plan) {
        let over = launches[request.id.as_str()].over_cap.is_some();
        if over && problem.now_ms < request.deadline_ms.saturating_add(SPREAD_PATIENCE_MS) {
            wrong.push(format!("{} goes over the cap too early", request.id));
        }
        if !request.partitions.is_empty() {
            add(request.job.as_str(), &offer.place, request.partitions.len(), true, over);
        }
    }
    for ((job, at), (tasks, partitions, launched, over)) in held {
        let Some(wishes) = problem.jobs.get(job) else { continue };
        let caps = Caps::new(wishes, totals.get(job).copied().unwrap_or(0));
        let cap = if at.starts_with("host") { caps.host } else { caps.rack };
        if launched && !over && tasks > 1 && cap.is_some_and(|cap| partitions > cap) {
            wrong.push(format!("{job} has {partitions} partitions on {at}, cap {cap:?}"));
        }
    }
}
