//! Persistent volumes: made, kept, given up and destroyed, and what becomes of their operations.

use millstream_mesos_types::{scheduler::Call, *};
use millstream_spec::JobSpec;
use serde_json::{Value, json};

use super::world::*;
use crate::{records::VolumeRecord, *};

const DISK_MIB: f64 = 1_000.0;

/// A job whose tasks have volumes of 100 MiB.
fn kept() -> JobSpec {
    let mut spec = job();
    spec.tasks.volume_bytes = Some(100 << 20);
    spec
}

fn world(partitions: i32) -> World {
    let mut world = World::new();
    world.agents.values_mut().for_each(|agent| agent.disk = DISK_MIB);
    world.subscribe();
    world.deploy(kept());
    world.topology(partitions);
    world
}

/// One task with a volume on agent-2, whose leader is on agent-1.
fn away() -> World {
    let mut world = world(1);
    world.pass(6_000);
    offer(&mut world, "agent-2");
    world.run_all();
    world.report_all();
    world.deliver();
    world
}

fn offer(world: &mut World, agent: &str) -> Effects {
    let offer = world.offer(agent);
    world.input(Input::Offers(vec![offer]))
}

/// The one task fails and its back-off passes.
fn fail(world: &mut World) {
    let task = world.task_of(0).expect("a task");
    world.update(&task, TaskState::TaskFailed, None);
    world.pass(1_250);
}

/// Operations in order, as Mesos names them.
fn operations(effects: &Effects) -> Vec<(String, Operation)> {
    let accepts = effects.calls.iter().filter_map(|call| match call {
        Call::Accept { accept } => Some(&accept.operations),
        _ => None,
    });
    let named = |operation: &Operation| {
        let json = serde_json::to_value(operation).expect("JSON");
        (json["type"].as_str().expect("a type").to_owned(), operation.clone())
    };
    accepts.flatten().map(named).collect()
}

fn names(effects: &Effects) -> Vec<String> {
    operations(effects).into_iter().map(|(name, _)| name).collect()
}

fn volumes(world: &World) -> Vec<(String, VolumeRecord)> {
    world.state.store.volumes().iter().map(|(id, record)| (id.clone(), record.clone())).collect()
}

/// Whether as many volumes of this size exist, and no disk is reserved for anything else.
fn only_volumes(world: &World, count: usize, mib: f64) {
    let held = world.tasks.values().flat_map(|task| &task.volumes);
    let all: Vec<_> = world.agents.values().flat_map(|agent| &agent.reserved).chain(held).collect();
    assert!(all.iter().all(|volume| volume.rest.contains_key("disk")), "{all:?}");
    assert_eq!(all.iter().map(|volume| volume.scalar.expect("disk").value).collect::<Vec<_>>(), vec![mib; count]);
    let free: f64 = world.agents.values().map(|agent| agent.disk).sum();
    assert_eq!(free, 3.0 * DISK_MIB - count as f64 * mib, "nothing leaks");
}

#[test]
fn a_volume_is_made_in_the_accept_that_launches_its_first_task() {
    let mut world = World::new();
    world.state = State::new(Settings {
        framework: FrameworkSettings { principal: Some("p".into()), ..settings().framework },
        ..settings()
    });
    world.agents.values_mut().for_each(|agent| agent.disk = DISK_MIB);
    world.subscribe();
    world.deploy(kept());
    world.topology(1);
    let effects = offer(&mut world, "agent-1");
    assert_eq!(names(&effects), ["RESERVE", "CREATE", "LAUNCH"]);
    let made: Vec<Value> =
        operations(&effects).iter().map(|(_, operation)| serde_json::to_value(operation).expect("JSON")).collect();
    let id = &volumes(&world)[0].0;
    assert_eq!(*id, format!("flights.0.v2.{FRAMEWORK}"));
    let labels = json!({ "labels": [
        { "key": "millstream.framework", "value": FRAMEWORK },
        { "key": "millstream.volume", "value": id },
    ]});
    let mut disk = json!({
        "name": "disk", "type": "SCALAR", "scalar": { "value": 100.0 }, "allocation_info": { "role": "stream" },
        "reservations": [{ "type": "DYNAMIC", "role": "stream", "principal": "p", "labels": labels }],
    });
    assert_eq!(made[0]["reserve"]["resources"], json!([disk]));
    disk["disk"] = json!({
        "persistence": { "id": id, "principal": "p" },
        "volume": { "container_path": "volume-0", "mode": "RW" },
    });
    assert_eq!(made[1]["create"]["volumes"], json!([disk]));
    assert!(made[2]["launch"]["task_infos"][0]["resources"].as_array().expect("resources").contains(&disk));
    assert_eq!(made[2].get("id"), None, "the outcome of a launch is its tasks' updates");
    assert!(!volumes(&world)[0].1.is_made());
    world.deliver();
    assert!(volumes(&world)[0].1.is_made() && world.outcomes.is_empty(), "taken in and acknowledged");
}

#[test]
fn the_next_task_goes_back_to_the_volume_also_after_a_restart() {
    let mut world = away();
    world.restart();
    let effects = world.subscribe();
    let asked = effects.calls.iter().any(|call| matches!(call, Call::ReconcileOperations { .. }));
    assert!(!asked, "all outcomes are known");
    world.topology(1);
    world.deliver();
    fail(&mut world);
    let effects = world.offer_all();
    assert_eq!(names(&effects), ["LAUNCH"]);
    let task = World::launches(&effects).remove(0);
    assert_eq!(task.agent_id.value, "agent-2", "though its leader is on agent-1");
    assert!(id_of(&task).is_some_and(|id| id == volumes(&world)[0].0));
    only_volumes(&world, 1, 100.0);
}

fn id_of(task: &TaskInfo) -> Option<String> {
    task.resources.iter().find_map(crate::volumes::id_of)
}

#[test]
fn why_says_where_the_volume_is_while_its_task_runs_and_while_it_waits() {
    let mut world = world(1);
    let volume = |world: &World| views::why(&world.state, JOB).expect("the job").slots.remove(0).volume;
    assert_eq!(volume(&world), None);
    world.pass(6_000);
    offer(&mut world, "agent-2");
    let being_made = volume(&world).expect("a volume");
    assert_eq!((being_made.agent.as_str(), being_made.size_bytes, being_made.made), ("agent-2", 100 << 20, false));
    world.run_all();
    world.report_all();
    world.deliver();
    fail(&mut world);
    let waited_for = volume(&world).expect("a volume");
    assert_eq!(waited_for, views::VolumeView { made: true, ..being_made });
    assert_eq!(waited_for.host, world.offer("agent-2").hostname);
}

#[test]
fn a_slot_whose_volume_is_not_offered_in_time_gets_a_new_one_and_the_old_one_is_destroyed() {
    let mut world = away();
    fail(&mut world);
    assert_eq!(names(&offer(&mut world, "agent-1")), Vec::<String>::new(), "it may still come");
    world.pass(5_000);
    assert_eq!(names(&offer(&mut world, "agent-1")), ["RESERVE", "CREATE", "LAUNCH"]);
    world.run_all();
    world.report_all();
    world.deliver();
    assert_eq!(volumes(&world).iter().filter(|(_, record)| record.given_up_ms.is_some()).count(), 1);
    assert!(world.state.subscribe().suppressed_roles.is_empty(), "its offer must be able to come");
    assert_eq!(names(&offer(&mut world, "agent-2")), ["DESTROY", "UNRESERVE"]);
    world.deliver();
    assert_eq!(volumes(&world).len(), 1);
    only_volumes(&world, 1, 100.0);
    assert_eq!(world.state.subscribe().suppressed_roles, ["stream"]);
}

#[test]
fn an_agent_that_was_just_lost_is_not_waited_for() {
    let mut world = away();
    world.input(Input::Failure { agent_id: Some("agent-2".into()), executor_id: None, status: None });
    assert_eq!(names(&offer(&mut world, "agent-1")), ["RESERVE", "CREATE", "LAUNCH"]);
}

#[test]
fn volumes_of_a_deleted_job_are_destroyed_and_then_nothing_is_wanted() {
    let mut world = world(3);
    world.live(3);
    only_volumes(&world, 3, 100.0);
    world.input(Input::Stop { job: JOB.into() });
    world.live(10);
    only_volumes(&world, 3, 100.0);
    assert_eq!(volumes(&world).len(), 3, "a stopped job may come back to them");
    world.count(|_| true);
    assert!(!world.state.subscribe().framework_info.offer_filters.is_empty(), "as it was last wanted");
    world.input(Input::Delete { job: JOB.into() });
    assert!(world.state.subscribe().framework_info.offer_filters.is_empty(), "little may be free beside a volume");
    world.pass(6_000);
    assert_eq!(world.count(|call| matches!(call, Call::Revive { .. })), 1);
    // The scheduler dies with the volumes given up; so much is on record.
    world.restart();
    assert!(world.state.subscribe().suppressed_roles.is_empty());
    world.subscribe();
    world.live(1);
    assert_eq!(volumes(&world), []);
    only_volumes(&world, 0, 0.0);
    world.pass(1_000);
    assert!(world.state.manners.is_suppressed());
}

#[test]
fn another_size_makes_another_volume() {
    let mut world = world(1);
    world.live(3);
    let mut spec = kept();
    spec.tasks.volume_bytes = Some(200 << 20);
    world.deploy(spec);
    world.live(20);
    only_volumes(&world, 1, 200.0);
    world.deploy(job());
    world.live(20);
    only_volumes(&world, 0, 0.0);
    assert_eq!((volumes(&world).len(), world.tasks.len()), (0, 1));
}

#[test]
fn an_intent_whose_accept_was_not_sent_leaves_nothing_behind() {
    let mut world = world(1);
    let offered = world.offer("agent-1");
    world.input_dying_before_calls(Input::Offers(vec![offered]));
    let intent = volumes(&world).remove(0).0;
    world.restart();
    let effects = world.subscribe();
    let asked = effects.calls.iter().find_map(|call| match call {
        Call::ReconcileOperations { reconcile_operations } => Some(reconcile_operations.operations.clone()),
        _ => None,
    });
    let asked = asked.expect("a question");
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|operation| operation.agent_id == Some(AgentId::new("agent-1"))));
    world.topology(1);
    world.deliver();
    assert_eq!(volumes(&world), [], "the master knows of nothing");
    world.live(10);
    only_volumes(&world, 1, 100.0);
    assert_ne!(volumes(&world)[0].0, intent, "no id is used twice");
}

#[test]
fn operations_are_asked_for_until_there_is_an_answer() {
    let mut world = world(1);
    let offered = world.offer("agent-1");
    world.input_dying_before_calls(Input::Offers(vec![offered]));
    world.subscribe();
    world.queue.clear();
    world.pass_silently(20_000);
    let asked = world.count(|call| matches!(call, Call::ReconcileOperations { .. }));
    assert_eq!(asked, 5, "at 0, 1, 3, 7 and 15 s");
    world.deliver();
    world.pass_silently(60_000);
    assert_eq!(world.count(|call| matches!(call, Call::ReconcileOperations { .. })), 0);
}

#[test]
fn a_volume_whose_accept_arrived_after_it_was_given_up_for_lost_is_destroyed() {
    let mut world = world(1);
    let offered = world.offer("agent-1");
    let late = world.input_dying_before_calls(Input::Offers(vec![offered]));
    world.restart();
    world.subscribe();
    world.topology(1);
    world.deliver();
    late.calls.iter().for_each(|call| world.obey(call));
    world.live(20);
    world.pass(120_000);
    world.live(10);
    assert_eq!(world.tasks.len(), 1);
    only_volumes(&world, 1, 100.0);
}

#[test]
fn wherever_the_scheduler_dies_one_task_keeps_one_volume() {
    for point in 0..24 {
        let mut world = world(1);
        world.dies_after = Some(point);
        for _ in 0..4 {
            world.live(1);
        }
        if let Some(task) = world.task_of(0) {
            world.update(&task, TaskState::TaskFailed, None);
        }
        world.live(6);
        world.dies_after = None;
        world.restart();
        world.subscribe();
        world.topology(1);
        world.live(30);
        assert_eq!((world.tasks.len(), volumes(&world).len()), (1, 1), "point {point}");
        only_volumes(&world, 1, 100.0);
    }
}

#[test]
fn what_is_refused_is_forgotten_and_tried_again() {
    let mut world = world(1);
    world.refuses_operations = true;
    offer(&mut world, "agent-1");
    world.deliver();
    assert_eq!((volumes(&world).len(), world.tasks.len()), (0, 0));
    let failed = world.audit.iter().filter(|audit| matches!(audit, Audit::OperationFailed { .. })).count();
    assert_eq!(failed, 2);
    world.refuses_operations = false;
    world.live(10);
    only_volumes(&world, 1, 100.0);
}

#[test]
fn a_reservation_without_its_volume_is_given_back() {
    let mut world = world(1);
    let offered = world.offer("agent-1");
    let effects = world.input_dying_before_calls(Input::Offers(vec![offered]));
    // CREATE is dropped on its way to the agent.
    let mut accept = effects.calls.into_iter().find(|call| matches!(call, Call::Accept { .. })).expect("an ACCEPT");
    if let Call::Accept { accept } = &mut accept {
        accept.operations.remove(1);
    }
    world.obey(&accept);
    let create = volumes(&world)[0].1.operations[1].id.clone();
    let status = OperationStatus {
        operation_id: Some(OperationId::new(create)),
        state: OperationState::OperationDropped,
        message: None,
        uuid: Some(Uuid { value: Base64(vec![7]) }),
        agent_id: None,
    };
    let effects = world.input(Input::OperationStatus(status));
    assert!(matches!(&effects.calls[..], [Call::AcknowledgeOperationStatus { .. }, ..]));
    world.live(20);
    assert_eq!(world.tasks.len(), 1);
    only_volumes(&world, 1, 100.0);
}

#[test]
fn operations_nobody_knows_are_acknowledged_exactly_when_they_have_a_uuid() {
    let mut world = world(1);
    let status = |uuid: Option<Uuid>| {
        Input::OperationStatus(OperationStatus {
            operation_id: Some(OperationId::new("another's")),
            state: OperationState::OperationFinished,
            message: None,
            uuid,
            agent_id: Some(AgentId::new("agent-1")),
        })
    };
    let acknowledged =
        |effects: &Effects| effects.calls.iter().any(|call| matches!(call, Call::AcknowledgeOperationStatus { .. }));
    assert!(!acknowledged(&world.input(status(None))));
    assert!(acknowledged(&world.input(status(Some(Uuid { value: Base64(vec![7]) })))));
}

#[test]
fn volumes_that_are_not_found_are_looked_for_for_an_hour() {
    let mut world = away();
    fail(&mut world);
    world.pass(5_000);
    offer(&mut world, "agent-1");
    world.run_all();
    world.deliver();
    assert_eq!(volumes(&world).len(), 2);
    world.now.wall_ms += 3_600_000;
    world.pass(5_000);
    assert_eq!(volumes(&world).len(), 1);
    assert!(world.state.manners.is_suppressed());
    assert_eq!(names(&offer(&mut world, "agent-2")), ["DESTROY", "UNRESERVE"], "whenever it shows up");
}

#[test]
fn the_volume_of_another_framework_is_left_alone() {
    let mut world = world(1);
    world.live(3);
    let (volume, agent) =
        world.tasks.values().map(|task| (task.volumes[0].clone(), task.agent.clone())).next().expect("one");
    let text = serde_json::to_string(&volume).expect("JSON").replace(FRAMEWORK, "framework-9");
    let other: Resource = serde_json::from_str(&text).expect("a resource");
    world.agents.get_mut(&agent).expect("an agent").reserved.push(other.clone());
    world.live(10);
    assert_eq!(world.agents[&agent].reserved, [other]);
}

#[test]
fn nothing_can_be_reserved_for_everybodys_role() {
    let mut world = World::new();
    world.state = State::new(Settings::default());
    world.subscribe();
    let refused = world.deploy(kept());
    assert!(matches!(refused.reply, Some(Reply::Refused(_))) && refused.records.is_empty());
    assert_eq!(world.deploy(job()).reply, Some(Reply::Started { generation: 1 }));
}
