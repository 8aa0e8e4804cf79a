//! Schedules, inverse offers, machines down and up.

use millstream_mesos_types::{InverseOffer, TimeInfo, Unavailability, scheduler::InverseOfferAnswer};

use super::*;

const UNAVAILABILITY: Unavailability = Unavailability { start: TimeInfo { nanoseconds: 1_000 }, duration: None };

fn machine(agent: AgentIndex) -> MachineId {
    let address = format!("127.0.1.{}", agent + 1);
    MachineId { hostname: address.clone(), ip: address }
}

fn schedule(agents: &[AgentIndex]) -> Schedule {
    let machine_ids: Vec<_> = agents.iter().map(|agent| machine(*agent)).collect();
    let windows =
        if machine_ids.is_empty() { vec![] } else { vec![Window { machine_ids, unavailability: UNAVAILABILITY }] };
    Schedule { windows }
}

fn inverse_offers(events: Vec<Event>) -> Vec<InverseOffer> {
    let inverse = events.into_iter().filter_map(|event| match event {
        Event::InverseOffers { inverse_offers } => Some(inverse_offers.inverse_offers),
        _ => None,
    });
    inverse.flatten().collect()
}

fn answer(offer: &InverseOffer, refuse_seconds: Option<f64>) -> InverseOfferAnswer {
    let filters = refuse_seconds.map(|seconds| Filters { refuse_seconds: Some(seconds) });
    InverseOfferAnswer { inverse_offer_ids: vec![offer.id.clone()], filters }
}

#[test]
fn a_schedule_rescinds_offers_and_asks_for_the_agents_back() {
    let mut world = World::new(2);
    let (me, idle) = (world.subscribe(framework("a")), world.subscribe(framework("b")));
    world.call(&idle, Call::Suppress { suppress: Roles::default() }).unwrap();
    world.running(&me);
    world.pass(Duration::from_secs(6));
    world.told(me.stream);
    world.cluster.schedule_maintenance(world.now, schedule(&[0])).unwrap();
    assert!(matches!(&world.told(me.stream)[..], [Event::Rescind { .. }]), "only of that agent");
    world.pass(TICK);
    let told = world.told(me.stream);
    let Some(Event::Offers { offers }) = told.first() else { panic!("{told:?}") };
    assert_eq!(offers.offers[0].unavailability, Some(UNAVAILABILITY));
    let inverse = inverse_offers(told).remove(0);
    assert_eq!((inverse.agent_id, inverse.unavailability), (Some(world.agent_id(0)), UNAVAILABILITY));
    assert!(world.told(idle.stream).iter().all(|event| *event == Event::Heartbeat), "has nothing there");
    world.pass(Duration::from_secs(10));
    assert!(inverse_offers(world.told(me.stream)).is_empty(), "one is out");
    world.cluster.schedule_maintenance(world.now, schedule(&[])).unwrap();
    let told = world.told(me.stream);
    assert!(told.iter().any(|event| matches!(event, Event::RescindInverseOffer { .. })), "{told:?}");
    world.pass(Duration::from_secs(10));
    let told = world.told(me.stream);
    assert!(inverse_offers(told).is_empty(), "nobody plans anything any more");
}

#[test]
fn inverse_offers_come_again_after_the_filter_whatever_was_answered() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    world.running(&me);
    world.cluster.schedule_maintenance(world.now, schedule(&[0])).unwrap();
    world.pass(TICK);
    let first = inverse_offers(world.told(me.stream)).remove(0);
    let accept_inverse_offers = answer(&first, None);
    world.call(&me, Call::AcceptInverseOffers { accept_inverse_offers }).unwrap();
    assert_eq!(world.cluster.maintenance_status()["draining_machines"][0]["statuses"][0]["status"], "ACCEPT");
    world.pass(Duration::from_millis(4_800));
    assert!(inverse_offers(world.told(me.stream)).is_empty());
    world.pass(Duration::from_millis(400));
    let second = inverse_offers(world.told(me.stream)).remove(0);
    let decline_inverse_offers = answer(&second, Some(60.0));
    world.call(&me, Call::DeclineInverseOffers { decline_inverse_offers }).unwrap();
    let status = &world.cluster.maintenance_status()["draining_machines"][0]["statuses"][0];
    assert_eq!(
        (&status["status"], &status["framework_id"]["value"]),
        (&"DECLINE".into(), &me.id.value.as_str().into())
    );
    world.pass(Duration::from_secs(59));
    assert!(inverse_offers(world.told(me.stream)).is_empty());
    world.call(&me, Call::Revive { revive: Roles::default() }).unwrap();
    world.pass(TICK);
    assert_eq!(inverse_offers(world.told(me.stream)).len(), 1, "a revive ends the filter");
}

#[test]
fn a_machine_goes_down_and_comes_up_again() {
    let mut world = World::new(2);
    let me = world.subscribe(framework("a"));
    let executor = world.running(&me);
    world.told_executor(executor);
    let id = world.agent_id(0);
    let down = |world: &mut World| world.cluster.machines_down(world.now, &[machine(0)]);
    assert!(down(&mut world).unwrap_err().message.contains("not part of a maintenance schedule"));
    world.cluster.schedule_maintenance(world.now, schedule(&[0])).unwrap();
    assert!(world.cluster.machines_up(world.now, &[machine(0)]).unwrap_err().message.contains("not in DOWN mode"));
    down(&mut world).unwrap();
    let told = world.told(me.stream);
    let update = told.iter().find_map(|event| if let Event::Update { update } = event { Some(update) } else { None });
    let status = &update.unwrap().status;
    assert_eq!((status.state, status.reason.as_deref()), (TaskState::TaskLost, Some("REASON_AGENT_REMOVED")));
    assert!(
        told.iter().any(|event| matches!(event, Event::Failure { failure } if failure.agent_id == Some(id.clone())))
    );
    assert_eq!(world.told_executor(executor), [executor::Event::Shutdown]);
    assert_eq!(world.cluster.maintenance_status()["down_machines"][0]["ip"], "127.0.1.1");
    assert!(world.cluster.schedule_maintenance(world.now, schedule(&[1])).is_err(), "it is down");
    world.cluster.restore_agent(world.now, 0);
    assert_eq!(world.cluster.slaves_view()["slaves"].as_array().unwrap().len(), 1, "it is kept out");

    world.cluster.machines_up(world.now, &[machine(0)]).unwrap();
    assert!(world.cluster.maintenance_schedule().windows.is_empty());
    world.pass(Duration::from_secs(6));
    assert_eq!(world.destroyed().len(), 1, "the executor has outlived its grace");
    let offers = world.told(me.stream).into_iter().filter_map(|event| match event {
        Event::Offers { offers } => Some(offers.offers),
        _ => None,
    });
    let here = offers.flatten().find(|offer| offer.hostname == "127.0.1.1").unwrap();
    assert!(here.agent_id != id && here.unavailability.is_none());
}

#[test]
fn bad_schedules_are_refused() {
    let mut world = World::new(1);
    let window = |machine_ids, nanoseconds| {
        let unavailability = Unavailability { duration: Some(DurationInfo { nanoseconds }), ..UNAVAILABILITY };
        Schedule { windows: vec![Window { machine_ids, unavailability }] }
    };
    let nobody = MachineId { hostname: String::new(), ip: String::new() };
    let bad = [
        (window(vec![], 1), "List of machines"),
        (window(vec![machine(0)], -1), "negative"),
        (window(vec![machine(0), machine(0)], 1), "more than once"),
        (window(vec![nobody], 1), "empty"),
    ];
    for (schedule, expected) in bad {
        let refusal = world.cluster.schedule_maintenance(world.now, schedule).unwrap_err();
        assert!(refusal.status == 400 && refusal.message.contains(expected), "{refusal:?}");
    }
}
