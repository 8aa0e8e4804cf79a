//! Frameworks and agents coming and going.

use super::*;

#[test]
fn only_one_subscription_counts() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    let offer = world.offers(&me).remove(0);
    let again = world.subscribe(FrameworkInfo { id: Some(me.id.clone()), ..framework("a") });
    assert_eq!(again.id, me.id);
    let told = world.told(me.stream);
    assert!(matches!(&told[..], [Event::Error { error }] if error.message == "Framework failed over"));
    let refusal = world.call(&me, decline(&offer, 0.0)).unwrap_err();
    assert!(refusal.status == 400 && refusal.message.contains("stream ID"), "{refusal:?}");
    assert_ne!(world.offers(&again)[0].id, offer.id, "the old offer is void");
    // The old stream's end changes nothing.
    world.cluster.stream_closed(world.now, me.stream);
    world.call(&again, Call::Revive { revive: Roles::default() }).unwrap();
}

#[test]
fn a_framework_that_stays_away_is_removed_for_good() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    let executor = world.running(&me);
    world.told_executor(executor);
    world.cluster.stream_closed(world.now, me.stream);
    assert_eq!(world.call(&me, Call::Teardown).unwrap_err().status, 403);
    world.pass(Duration::from_secs(59));
    assert!(world.told_executor(executor).is_empty(), "its executors live on");
    world.pass(Duration::from_secs(2));
    assert_eq!(world.told_executor(executor), [executor::Event::Shutdown]);
    let stream = world.stream();
    let info = FrameworkInfo { id: Some(me.id.clone()), ..framework("a") };
    let subscribe = scheduler::Subscribe { framework_info: info, ..Default::default() };
    world.cluster.subscribe(world.now, stream, Some(&me.id), subscribe).unwrap();
    let told = world.told(stream);
    assert!(matches!(&told[..], [Event::Error { error }] if error.message == "Framework has been removed"));
}

#[test]
fn a_framework_that_returns_gets_its_unacknowledged_updates() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    let executor = world.running(&me);
    world.cluster.stream_closed(world.now, me.stream);
    world.update(&me, 0, "t", TaskState::TaskFinished, 2);
    world.pass(Duration::from_secs(30));
    let info = FrameworkInfo { id: Some(me.id.clone()), ..framework("a") };
    let stream = world.stream();
    let subscribe = scheduler::Subscribe { framework_info: info, ..Default::default() };
    world.cluster.subscribe(world.now, stream, Some(&me.id), subscribe).unwrap();
    let back = Scheduler { id: me.id, stream };
    assert_eq!(states(&world.updates(&back)), [(TaskState::TaskFinished, "")]);
    assert!(!world.told_executor(executor).contains(&executor::Event::Shutdown));
}

#[test]
fn a_failover_timeout_of_zero_kills_everything_at_a_disconnect() {
    let mut world = World::new(1);
    let me = world.subscribe(FrameworkInfo { failover_timeout: 0.0, ..framework("a") });
    let executor = world.running(&me);
    world.told_executor(executor);
    world.cluster.stream_closed(world.now, me.stream);
    assert_eq!(world.told_executor(executor), [executor::Event::Shutdown]);
}

#[test]
fn a_lost_agent_rescinds_offers_and_loses_tasks() {
    let mut world = World::new(2);
    let me = world.subscribe(framework("a"));
    world.running(&me);
    world.pass(Duration::from_secs(6));
    let offered = world.told(me.stream).into_iter().any(|event| matches!(event, Event::Offers { .. }));
    assert!(offered, "the rest of agent 0 is on offer");
    let id = world.cluster.slaves_view()["slaves"][0]["id"].as_str().unwrap().to_owned();
    world.cluster.lose_agent(world.now, 0);
    let told = world.told(me.stream);
    assert!(matches!(told[1], Event::Rescind { .. }), "{told:?}");
    let Event::Update { update } = &told[0] else { panic!("{told:?}") };
    assert_eq!(update.status.state, TaskState::TaskUnreachable);
    assert!(
        matches!(&told[2], Event::Failure { failure } if failure.executor_id.is_none() && failure.agent_id.is_some())
    );
    assert_eq!(world.destroyed().len(), 1);

    let ask = |agent: Option<&str>, task: &str| scheduler::ReconcileTask {
        task_id: TaskId::new(task),
        agent_id: agent.map(AgentId::new),
    };
    let here = world.cluster.slaves_view()["slaves"][0]["id"].as_str().unwrap().to_owned();
    let tasks = vec![ask(Some(&id), "t"), ask(Some(&here), "never"), ask(None, "never")];
    world.call(&me, Call::Reconcile { reconcile: Reconcile { tasks } }).unwrap();
    let answers: Vec<_> = world.updates(&me).iter().map(|update| update.state).collect();
    assert_eq!(answers, [TaskState::TaskUnreachable, TaskState::TaskGone, TaskState::TaskUnknown]);

    world.cluster.restore_agent(world.now, 0);
    let offers = world.offers(&me);
    assert!(offers.iter().any(|offer| offer.hostname == "127.0.1.1" && offer.agent_id.value != id));
}

#[test]
fn heartbeats_come_every_fifteen_seconds() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    world.pass(Duration::from_secs(61));
    let beats = world.told(me.stream).into_iter().filter(|event| *event == Event::Heartbeat).count();
    assert_eq!(beats, 4);
}

#[test]
fn stopping_shuts_everybody_down_and_offers_nothing_more() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    let stream = world.running(&me);
    world.told_executor(stream);
    world.cluster.begin_stop(world.now);
    assert_eq!(world.told_executor(stream), [executor::Event::Shutdown]);
    assert_eq!(world.cluster.longest_shutdown_grace(), Duration::from_secs(5));
    world.pass(Duration::from_secs(6));
    assert_eq!(world.destroyed().len(), 1);
    assert!(!world.told(me.stream).iter().any(|event| matches!(event, Event::Offers { .. })));
}
