//! What must not differ between this cluster and a real Mesos: the same steps on both.

use std::time::Duration;

use millstream_mesos_types::{
    Base64, ExecutorId, Operation, OperationId, OperationKind, OperationState, Resource, Resources, TaskId, TaskState,
    Volumes,
    scheduler::{
        Call, Event, InverseOfferAnswer, Message, Reconcile, ReconcileOperation, ReconcileOperations, ReconcileTask,
        Shutdown,
    },
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use crate::support::*;

/// The sessions against a real Mesos: `REAL_MESOS=host:port`, an agent called 127.0.1.1.
#[tokio::test]
#[ignore = "needs a real Mesos"]
async fn the_same_on_real_mesos() {
    let master = std::env::var("REAL_MESOS").expect("REAL_MESOS=host:port");
    scenario(&master).await;
}

#[tokio::test]
async fn the_same_on_this_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let local = start(1, dir.path()).await;
    scenario(&local.master).await;
    local.stop().await;
}

/// What must not differ between this cluster and real Mesos.
async fn scenario(master: &str) {
    let mut me = Scheduler::connect(master, None).await;
    let offer = me.run(0, "t", "run").await;
    let slaves = get(&format!("http://{master}/slaves")).await;
    let slave = slaves["slaves"].as_array().unwrap().iter().find(|slave| slave["hostname"] == "127.0.1.1").unwrap();
    let agent = slave["pid"].as_str().unwrap().rsplit_once('@').unwrap().1;
    let containers = get(&format!("http://{agent}/containers")).await;
    let container = containers.as_array().unwrap().iter().find(|c| c["framework_id"] == me.id.value.as_str()).unwrap();
    let first_pid = container["status"]["executor_pid"].as_i64().unwrap();
    assert!(lives(first_pid));

    // Lost offers, unknown tasks, wrong tasks.
    me.launch(&offer, vec![task(&offer, "late", "run")]).await;
    let late = me.update("late").await;
    assert_eq!((late.state, late.reason.as_deref()), (TaskState::TaskDropped, Some("REASON_INVALID_OFFERS")));
    let again = me.offer(0).await;
    assert_eq!(again.executor_ids, [ExecutorId::new("e")]);
    let mut big = task(&again, "big", "run");
    big.resources = vec![Resource::scalar("cpus", 1e6, None)];
    let mut renamed = task(&again, "renamed", "run");
    renamed.executor.as_mut().unwrap().name = Some("another".into());
    me.launch(&again, vec![big, renamed, task(&again, "t2", "finish")]).await;
    for id in ["big", "renamed"] {
        let error = me.update(id).await;
        assert_eq!((error.state, error.reason.as_deref()), (TaskState::TaskError, Some("REASON_TASK_INVALID")));
    }
    assert_eq!(me.update("t2").await.state, TaskState::TaskRunning);
    assert_eq!(me.update("t2").await.state, TaskState::TaskFinished);
    let ask = |task: &str| ReconcileTask { task_id: TaskId::new(task), agent_id: Some(offer.agent_id.clone()) };
    me.caller.send(Call::Reconcile { reconcile: Reconcile { tasks: vec![ask("never")] } }).await.unwrap();
    let never = me.update("never").await;
    assert_eq!((never.state, never.reason.as_deref()), (TaskState::TaskGone, Some("REASON_RECONCILIATION")));

    // Fail over.
    let id = me.id.clone();
    drop(me);
    let mut me = Scheduler::connect(master, Some(id)).await;
    me.caller.send(Call::Reconcile { reconcile: Reconcile::default() }).await.unwrap();
    assert_eq!(me.update("t").await.state, TaskState::TaskRunning);
    assert!(lives(first_pid));
    let message =
        Message { agent_id: offer.agent_id.clone(), executor_id: ExecutorId::new("e"), data: Base64(b"hi".to_vec()) };
    me.caller.send(Call::Message { message }).await.unwrap();
    let echo = me.wait("message", |event| match event {
        Event::Message { message } => Some(message.data.clone()),
        _ => None,
    });
    assert_eq!(echo.await.0, b"hi");

    // The executor dies.
    kill(Pid::from_raw(first_pid as i32), Signal::SIGKILL).unwrap();
    let failed = me.update("t").await;
    assert_eq!((failed.state, failed.reason.as_deref()), (TaskState::TaskFailed, Some("REASON_EXECUTOR_TERMINATED")));
    let failure = me.wait("failure", |event| match event {
        Event::Failure { failure } => failure.status,
        _ => None,
    });
    assert_eq!(failure.await, 9);

    // KILL, then SHUTDOWN of a new one.
    me.run(0, "t3", "run").await;
    me.kill("t3", None).await;
    assert_eq!(me.update("t3").await.state, TaskState::TaskKilled);
    me.run(0, "t4", "run").await;
    let shutdown = Shutdown { executor_id: ExecutorId::new("e"), agent_id: offer.agent_id.clone() };
    me.caller.send(Call::Shutdown { shutdown }).await.unwrap();
    assert_eq!(me.update("t4").await.state, TaskState::TaskKilled);
    let failure = me.wait("failure", |event| match event {
        Event::Failure { failure } => failure.status,
        _ => None,
    });
    assert_eq!(failure.await, 0);
    me.caller.send(Call::Teardown).await.unwrap();
}

/// As `the_same_on_real_mesos`; it ends with the agent marked gone.
#[tokio::test]
#[ignore = "needs a real Mesos"]
async fn operations_and_operators_on_real_mesos() {
    let master = std::env::var("REAL_MESOS").expect("REAL_MESOS=host:port");
    scenario_of_operators(&master).await;
}

#[tokio::test]
async fn operations_and_operators_on_this_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let local = start(1, dir.path()).await;
    scenario_of_operators(&local.master).await;
    local.stop().await;
}

/// What must not differ between this cluster and real Mesos.
async fn scenario_of_operators(master: &str) {
    let url = |path: &str| format!("http://{master}{path}");
    let mut me = Scheduler::connect(master, None).await;
    reserve_and_give_back(&mut me).await;

    // A maintenance is planned.
    let offer = me.run(0, "t", "run").await;
    let schedule = json!({ "windows": [{
        "machine_ids": [{ "hostname": "127.0.1.1", "ip": "127.0.1.1" }],
        "unavailability": { "start": { "nanoseconds": 4_000_000_000_000_000_000_i64 } },
    }] });
    assert_eq!(post(&url("/maintenance/schedule"), schedule).await.0, 200);
    let inverse = me.wait("inverse offer", |event| match event {
        Event::InverseOffers { inverse_offers } => inverse_offers.inverse_offers.first().cloned(),
        _ => None,
    });
    let inverse = inverse.await;
    assert_eq!(inverse.agent_id, Some(offer.agent_id.clone()));
    let answer = InverseOfferAnswer { inverse_offer_ids: vec![inverse.id], filters: None };
    me.caller.send(Call::DeclineInverseOffers { decline_inverse_offers: answer }).await.unwrap();
    let pick = |event: &Event| match event {
        Event::InverseOffers { inverse_offers } => inverse_offers.inverse_offers.first().cloned(),
        _ => None,
    };
    let again = me.wait("inverse offer after the filter", pick).await;
    let status = get(&url("/maintenance/status")).await;
    assert_eq!(status["draining_machines"][0]["statuses"][0]["status"], "DECLINE");
    assert_eq!(status["draining_machines"][0]["statuses"][0]["framework_id"]["value"], me.id.value.as_str());
    let agent_id = offer.agent_id.clone();
    let call = |kind: &str, key: &str| json!({ "type": kind, key: { "agent_id": agent_id } });
    assert_eq!(post(&url("/api/v1"), call("DRAIN_AGENT", "drain_agent")).await.0, 400);
    assert_eq!(post(&url("/maintenance/schedule"), json!({ "windows": [] })).await.0, 200);
    let rescinded = me.wait("rescinded", |event| match event {
        Event::RescindInverseOffer { rescind_inverse_offer } => Some(rescind_inverse_offer.inverse_offer_id.clone()),
        _ => None,
    });
    assert_eq!(rescinded.await, again.id);

    // Drained and reactivated.
    assert_eq!(post(&url("/api/v1"), call("DRAIN_AGENT", "drain_agent")).await.0, 200);
    let killed = me.update("t").await;
    assert_eq!((killed.state, killed.reason.as_deref()), (TaskState::TaskKilled, Some("REASON_AGENT_DRAINING")));
    while post(&url("/api/v1"), call("REACTIVATE_AGENT", "reactivate_agent")).await.0 == 400 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The agent itself drains until its last executor has left.
    let mut early = me.offer(0).await;
    let dropped = loop {
        me.launch(&early, vec![task(&early, "early", "run")]).await;
        let update = me.update("early").await;
        if update.reason.as_deref() != Some("REASON_INVALID_OFFERS") {
            break update;
        }
        early = me.offer(0).await;
    };
    assert_eq!((dropped.state, dropped.reason.as_deref()), (TaskState::TaskDropped, Some("REASON_AGENT_DRAINING")));
    let shutdown = Shutdown { executor_id: ExecutorId::new("e"), agent_id: offer.agent_id.clone() };
    me.caller.send(Call::Shutdown { shutdown }).await.unwrap();
    me.wait("end of the executor", |event| matches!(event, Event::Failure { .. }).then_some(())).await;
    me.run(0, "t2", "run").await;
    assert_eq!(post(&url("/api/v1"), call("DEACTIVATE_AGENT", "deactivate_agent")).await.0, 200);
    let unknown = json!({ "type": "MARK_AGENT_GONE", "mark_agent_gone": { "agent_id": { "value": "x" } } });
    assert_eq!(post(&url("/api/v1"), unknown).await.0, 404);
    assert_eq!(post(&url("/api/v1"), call("MARK_AGENT_GONE", "mark_agent_gone")).await.0, 200);
    let gone = me.update("t2").await;
    let expected = (TaskState::TaskGoneByOperator, Some("REASON_AGENT_REMOVED_BY_OPERATOR"));
    assert_eq!((gone.state, gone.reason.as_deref()), expected);
    me.caller.send(Call::Teardown).await.unwrap();
}

async fn reserve_and_give_back(me: &mut Scheduler) {
    use OperationState::*;
    let marked = |name: &str, value: f64, role: &str, disk: serde_json::Value| {
        let mut resource = Resource::scalar(name, value, None);
        resource.rest.insert("reservations".into(), json!([{ "type": "DYNAMIC", "role": role }]));
        if !disk.is_null() {
            resource.rest.insert("disk".into(), disk);
        }
        resource
    };
    let cpus = |role| marked("cpus", 0.5, role, json!(null));
    let disk = || marked("disk", 64.0, "test", json!(null));
    let volume = || {
        let volume = json!({ "container_path": "data", "mode": "RW" });
        marked("disk", 64.0, "test", json!({ "persistence": { "id": "v" }, "volume": volume }))
    };
    let operation = |id: &str, kind| Operation { id: Some(OperationId::new(id)), kind };
    let reserve = |resources| OperationKind::Reserve { reserve: Resources { resources } };
    let create = |volumes| OperationKind::Create { create: Volumes { volumes } };
    let offer = me.offer(0).await;
    let mut of_nobody = task(&offer, "of-nobody", "run");
    of_nobody.resources = vec![cpus("nobody")];
    let mut no_such_volume = task(&offer, "no-such-volume", "run");
    let other = json!({ "persistence": { "id": "w" }, "volume": { "container_path": "w", "mode": "RW" } });
    no_such_volume.resources.push(marked("disk", 1.0, "test", other));
    let mut mixed = task(&offer, "mixed", "run");
    mixed.resources.push(Resource::scalar("cpus", 0.1, None));
    mixed.resources[2].rest.insert("revocable".into(), json!({}));
    let operations = vec![
        operation("reserve", reserve(vec![cpus("test"), disk()])),
        operation("create", create(vec![volume()])),
        operation("again", create(vec![volume()])),
        operation("other-role", reserve(vec![cpus("nobody")])),
        operation("too-much", reserve(vec![marked("cpus", 1e6, "test", json!(null))])),
        operation("unknown", OperationKind::Destroy { destroy: Volumes { volumes: vec![disk()] } }),
        Operation::launch(vec![of_nobody, no_such_volume, mixed]),
        Operation { id: Some(OperationId::new("l")), ..Operation::launch(vec![task(&offer, "with-id", "run")]) },
    ];
    me.accept(&offer, operations).await;
    for (id, state) in [
        ("reserve", OperationFinished),
        ("create", OperationFinished),
        ("again", OperationError),
        ("other-role", OperationError),
        ("too-much", OperationError),
        ("unknown", OperationError),
    ] {
        let status = me.outcome(id).await;
        assert_eq!((status.state, status.uuid.is_some()), (state, state == OperationFinished), "{status:?}");
        assert_eq!(status.agent_id.is_some(), state == OperationFinished, "{status:?}");
        me.acknowledge_operation(status).await;
    }
    for id in ["of-nobody", "no-such-volume", "mixed", "with-id"] {
        let error = me.update(id).await;
        let seen = (error.state, error.reason.as_deref());
        assert_eq!(seen, (TaskState::TaskError, Some("REASON_TASK_INVALID")), "{error:?}");
    }
    let ask = ReconcileOperation { operation_id: OperationId::new("never"), agent_id: Some(offer.agent_id.clone()) };
    let reconcile_operations = ReconcileOperations { operations: vec![ask] };
    me.caller.send(Call::ReconcileOperations { reconcile_operations }).await.unwrap();
    assert_eq!(me.outcome("never").await.state, OperationUnknown);

    let offer = me.offer(0).await;
    let reserved = |name: &str| offer.resources.iter().find(|one| one.name == name && one.is_reserved()).unwrap();
    assert_eq!(reserved("cpus").scalar.unwrap().value, 0.5);
    assert_eq!(reserved("disk").rest["disk"]["persistence"]["id"], "v");
    assert_eq!(reserved("disk").rest["reservations"][0]["role"], "test");
    let operations = vec![
        operation("too-early", OperationKind::Unreserve { unreserve: Resources { resources: vec![volume()] } }),
        operation("destroy", OperationKind::Destroy { destroy: Volumes { volumes: vec![reserved("disk").clone()] } }),
        operation(
            "unreserve",
            OperationKind::Unreserve { unreserve: Resources { resources: vec![cpus("test"), disk()] } },
        ),
    ];
    me.accept(&offer, operations).await;
    for (id, state) in [("too-early", OperationError), ("destroy", OperationFinished), ("unreserve", OperationFinished)]
    {
        let status = me.outcome(id).await;
        assert_eq!(status.state, state, "{status:?}");
        me.acknowledge_operation(status).await;
    }
}
