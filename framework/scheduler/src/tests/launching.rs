use millstream_mesos_types::{TaskState, scalar_sum, scheduler::Call};
use millstream_protocol::{ExecutorData, TaskData};

use super::world::*;
use crate::*;

#[test]
fn every_task_goes_to_the_host_of_its_leader_with_one_executor_each() {
    let mut world = World::with_job(6);
    let effects = world.offer_all();
    let launches = World::launches(&effects);
    assert_eq!(launches.len(), 6);
    for info in &launches {
        let data: TaskData = serde_json::from_slice(&info.data.as_ref().expect("data").0).expect("task data");
        assert_eq!(info.agent_id.value, format!("agent-{}", data.partitions[0] % 3 + 1));
    }
    let accepts = effects.calls.iter().filter(|call| matches!(call, Call::Accept { .. })).count();
    assert_eq!(accepts, 3, "all offers of an agent and role go in one ACCEPT");
    assert_eq!(world.agents.values().map(|agent| agent.executors.len()).collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn an_executor_learns_its_place_from_the_offer_and_gets_no_secret() {
    let mut world = World::with_job(1);
    let effects = world.offer_all();
    let executor = World::launches(&effects)[0].executor.clone().expect("executor");
    let data: ExecutorData = serde_json::from_slice(&executor.data.expect("data").0).expect("executor data");
    assert_eq!((data.location.host.as_str(), data.location.address.as_str()), ("host-1", "127.0.1.1"));
    assert_eq!(data.location.kafka_rack.as_deref(), Some("r1"));
    assert_eq!(data.generation, 1);
    let command = executor.command.expect("command");
    assert_eq!((command.shell, command.arguments), (Some(false), vec!["/opt/millstream-executor".to_owned()]));
    let variables: Vec<_> = command.environment.expect("environment").variables.into_iter().map(|v| v.name).collect();
    assert_eq!(variables, ["RUST_LOG"]);
}

/// The user of each task's executor is that of the version it runs, from the first launch to the last of a change.
#[test]
fn an_executor_runs_as_the_user_of_its_job_and_none_serves_two() {
    let of_user = |user: Option<&str>| {
        let mut spec = job();
        spec.tasks.user = user.map(str::to_owned);
        spec
    };
    let users = |world: &World| {
        let pairs = world.tasks.iter().map(|(id, running)| {
            let executor = &world.state.store.task(id).expect("a task").executor;
            let record = world.state.store.executor(executor).expect("its executor");
            let command = record.info.command.as_ref().expect("a command");
            assert_eq!(command.user, running.told.job.tasks.user);
            command.user.clone()
        });
        pairs.collect::<Vec<_>>()
    };
    let mut world = World::running(3);
    assert_eq!(users(&world), vec![None; 3]);
    for user in [Some("orders"), Some("others"), None] {
        world.deploy(of_user(user));
        for _ in 0..120 {
            world.live(1);
            users(&world);
        }
        assert_eq!(users(&world), vec![user.map(str::to_owned); 3]);
    }
}

#[test]
fn resources_are_cut_exactly_and_keep_their_reservation() {
    let mut world = World::with_job(1);
    let mut offer = world.offer("agent-1");
    offer.resources[0].scalar = Some(millstream_mesos_types::Scalar { value: 0.55 });
    let mut reserved = offer.resources[0].clone();
    reserved.scalar = Some(millstream_mesos_types::Scalar { value: 0.3 });
    let reservation = serde_json::json!([{ "type": "DYNAMIC", "role": "stream" }]);
    reserved.rest.insert("reservations".into(), reservation.clone());
    let mut foreign = reserved.clone();
    foreign.rest.insert("reservations".into(), serde_json::json!([{ "type": "STATIC", "role": "other" }]));
    offer.resources.extend([reserved, foreign]);
    let effects = world.input_dying_before_calls(Input::Offers(vec![offer]));
    let launches = World::launches(&effects);
    let task: Vec<_> = launches[0].resources.iter().filter(|r| r.name == "cpus").collect();
    assert_eq!(task.len(), 2);
    assert_eq!((task[0].scalar.expect("scalar").value, &task[0].rest["reservations"]), (0.3, &reservation));
    assert_eq!((task[1].scalar.expect("scalar").value, task[1].is_reserved()), (0.2, false));
    let executor = launches[0].executor.as_ref().expect("executor");
    assert_eq!(scalar_sum(&executor.resources, "cpus"), 0.1);
    assert_eq!(task[0].allocation_info.as_ref().expect("allocation").role, "stream");
}

#[test]
fn what_is_not_enough_is_declined_and_said() {
    let mut world = World::with_job(1);
    let mut offer = world.offer("agent-1");
    offer.resources[0].scalar = Some(millstream_mesos_types::Scalar { value: 0.4 });
    let effects = world.input(Input::Offers(vec![offer]));
    assert_eq!(World::launches(&effects), vec![]);
    let why = views::why(&state(&world), JOB).expect("the job");
    let views::SlotState::Waiting { text, refused, .. } = &why.slots[0].state else { panic!("{why:?}") };
    assert_eq!(text, "needs 0.6 cpus, 0.4 are offered");
    assert_eq!(refused[&millstream_placement::ReasonKind::Cpus], 1);
}

fn state(world: &World) -> State {
    world.state.clone()
}

#[test]
fn a_second_task_reuses_the_executor_byte_for_byte() {
    let mut world = World::with_job(1);
    world.offer_all();
    world.topology(4);
    world.offer_all();
    // The master of the test compares the infos.
    assert_eq!(world.agents["agent-1"].executors.len(), 1);
    assert_eq!(world.tasks.values().filter(|task| task.agent == "agent-1").count(), 2);
}

#[test]
fn an_executor_that_was_lost_is_not_used_again() {
    let mut world = World::running(1);
    let task = world.task_of(0).expect("a task");
    let before = world.tasks[&task].executor.clone();
    world.update(&task, TaskState::TaskFailed, Some("REASON_EXECUTOR_TERMINATED"));
    world.pass_silently(2_000);
    world.offer_all();
    let after = world.tasks[&world.task_of(0).expect("relaunched")].executor.clone();
    assert_ne!(before, after);
}

#[test]
fn a_launch_without_an_update_is_asked_for_and_relaunched_under_a_new_id() {
    let mut world = World::with_job(1);
    let offer = world.offer("agent-1");
    // ACCEPT is lost: 202 is not done.
    world.input_dying_before_calls(Input::Offers(vec![offer]));
    let lost = world.task_of(0).expect("the intent");
    world.calls.clear();
    world.pass_silently(3_750);
    assert_eq!(world.count(|call| matches!(call, Call::Reconcile { .. })), 0);
    world.pass_silently(500);
    assert_eq!(world.count(|call| matches!(call, Call::Reconcile { .. })), 1);
    world.deliver();
    assert_eq!(world.task_of(0), None, "TASK_UNKNOWN frees the slot");
    let effects = world.offer_all();
    let launches = World::launches(&effects);
    assert_eq!(launches.len(), 1, "at once, without a back-off");
    assert_ne!(launches[0].task_id.value, lost);
    // The lost one comes up after all.
    let effects = world.update(&lost, TaskState::TaskRunning, None);
    assert_eq!(World::kills(&effects), [lost]);
}

#[test]
fn an_agent_is_not_avoided_because_a_launch_never_arrived_there() {
    let mut world = World::with_job(1);
    let offer = world.offer("agent-1");
    world.input(Input::Offers(vec![offer]));
    let lost = world.task_of(0).expect("launched");
    world.update(&lost, TaskState::TaskGone, Some("REASON_RECONCILIATION"));
    let offer = world.offer("agent-1");
    let effects = world.input(Input::Offers(vec![offer]));
    assert_eq!(World::launches(&effects).len(), 1);
}

#[test]
fn the_offers_of_a_launch_that_never_arrived_are_given_back() {
    let mut world = World::with_job(1);
    let offer = world.offer("agent-1");
    let id = offer.id.clone();
    world.input(Input::Offers(vec![offer]));
    let lost = world.task_of(0).expect("launched");
    let effects = world.update(&lost, TaskState::TaskGone, Some("REASON_RECONCILIATION"));
    let declined = |call: &Call| matches!(call, Call::Decline { decline } if decline.offer_ids == [id.clone()]);
    assert_eq!(effects.calls.iter().filter(|call| declined(call)).count(), 1, "{:?}", effects.calls);
}

#[test]
fn a_launch_that_the_master_is_still_staging_is_waited_for() {
    let mut world = World::with_job(1);
    world.offer_all();
    let task = world.task_of(0);
    for _ in 0..6 {
        world.pass_silently(10_000);
        world.deliver();
    }
    assert_eq!(world.task_of(0), task);
}

#[test]
fn new_partitions_become_new_slots_and_running_ones_are_never_cut_again() {
    let mut world = World::running(3);
    let before: Vec<_> = (0..3).map(|slot| world.task_of(slot)).collect();
    world.topology(5);
    assert_eq!((0..3).map(|slot| world.task_of(slot)).collect::<Vec<_>>(), before);
    let effects = world.offer_all();
    assert_eq!(World::launches(&effects).len(), 2);
}

#[test]
fn added_partitions_of_a_job_with_a_task_count_get_slots_of_the_same_size() {
    let mut world = World::new();
    world.subscribe();
    let mut spec = job();
    spec.tasks.count = millstream_spec::TaskCount::Fixed(3);
    world.deploy(spec);
    world.topology(6);
    world.topology(9);
    let sizes: Vec<_> = world.state.store.slots().values().map(|slot| slot.partitions.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 9);
    assert_eq!(sizes[..3], [2, 2, 2]);
    assert_eq!(sizes.len(), 5);
}

#[test]
fn a_fetched_program_is_checked_before_it_starts() {
    let mut world = World::with_job(1);
    let uri = "http://scheduler/executor/abc".to_owned();
    world.state.settings.executor = ExecutorProgram::Fetched { uri: uri.clone(), sha256: "abc".into() };
    let effects = world.offer_all();
    let command = World::launches(&effects)[0].executor.clone().and_then(|info| info.command).expect("a command");
    assert_eq!(command.shell, Some(true));
    assert!(command.value.expect("a line").starts_with("echo 'abc  millstream-executor' | sha256sum --check"));
    assert_eq!((command.uris.len(), command.uris[0].value.as_str()), (1, uri.as_str()));
    assert!(command.uris[0].cache && command.uris[0].executable);
}
