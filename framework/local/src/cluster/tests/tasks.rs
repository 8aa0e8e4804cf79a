//! Tasks and executors, from launch to end.

use super::*;

#[test]
fn updates_go_one_at_a_time_and_again_until_acknowledged() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    let offer = world.offers(&me).remove(0);
    world.launch(&me, &offer.id, vec![task(&offer, "t", 1.0)]);
    let stream = world.subscribe_executor(&me, 0);
    world.update(&me, 0, "t", TaskState::TaskStarting, 1);
    world.update(&me, 0, "t", TaskState::TaskRunning, 2);
    world.update(&me, 0, "t", TaskState::TaskRunning, 2);
    let acknowledged =
        world.told_executor(stream).into_iter().filter(|e| matches!(e, executor::Event::Acknowledged { .. }));
    assert_eq!(acknowledged.count(), 3, "the executor need not wait for the scheduler");

    let first = world.updates(&me);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].state, TaskState::TaskStarting);
    assert_eq!(first[0].agent_id, Some(offer.agent_id.clone()));
    world.pass(Duration::from_secs(29));
    assert_eq!(world.updates(&me), first, "again after 10 s");
    world.pass(Duration::from_secs(2));
    assert_eq!(world.updates(&me), first, "and after 20 s more");

    // Reconciliation tells what was told, and needs no acknowledgement.
    world.call(&me, Call::Reconcile { reconcile: Reconcile::default() }).unwrap();
    let answer = world.updates(&me);
    assert_eq!(states(&answer), [(TaskState::TaskStarting, "REASON_RECONCILIATION")]);
    assert!(answer[0].uuid.is_none());

    world.acknowledge(&me, &status_at(&first[0], 9));
    assert!(world.updates(&me).is_empty(), "a wrong uuid acknowledges nothing");
    world.acknowledge(&me, &first[0]);
    let second = world.updates(&me);
    assert_eq!(second[0].state, TaskState::TaskRunning);
    world.acknowledge(&me, &second[0]);
    world.pass(Duration::from_secs(30));
    assert!(world.updates(&me).is_empty());

    world.update(&me, 0, "t", TaskState::TaskFinished, 3);
    let last = world.updates(&me);
    world.acknowledge(&me, &last[0]);
    let view = world.cluster.state_view();
    assert_eq!(view["frameworks"][0]["tasks"], serde_json::json!([]));
    assert_eq!(view["frameworks"][0]["completed_tasks"][0]["state"], "TASK_FINISHED");
    assert_eq!(view["slaves"][0]["used_resources"]["cpus"], 0.5, "the executor stays");
}

fn status_at(status: &TaskStatus, uuid: u8) -> TaskStatus {
    TaskStatus { uuid: Some(Base64(vec![uuid; 16])), ..status.clone() }
}

#[test]
fn a_dead_executor_fails_its_tasks() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    world.running(&me);
    let container = world.started()[0].container.clone();
    world.cluster.container_ended(world.now, &container, Ok(9));
    let told = world.told(me.stream);
    let Event::Update { update } = &told[0] else { panic!("{told:?}") };
    assert_eq!(update.status.state, TaskState::TaskFailed);
    assert_eq!(update.status.reason.as_deref(), Some("REASON_EXECUTOR_TERMINATED"));
    assert!(update.status.message.as_ref().unwrap().contains("signal 9"));
    assert!(update.status.uuid.is_some());
    assert!(
        matches!(&told[1], Event::Failure { failure } if failure.status == Some(9) && failure.executor_id.is_some())
    );
    assert_eq!(world.cluster.slaves_view()["slaves"][0]["used_resources"]["cpus"], 0.0);
}

#[test]
fn an_executor_that_does_not_subscribe_in_time_is_ended() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    let offer = world.offers(&me).remove(0);
    world.launch(&me, &offer.id, vec![task(&offer, "t", 1.0)]);
    let container = world.started()[0].container.clone();
    world.pass(Duration::from_secs(59));
    assert!(world.destroyed().is_empty());
    world.pass(Duration::from_secs(2));
    assert_eq!(world.destroyed(), std::slice::from_ref(&container));
    world.cluster.container_ended(world.now, &container, Ok(9));
    assert_eq!(states(&world.updates(&me)), [(TaskState::TaskFailed, "REASON_EXECUTOR_REGISTRATION_TIMEOUT")]);
}

#[test]
fn a_task_killed_before_its_executor_subscribed_never_starts() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    let offer = world.offers(&me).remove(0);
    world.launch(&me, &offer.id, vec![task(&offer, "t", 1.0)]);
    world.call(&me, kill("t", None)).unwrap();
    assert_eq!(states(&world.updates(&me)), [(TaskState::TaskKilled, "REASON_TASK_KILLED_DURING_LAUNCH")]);
    assert_eq!(world.destroyed().len(), 1, "nothing is left for the executor to do");
    let stream = world.subscribe_executor(&me, 0);
    assert_eq!(world.told_executor(stream), [executor::Event::Shutdown]);
}

#[test]
fn a_kill_is_passed_on_and_enforced_when_the_grace_is_over() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    let stream = world.running(&me);
    world.told_executor(stream);
    world.call(&me, kill("t", None)).unwrap();
    assert!(matches!(&world.told_executor(stream)[..], [executor::Event::Kill { .. }]));
    world.pass(Duration::from_secs(60));
    assert!(world.destroyed().is_empty(), "without a policy the executor is left alone");
    world.call(&me, kill("t", Some(Duration::from_secs(2)))).unwrap();
    world.pass(Duration::from_secs(3));
    let destroyed = world.destroyed();
    world.cluster.container_ended(world.now, &destroyed[0], Ok(9));
    assert_eq!(states(&world.updates(&me)), [(TaskState::TaskKilled, "REASON_EXECUTOR_TERMINATED")]);
}

#[test]
fn shutdown_has_a_grace_and_turns_new_tasks_away() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    let stream = world.running(&me);
    world.told_executor(stream);
    world.pass(Duration::from_secs(6));
    world.pass(TICK);
    let offer = world
        .told(me.stream)
        .into_iter()
        .find_map(|event| match event {
            Event::Offers { offers } => offers.offers.into_iter().next(),
            _ => None,
        })
        .unwrap();
    assert_eq!(offer.executor_ids, [ExecutorId::new("e")]);
    let shutdown = scheduler::Shutdown { executor_id: ExecutorId::new("e"), agent_id: offer.agent_id.clone() };
    world.call(&me, Call::Shutdown { shutdown }).unwrap();
    assert_eq!(world.told_executor(stream), [executor::Event::Shutdown]);
    world.launch(&me, &offer.id, vec![task(&offer, "t2", 0.5)]);
    assert_eq!(states(&world.updates(&me)), [(TaskState::TaskDropped, "REASON_EXECUTOR_TERMINATED")]);
    world.pass(Duration::from_secs(4));
    assert!(world.destroyed().is_empty());
    world.pass(Duration::from_secs(2));
    assert_eq!(world.destroyed().len(), 1);
}
