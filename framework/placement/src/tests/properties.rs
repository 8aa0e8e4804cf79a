//! Any problem, however odd: the promises hold.

use proptest::prelude::*;

use super::*;

fn any_place() -> impl Strategy<Value = Place> {
    (1..8usize, any::<bool>(), any::<bool>()).prop_map(|(n, racked, zoned)| {
        let mut place = place(n);
        place.rack = place.rack.filter(|_| racked);
        place.zone = zoned.then(|| format!("z{}", n % 2));
        place
    })
}

fn any_resources(most: u64) -> impl Strategy<Value = Resources> {
    (0..most, 0..most, 0..2u64, 0..2u32).prop_map(|(c, m, d, ports)| Resources {
        cpus_milli: c * 100,
        mem_bytes: m * 100,
        disk_bytes: d,
        ports,
    })
}

fn least(a: &Resources, b: &Resources) -> Resources {
    Resources {
        cpus_milli: a.cpus_milli.min(b.cpus_milli),
        mem_bytes: a.mem_bytes.min(b.mem_bytes),
        disk_bytes: a.disk_bytes.min(b.disk_bytes),
        ports: a.ports.min(b.ports),
    }
}

fn executor(job: usize, cpus: bool, mem: bool) -> ExecutorOf {
    ExecutorOf { job: format!("j{job}"), revocable: Revocable { cpus, mem } }
}

prop_compose! {
    fn any_request()(
        job in 0..3usize,
        partitions in prop::collection::vec(0..8i32, 1..4),
        resources in any_resources(6),
        bytes_in_per_sec in prop_oneof![Just(0.0), 1.0..1e6f64],
        (wait_from_ms, wait) in (0..10_000u64, 0..10_000u64),
        not_before_ms in prop_oneof![3 => Just(0u64), 1 => 0..20_000u64],
        avoid in prop::option::of(1..8usize),
        (revocable, volume) in (any::<bool>(), prop::option::weighted(0.3, 0..4usize)),
    ) -> Request {
        Request {
            id: String::new(), job: format!("j{job}"), partitions, resources, bytes_in_per_sec, wait_from_ms,
            deadline_ms: wait_from_ms + wait, not_before_ms, avoid_agents: avoid.map(|n| format!("a{n}")).into_iter().collect(), revocable,
            volume: volume.map(|n| format!("v{n}")),
        }
    }
}

prop_compose! {
    fn any_offer()(
        n in 1..8usize,
        other_role in prop::bool::weighted(0.2),
        (resources, reserved, revocable) in (any_resources(30), any_resources(30), any_resources(20)),
        executor_of in prop::option::of((0..3usize, any::<bool>(), any::<bool>())),
        volumes in prop::collection::btree_set((0..4usize).prop_map(|n| format!("v{n}")), 0..2),
        unavailable_from_ms in prop::option::weighted(0.1, 0..200_000_000u64),
    ) -> AgentOffer {
        AgentOffer {
            role: if other_role { "other".into() } else { "streams".into() },
            reserved: least(&resources, &reserved), resources, revocable, volumes, unavailable_from_ms,
            executors_of: executor_of.into_iter().map(|(j, cpus, mem)| executor(j, cpus, mem)).collect(),
            ..offer(n, 0)
        }
    }
}

prop_compose! {
    fn any_wishes()(
        goal in prop::sample::select(Tier::ALL.to_vec()),
        max_share_per_host in prop_oneof![Just(1.0), 0.05..1.0f64],
        max_share_per_rack in prop_oneof![Just(1.0), 0.05..1.0f64],
        constrained in prop::bool::weighted(0.2),
        executor_overhead in any_resources(3),
        roles in prop_oneof![Just(vec![]), Just(vec!["streams".to_owned()])],
    ) -> JobWishes {
        let constraint = Constraint { attribute: "rack".into(), test: ConstraintTest::In(vec!["r1".into(), "r2".into()]) };
        JobWishes {
            goal, max_share_per_host, max_share_per_rack, executor_overhead, roles, bytes_out_per_byte_in: 1.0,
            constraints: if constrained { vec![constraint] } else { vec![] },
        }
    }
}

prop_compose! {
    fn any_topology()(
        leaders in prop::collection::vec((prop::option::weighted(0.9, any_place()), prop::collection::vec(any_place(), 0..3)), 0..8),
        follower_fetching in any::<bool>(),
        ring in prop::collection::vec((any_place(), 0.0..1.0f64), 0..4),
    ) -> JobTopology {
        JobTopology {
            partitions: (0..).zip(leaders).map(|(p, (leader, in_sync_followers))| (p, Replicas { leader, in_sync_followers })).collect(),
            follower_fetching,
            ring: ring.into_iter().map(|(place, share)| RingShare { place, share }).collect(),
        }
    }
}

prop_compose! {
    fn any_problem()(
        now_ms in 0..40_000u64,
        wishes in prop::collection::vec(any_wishes(), 3),
        requests in prop::collection::vec(any_request(), 0..12),
        offers in prop::collection::btree_map((0..8usize, any::<bool>()), any_offer(), 0..10),
        placed in prop::collection::vec((0..3usize, any_place(), 1..4usize), 0..4),
        topologies in prop::collection::vec(any_topology(), 3),
        launches_max in prop_oneof![3 => Just(100usize), 1 => 0..5usize],
    ) -> Problem {
        let mut requests = requests;
        for (number, request) in requests.iter_mut().enumerate() {
            request.id = format!("t{number}");
        }
        let mut offers: Vec<AgentOffer> = offers.into_values().collect();
        offers.sort_by_key(|o| (o.agent.clone(), o.role.clone()));
        offers.dedup_by_key(|o| (o.agent.clone(), o.role.clone()));
        Problem {
            now_ms,
            jobs: (0..).zip(wishes).map(|(n, w)| (format!("j{n}"), w)).collect(),
            requests, offers,
            placed: placed.into_iter().map(|(j, place, partitions)| PlacedTask { job: format!("j{j}"), place, partitions }).collect(),
            topology: Topology { jobs: (0..).zip(topologies).map(|(n, t)| (format!("j{n}"), t)).collect() },
            distances: Distances::default(),
            launches_max,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn promises_hold(problem in any_problem()) {
        prop_assert_eq!(violations(&problem, &plan(&problem)), Vec::<String>::new());
    }

    #[test]
    fn the_order_of_offers_makes_no_difference(problem in any_problem(), seed in any::<usize>()) {
        let before = plan(&problem);
        let mut shuffled = problem.clone();
        if !shuffled.offers.is_empty() {
            let by = seed % shuffled.offers.len();
            shuffled.offers.rotate_left(by);
            shuffled.offers[by..].reverse();
        }
        prop_assert_eq!(&before, &plan(&shuffled));
        prop_assert_eq!(&before, &plan(&problem));
    }

    /// What was left over is offered again, with what runs now: nothing more is launched, so no place was overlooked.
    #[test]
    fn a_second_round_finds_nothing_more(problem in any_problem()) {
        let mut problem = problem;
        problem.launches_max = 100;
        // One executor takes from one role, which the second round would no longer know.
        problem.offers.retain(|o| o.role == "streams");
        let first = plan(&problem);
        let mut next = problem.clone();
        for launch in &first.launches {
            let asked = problem.requests.iter().find(|r| r.id == launch.request).expect("asked");
            let offer = next.offers.iter_mut().find(|o| o.agent == launch.agent && o.role == launch.role).expect("offered");
            let overhead = problem.jobs[&asked.job].executor_overhead;
            let mut need = asked.resources_on(offer);
            let executor = ExecutorOf { job: asked.job.clone(), revocable: launch.revocable };
            if !offer.executors_of.contains(&executor) {
                need = need.plus(&overhead);
                offer.executors_of.push(executor);
            }
            let cpus_milli = if launch.revocable.cpus { need.cpus_milli } else { 0 };
            let mem_bytes = if launch.revocable.mem { need.mem_bytes } else { 0 };
            let lent = Resources { cpus_milli, mem_bytes, ..Resources::default() };
            offer.revocable = offer.revocable.minus(&lent).expect("never over-committed");
            offer.resources = offer.resources.minus(&need.minus(&lent).expect("a part")).expect("never over-committed");
            offer.reserved = least(&offer.reserved, &offer.resources);
            let place = offer.place.clone();
            next.placed.push(PlacedTask { job: asked.job.clone(), place, partitions: asked.partitions.len() });
        }
        next.requests.retain(|r| !first.launches.iter().any(|l| l.request == r.id));
        prop_assert_eq!(plan(&next).launches, vec![]);
    }

    #[test]
    fn after_the_deadline_only_hard_reasons_are_left(problem in any_problem()) {
        let mut problem = problem;
        problem.now_ms = 100_000;
        problem.launches_max = 100;
        for wait in plan(&problem).waits {
            let kind = wait.reason.kind();
            prop_assert!(!matches!(kind, ReasonKind::Locality | ReasonKind::SpreadCap | ReasonKind::Backoff), "{kind}");
        }
    }

    #[test]
    fn grouping_is_a_partition_into_even_tasks(topology in any_topology(), count in prop::option::of(0..12usize)) {
        let groups = group_partitions(&topology, count);
        let mut all = groups.concat();
        all.sort_unstable();
        prop_assert_eq!(all, topology.partitions.keys().copied().collect::<Vec<_>>());
        let sizes = groups.iter().map(Vec::len);
        prop_assert!(sizes.clone().max().unwrap_or(0) - sizes.min().unwrap_or(0) <= 1);
    }
}
