//! The decision: which request goes where, and why the others don't.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    Decline, Filter, Plan, Problem, Reason, ReasonKind, Request, Wait,
    check::violations,
    flow::Flow,
    room::{Ask, Rank},
    round::{CapRule, Round},
    spread::room,
};

/// So long after its deadline a request that only a spread cap keeps out of every offer still waits: long enough for every
/// agent's offer to come round (Mesos offers every second, others may hold an offer for a while). Then it takes the place
/// that exceeds the cap least: a full rack, or one that never comes, must not stall a job (marathon#4281).
pub const SPREAD_PATIENCE_MS: u64 = 10_000;

/// Requests that are assigned together at most: the work grows with the square of this, and 256 take milliseconds.
const RUN_MAX: usize = 256;

/// Decides on all offers and requests.
///
/// Requests are served in order. Neighbours in the list of one job and size are assigned together, so that as many as
/// possible get a place and all of them together cost least (exact for sizes and caps that fit evenly; see `flow`). A
/// request is only refused a place that it could have when an earlier one took it. Among equal costs what is revocable comes
/// first (if the request allows it), then what is reserved for the role, then an agent that runs the job's executor already,
/// then the fullest, then by name. A request whose volume is offered goes there first. The result does not depend on the
/// order of offers.
///
/// The reason shown for a wait or a decline is the one nearest to success, which is the later in [`ReasonKind`]; only a
/// request in back-off shows that, whatever else there is.
pub fn plan(problem: &Problem) -> Plan {
    let mut round = Round::new(problem);
    let mut first = 0;
    let alike = |a: &Request, b: &Request| {
        (&a.job, a.revocable, a.volume.is_some()) == (&b.job, b.revocable, b.volume.is_some())
            && a.resources == b.resources
    };
    for run in problem.requests.chunk_by(alike) {
        let all: Vec<usize> = (first..first + run.len()).collect();
        first += run.len();
        for run in all.chunks(RUN_MAX) {
            // Whoever has a volume is not to be moved for others' sake, and needs different things in different places.
            if problem.requests[run[0]].volume.is_none() {
                assign_together(&mut round, run);
            }
            assign_one_by_one(&mut round, run);
        }
    }
    let plan = finish(round);
    debug_assert_eq!(violations(problem, &plan), Vec::<String>::new());
    plan
}

/// Places that cost the same for every class of a run, with the same rack and rank.
struct PlaceClass {
    /// Slots with how many tasks they take, in order of packing. A slot has one part for each rank.
    slots: Vec<(usize, u64)>,
    /// By class of the run; none where refused.
    costs: Costs,
}

type Costs = Vec<Option<u64>>;

/// See [`pack_order`].
type PackOrder = (Rank, bool, u64, u64, usize);

/// The optimal part: a flow through classes of requests and places.
fn assign_together(round: &mut Round, run: &[usize]) {
    let mut classes: Vec<usize> = vec![];
    for request in run {
        let class = round.class_of[*request];
        if !classes.contains(&class) && !round.classes[class].dead {
            classes.push(class);
        }
    }
    let places = place_classes(round, run, &classes);
    if places.is_empty() {
        return;
    }
    let (mut flow, edges) = network(round, run, &classes, &places);
    let mut sent: Vec<Vec<usize>> = vec![vec![]; classes.len()];
    let mut exhausted = vec![false; classes.len()];
    let mut left = round.rate_left();
    for &request in run {
        let Some(at) = classes.iter().position(|class| *class == round.class_of[request]) else { continue };
        if left > 0 && !exhausted[at] {
            exhausted[at] = !flow.send(at);
            if !exhausted[at] {
                sent[at].push(request);
                left -= 1;
            }
        }
    }

    let mut rooms: Vec<Vec<(usize, u64)>> = places.into_iter().map(|place| place.slots).collect();
    for (at, requests) in sent.into_iter().enumerate() {
        let mut requests = requests.into_iter();
        for &(place, edge) in &edges[at] {
            for request in requests.by_ref().take(flow.used(edge) as usize) {
                let Some(slot) = rooms[place].iter_mut().find(|(_, room)| *room > 0) else { continue };
                slot.1 -= 1;
                // Two offers of one host, or tasks of different sizes under a cap, may fit less well than counted: then
                // the request is served one by one.
                if round.refusal(classes[at], slot.0, CapRule::Strict).is_none() {
                    round.launch(request, slot.0);
                }
            }
        }
    }
}

fn place_classes(round: &Round, run: &[usize], classes: &[usize]) -> Vec<PlaceClass> {
    let Some(&first) = classes.first() else { return vec![] };
    let job = round.classes[first].job;
    let partitions = widest(round, run);
    let mut costs: Vec<Costs> = vec![];
    let mut parts: Vec<(PackOrder, u64)> = vec![];
    for (slot, at) in round.slots.iter().enumerate() {
        let allowed = |class: &usize| round.refusal(*class, slot, CapRule::Strict).is_none();
        costs.push(classes.iter().map(|class| allowed(class).then(|| round.cost(*class, slot).key())).collect());
        if costs[slot].iter().any(Option::is_some) {
            let cap = room(round.held.on_host(job, at.spot), partitions, round.jobs[job].caps.host);
            parts.extend(parts_of(round, &round.ask(first), slot, cap.min(run.len() as u64)));
        }
    }
    parts.sort_unstable();
    let mut numbers: BTreeMap<(&Costs, Option<usize>, Rank), usize> = BTreeMap::new();
    let mut places: Vec<PlaceClass> = vec![];
    for ((rank, .., slot), count) in parts {
        let key = (&costs[slot], round.slots[slot].spot.rack, rank);
        let place = *numbers.entry(key).or_insert_with(|| {
            places.push(PlaceClass { slots: vec![], costs: costs[slot].clone() });
            places.len() - 1
        });
        places[place].slots.push((slot, count));
    }
    places
}

/// How many tasks the slot takes, `most` at most, for each rank.
fn parts_of<'a>(round: &Round<'a>, ask: &Ask<'a>, slot: usize, most: u64) -> Vec<(PackOrder, u64)> {
    let takes = round.slots[slot].room.takes(ask, most).into_iter().filter(|(_, count)| *count > 0);
    takes.map(|(rank, count)| (pack_order(round, ask, slot, rank), count)).collect()
}

/// For each class of the run, its edges in order of cost: (place class, edge).
fn network(round: &Round, run: &[usize], classes: &[usize], places: &[PlaceClass]) -> (Flow, Vec<Vec<(usize, usize)>>) {
    /// Cost counts before the order of packing.
    const COST_UNIT: i128 = 1 << 40;
    let job = round.classes[classes[0]].job;
    let partitions = widest(round, run);
    let rack_of = |place: &PlaceClass| round.slots[place.slots[0].0].spot;
    let capped = round.jobs[job].caps.rack.is_some();
    let racks: Vec<usize> =
        places.iter().filter_map(|p| rack_of(p).rack).filter(|_| capped).collect::<BTreeSet<_>>().into_iter().collect();

    let (first_place, first_rack) = (classes.len(), classes.len() + places.len());
    let sink = first_rack + racks.len();
    let mut flow = Flow::new(sink + 1, sink);
    let mut edges: Vec<Vec<(usize, usize)>> = vec![vec![]; classes.len()];
    for (number, place) in places.iter().enumerate() {
        let all = place.slots.iter().map(|(_, room)| room).sum();
        for (class, cost) in place.costs.iter().enumerate() {
            if let Some(cost) = cost {
                let edge = flow.edge(class, first_place + number, all, i128::from(*cost) * COST_UNIT + number as i128);
                edges[class].push((number, edge));
            }
        }
        let rack = rack_of(place).rack.and_then(|rack| racks.binary_search(&rack).ok());
        flow.edge(first_place + number, rack.map_or(sink, |rack| first_rack + rack), all, 0);
    }
    for (number, &rack) in racks.iter().enumerate() {
        let spot = crate::spread::Spot { host: usize::MAX, rack: Some(rack) };
        let takes = room(round.held.in_rack(job, spot), partitions, round.jobs[job].caps.rack);
        flow.edge(first_rack + number, sink, takes.min(run.len() as u64), 0);
    }
    for (class, edges) in edges.iter_mut().enumerate() {
        edges.sort_by_key(|(place, _)| (places[*place].costs[class], *place));
    }
    (flow, edges)
}

/// Most partitions of one task of the run.
fn widest(round: &Round, run: &[usize]) -> usize {
    run.iter().map(|request| round.problem.requests[*request].partitions.len()).max().unwrap_or(0)
}

/// By what a task uses there, an agent with the job's executor first (it saves the overhead), then the fullest, then by name.
fn pack_order<'a>(round: &Round<'a>, ask: &Ask<'a>, slot: usize, rank: Rank) -> PackOrder {
    let room = &round.slots[slot].room;
    (rank, !room.has_executor(ask.job), room.firm.cpus_milli, room.firm.mem_bytes, slot)
}

/// What the flow left: the cheapest place of each in turn, and after much patience one over the cap.
fn assign_one_by_one(round: &mut Round, run: &[usize]) {
    for &request in run {
        let class = round.class_of[request];
        if round.launches.contains_key(&request) || round.classes[class].dead || round.rate_left() == 0 {
            continue;
        }
        let found = cheapest(round, class, CapRule::Strict)
            .or_else(|| patience_is_over(round, class).then(|| cheapest(round, class, CapRule::Ignored)).flatten());
        match found {
            Some(slot) => round.launch(request, slot),
            None => round.classes[class].dead = true,
        }
    }
}

fn patience_is_over(round: &Round, class: usize) -> bool {
    round.problem.now_ms >= round.classes[class].sample.deadline_ms.saturating_add(SPREAD_PATIENCE_MS)
}

fn cheapest(round: &Round, class: usize, caps: CapRule) -> Option<usize> {
    let job = round.classes[class].job;
    let partitions = round.classes[class].sample.partitions.len();
    (0..round.slots.len()).filter(|slot| round.refusal(class, *slot, caps).is_none()).min_by_key(|slot| {
        let over = match caps {
            CapRule::Strict => 0,
            CapRule::Ignored => round.held.overshoot(&round.jobs[job].caps, job, round.slots[*slot].spot, partitions),
        };
        let ask = round.ask_in(class, *slot);
        let away = !round.classes[class].sample.is_at_home(round.slots[*slot].offer);
        let rank = round.slots[*slot].room.rank(&ask);
        (over, away, round.cost(class, *slot).key(), pack_order(round, &ask, *slot, rank))
    })
}

fn finish(round: Round) -> Plan {
    let requests = &round.problem.requests;
    let waiting: Vec<usize> = (0..requests.len()).filter(|request| !round.launches.contains_key(request)).collect();
    let classes: BTreeSet<usize> = waiting.iter().map(|request| round.class_of[*request]).collect();
    let mut noes: Vec<Option<(Reason, Filter)>> = vec![None; round.slots.len()];
    let mut answers: BTreeMap<usize, (Reason, BTreeMap<ReasonKind, usize>)> = BTreeMap::new();
    for class in classes {
        answers.insert(class, ask_all(&round, class, &mut noes));
    }

    let declines = round.slots.iter().zip(noes).filter(|(slot, _)| !slot.used).map(|(slot, no)| {
        let (reason, filter) = no.unwrap_or((Reason::NothingWanted, Filter::Long));
        let offer = slot.offer;
        Decline {
            agent: offer.agent.clone(),
            role: offer.role.clone(),
            offer_ids: offer.offer_ids.clone(),
            reason,
            filter,
        }
    });
    let waits = waiting.into_iter().map(|request| {
        let (reason, agents) = answers[&round.class_of[request]].clone();
        Wait { request: requests[request].id.clone(), reason, agents }
    });
    Plan { declines: declines.collect(), waits: waits.collect(), launches: round.launches.into_values().collect() }
}

/// Why no agent takes a request of the class: the reason nearest to success and the count of agents by theirs. What counts
/// for each slot is folded into `noes`.
fn ask_all(
    round: &Round,
    class: usize,
    noes: &mut [Option<(Reason, Filter)>],
) -> (Reason, BTreeMap<ReasonKind, usize>) {
    let (request, now) = (round.classes[class].sample, round.problem.now_ms);
    let caps = if patience_is_over(round, class) { CapRule::Ignored } else { CapRule::Strict };
    let mut nearest = Reason::NoOffers;
    let mut by_agent: BTreeMap<&str, Reverse<ReasonKind>> = BTreeMap::new();
    for (slot, no) in noes.iter_mut().enumerate() {
        // What is still free for a waiting request would have been taken, unless the rate or another was before it.
        let reason = round.refusal(class, slot, caps).unwrap_or(Reason::Outbid);
        let filter = reason.filter(request, now);
        *no = Some(match no.take() {
            None => (reason.clone(), filter),
            Some((known, known_filter)) => (known.or_nearer(reason.clone()), known_filter.or_sooner(filter)),
        });
        let kind = Reverse(reason.kind());
        by_agent.entry(&round.slots[slot].offer.agent).and_modify(|k| *k = kind.min(*k)).or_insert(kind);
        nearest = nearest.or_nearer(reason);
    }
    let mut agents: BTreeMap<ReasonKind, usize> = BTreeMap::new();
    for Reverse(kind) in by_agent.into_values() {
        *agents.entry(kind).or_default() += 1;
    }
    if request.not_before_ms > now {
        nearest = Reason::Backoff { until_ms: request.not_before_ms };
    }
    (nearest, agents)
}
