//! Reservations and volumes, and what is told of them.

use millstream_mesos_types::{
    OperationId, OperationKind, OperationState, OperationStatus, Resources, Volumes,
    scheduler::{AcknowledgeOperationStatus, ReconcileOperation, ReconcileOperations},
};
use serde_json::json;

use super::*;

fn reserved(name: &str, amount: f64) -> Resource {
    marked(Resource::scalar(name, amount, None), "reservations", json!([{ "type": "DYNAMIC", "role": "a" }]))
}

fn volume(mib: f64) -> Resource {
    let disk = json!({ "persistence": { "id": "v" }, "volume": { "container_path": "v", "mode": "RW" } });
    marked(reserved("disk", mib), "disk", disk)
}

fn named(id: &str, kind: OperationKind) -> Operation {
    Operation { id: Some(OperationId::new(id)), kind }
}

fn reserve(resources: Vec<Resource>) -> OperationKind {
    OperationKind::Reserve { reserve: Resources { resources } }
}

fn create(volumes: Vec<Resource>) -> OperationKind {
    OperationKind::Create { create: Volumes { volumes } }
}

fn outcomes(events: Vec<Event>) -> Vec<OperationStatus> {
    let statuses = events.into_iter().filter_map(|event| match event {
        Event::UpdateOperationStatus { update_operation_status } => Some(update_operation_status.status),
        _ => None,
    });
    statuses.collect()
}

fn acknowledge(status: &OperationStatus) -> Call {
    let acknowledge_operation_status = AcknowledgeOperationStatus {
        agent_id: status.agent_id.clone(),
        uuid: status.uuid.clone().unwrap().value,
        operation_id: status.operation_id.clone().unwrap(),
    };
    Call::AcknowledgeOperationStatus { acknowledge_operation_status }
}

#[test]
fn a_volume_is_made_used_kept_and_removed() {
    let mut world = World::of(&["cpus:4;mem:4096;disk:1000"]);
    let me = world.subscribe(framework("a"));
    let offer = world.offers(&me).remove(0);
    let mut task = task(&offer, "t", 1.0);
    task.resources.push(volume(100.0));
    let all = vec![
        named("r", reserve(vec![reserved("disk", 300.0)])),
        named("c", create(vec![volume(100.0)])),
        Operation::launch(vec![task]),
        named("d", OperationKind::Destroy { destroy: Volumes { volumes: vec![volume(100.0)] } }),
    ];
    world.accept(&me, &offer, all);
    assert_eq!(world.started().len(), 1);
    let told = outcomes(world.told(me.stream));
    let states: Vec<_> = told.iter().map(|status| status.state).collect();
    use OperationState::*;
    assert_eq!(states, [OperationFinished, OperationFinished, OperationError]);
    assert!(told[2].message.as_ref().unwrap().contains("in use") && told[2].uuid.is_none(), "{:?}", told[2]);

    let rest = world.offers(&me).remove(0);
    let kept: Vec<_> = rest.resources.iter().filter(|resource| resource.is_reserved()).collect();
    assert!(matches!(kept[..], [disk] if disk.scalar.unwrap().value == 200.0 && !disk.rest.contains_key("disk")));
    let container = world.cluster.containers.keys().next().unwrap().clone();
    world.cluster.container_ended(world.now, &container, Ok(0));
    world.call(&me, decline(&rest, 0.0)).unwrap();
    let again = world.offers(&me).remove(0);
    let back = again.resources.iter().find(|resource| resource.rest.contains_key("disk")).unwrap();
    assert_eq!(back.rest["disk"]["volume"]["container_path"], "v");
    assert_eq!(back.rest["reservations"][0]["role"], "a");

    let unreserve = OperationKind::Unreserve { unreserve: Resources { resources: vec![reserved("disk", 300.0)] } };
    let destroy = OperationKind::Destroy { destroy: Volumes { volumes: vec![back.clone()] } };
    world.accept(&me, &again, vec![named("d2", destroy), named("u", unreserve)]);
    let last = world.offers(&me).remove(0);
    assert!(last.resources.iter().all(|resource| !resource.is_reserved()));
    assert_eq!(millstream_mesos_types::scalar_sum(&last.resources, "disk"), 1000.0);
}

#[test]
fn outcomes_come_again_until_acknowledged_and_are_reconciled() {
    let mut world = World::of(&["cpus:4;mem:4096;disk:1000"]);
    let me = world.subscribe(framework("a"));
    let offer = world.offers(&me).remove(0);
    world.accept(&me, &offer, vec![named("r", reserve(vec![reserved("cpus", 1.0)]))]);
    let first = outcomes(world.told(me.stream)).remove(0);
    world.pass(Duration::from_secs(11));
    let again = outcomes(world.told(me.stream));
    assert_eq!(again, std::slice::from_ref(&first));
    let ask = |id: &str, agent_id: Option<AgentId>| ReconcileOperation { operation_id: OperationId::new(id), agent_id };
    let gone = AgentId::new("gone");
    world.cluster.departed.add(gone.clone(), super::super::model::Departure::Gone);
    let operations = vec![ask("r", None), ask("x", None), ask("y", Some(gone))];
    let reconcile_operations = ReconcileOperations { operations };
    world.call(&me, Call::ReconcileOperations { reconcile_operations }).unwrap();
    let answers = outcomes(world.told(me.stream));
    let states: Vec<_> = answers.iter().map(|status| status.state).collect();
    use OperationState::*;
    assert_eq!(states, [OperationFinished, OperationUnknown, OperationGoneByOperator]);
    assert!(answers.iter().all(|status| status.uuid.is_none()));

    world.call(&me, acknowledge(&first)).unwrap();
    world.pass(Duration::from_secs(700));
    assert!(outcomes(world.told(me.stream)).is_empty());
    let reconcile_operations = ReconcileOperations::default();
    world.call(&me, Call::ReconcileOperations { reconcile_operations }).unwrap();
    assert!(outcomes(world.told(me.stream)).is_empty(), "nothing is left to tell");
}

#[test]
fn what_cannot_be_done_is_an_error_and_changes_nothing() {
    let mut world = World::of(&["cpus:4;mem:4096;disk:1000;cpus{REV}:2"]);
    let me = world
        .subscribe(capable(FrameworkInfo { principal: Some("p".into()), ..framework("a") }, "REVOCABLE_RESOURCES"));
    let offer = world.offers(&me).remove(0);
    let info = |info: serde_json::Value| marked(Resource::scalar("cpus", 1.0, None), "reservations", json!([info]));
    let mine = || info(json!({ "type": "DYNAMIC", "role": "a", "principal": "p" }));
    let cases = [
        (reserve(vec![info(json!({ "type": "STATIC", "role": "a", "principal": "p" }))]), "not dynamically reserved"),
        (reserve(vec![Resource::scalar("cpus", 1.0, None)]), "not dynamically reserved"),
        (reserve(vec![info(json!({ "type": "DYNAMIC", "role": "b", "principal": "p" }))]), "allocated to role 'a'"),
        (reserve(vec![info(json!({ "type": "DYNAMIC", "role": "a" }))]), "no principal"),
        (reserve(vec![info(json!({ "type": "DYNAMIC", "role": "a", "principal": "q" }))]), "does not match"),
        (reserve(vec![marked(mine(), "revocable", json!({}))]), "cannot be created from revocable"),
        (
            reserve(vec![Resource { scalar: Some(millstream_mesos_types::Scalar { value: 9.0 }), ..mine() }]),
            "does not contain",
        ),
        (create(vec![reserved("disk", 1.0)]), "does not have DiskInfo"),
        (create(vec![volume(1.0)]), "no principal"),
        (OperationKind::Unreserve { unreserve: Resources { resources: vec![mine()] } }, "does not contain"),
        (OperationKind::Destroy { destroy: Volumes { volumes: vec![volume(1.0)] } }, "not found"),
    ];
    let operations = cases.iter().map(|(kind, _)| named("o", kind.clone())).collect();
    world.accept(&me, &offer, operations);
    let told = outcomes(world.told(me.stream));
    assert_eq!(told.len(), cases.len());
    for (status, (_, expected)) in told.iter().zip(&cases) {
        let message = status.message.as_ref().unwrap();
        assert!(status.state == OperationState::OperationError && message.contains(expected), "{message}: {expected}");
    }
    let again = world.offers(&me).remove(0);
    assert_eq!(again.resources, offer.resources);
    world.accept(&me, &offer, vec![named("late", reserve(vec![mine()]))]);
    let late = outcomes(world.told(me.stream)).remove(0);
    assert!(late.state == OperationState::OperationError && late.message.unwrap().contains("no longer valid"));
    let launch = Operation { id: Some(OperationId::new("l")), ..Operation::launch(vec![task(&again, "t", 1.0)]) };
    world.accept(&me, &again, vec![launch]);
    assert_eq!(states(&world.updates(&me)), [(TaskState::TaskError, "REASON_TASK_INVALID")]);
}

#[test]
fn an_operator_reserves_what_is_free_or_offered_but_not_what_is_used() {
    let mut world = World::new(1);
    let (me, other) = (world.subscribe(framework("a")), world.subscribe(framework("b")));
    world.call(&other, Call::Suppress { suppress: Roles::default() }).unwrap();
    world.running(&me);
    world.pass(Duration::from_secs(6));
    world.told(me.stream);
    let agent_id = json!({ "value": world.agent_id(0).value });
    let call = |kind: &str, key: &str, cpus: f64| {
        let resources =
            [marked(Resource::scalar("cpus", cpus, None), "reservations", json!([{ "type": "DYNAMIC", "role": "b" }]))];
        serde_json::from_value(json!({ "type": kind, key: { "agent_id": agent_id, "resources": resources } })).unwrap()
    };
    let reserve = |cpus| call("RESERVE_RESOURCES", "reserve_resources", cpus);
    assert_eq!(world.cluster.operate(world.now, reserve(1.5)), Ok(Answer::Accepted));
    assert!(matches!(&world.told(me.stream)[..], [Event::Rescind { .. }]));
    assert_eq!(world.cluster.operate(world.now, reserve(1.5)).unwrap_err().status, 409, "the rest is used");
    world.call(&other, Call::Revive { revive: Roles::default() }).unwrap();
    let offer = world.offers(&other).remove(0);
    assert!(offer.resources.iter().any(Resource::is_reserved));
    let unreserve = call("UNRESERVE_RESOURCES", "unreserve_resources", 1.5);
    assert_eq!(world.cluster.operate(world.now, unreserve), Ok(Answer::Accepted));
    let view = &world.cluster.slaves_view()["slaves"][0];
    assert_eq!(view["unreserved_resources"]["cpus"], 4.0);
}
