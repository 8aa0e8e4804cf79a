//! Agents and masters that restart.

use super::*;

fn checkpointing() -> FrameworkInfo {
    FrameworkInfo { checkpoint: true, ..framework("a") }
}

/// The executor's SUBSCRIBE, with an update it could not deliver.
fn come_back(world: &mut World, me: &Scheduler, uuid: u8) -> Result<StreamId, Refusal> {
    let stream = world.stream();
    let key = (me.id.clone(), ExecutorId::new("e"));
    let update = executor::Update { status: status("t", TaskState::TaskFinished, uuid) };
    let subscribe = executor::Subscribe { unacknowledged_updates: vec![update], ..Default::default() };
    world.cluster.subscribe_executor(world.now, 0, stream, key, subscribe).map(|()| stream)
}

#[test]
fn executors_outlive_the_restart_of_their_agent() {
    let mut world = World::new(1);
    let me = world.subscribe(checkpointing());
    let executor = world.running(&me);
    world.pass(Duration::from_secs(6));
    world.told(me.stream);
    world.cluster.restart_agent(world.now, 0, Duration::from_secs(5));
    let told = world.told(me.stream);
    assert!(matches!(&told[..], [Event::Rescind { .. }]), "{told:?}");
    assert!(world.effects.contains(&Effect::Close(executor)));
    assert_eq!(come_back(&mut world, &me, 9).unwrap_err().status, 503);
    world.call(&me, kill("t", None)).unwrap();
    world.call(&me, Call::Reconcile { reconcile: Reconcile::default() }).unwrap();
    assert_eq!(states(&world.updates(&me)), [(TaskState::TaskRunning, "REASON_RECONCILIATION")]);
    world.pass(Duration::from_millis(5_200));
    let executor = come_back(&mut world, &me, 9).unwrap();
    world.pass(Duration::from_secs(1));
    assert!(world.updates(&me).is_empty(), "the agent has not registered again");
    world.pass(Duration::from_millis(1_400));
    let told = world.told(me.stream);
    let [Event::Update { update }, Event::Offers { .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!(update.status.state, TaskState::TaskFinished);
    assert!(world.destroyed().is_empty() && world.started().len() == 1);
    let told = world.told_executor(executor);
    assert!(!told.iter().any(|event| matches!(event, executor::Event::Kill { .. })), "it had ended: {told:?}");
}

#[test]
fn a_kill_waits_for_the_agent() {
    let mut world = World::new(1);
    let me = world.subscribe(checkpointing());
    world.running(&me);
    world.cluster.restart_agent(world.now, 0, Duration::from_secs(1));
    world.call(&me, kill("t", None)).unwrap();
    world.pass(Duration::from_millis(1_400));
    let executor = world.subscribe_executor(&me, 0);
    world.pass(Duration::from_secs(2));
    let told = world.told_executor(executor);
    assert!(told.iter().any(|event| matches!(event, executor::Event::Kill { .. })), "{told:?}");
}

#[test]
fn an_executor_that_does_not_come_back_is_ended() {
    let mut world = World::new(1);
    let me = world.subscribe(checkpointing());
    world.running(&me);
    world.cluster.restart_agent(world.now, 0, Duration::from_secs(1));
    world.pass(Duration::from_secs(4));
    let destroyed = world.destroyed();
    world.cluster.container_ended(world.now, &destroyed[0], Ok(9));
    assert_eq!(states(&world.updates(&me)), [(TaskState::TaskGone, "REASON_EXECUTOR_REREGISTRATION_TIMEOUT")]);
}

#[test]
fn without_checkpoints_a_restart_of_the_agent_ends_the_tasks() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    world.running(&me);
    world.cluster.restart_agent(world.now, 0, Duration::from_secs(1));
    assert_eq!(states(&world.updates(&me)), [(TaskState::TaskLost, "REASON_AGENT_DISCONNECTED")]);
    let destroyed = world.destroyed();
    world.cluster.container_ended(world.now, &destroyed[0], Ok(9));
    world.pass(Duration::from_secs(4));
    assert_eq!(world.cluster.slaves_view()["slaves"][0]["used_resources"]["cpus"], 0.0);
}

#[test]
fn a_new_master_knows_the_framework_by_its_id_and_the_rest_from_the_agents() {
    let mut world = World::new(1);
    let me = world.subscribe(checkpointing());
    let executor = world.running(&me);
    let offer = world.offers(&me);
    let offer = offer.first().cloned();
    world.told_executor(executor);
    world.told(me.stream);
    let (leaderless, agents) = (Duration::from_secs(2), Duration::from_secs(30));
    world.cluster.fail_over(world.now, "N".into(), leaderless, agents);
    assert!(world.told(me.stream).is_empty(), "no word, the stream just ends");
    assert!(world.effects.contains(&Effect::Close(me.stream)) && !world.effects.contains(&Effect::Close(executor)));
    let info = FrameworkInfo { id: Some(me.id.clone()), ..checkpointing() };
    let subscribe = scheduler::Subscribe { framework_info: info.clone(), ..Default::default() };
    let stream = world.stream();
    let refusal = world.cluster.subscribe(world.now, stream, Some(&me.id), subscribe).unwrap_err();
    assert_eq!(refusal.status, 503);
    assert_eq!(world.cluster.operate(world.now, OperatorCall::GetAgents).unwrap_err().status, 503);
    world.pass(Duration::from_secs(3));
    let again = world.subscribe(info);
    assert_eq!(again.id, me.id);

    // The executor goes on speaking to its agent.
    world.update(&me, 0, "t", TaskState::TaskKilling, 5);
    world.call(&again, Call::Reconcile { reconcile: Reconcile::default() }).unwrap();
    let ask = |agent: Option<AgentId>| scheduler::ReconcileTask { task_id: TaskId::new("t"), agent_id: agent };
    let (named, unnamed, elsewhere) = (ask(Some(world.agent_id(0))), ask(None), ask(Some(AgentId::new("x"))));
    world.call(&again, Call::Reconcile { reconcile: Reconcile { tasks: vec![named, unnamed, elsewhere] } }).unwrap();
    let answers = world.updates(&again);
    assert_eq!(states(&answers), [(TaskState::TaskUnknown, "REASON_RECONCILIATION")], "silent for what may come");
    assert!(world.offers(&again).is_empty());
    world.pass(Duration::from_secs(28));
    let told = world.told(again.stream);
    let update = told.iter().find_map(|event| if let Event::Update { update } = event { Some(update) } else { None });
    assert_eq!(update.unwrap().status.state, TaskState::TaskKilling);
    let offers = told.iter().find_map(|event| if let Event::Offers { offers } = event { Some(offers) } else { None });
    let new = &offers.unwrap().offers[0];
    assert!(new.id.value.starts_with("N-") && Some(&new.id) != offer.as_ref().map(|offer| &offer.id));
    assert_eq!(new.agent_id.value, "M-S1", "agents keep their ids");
}

#[test]
fn a_framework_that_does_not_come_back_to_the_new_master_is_removed() {
    let mut world = World::new(1);
    let me = world.subscribe(checkpointing());
    let executor = world.running(&me);
    world.told_executor(executor);
    world.cluster.fail_over(world.now, "N".into(), Duration::ZERO, Duration::from_secs(10));
    world.pass(Duration::from_secs(69));
    assert!(world.told_executor(executor).is_empty());
    world.pass(Duration::from_secs(2));
    assert_eq!(world.told_executor(executor), [executor::Event::Shutdown]);
}
