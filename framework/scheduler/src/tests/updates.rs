use millstream_mesos_types::{TaskState, scheduler::Call};

use super::world::*;
use crate::*;

#[test]
fn an_update_is_taken_in_once_and_acknowledged_each_time() {
    let mut world = World::with_job(1);
    world.offer_all();
    let task = world.task_of(0).expect("launched");
    let status = world.status(&task, TaskState::TaskRunning, None);
    let first = world.input(Input::Update(status.clone()));
    let again = world.input(Input::Update(status));
    assert_eq!(first.audit.len(), 1);
    assert_eq!((again.audit.len(), again.records.len()), (0, 0));
    assert!(matches!(again.calls[..], [Call::Acknowledge { .. }]));
}

#[test]
fn without_a_uuid_nothing_is_acknowledged() {
    let mut world = World::with_job(1);
    world.offer_all();
    let task = world.task_of(0).expect("launched");
    let mut status = world.status(&task, TaskState::TaskRunning, None);
    status.uuid = None;
    let effects = world.input(Input::Update(status));
    assert_eq!(effects.calls, vec![]);
}

#[test]
fn an_end_is_for_ever() {
    let mut world = World::running(1);
    let task = world.task_of(0).expect("a task");
    world.update(&task, TaskState::TaskFailed, None);
    let effects = world.update(&task, TaskState::TaskRunning, None);
    assert_eq!(World::kills(&effects), std::slice::from_ref(&task));
    assert_eq!(world.task_of(0), None);
    let effects = world.update(&task, TaskState::TaskFailed, None);
    assert!(matches!(effects.calls[..], [Call::Acknowledge { .. }]), "only that it need not come again");
}

#[test]
fn a_late_answer_does_not_turn_running_back_into_staging() {
    let mut world = World::running(1);
    let task = world.task_of(0).expect("a task");
    let status = world.status(&task, TaskState::TaskStaging, None);
    world.input(Input::Update(status));
    assert_eq!(world.state.store.task(&task).expect("known").state, TaskState::TaskRunning);
}

#[test]
fn invalid_offers_are_tried_again_at_once_and_invalid_tasks_are_not() {
    for (state, reason, wait_ms) in [
        (TaskState::TaskError, "REASON_INVALID_OFFERS", 0),
        (TaskState::TaskDropped, "REASON_INVALID_OFFERS", 0),
        (TaskState::TaskError, "REASON_TASK_INVALID", 1_000),
    ] {
        let mut world = World::with_job(1);
        world.offer_all();
        let task = world.task_of(0).expect("launched");
        let effects = world.update(&task, state, Some(reason));
        let waits = effects.audit.iter().filter_map(|audit| match audit {
            Audit::TaskEnded { retry_in_ms, .. } => Some(*retry_in_ms),
            _ => None,
        });
        assert_eq!(waits.collect::<Vec<_>>(), [wait_ms], "{state:?} {reason}");
    }
}

#[test]
fn failures_back_off_exponentially_and_are_forgiven_after_a_minute() {
    let mut world = World::with_job(1);
    let mut launches = 0;
    for _ in 0..300 {
        launches += World::launches(&world.offer_all()).len();
        if let Some(task) = world.task_of(0) {
            world.update(&task, TaskState::TaskFailed, None);
        }
        world.pass_silently(1_000);
    }
    assert!((6..=12).contains(&launches), "{launches} launches in 5 minutes");
    assert!(world.failures() > 6);
    let summary = views::job(&world.state, JOB).expect("the job").summary;
    assert!(summary.contains("as it happens"), "{summary}");

    world.pass_silently(300_000);
    world.offer_all();
    world.run_all();
    world.report_all();
    world.pass(61_000);
    assert_eq!(world.failures(), 0);
}

#[test]
fn ends_that_are_nobodys_fault_do_not_loop_for_ever() {
    let mut world = World::with_job(1);
    for _ in 0..3 {
        world.offer_all();
        let task = world.task_of(0).expect("at once");
        world.update(&task, TaskState::TaskDropped, None);
    }
    world.offer_all();
    assert_eq!(world.task_of(0), None, "the third in a row waits");
}

#[test]
fn a_removed_framework_is_forgotten_with_its_tasks_and_the_jobs_start_again() {
    let mut world = World::running(3);
    world.input(Input::FrameworkRemoved);
    assert!(!world.store.contains_key("framework"));
    assert_eq!(world.state.store.tasks().len(), 0);
    world.tasks.clear();
    world.agents.values_mut().for_each(|agent| *agent = Agent { free: (4.0, 4096.0), ..Agent::default() });
    world.subscribe();
    assert_eq!(World::launches(&world.offer_all()).len(), 3);
}
