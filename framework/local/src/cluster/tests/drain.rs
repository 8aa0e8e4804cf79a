//! DRAIN_AGENT, DEACTIVATE_AGENT, REACTIVATE_AGENT, MARK_AGENT_GONE.

use super::*;

fn drain(world: &mut World, mark_gone: bool) -> Result<(), Refusal> {
    let id = world.agent_id(0);
    world.cluster.drain_agent(world.now, &id, Some(Duration::from_secs(3)), mark_gone)
}

#[test]
fn a_drained_agent_kills_its_tasks_in_time_and_offers_nothing_until_it_is_reactivated() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    let executor = world.running(&me);
    world.told_executor(executor);
    world.pass(Duration::from_secs(6));
    world.told(me.stream);
    drain(&mut world, false).unwrap();
    assert!(matches!(&world.told(me.stream)[..], [Event::Rescind { .. }]));
    let kills = world.told_executor(executor);
    let [executor::Event::Kill { kill }] = &kills[..] else { panic!("{kills:?}") };
    assert_eq!(kill.kill_policy.unwrap().grace_period.unwrap().nanoseconds, 3_000_000_000);
    let id = world.agent_id(0);
    let refusal = world.cluster.reactivate_agent(world.now, &id).unwrap_err();
    assert!(refusal.message.contains("DRAINING"), "{refusal:?}");
    world.update(&me, 0, "t", TaskState::TaskKilling, 7);
    let killing = world.updates(&me).remove(0);
    assert_eq!(states(std::slice::from_ref(&killing)), [(TaskState::TaskKilling, "REASON_AGENT_DRAINING")]);
    world.acknowledge(&me, &killing);
    world.update(&me, 0, "t", TaskState::TaskKilled, 8);
    let killed = world.updates(&me).remove(0);
    assert_eq!(states(std::slice::from_ref(&killed)), [(TaskState::TaskKilled, "REASON_AGENT_DRAINING")]);
    let state = |world: &World| world.cluster.slaves_view()["slaves"][0]["drain_info"]["state"].clone();
    assert_eq!(state(&world), "DRAINING", "the update is not acknowledged");
    world.acknowledge(&me, &killed);
    assert_eq!(state(&world), "DRAINED");
    world.pass(Duration::from_secs(20));
    assert!(world.offers(&me).is_empty());
    world.cluster.reactivate_agent(world.now, &id).unwrap();
    let offer = world.offers(&me).remove(0);
    assert!(world.cluster.reactivate_agent(world.now, &id).is_err(), "it is not deactivated");

    // The agent itself drains until the executor has left too.
    world.launch(&me, &offer.id, vec![task(&offer, "t2", 1.0)]);
    let dropped = world.updates(&me).remove(0);
    assert_eq!(states(std::slice::from_ref(&dropped)), [(TaskState::TaskDropped, "REASON_AGENT_DRAINING")]);
    world.acknowledge(&me, &dropped);
    let container = world.cluster.containers.keys().next().unwrap().clone();
    world.cluster.container_ended(world.now, &container, Ok(0));
    world.pass(Duration::from_secs(6));
    world.told(me.stream);
    world.call(&me, Call::Revive { revive: Roles::default() }).unwrap();
    world.running_again(&me, "t3");
}

#[test]
fn a_shorter_grace_of_the_task_stands_and_a_longer_one_is_cut() {
    for (own, told) in [(1, None), (60, Some(3_000_000_000))] {
        let mut world = World::new(1);
        let me = world.subscribe(framework("a"));
        let offer = world.offers(&me).remove(0);
        let grace_period = Some(DurationInfo { nanoseconds: own * 1_000_000_000 });
        let task = TaskInfo { kill_policy: Some(KillPolicy { grace_period }), ..task(&offer, "t", 1.0) };
        world.launch(&me, &offer.id, vec![task]);
        let executor = world.subscribe_executor(&me, 0);
        world.told_executor(executor);
        drain(&mut world, false).unwrap();
        let kills = world.told_executor(executor);
        let [executor::Event::Kill { kill }] = &kills[..] else { panic!("{kills:?}") };
        assert_eq!(kill.kill_policy.and_then(|policy| policy.grace_period).map(|grace| grace.nanoseconds), told);
        world.pass(Duration::from_millis(3_200));
        assert_eq!(world.destroyed().len(), 1, "ended by force when the shorter of both is over");
    }
}

#[test]
fn an_agent_drained_for_good_is_gone_when_it_is_empty() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    let executor = world.running(&me);
    let id = world.agent_id(0);
    drain(&mut world, true).unwrap();
    world.update(&me, 0, "t", TaskState::TaskKilled, 8);
    let gone = world.updates(&me).remove(0);
    assert_eq!(states(std::slice::from_ref(&gone)), [(TaskState::TaskGoneByOperator, "REASON_AGENT_DRAINING")]);
    world.told_executor(executor);
    world.acknowledge(&me, &gone);
    assert_eq!(world.told_executor(executor), [executor::Event::Shutdown]);
    let ask = scheduler::ReconcileTask { task_id: TaskId::new("t"), agent_id: Some(id.clone()) };
    world.call(&me, Call::Reconcile { reconcile: Reconcile { tasks: vec![ask] } }).unwrap();
    assert_eq!(states(&world.updates(&me)), [(TaskState::TaskGoneByOperator, "REASON_RECONCILIATION")]);
    assert_eq!(world.cluster.drain_agent(world.now, &id, None, false).unwrap_err().status, 400);
}

#[test]
fn an_agent_marked_gone_takes_its_tasks_with_it() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    world.running(&me);
    let id = world.agent_id(0);
    world.cluster.mark_agent_gone(world.now, &id).unwrap();
    assert_eq!(states(&world.updates(&me)), [(TaskState::TaskGoneByOperator, "REASON_AGENT_REMOVED_BY_OPERATOR")]);
    world.cluster.mark_agent_gone(world.now, &id).unwrap();
    assert_eq!(world.cluster.mark_agent_gone(world.now, &AgentId::new("x")).unwrap_err().status, 404);
}

#[test]
fn a_deactivated_agent_keeps_its_tasks() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    let executor = world.running(&me);
    world.told_executor(executor);
    let id = world.agent_id(0);
    world.cluster.deactivate_agent(world.now, &id).unwrap();
    world.pass(Duration::from_secs(10));
    assert!(world.told_executor(executor).is_empty() && world.offers(&me).is_empty());
    world.cluster.reactivate_agent(world.now, &id).unwrap();
    assert_eq!(world.offers(&me).len(), 1);
}

#[test]
fn an_agent_in_a_schedule_cannot_be_drained() {
    let mut world = World::new(1);
    let schedule = serde_json::json!({ "windows": [{
        "machine_ids": [{ "hostname": "127.0.1.1", "ip": "127.0.1.1" }],
        "unavailability": { "start": { "nanoseconds": 1 } },
    }] });
    let call = serde_json::json!({
        "type": "UPDATE_MAINTENANCE_SCHEDULE", "update_maintenance_schedule": { "schedule": schedule },
    });
    world.cluster.operate(world.now, serde_json::from_value(call).unwrap()).unwrap();
    assert!(drain(&mut world, false).unwrap_err().message.contains("maintenance schedule"));
}

#[test]
fn operators_speak_the_json_of_mesos() {
    let mut world = World::new(1);
    let id = world.agent_id(0);
    let mut operate =
        |call: serde_json::Value| world.cluster.operate(Duration::ZERO, serde_json::from_value(call).unwrap());
    let agent_id = serde_json::json!({ "value": id.value });
    let drain = serde_json::json!({
        "type": "DRAIN_AGENT",
        "drain_agent": { "agent_id": agent_id, "max_grace_period": { "seconds": 600 }, "mark_gone": false },
    });
    assert_eq!(operate(drain), Ok(Answer::Ok(None)));
    let Ok(Answer::Ok(Some(agents))) = operate(serde_json::json!({ "type": "GET_AGENTS" })) else { panic!() };
    let agent = &agents["get_agents"]["agents"][0];
    assert_eq!((&agent["deactivated"], &agent["drain_info"]["state"]), (&true.into(), &"DRAINED".into()));
    assert_eq!(agent["drain_info"]["config"]["max_grace_period"]["seconds"], 600);
    let reactivate = serde_json::json!({ "type": "REACTIVATE_AGENT", "reactivate_agent": { "agent_id": agent_id } });
    assert_eq!(operate(reactivate), Ok(Answer::Ok(None)));
    assert_eq!(operate(serde_json::json!({ "type": "GROW_VOLUME" })).unwrap_err().status, 501);
}
