//! The cluster over real HTTP with real executor processes, driven by Millstream's own sessions.

mod scenarios;
mod support;

use std::time::Duration;

use millstream_mesos::scheduler::SessionEvent;
use millstream_mesos_types::{
    Base64, ExecutorId, Resource, TaskId, TaskState,
    scheduler::{Call, Event, InverseOfferAnswer, Message, Reconcile, ReconcileTask},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use support::*;

/// What the cluster starts (see `support::executor_info`).
#[tokio::test]
#[ignore = "run by the cluster as its executor"]
async fn acts_as_executor() {
    act_as_executor().await;
}

/// A whole process for `nothing_is_left_when_the_process_is_killed`.
#[tokio::test]
#[ignore = "run by another test"]
async fn acts_as_local() {
    let dir = std::env::var("LOCAL_DIR").expect("said by the test");
    let local = start(1, dir.as_ref()).await;
    let mut me = Scheduler::connect(&local.master, None).await;
    me.run(0, "t", "child").await;
    let state = get(&format!("{}/state", local.master_url)).await;
    let pid = state["frameworks"][0]["executors"][0]["pid"].to_string();
    std::fs::write(format!("{dir}/executor.pid"), pid).unwrap();
    std::future::pending::<()>().await;
}

async fn executor_pid(local: &millstream_local::Local) -> i64 {
    let state = get(&format!("{}/state", local.master_url)).await;
    state["frameworks"][0]["executors"][0]["pid"].as_i64().unwrap()
}

#[tokio::test]
async fn a_task_runs_speaks_and_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let local = start(3, dir.path()).await;
    let mut me = Scheduler::connect(&local.master, None).await;
    let offer = me.run(1, "t", "run").await;
    assert_eq!(offer.attributes[0].text.as_ref().unwrap().value, "r2");
    assert_eq!(offer.url.as_ref().unwrap().address.hostname.as_deref(), Some("127.0.1.2"));

    let state = get(&format!("{}/master/state", local.master_url)).await;
    let framework = &state["frameworks"][0];
    assert_eq!(framework["id"], me.id.value.as_str());
    assert_eq!(framework["tasks"][0]["state"], "TASK_RUNNING");
    let pid = framework["executors"][0]["pid"].as_i64().unwrap();
    assert!(lives(pid));
    let slaves = get(&format!("{}/slaves", local.master_url)).await;
    let slave = slaves["slaves"].as_array().unwrap().iter().find(|slave| slave["hostname"] == "127.0.1.2").unwrap();
    assert_eq!(slave["attributes"]["rack"], "r2");
    assert_eq!(slave["used_resources"]["mem"], 64.0);
    assert_eq!(slave["pid"], format!("slave(1)@{}", local.agents[1]));
    let containers = get(&format!("http://{}/slave(1)/containers", local.agents[1])).await;
    assert_eq!(containers[0]["status"]["executor_pid"].as_i64(), Some(pid));

    let message = Message {
        agent_id: offer.agent_id.clone(),
        executor_id: ExecutorId::new("e"),
        data: Base64(b"hello".to_vec()),
    };
    me.caller.send(Call::Message { message }).await.unwrap();
    let echo = me.wait("message", |event| match event {
        Event::Message { message } => Some(message.clone()),
        _ => None,
    });
    assert_eq!(echo.await.data.0, b"hello");

    me.kill("t", None).await;
    assert_eq!(me.update("t").await.state, TaskState::TaskKilled);
    local.stop().await;
    assert!(!lives(pid));
}

#[tokio::test]
async fn tasks_share_an_executor_and_a_bad_one_does_not_spoil_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let local = start(1, dir.path()).await;
    let mut me = Scheduler::connect(&local.master, None).await;
    let offer = me.offer(0).await;
    let mut bad = task(&offer, "bad", "run");
    bad.resources = vec![Resource::scalar("cpus", 1e6, None)];
    me.launch(&offer, vec![task(&offer, "a", "finish"), bad, task(&offer, "b", "run")]).await;
    assert_eq!(me.update("bad").await.state, TaskState::TaskError);
    assert_eq!(me.update("a").await.state, TaskState::TaskRunning);
    assert_eq!(me.update("a").await.state, TaskState::TaskFinished);
    assert_eq!(me.update("b").await.state, TaskState::TaskRunning);
    me.launch(&offer, vec![task(&offer, "late", "run")]).await;
    let late = me.update("late").await;
    assert_eq!((late.state, late.reason.as_deref()), (TaskState::TaskDropped, Some("REASON_INVALID_OFFERS")));
    local.stop().await;
}

#[tokio::test]
async fn the_death_of_an_executor_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let local = start(1, dir.path()).await;
    let mut me = Scheduler::connect(&local.master, None).await;
    me.run(0, "t", "child").await;
    let child: i64 = std::fs::read_to_string(find(dir.path(), "child.pid").unwrap()).unwrap().parse().unwrap();
    let pid = executor_pid(&local).await;
    kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
    let failed = me.update("t").await;
    assert_eq!((failed.state, failed.reason.as_deref()), (TaskState::TaskFailed, Some("REASON_EXECUTOR_TERMINATED")));
    let failure = me.wait("failure", |event| match event {
        Event::Failure { failure } => Some(failure.clone()),
        _ => None,
    });
    assert_eq!(failure.await.status, Some(9));
    assert!(gone(child).await, "its children end with it");
    me.run(0, "t2", "run").await;
    local.stop().await;
}

#[tokio::test]
async fn a_program_that_is_not_there_fails_its_task_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let local = start(1, dir.path()).await;
    let mut me = Scheduler::connect(&local.master, None).await;
    let offer = me.offer(0).await;
    let mut task = task(&offer, "t", "run");
    let command = task.executor.as_mut().and_then(|executor| executor.command.as_mut()).unwrap();
    command.value = Some("./no-such-program".into());
    me.launch(&offer, vec![task]).await;
    let failed = me.update("t").await;
    assert_eq!(
        (failed.state, failed.reason.as_deref()),
        (TaskState::TaskFailed, Some("REASON_CONTAINER_LAUNCH_FAILED"))
    );
    assert!(failed.message.unwrap().contains("no-such-program"));
    local.stop().await;
}

#[tokio::test]
async fn files_are_fetched_and_shell_lines_run() {
    let dir = tempfile::tempdir().unwrap();
    let local = start(1, dir.path()).await;
    let script = dir.path().join("script.sh");
    std::fs::write(&script, "#!/bin/sh\necho fetched $MESOS_EXECUTOR_ID; exit 3\n").unwrap();
    let mut me = Scheduler::connect(&local.master, None).await;
    let offer = me.offer(0).await;
    let mut task = task(&offer, "t", "run");
    let command = task.executor.as_mut().and_then(|executor| executor.command.as_mut()).unwrap();
    (command.value, command.shell) = (Some("./script.sh; exit 4".into()), None);
    command.uris = vec![millstream_mesos_types::Uri {
        value: format!("file://{}", script.display()),
        executable: true,
        ..Default::default()
    }];
    me.launch(&offer, vec![task]).await;
    let failed = me.update("t").await;
    assert!(failed.message.unwrap().contains("status 4"));
    let stdout = find(&dir.path().join("agent1"), "stdout").unwrap();
    assert_eq!(std::fs::read_to_string(stdout).unwrap(), "fetched e\n");
    local.stop().await;
}

#[tokio::test]
async fn what_cannot_be_fetched_fails_its_task_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let local = start(1, dir.path()).await;
    let mut me = Scheduler::connect(&local.master, None).await;
    let offer = me.offer(0).await;
    let mut task = task(&offer, "t", "run");
    let value = "http://127.0.0.1:1/executor/abc".to_owned();
    let command = task.executor.as_mut().and_then(|executor| executor.command.as_mut()).unwrap();
    command.uris = vec![millstream_mesos_types::Uri { value: value.clone(), ..Default::default() }];
    me.launch(&offer, vec![task]).await;
    let failed = me.update("t").await;
    assert_eq!(failed.reason.as_deref(), Some("REASON_CONTAINER_LAUNCH_FAILED"));
    assert!(failed.message.unwrap().contains(&value));
    local.stop().await;
}

#[tokio::test]
async fn an_executor_that_never_subscribes_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let local =
        start_with(1, dir.path(), |options| options.settings.registration_timeout = Duration::from_millis(200)).await;
    let mut me = Scheduler::connect(&local.master, None).await;
    let offer = me.offer(0).await;
    let mut task = task(&offer, "t", "run");
    let command = task.executor.as_mut().and_then(|executor| executor.command.as_mut()).unwrap();
    (command.value, command.shell) = (Some("sleep 1000".into()), Some(true));
    me.launch(&offer, vec![task]).await;
    let failed = me.update("t").await;
    assert_eq!(failed.reason.as_deref(), Some("REASON_EXECUTOR_REGISTRATION_TIMEOUT"));
    local.stop().await;
}

#[tokio::test]
async fn a_task_that_outlives_its_grace_is_ended_by_force() {
    let dir = tempfile::tempdir().unwrap();
    let local = start(1, dir.path()).await;
    let mut me = Scheduler::connect(&local.master, None).await;
    me.run(0, "t", "hang").await;
    let pid = executor_pid(&local).await;
    me.kill("t", Some(Duration::from_millis(200))).await;
    assert_eq!(me.update("t").await.state, TaskState::TaskKilled);
    assert!(!lives(pid));
    local.stop().await;
}

#[tokio::test]
async fn updates_come_again_until_acknowledged_and_tasks_are_reconciled() {
    let dir = tempfile::tempdir().unwrap();
    let local =
        start_with(1, dir.path(), |options| options.settings.update_retry_min = Duration::from_millis(50)).await;
    let mut me = Scheduler::connect(&local.master, None).await;
    let offer = me.offer(0).await;
    me.launch(&offer, vec![task(&offer, "t", "run")]).await;
    let first = me.unacknowledged_update("t").await;
    assert_eq!(me.unacknowledged_update("t").await, first);
    me.acknowledge(&first).await;

    let ask = |task: &str| ReconcileTask { task_id: TaskId::new(task), agent_id: None };
    let reconcile = Reconcile { tasks: vec![ask("t"), ask("never")] };
    me.caller.send(Call::Reconcile { reconcile }).await.unwrap();
    assert_eq!(me.update("never").await.state, TaskState::TaskUnknown);
    let answer = me.wait("answer", |event| match event {
        Event::Update { update } if update.status.uuid.is_none() => Some(update.status.clone()),
        _ => None,
    });
    let answer = answer.await;
    assert_eq!((answer.state, answer.reason.as_deref()), (TaskState::TaskRunning, Some("REASON_RECONCILIATION")));
    me.caller.send(Call::Reconcile { reconcile: Reconcile::default() }).await.unwrap();
    assert_eq!(me.update("t").await.state, TaskState::TaskRunning);
    local.stop().await;
}

#[tokio::test]
async fn a_scheduler_that_fails_over_finds_its_executors_alive() {
    let dir = tempfile::tempdir().unwrap();
    let local = start(1, dir.path()).await;
    let mut me = Scheduler::connect(&local.master, None).await;
    me.run(0, "t", "run").await;
    let (pid, id) = (executor_pid(&local).await, me.id.clone());
    drop(me);

    let mut again = Scheduler::connect(&local.master, Some(id.clone())).await;
    assert_eq!(again.id, id);
    assert_eq!(executor_pid(&local).await, pid);
    again.caller.send(Call::Reconcile { reconcile: Reconcile::default() }).await.unwrap();
    assert_eq!(again.update("t").await.state, TaskState::TaskRunning);

    // A third one with the same id takes over while the second is still there.
    let third = Scheduler::connect(&local.master, Some(id)).await;
    loop {
        match again.next().await {
            Some(SessionEvent::Disconnected { retry_in: None, reason }) => {
                assert!(reason.to_string().contains("failed over"), "{reason}");
                break;
            }
            Some(_) => {}
            None => panic!("ended without a reason"),
        }
    }
    assert!(again.caller.send(Call::Reconcile { reconcile: Reconcile::default() }).await.is_err());
    third.caller.send(Call::Teardown).await.unwrap();
    assert!(gone(pid).await, "a teardown ends its executors");
    local.stop().await;
}

#[tokio::test]
async fn a_lost_agent_takes_offers_and_executors_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let local = start(2, dir.path()).await;
    let mut me = Scheduler::connect(&local.master, None).await;
    me.run(0, "t", "run").await;
    let pid = executor_pid(&local).await;
    local.lose_agent(1);
    me.wait("rescind", |event| matches!(event, Event::Rescind { .. }).then_some(())).await;
    local.lose_agent(0);
    assert_eq!(me.update("t").await.state, TaskState::TaskUnreachable);
    assert!(gone(pid).await);
    local.restore_agent(0);
    me.run(0, "t2", "run").await;
    local.stop().await;
}

#[tokio::test]
async fn operators_plan_drain_and_look_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let local = start(1, dir.path()).await;
    let mut me = Scheduler::connect(&local.master, None).await;
    let offer = me.run(0, "t", "run").await;
    let url = |path: &str| format!("{}{path}", local.master_url);
    let machines = serde_json::json!([{ "hostname": "127.0.1.1", "ip": "127.0.1.1" }]);
    let unavailability = serde_json::json!({ "start": { "nanoseconds": 1 } });
    let schedule = serde_json::json!({ "windows": [{ "machine_ids": machines, "unavailability": unavailability }] });
    assert_eq!(post(&url("/maintenance/schedule"), schedule.clone()).await.0, 200);
    assert_eq!(get(&url("/master/maintenance/schedule")).await["windows"][0]["machine_ids"], machines);
    let inverse = me.wait("inverse offer", |event| match event {
        Event::InverseOffers { inverse_offers } => inverse_offers.inverse_offers.first().cloned(),
        _ => None,
    });
    let accept_inverse_offers = InverseOfferAnswer { inverse_offer_ids: vec![inverse.await.id], filters: None };
    me.caller.send(Call::AcceptInverseOffers { accept_inverse_offers }).await.unwrap();
    let status = get(&url("/maintenance/status")).await;
    assert_eq!(status["draining_machines"][0]["statuses"][0]["status"], "ACCEPT");
    let drain = serde_json::json!({
        "type": "DRAIN_AGENT",
        "drain_agent": { "agent_id": offer.agent_id, "max_grace_period": { "seconds": 2 } },
    });
    assert_eq!(post(&url("/api/v1"), drain.clone()).await.0, 400, "it is in a schedule");
    assert_eq!(post(&url("/maintenance/schedule"), serde_json::json!({})).await.0, 200);
    assert_eq!(post(&url("/api/v1"), drain).await.0, 200);
    let killed = me.update("t").await;
    assert_eq!((killed.state, killed.reason.as_deref()), (TaskState::TaskKilled, Some("REASON_AGENT_DRAINING")));
    let state = async || {
        let (status, body) = post(&url("/api/v1"), serde_json::json!({ "type": "GET_AGENTS" })).await;
        assert_eq!(status, 200);
        let agents: serde_json::Value = serde_json::from_str(&body).unwrap();
        agents["get_agents"]["agents"][0]["drain_info"]["state"].clone()
    };
    while state().await != "DRAINED" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    assert_eq!(post(&url("/maintenance/schedule"), schedule).await.0, 200);
    assert_eq!(post(&url("/machine/down"), machines.clone()).await.0, 200);
    assert_eq!(get(&url("/slaves")).await["slaves"], serde_json::json!([]));
    assert_eq!(post(&url("/machine/up"), machines).await.0, 200);
    me.run(0, "t2", "run").await;
    local.stop().await;
}

#[tokio::test]
async fn executors_survive_restarts_of_agent_and_master() {
    let dir = tempfile::tempdir().unwrap();
    let local = start(1, dir.path()).await;
    let mut me = Scheduler::connect(&local.master, None).await;
    me.run(0, "t", "run").await;
    let pid = executor_pid(&local).await;
    local.restart_agent(0, Duration::from_millis(100));
    me.kill("t", None).await;
    assert_eq!(me.update("t").await.state, TaskState::TaskKilled, "once the agent is back");
    me.run(0, "t2", "run").await;

    local.fail_over(Duration::from_millis(200), Duration::from_millis(400));
    loop {
        match me.next().await {
            Some(SessionEvent::Subscribed { .. }) => break,
            Some(_) => {}
            None => panic!("the session has ended"),
        }
    }
    let ask = ReconcileTask { task_id: TaskId::new("t2"), agent_id: None };
    let reconcile = Reconcile { tasks: vec![ask] };
    let found = loop {
        me.caller.send(Call::Reconcile { reconcile: reconcile.clone() }).await.unwrap();
        if let Ok(found) = tokio::time::timeout(Duration::from_millis(100), me.update("t2")).await {
            break found;
        }
    };
    assert_eq!((found.state, found.reason.as_deref()), (TaskState::TaskRunning, Some("REASON_RECONCILIATION")));
    assert_eq!(executor_pid(&local).await, pid);
    me.run(0, "t3", "finish").await;
    local.stop().await;
}

#[tokio::test]
async fn an_update_of_the_framework_is_answered_when_it_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let local = start(2, dir.path()).await;
    let mut me = Scheduler::connect(&local.master, None).await;
    me.offer(0).await;
    me.offer(1).await;
    let mut update_framework = me.subscribe();
    let none = serde_json::json!({ "role_constraints": { "test": { "groups": [] } } });
    update_framework.offer_constraints = Some(serde_json::from_value(none).unwrap());
    let refused = me.caller.send(Call::UpdateFramework { update_framework }).await.unwrap_err();
    assert!(refused.to_string().contains("400"), "{refused}");
    let second = serde_json::json!({ "role_constraints": { "test": { "groups": [{ "attribute_constraints": [{
        "selector": { "pseudoattribute_type": "HOSTNAME" }, "predicate": { "text_matches": { "regex": ".*[.]2" } },
    }] }] } } });
    let mut update_framework = me.subscribe();
    update_framework.offer_constraints = Some(serde_json::from_value(second).unwrap());
    me.caller.send(Call::UpdateFramework { update_framework }).await.unwrap();
    local.stop().await;
}

#[tokio::test]
async fn stop_leaves_nobody_behind() {
    let dir = tempfile::tempdir().unwrap();
    let local = start(2, dir.path()).await;
    let mut me = Scheduler::connect(&local.master, None).await;
    me.run(0, "stubborn", "hang").await;
    let offer = me.offer(1).await;
    me.launch(&offer, vec![task(&offer, "tidy", "child")]).await;
    assert_eq!(me.update("tidy").await.state, TaskState::TaskRunning);
    let child: i64 = std::fs::read_to_string(find(dir.path(), "child.pid").unwrap()).unwrap().parse().unwrap();
    let state = get(&format!("{}/state", local.master_url)).await;
    let executors = state["frameworks"][0]["executors"].as_array().unwrap();
    let pids: Vec<i64> = executors.iter().map(|executor| executor["pid"].as_i64().unwrap()).collect();
    assert_eq!(pids.len(), 2);
    local.stop().await;
    for pid in pids.into_iter().chain([child]) {
        assert!(!lives(pid), "{pid} is left");
    }
    assert_eq!(me.unacknowledged_update("tidy").await.state, TaskState::TaskKilled);
}

#[tokio::test]
async fn nothing_is_left_when_the_process_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["acts_as_local", "--exact", "--ignored"])
        .env("LOCAL_DIR", dir.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let read =
        |name: &str| find(dir.path(), name).and_then(|path| std::fs::read_to_string(path).ok()?.parse::<i64>().ok());
    for _ in 0..1_000 {
        if read("executor.pid").is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (executor, child) = (read("executor.pid").unwrap(), read("child.pid").unwrap());
    assert!(lives(executor) && lives(child));
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(gone(executor).await && gone(child).await);
}
