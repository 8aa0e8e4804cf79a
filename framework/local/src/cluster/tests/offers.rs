//! Offers, filters and launches.

use super::*;

#[test]
fn what_is_declined_comes_back_after_the_filter_or_a_revive() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    let offer = world.offers(&me).remove(0);
    assert!(world.offers(&me).is_empty(), "offered once");
    world.call(&me, decline(&offer, 2.0)).unwrap();
    world.pass(Duration::from_millis(1_800));
    assert!(world.told(me.stream).is_empty());
    let again = world.offers(&me).remove(0);
    assert_ne!(again.id, offer.id);
    world.call(&me, decline(&again, 1e6)).unwrap();
    assert!(world.offers(&me).is_empty());
    world.call(&me, Call::Revive { revive: Roles::default() }).unwrap();
    assert_eq!(world.offers(&me).len(), 1);
}

#[test]
fn nobody_who_is_suppressed_is_offered_anything() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    world.call(&me, Call::Suppress { suppress: Roles::default() }).unwrap();
    assert!(world.offers(&me).is_empty());
    world.call(&me, Call::Revive { revive: Roles { roles: vec!["other".into()] } }).unwrap();
    assert!(world.offers(&me).is_empty());
    world.call(&me, Call::Revive { revive: Roles { roles: vec!["a".into()] } }).unwrap();
    assert_eq!(world.offers(&me).len(), 1);
}

#[test]
fn two_roles_share_the_agents() {
    let mut world = World::new(4);
    let (a, b) = (world.subscribe(framework("a")), world.subscribe(framework("b")));
    let (of_a, of_b) = (world.offers(&a).len(), world.offers(&b).len());
    assert_eq!((of_a, of_b), (2, 2));
}

#[test]
fn a_launch_takes_its_resources_and_the_rest_is_offered_again() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    let offer = world.offers(&me).remove(0);
    world.launch(&me, &offer.id, vec![task(&offer, "t1", 1.0), task(&offer, "t2", 1.0)]);
    let starts = world.started();
    assert_eq!(starts.len(), 1, "one executor for both");
    world.pass(Duration::from_secs(6));
    let rest = world.offers(&me).remove(0);
    assert_eq!(millstream_mesos_types::scalar_sum(&rest.resources, "cpus"), 1.5);
    let view = world.cluster.slaves_view();
    assert_eq!(view["slaves"][0]["used_resources"]["cpus"], 2.5);
    assert_eq!(view["slaves"][0]["offered_resources"]["cpus"], 1.5);
    // Both tasks reach the executor once it has subscribed.
    let stream = world.subscribe_executor(&me, 0);
    let told = world.told_executor(stream);
    assert!(matches!(told[0], executor::Event::Subscribed { .. }));
    assert!(matches!(&told[1..], [executor::Event::Launch { .. }, executor::Event::Launch { .. }]));
}

#[test]
fn bad_launches_are_answered_as_mesos_does() {
    let mut world = World::new(2);
    let me = world.subscribe(framework("a"));
    let offers = world.offers(&me);
    let (offer, other) = (&offers[0], &offers[1]);
    let mut no_executor = task(offer, "t3", 1.0);
    no_executor.executor = None;
    let mut another_agent = task(offer, "t4", 1.0);
    another_agent.agent_id = AgentId::new("x");
    let mut another_info = task(offer, "t6", 0.1);
    another_info.executor.as_mut().unwrap().name = Some("renamed".into());
    let tasks = vec![
        task(offer, "too-big", 3.6),
        task(offer, "a/b", 1.0),
        no_executor,
        another_agent,
        task(offer, "good", 1.0),
        task(offer, "good", 1.0),
        another_info,
        task(offer, "nothing", 0.0),
    ];
    world.launch(&me, &offer.id, tasks);
    let updates = world.updates(&me);
    assert_eq!(updates.len(), 7);
    for update in &updates {
        assert_eq!((update.state, update.reason.as_deref()), (TaskState::TaskError, Some("REASON_TASK_INVALID")));
        assert!(update.uuid.is_none(), "nothing to acknowledge");
    }
    assert_eq!(world.started().len(), 1);

    world.launch(&me, &offer.id, vec![task(offer, "late", 1.0)]);
    assert_eq!(states(&world.updates(&me)), [(TaskState::TaskDropped, "REASON_INVALID_OFFERS")]);
    let accept = Accept { offer_ids: vec![other.id.clone(), offer.id.clone()], operations: vec![], filters: None };
    world.call(&me, Call::Accept { accept }).unwrap();
    let view = world.cluster.slaves_view();
    assert_eq!(view["slaves"][1]["offered_resources"]["cpus"], 0.0, "the valid one is used up all the same");
}
