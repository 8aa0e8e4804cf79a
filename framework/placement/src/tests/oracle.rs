//! Brute force on small cases: what is the best that could be had?

use proptest::prelude::*;

use super::*;

/// The best plan there is: which requests get a place (as bits, earlier requests higher), and the least cost of that.
fn best(problem: &Problem, allowed: &[Vec<Option<u64>>]) -> (u64, u64) {
    fn try_all(
        problem: &Problem,
        allowed: &[Vec<Option<u64>>],
        chosen: &mut Vec<Option<usize>>,
        best: &mut (u64, u64),
    ) {
        if chosen.len() == problem.requests.len() {
            let served = chosen.iter().fold(0, |bits, slot| bits * 2 + u64::from(slot.is_some()));
            let slots = chosen.iter().enumerate().filter_map(|(r, slot)| slot.map(|slot| (r, slot)));
            let cost = slots.map(|(r, slot)| allowed[r][slot].expect("only what is allowed is tried")).sum();
            let better =
                (served.count_ones(), served, u64::MAX - cost) > (best.0.count_ones(), best.0, u64::MAX - best.1);
            if better && fits(problem, chosen) {
                *best = (served, cost);
            }
            return;
        }
        for slot in (0..problem.offers.len()).map(Some).chain([None]) {
            if slot.is_none_or(|slot| allowed[chosen.len()][slot].is_some()) {
                chosen.push(slot);
                try_all(problem, allowed, chosen, best);
                chosen.pop();
            }
        }
    }
    let mut best = (0, 0);
    try_all(problem, allowed, &mut vec![], &mut best);
    best
}

fn fits(problem: &Problem, chosen: &[Option<usize>]) -> bool {
    let wishes = &problem.jobs["flights"];
    let total = problem.topology.jobs["flights"].partitions.len() as f64;
    let host_cap = (wishes.max_share_per_host * total - 1e-9).ceil() as usize;
    let rack_cap = (wishes.max_share_per_rack * total - 1e-9).ceil() as usize;
    let mut racks: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, offer) in problem.offers.iter().enumerate() {
        let tasks = chosen.iter().filter(|slot| **slot == Some(number)).count();
        if tasks == 0 {
            continue;
        }
        *racks.entry(offer.place.rack.as_deref().expect("every place has one")).or_default() += tasks;
        if tasks > most(problem, offer) || tasks > host_cap.max(1) {
            return false;
        }
    }
    racks.values().all(|tasks| *tasks <= rack_cap.max(1))
}

/// Tasks an agent takes with one executor on what is lent (if the job may use that) and one on what is firm, each with its
/// overhead and its port.
fn most(problem: &Problem, offer: &AgentOffer) -> usize {
    let overhead = problem.jobs["flights"].executor_overhead;
    let fit = |cpus_milli: u64| cpus_milli.checked_sub(overhead.cpus_milli).map_or(0, |left| left as usize / 500);
    let lent = if problem.requests[0].revocable { fit(offer.revocable.cpus_milli) } else { 0 };
    match (lent, fit(offer.resources.cpus_milli)) {
        (0, firm) | (firm, 0) if offer.resources.ports >= overhead.ports => firm,
        (lent, firm) if offer.resources.ports >= 2 * overhead.ports => lent + firm,
        // The port goes to the executor that comes first.
        (lent, _) if offer.resources.ports >= overhead.ports => lent,
        _ => 0,
    }
}

prop_compose! {
    fn small()(
        leaders in prop::collection::vec((1..7usize, 1..7usize, 1..4u32), 1..6),
        offers in prop::collection::btree_map(1..7usize, (1..6u64, 0..4u64, 0..3u32, 0..3u64), 1..5),
        (revocable, port) in (any::<bool>(), 0..2u32),
        (host_share, rack_share) in (prop_oneof![Just(1.0), 0.2..1.0f64], prop_oneof![Just(1.0), 0.2..1.0f64]),
        follower_fetching in any::<bool>(),
        ring in prop::collection::vec((1..7usize, 0.0..1.0f64), 0..3),
        goal in prop::sample::select(Tier::ALL.to_vec()),
        now_ms in 0..6_000u64,
        overhead in 0..600u64,
        launches_max in prop_oneof![3 => Just(100usize), 1 => 0..3usize],
    ) -> Problem {
        let mut requests: Vec<Request> = (0..leaders.len()).map(|p| request(&format!("t{p}"), &[p as i32])).collect();
        for (request, (_, _, rate)) in requests.iter_mut().zip(&leaders) {
            request.bytes_in_per_sec = f64::from(*rate) * 100.0;
        }
        let replicas = |(leader, follower, _): (usize, usize, u32)|
            Replicas { leader: Some(place(leader)), in_sync_followers: vec![place(follower)] };
        let topology = JobTopology {
            partitions: (0..).zip(leaders.into_iter().map(replicas)).collect(),
            follower_fetching,
            ring: ring.into_iter().map(|(n, share)| RingShare { place: place(n), share }).collect(),
        };
        requests.iter_mut().for_each(|request| request.revocable = revocable);
        let offers = offers.into_iter().map(|(n, (cpus, lent, ports, reserved))| {
            let mut offer = offer(n, cpus * 400);
            offer.resources.ports = ports;
            offer.reserved.cpus_milli = reserved.min(cpus) * 400;
            offer.revocable.cpus_milli = lent * 400;
            offer
        });
        let offers = offers.collect();
        let mut problem = problem(requests, offers, topology);
        problem.now_ms = now_ms;
        problem.launches_max = launches_max;
        let wishes = wishes(&mut problem);
        wishes.goal = goal;
        (wishes.max_share_per_host, wishes.max_share_per_rack) = (host_share, rack_share);
        (wishes.executor_overhead.cpus_milli, wishes.executor_overhead.ports) = (overhead, port);
        problem
    }
}

/// What a request may use and at which cost, asked from `plan` itself one pair at a time.
fn allowed(problem: &Problem) -> Vec<Vec<Option<u64>>> {
    let alone = |request: &Request, offer: &AgentOffer| {
        let mut pair = problem.clone();
        pair.requests = vec![request.clone()];
        pair.offers = vec![offer.clone()];
        pair.launches_max = 1;
        plan(&pair).launches.first().map(|launch| (launch.cost * 1000.0).round() as u64)
    };
    problem.requests.iter().map(|r| problem.offers.iter().map(|o| alone(r, o)).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Tasks of one job and size: as many as possible, the earliest of all such choices, and at the least cost.
    #[test]
    fn one_job_gets_the_optimum(problem in small()) {
        let allowed = allowed(&problem);
        let plan = plan(&problem);
        let cost: u64 = plan.launches.iter().map(|launch| (launch.cost * 1000.0).round() as u64).sum();
        let served = |r: &Request| plan.launches.iter().any(|launch| launch.request == r.id);
        let bits = problem.requests.iter().fold(0u64, |bits, r| bits * 2 + u64::from(served(r)));
        let (best_bits, best_cost) = best(&problem, &allowed);
        if problem.launches_max >= problem.requests.len() {
            prop_assert_eq!((bits, cost), (best_bits, best_cost));
        } else {
            prop_assert_eq!(bits.count_ones(), best_bits.count_ones().min(problem.launches_max as u32));
        }
    }

    /// Tasks of different sizes are served in order: at least half as many of them as if the order did not count and all
    /// were as small as the smallest, where one fits at most twice into another.
    #[test]
    fn mixed_sizes_are_served_in_order(problem in small(), doubled in prop::collection::vec(any::<bool>(), 6)) {
        let mut problem = problem;
        problem.launches_max = 100;
        wishes(&mut problem).executor_overhead.cpus_milli = 0;
        let (best_bits, _) = best(&problem, &allowed(&problem));
        for (request, doubled) in problem.requests.iter_mut().zip(doubled) {
            request.resources.cpus_milli = if doubled { 1000 } else { 500 };
        }
        let plan = plan(&problem);
        // What waits, fits nowhere: asked alone with what is left it would wait as well (see `a_second_round_finds_nothing_more`);
        // each launched task keeps at most two small ones out of its room.
        let sure = problem.requests.iter().filter(|r| r.resources.cpus_milli == 500).count() as u32;
        let bound = (best_bits.count_ones() / 3).min(sure);
        prop_assert!(plan.launches.len() as u32 >= bound, "{} of {}", plan.launches.len(), best_bits.count_ones());
    }
}
