use insta::assert_snapshot;

use super::*;

#[test]
fn tasks_go_to_their_leaders() {
    let requests = vec![request("t0", &[0]), request("t1", &[1]), request("t2", &[2])];
    let problem = problem(requests, vec![offer(3, 4000), offer(2, 4000), offer(1, 4000)], topology(3, 3, false));
    assert_snapshot!(plan(&problem).describe(0), @r"
    launch  t0 on a1 (streams): source host, sink any, cost 0 (host 1000 B/s)
    launch  t1 on a2 (streams): source host, sink any, cost 0 (host 1000 B/s)
    launch  t2 on a3 (streams): source host, sink any, cost 0 (host 1000 B/s)
    ");
}

#[test]
fn a_task_waits_for_its_host_then_takes_the_rack_then_anything() {
    // h4 shares the rack of the leader h1, h2 shares nothing.
    let at = |now_ms, offers| {
        let mut problem = problem(vec![request("t0", &[0])], offers, topology(1, 1, false));
        problem.now_ms = now_ms;
        plan(&problem)
    };
    assert_snapshot!(at(0, vec![offer(2, 4000), offer(4, 4000)]).describe(0), @r"
    wait    t0: waits for a place nearer to the data (at most 1.0 s more); agents: locality 2
    decline a2 (streams): waits for a place nearer to the data (at most 4.0 s more); not again for 4.0 s
    decline a4 (streams): waits for a place nearer to the data (at most 1.0 s more); not again for 1.0 s
    ");
    assert_eq!(places(&at(999, vec![offer(4, 4000)])), [""; 0]);
    assert_eq!(places(&at(1000, vec![offer(4, 4000)])), ["t0@a4"]);
    assert_eq!(places(&at(3999, vec![offer(2, 4000)])), [""; 0]);
    assert_eq!(places(&at(4000, vec![offer(2, 4000)])), ["t0@a2"]);
}

#[test]
fn the_deadline_is_the_request_s_own_and_no_success_moves_it() {
    // SPARK-18886: t0 was placed, t1 still gets what there is at its own deadline.
    let mut late = request("t1", &[1]);
    late.deadline_ms = 4_000;
    let mut problem = problem(vec![late], vec![offer(3, 4000)], topology(2, 2, false));
    problem.placed = vec![PlacedTask { job: "flights".into(), place: place(1), partitions: 1 }];
    problem.now_ms = 4_000;
    assert_eq!(places(&plan(&problem)), ["t1@a3"]);
}

#[test]
fn a_follower_in_the_rack_is_near_only_when_brokers_serve_it() {
    let offers = || vec![offer(2, 4000)];
    let with = problem(vec![request("t0", &[0])], offers(), topology(2, 2, true));
    assert_eq!(plan(&with).launches[0].source_tier, Tier::Host);
    let without = problem(vec![request("t0", &[0])], offers(), topology(2, 2, false));
    assert_eq!(plan(&without).waits[0].reason, Reason::Locality { until_ms: 4_000 });
}

#[test]
fn a_follower_in_another_rack_serves_nobody() {
    let mut topology = topology(1, 2, true);
    let mut agent = offer(3, 4000);
    agent.place.zone = Some("z".into());
    topology.partitions.get_mut(&0).expect("partition 0").in_sync_followers[0].zone = Some("z".into());
    let mut problem = problem(vec![request("t0", &[0])], vec![agent], topology);
    problem.now_ms = 4_000;
    assert_eq!(plan(&problem).launches[0].source_tier, Tier::Any);
}

#[test]
fn a_rack_of_another_region_is_far() {
    let node = |region: &str| Place { hosts: vec![], region: Some(region.into()), ..place(1) };
    let sink_tier = |agent_region: &str| {
        let ring = vec![RingShare { place: node("dc2"), share: 1.0 }, RingShare { place: node("dc3"), share: 1.0 }];
        let mut problem =
            problem(vec![request("t0", &[])], vec![offer(4, 4000)], JobTopology { ring, ..topology(0, 1, false) });
        problem.offers[0].place.region = Some(agent_region.into());
        plan(&problem).launches[0].bytes_by_tier.clone()
    };
    assert_eq!(sink_tier("dc2"), BTreeMap::from([(Tier::Rack, 1000.0), (Tier::Any, 1000.0)]));
    assert_eq!(sink_tier("eu-west"), BTreeMap::from([(Tier::Rack, 2000.0)]), "other names tell nothing");
}

#[test]
fn a_task_led_from_several_hosts_does_not_wait_for_one_that_leads_all() {
    let task = problem(vec![request("t0", &[0, 1, 2])], vec![offer(1, 4000)], topology(3, 3, false));
    let plan = plan(&task);
    assert_eq!(places(&plan), ["t0@a1"]);
    assert_eq!(plan.launches[0].source_tier, Tier::Any, "the worst of its partitions");
}

#[test]
fn the_ring_decides_when_the_source_does_not() {
    let mut topology = topology(1, 1, false);
    topology.partitions.clear();
    topology.ring = vec![RingShare { place: place(2), share: 0.9 }, RingShare { place: place(1), share: 0.1 }];
    let problem = problem(vec![request("t0", &[0])], vec![offer(1, 4000), offer(2, 4000), offer(3, 4000)], topology);
    let plan = plan(&problem);
    assert_eq!(places(&plan), ["t0@a2"]);
    assert_eq!((plan.launches[0].source_tier, plan.launches[0].sink_tier), (Tier::Any, Tier::Host));
}

#[test]
fn the_assignment_is_the_cheapest_not_the_greediest() {
    // t0 may run on both hosts, t1 only on h1's rack: t0 must leave h1 though it comes first.
    let requests = vec![request("t0", &[0]), request("t1", &[1])];
    let mut topology = topology(2, 2, true);
    topology.partitions.insert(1, Replicas { leader: Some(place(1)), in_sync_followers: vec![] });
    let problem = problem(requests, vec![offer(1, 500), offer(2, 500)], topology);
    assert_eq!(places(&plan(&problem)), ["t0@a2", "t1@a1"]);
}

#[test]
fn nothing_is_over_committed_and_the_overhead_counts_once() {
    let requests = (0..4).map(|i| request(&format!("t{i}"), &[i])).collect();
    let mut problem = problem(requests, vec![offer(1, 1600)], topology(4, 1, false));
    wishes(&mut problem).executor_overhead = Resources { cpus_milli: 100, ..Default::default() };
    assert_snapshot!(plan(&problem).describe(0), @r"
    launch  t0 on a1 (streams): source host, sink any, cost 0 (host 1000 B/s)
    launch  t1 on a1 (streams): source host, sink any, cost 0 (host 1000 B/s)
    launch  t2 on a1 (streams): source host, sink any, cost 0 (host 1000 B/s)
    wait    t3: another task got the room; agents: outbid 1
    ");
    problem.offers[0].executors_of = vec!["flights".into()];
    problem.offers[0].resources.cpus_milli = 1500;
    assert_eq!(plan(&problem).launches.len(), 3, "the executor is there already");
}

#[test]
fn equal_places_are_packed() {
    let mut requests: Vec<Request> = (0..3).map(|i| request(&format!("t{i}"), &[])).collect();
    requests.iter_mut().for_each(|r| r.deadline_ms = 0);
    let mut problem = problem(requests, vec![offer(1, 4000), offer(2, 1000), offer(3, 1200)], JobTopology::default());
    assert_eq!(places(&plan(&problem)), ["t0@a2", "t1@a2", "t2@a3"], "the fullest first");
    problem.offers[0].executors_of = vec!["flights".into()];
    assert_eq!(places(&plan(&problem)), ["t0@a1", "t1@a1", "t2@a1"], "the executor saves its overhead");
}

#[test]
fn caps_spread_a_job() {
    let requests = (0..4).map(|i| request(&format!("t{i}"), &[i])).collect();
    let mut problem = problem(requests, vec![offer(1, 4000), offer(4, 4000), offer(2, 4000)], topology(4, 1, false));
    wishes(&mut problem).max_share_per_host = 0.4; // 1.6 of 4: 2
    wishes(&mut problem).max_share_per_rack = 0.7; // 2.8 of 4: 3
    problem.now_ms = 4_000;
    assert_snapshot!(plan(&problem).describe(4_000), @r"
    launch  t0 on a1 (streams): source host, sink any, cost 0 (host 1000 B/s)
    launch  t1 on a1 (streams): source host, sink any, cost 0 (host 1000 B/s)
    launch  t2 on a4 (streams): source rack, sink any, cost 1000 (rack 1000 B/s)
    launch  t3 on a2 (streams): source any, sink any, cost 8000 (any 1000 B/s)
    ");
}

#[test]
fn a_cap_counts_what_runs_already_and_says_so() {
    let mut problem = problem(vec![request("t3", &[3])], vec![offer(1, 4000)], topology(4, 1, false));
    wishes(&mut problem).max_share_per_host = 0.5;
    problem.placed = vec![PlacedTask { job: "flights".into(), place: place(1), partitions: 2 }];
    assert_snapshot!(plan(&problem).describe(0), @r"
    wait    t3: one host would hold too much of the job; agents: spread_cap 1
    decline a1 (streams): one host would hold too much of the job; not again for 14.0 s
    ");
}

#[test]
fn a_full_or_unseen_rack_stalls_no_job() {
    // marathon#4281: the third rack never offers anything.
    let requests = (0..3).map(|i| request(&format!("t{i}"), &[i])).collect();
    let mut problem = problem(requests, vec![offer(1, 4000), offer(2, 4000)], topology(3, 3, false));
    wishes(&mut problem).max_share_per_rack = 0.34; // 1.02 of 3: 2
    wishes(&mut problem).max_share_per_host = 0.33; // 0.99 of 3: 1
    problem.now_ms = 4_000;
    let early = plan(&problem);
    assert_eq!(early.waits[0].reason, Reason::SpreadCap { tier: Tier::Host });
    problem.now_ms = 4_000 + SPREAD_PATIENCE_MS;
    let late = plan(&problem);
    assert_eq!(late.launches.len(), 3);
    assert_eq!(late.launches.iter().filter(|l| l.over_cap == Some(Tier::Host)).count(), 1, "and it is said");
}

#[test]
fn a_task_larger_than_its_cap_still_fits_an_empty_host() {
    let mut problem = problem(vec![request("t0", &[0, 1, 2])], vec![offer(1, 4000)], topology(3, 1, false));
    wishes(&mut problem).max_share_per_host = 0.1;
    assert_eq!(places(&plan(&problem)), ["t0@a1"]);
}

#[test]
fn every_no_has_its_reason() {
    let mut small = offer(1, 100);
    small.agent = "small".into();
    let mut leaves = offer(1, 4000);
    leaves.agent = "leaves".into();
    leaves.unavailable_from_ms = Some(60_000);
    let mut lost = offer(1, 4000);
    lost.agent = "lost".into();
    let mut foreign = offer(1, 4000);
    (foreign.agent, foreign.role) = ("foreign".into(), "other".into());
    let mut thin = offer(1, 4000);
    thin.agent = "thin".into();
    thin.resources.mem_bytes = GIB / 2;
    let offers = vec![small, leaves, lost, foreign, thin, offer(2, 4000), offer(3, 4000)];
    let mut problem = problem(vec![request("t0", &[0])], offers, topology(1, 1, false));
    problem.requests[0].avoid_agents = vec!["lost".into()];
    wishes(&mut problem).roles = vec!["streams".into()];
    wishes(&mut problem).constraints =
        vec![Constraint { attribute: "hostname".into(), test: ConstraintTest::NotIn(vec!["h3".into()]) }];
    assert_snapshot!(plan(&problem).describe(0), @r"
    wait    t0: waits for a place nearer to the data (at most 4.0 s more); agents: locality 1, mem 1, cpus 1, avoided 1, maintenance 1, constraint 1, role 1
    decline a2 (streams): waits for a place nearer to the data (at most 4.0 s more); not again for 4.0 s
    decline a3 (streams): does not fulfil `hostname != h3`; not again for long
    decline foreign (other): offered to a role the job does not use; not again for long
    decline leaves (streams): will be in maintenance; not again for long
    decline lost (streams): an executor was just lost there; not again for 5.0 s
    decline small (streams): needs 0.5 cpus, 0.1 are offered; not again for long
    decline thin (streams): needs 1 GiB of memory, 512 MiB are offered; not again for long
    ");
}

#[test]
fn maintenance_far_ahead_keeps_nobody_away() {
    let mut problem = problem(vec![request("t0", &[0])], vec![offer(1, 4000)], topology(1, 1, false));
    problem.offers[0].unavailable_from_ms = Some(MAINTENANCE_HORIZON_MS);
    assert_eq!(places(&plan(&problem)), ["t0@a1"]);
}

#[test]
fn back_off_and_launch_rate() {
    let mut requests: Vec<Request> = (0..3).map(|i| request(&format!("t{i}"), &[i])).collect();
    requests[0].not_before_ms = 30_000;
    let mut problem = problem(requests, vec![offer(1, 4000), offer(2, 4000)], topology(3, 1, false));
    problem.launches_max = 1;
    assert_snapshot!(plan(&problem).describe(0), @r"
    launch  t1 on a1 (streams): source host, sink any, cost 0 (host 1000 B/s)
    wait    t0: crashed and waits before the next try (at most 30.0 s more); agents: backoff 2
    wait    t2: enough was launched for now; agents: launch_rate 1, locality 1
    decline a2 (streams): crashed and waits before the next try (at most 30.0 s more); not again for 4.0 s
    ");
}

#[test]
fn without_requests_everything_is_declined_for_long_and_without_offers_everything_waits() {
    let nothing = plan(&problem(vec![], vec![offer(1, 4000)], JobTopology::default()));
    assert_eq!((&nothing.declines[0].reason, nothing.declines[0].filter), (&Reason::NothingWanted, Filter::Long));
    let alone = plan(&problem(vec![request("t0", &[0])], vec![], JobTopology::default()));
    assert_eq!((&alone.waits[0].reason, alone.waits[0].agents.len()), (&Reason::NoOffers, 0));
}

#[test]
fn one_executor_takes_from_one_role() {
    let mut reserved = offer(1, 600);
    reserved.role = "a-reserved".into();
    let requests = vec![request("t0", &[0]), request("t1", &[1])];
    let problem = problem(requests, vec![reserved, offer(1, 700)], topology(2, 1, false));
    let plan = plan(&problem);
    assert_eq!(plan.launches.len(), 1);
    assert_eq!(plan.waits[0].reason, Reason::Outbid);
}

#[test]
fn constraints_read_attributes_names_and_the_fault_domain() {
    let mut agent = offer(1, 1000);
    agent.place.zone = Some("z1".into());
    agent.attributes_without_text.insert("cores".into());
    let holds = |attribute: &str, test| Constraint { attribute: attribute.into(), test }.fulfilled(&agent);
    let texts = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    assert!(holds("hostname", ConstraintTest::In(texts(&["10.0.0.1"]))));
    assert!(!holds("hostname", ConstraintTest::NotIn(texts(&["h9", "h1"]))));
    assert!(holds("zone", ConstraintTest::In(texts(&["z1"]))));
    assert!(holds("rack", ConstraintTest::In(texts(&["r1", "r2"]))));
    assert!(holds("gpu", ConstraintTest::NotExists));
    assert!(holds("cores", ConstraintTest::Exists) && !holds("cores", ConstraintTest::NotExists), "a number is there");
    assert!(!holds("gpu", ConstraintTest::Exists));
    assert!(holds("gpu", ConstraintTest::NotIn(texts(&["yes"]))));
    assert!(
        !holds("cores", ConstraintTest::In(texts(&["8"]))) && !holds("cores", ConstraintTest::NotIn(texts(&["8"])))
    );
}

#[test]
fn constraints_compare_numbers_as_numbers() {
    let mut agent = offer(1, 1000);
    agent.attributes.remove("rack");
    agent.numbers = [("rack".to_owned(), 101.0), ("speed".to_owned(), 2.5)].into();
    let holds = |attribute: &str, test| Constraint { attribute: attribute.into(), test }.fulfilled(&agent);
    let texts = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    for same in ["101", "101.0", "1.01e2", "+101", "101.0001"] {
        assert!(holds("rack", ConstraintTest::In(texts(&["7", same]))), "{same}");
        assert!(!holds("rack", ConstraintTest::NotIn(texts(&[same]))), "{same}");
    }
    for other in ["102", "r101", "-101", "101.001", "", "NaN", "1010"] {
        assert!(!holds("rack", ConstraintTest::In(texts(&[other]))), "{other}");
        assert!(holds("rack", ConstraintTest::NotIn(texts(&[other]))), "{other}");
    }
    assert!(holds("speed", ConstraintTest::In(texts(&["2.50"]))));
    assert!(holds("rack", ConstraintTest::Exists) && !holds("rack", ConstraintTest::NotExists));
}

#[test]
fn an_idle_topic_still_draws_its_tasks_near() {
    let mut problem =
        problem(vec![request("t0", &[0])], vec![offer(2, 100_000), offer(1, 100_000)], topology(1, 1, false));
    problem.requests[0].bytes_in_per_sec = 0.0;
    wishes(&mut problem).goal = Tier::Any;
    assert_eq!(places(&plan(&problem)), ["t0@a1"]);
    problem.requests[0].bytes_in_per_sec = f64::NAN;
    assert_eq!(places(&plan(&problem)), ["t0@a1"]);
}

/// Each executor takes a port.
fn with_ports(problem: &mut Problem, ports: &[u32]) {
    wishes(problem).executor_overhead = Resources { cpus_milli: 100, ports: 1, ..Default::default() };
    problem.offers.iter_mut().zip(ports).for_each(|(offer, ports)| offer.resources.ports = *ports);
}

#[test]
fn an_executor_takes_one_port_and_its_tasks_none() {
    let requests = (0..3).map(|i| request(&format!("t{i}"), &[i])).collect();
    let mut problem = problem(requests, vec![offer(1, 4000), offer(4, 4000)], topology(3, 1, false));
    with_ports(&mut problem, &[1, 0]);
    assert_eq!(places(&plan(&problem)), ["t0@a1", "t1@a1", "t2@a1"]);
    problem.offers.remove(0);
    assert_snapshot!(plan(&problem).waits[0].describe(0), @r#"no port is offered for the executor's endpoint (give the agent `ports`, or set `port = "any"` in [executor]); agents: ports 1"#);
    problem.offers[0].executors_of = vec!["flights".into()];
    problem.now_ms = 4_000;
    assert_eq!(plan(&problem).launches.len(), 3, "the executor there has its port");
}

#[test]
fn two_jobs_on_one_agent_need_an_executor_each() {
    let mut others = request("b0", &[0]);
    others.job = "trains".into();
    let mut problem = problem(vec![request("a0", &[0]), others], vec![offer(1, 1_200)], topology(1, 1, false));
    let overhead = Resources { cpus_milli: 100, ports: 1, ..Default::default() };
    wishes(&mut problem).executor_overhead = overhead;
    problem.jobs.insert("trains".into(), JobWishes { executor_overhead: overhead, ..Default::default() });
    problem.topology.jobs.insert("trains".into(), topology(1, 1, false));
    problem.offers[0].resources.ports = 2;
    assert_eq!(places(&plan(&problem)), ["a0@a1", "b0@a1"], "two tasks of 0.5 and two executors of 0.1 fit exactly");
    problem.offers[0].resources.cpus_milli = 1_199;
    assert_eq!(plan(&problem).waits[0].reason, Reason::Outbid);
    problem.offers[0].resources = Resources { cpus_milli: 1_200, ports: 1, ..problem.offers[0].resources };
    assert_eq!(plan(&problem).waits[0].reason, Reason::Outbid, "one port is not enough for two");
}

#[test]
fn an_executor_with_its_first_task_fits_exactly_or_not_at_all() {
    let mut problem = problem(vec![request("t0", &[0])], vec![offer(1, 600)], topology(1, 1, false));
    wishes(&mut problem).executor_overhead = Resources { cpus_milli: 100, mem_bytes: GIB, ..Default::default() };
    problem.offers[0].resources.mem_bytes = 2 * GIB;
    assert_eq!(places(&plan(&problem)), ["t0@a1"]);
    problem.offers[0].resources.mem_bytes -= 1;
    assert!(matches!(plan(&problem).waits[0].reason, Reason::Mem { need_bytes, .. } if need_bytes == 2 * GIB));
    problem.offers[0].executors_of = vec!["flights".into()];
    assert_eq!(places(&plan(&problem)), ["t0@a1"], "the executor is there already");
}

#[test]
fn what_is_reserved_for_us_goes_before_what_others_could_have() {
    let requests: Vec<Request> = (0..3).map(|i| request(&format!("t{i}"), &[])).collect();
    let mut problem =
        problem(requests, vec![offer(1, 1_000), offer(2, 4_000), offer(3, 4_000)], JobTopology::default());
    problem.now_ms = 4_000;
    problem.offers[1].reserved = Resources { cpus_milli: 500, ..Default::default() };
    problem.offers[2].reserved = Resources { cpus_milli: 501, ..Default::default() };
    assert_eq!(places(&plan(&problem)), ["t0@a2", "t1@a3", "t2@a3"], "three tasks use what is reserved");
    // Nearer is nearer all the same.
    problem.requests.iter_mut().for_each(|r| r.partitions = vec![0]);
    problem.topology.jobs.insert("flights".into(), topology(1, 1, false));
    assert_eq!(places(&plan(&problem)), ["t0@a1", "t1@a1", "t2@a2"]);
}

#[test]
fn revocable_resources_are_used_first_and_only_where_they_are_allowed() {
    let requests: Vec<Request> = (0..4).map(|i| request(&format!("t{i}"), &[])).collect();
    let mut problem = problem(requests, vec![offer(1, 1_700), offer(2, 100_000)], JobTopology::default());
    problem.now_ms = 4_000;
    wishes(&mut problem).executor_overhead = Resources { cpus_milli: 100, ..Default::default() };
    problem.offers[1].revocable = Resources { cpus_milli: 1_100, ..Default::default() };
    assert_eq!(places(&plan(&problem)), ["t0@a1", "t1@a1", "t2@a1", "t3@a2"], "nobody allowed it");
    problem.requests.iter_mut().for_each(|request| request.revocable = true);
    assert_snapshot!(plan(&problem).describe(4_000), @r"
    launch  t0 on a2 (streams): source host, sink any, cost 0 (), on revocable cpus
    launch  t1 on a2 (streams): source host, sink any, cost 0 (), on revocable cpus
    launch  t2 on a1 (streams): source host, sink any, cost 0 ()
    launch  t3 on a1 (streams): source host, sink any, cost 0 ()
    ");
}

#[test]
fn one_executor_does_not_mix_what_is_revocable_with_what_is_not() {
    let mut problem = problem(vec![request("t0", &[0])], vec![offer(1, 0)], topology(1, 1, false));
    problem.requests[0].revocable = true;
    problem.offers[0].revocable = Resources { cpus_milli: 550, ..Default::default() };
    problem.offers[0].resources.cpus_milli = 550;
    wishes(&mut problem).executor_overhead = Resources { cpus_milli: 100, ..Default::default() };
    assert!(matches!(plan(&problem).waits[0].reason, Reason::Cpus { need_milli: 600, have_milli: 550 }));
    // Its executor uses firm memory and CPUs: the task must, too.
    problem.offers[0].executors_of = vec!["flights".into()];
    assert_eq!(plan(&problem).launches[0].revocable, Revocable::default());
    problem.offers[0].executors_of =
        vec![ExecutorOf { job: "flights".into(), revocable: Revocable { cpus: true, mem: false } }];
    assert_eq!(plan(&problem).launches[0].revocable, Revocable { cpus: true, mem: false });
}

#[test]
fn a_task_returns_to_its_volume_and_waits_for_it_only_until_its_deadline() {
    let disk = |request: Request| Request {
        resources: Resources { disk_bytes: GIB, ..cpus(500) },
        volume: Some("v".into()),
        ..request
    };
    let with_disk = |n, disk_bytes| {
        let offer = offer(n, 4000);
        AgentOffer { resources: Resources { disk_bytes, ..offer.resources }, ..offer }
    };
    let mut home = with_disk(3, 0);
    home.volumes.insert("v".into());
    // The leader is on a1, which has disk enough; the volume's agent has none but the volume itself.
    let mut problem = problem(vec![disk(request("t", &[0]))], vec![with_disk(1, 9 * GIB), home], topology(1, 1, false));
    assert_eq!(places(&plan(&problem)), ["t@a3"]);
    problem.now_ms = 4_000;
    assert_eq!(places(&plan(&problem)), ["t@a3"], "whenever it is offered");

    problem.offers.pop();
    problem.now_ms = 3_999;
    assert_eq!(plan(&problem).waits[0].reason, Reason::Locality { until_ms: 4_000 });
    problem.now_ms = 4_000;
    assert_eq!(places(&plan(&problem)), ["t@a1"]);
}

#[test]
fn a_volume_is_disk_for_its_own_task_only() {
    let wants = |id: &str, volume: Option<&str>| Request {
        resources: Resources { disk_bytes: GIB, ..cpus(500) },
        volume: volume.map(str::to_owned),
        ..request(id, &[0])
    };
    let mut home = offer(1, 4000);
    home.volumes.insert("v".into());
    let problem = problem(vec![wants("other", None), wants("own", Some("v"))], vec![home], topology(1, 1, false));
    let plan = plan(&problem);
    assert_eq!(places(&plan), ["own@a1"]);
    assert_eq!(plan.waits[0].reason, Reason::Disk { need_bytes: GIB, have_bytes: 0 });
}
