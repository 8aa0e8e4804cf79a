use millstream_mesos_types::{TaskState, scheduler::Call};

use super::world::*;
use crate::{records::Key, *};

#[test]
fn three_missed_reports_and_the_tasks_are_replaced_elsewhere() {
    let mut world = World::running(3);
    let zombie = world.task_of(0).expect("a task");
    let executor = world.tasks[&zombie].executor.clone();
    let others: Vec<_> = world.tasks.values().map(|t| t.executor.clone()).filter(|e| *e != executor).collect();
    let stalled = world.tasks.remove(&zombie).expect("known");
    for _ in 0..4 {
        for other in &others {
            world.report(other);
        }
        world.pass_silently(1_000);
    }
    assert_eq!(world.task_of(0), None);
    assert!(world.audit.iter().any(|audit| matches!(audit, Audit::ExecutorLost { cause: EndCause::Silent, .. })));
    assert_eq!(world.count(|call| matches!(call, Call::Shutdown { .. })), 1);

    // Its own agent is avoided; the goal is waited for no longer than the job allows.
    world.offer_all();
    assert_eq!(world.task_of(0), None, "waits for its own host within max_wait");
    for _ in 0..6 {
        world.pass(1_000);
        world.offer_all();
    }
    let replacement = world.task_of(0).expect("replaced");
    assert_ne!(world.tasks[&replacement].agent, "agent-1");

    // The zombie wakes up: killed each second it shows, until its end is known.
    world.run_all();
    world.tasks.insert(zombie.clone(), stalled);
    assert_eq!(World::kills(&world.report(&executor)), std::slice::from_ref(&zombie));
    assert_eq!(World::kills(&world.report(&executor)), Vec::<String>::new(), "at most once a second");
    assert!(world.store.contains_key(&Key::Task(zombie.clone()).to_string()));
    world.deliver();
    assert!(!world.store.contains_key(&Key::Task(zombie).to_string()));
    assert!(!world.store.contains_key(&Key::Executor(executor).to_string()));
}

#[test]
fn reports_keep_executors() {
    let mut world = World::running(3);
    world.calls.clear();
    world.pass(120_000);
    assert_eq!(world.count(|call| matches!(call, Call::Kill { .. })), 0);
}

#[test]
fn a_stall_of_the_scheduler_itself_is_nobodys_fault() {
    let mut world = World::running(3);
    world.now.mono_ms += 20_000;
    world.now.wall_ms += 20_000;
    world.input(Input::Tick);
    world.input(Input::Tick);
    assert!((0..3).all(|slot| world.task_of(slot).is_some()));
    assert!(world.audit.iter().any(|audit| matches!(audit, Audit::SchedulerStalled { gap_ms: 20_000 })));
}

#[test]
fn silence_while_disconnected_does_not_count_and_agents_have_time_to_register_again() {
    let mut world = World::running(3);
    world.input(Input::Disconnected);
    world.pass_silently(60_000);
    world.subscribe();
    world.deliver();
    world.pass_silently(29_000);
    assert!((0..3).all(|slot| world.task_of(slot).is_some()));
    world.report_all();
    let one = world.task_of(0).expect("a task");
    world.tasks.remove(&one);
    world.pass(2_750);
    assert!((0..3).all(|slot| world.task_of(slot).is_some()));
    world.pass(1_000);
    assert_eq!(world.task_of(0), None, "having reported, three misses count again");
}

#[test]
fn executors_that_never_report_after_a_subscription_are_replaced_after_thirty_seconds() {
    let mut world = World::running(1);
    world.restart();
    world.subscribe();
    world.deliver();
    world.pass_silently(30_000);
    assert!(world.task_of(0).is_some());
    world.pass_silently(1_000);
    assert!(world.task_of(0).is_none());
}

#[test]
fn a_lost_agent_is_avoided_and_its_tasks_are_killed_when_it_comes_back() {
    let mut world = World::running(3);
    let task = world.task_of(0).expect("a task");
    let effects = world.update(&task, TaskState::TaskUnreachable, None);
    assert!(effects.calls.iter().any(|call| matches!(call, Call::Acknowledge { .. })));
    assert_eq!(world.task_of(0), None);
    world.pass(6_000);
    world.offer_all();
    world.run_all();
    let replacement = world.task_of(0).expect("replaced");
    assert_ne!(world.tasks[&replacement].agent, "agent-1");
    // (The test's master has killed the task when it was condemned; here it was unreachable and is back.)
    world.queue.clear();
    let effects = world.update(&task, TaskState::TaskRunning, None);
    assert_eq!(World::kills(&effects), [task]);
}

#[test]
fn failure_and_updates_of_one_loss_come_in_any_order() {
    for failure_first in [true, false] {
        let mut world = World::running(1);
        let task = world.task_of(0).expect("a task");
        let executor_id = Some(world.tasks[&task].executor.clone());
        let failure = Input::Failure { agent_id: Some("agent-1".into()), executor_id, status: Some(9) };
        if failure_first {
            world.input(failure);
            assert_eq!(world.task_of(0), None);
            world.update(&task, TaskState::TaskFailed, Some("REASON_EXECUTOR_TERMINATED"));
        } else {
            world.update(&task, TaskState::TaskFailed, Some("REASON_EXECUTOR_TERMINATED"));
            world.input(failure);
        }
        assert!(!world.store.contains_key(&Key::Task(task).to_string()));
        assert_eq!(world.failures(), 1, "one loss is one failure");
    }
}

#[test]
fn a_removed_agent_takes_all_its_executors_along() {
    let mut world = World::running(3);
    world.input(Input::Failure { agent_id: Some("agent-2".into()), executor_id: None, status: None });
    assert_eq!((world.task_of(0).is_some(), world.task_of(1), world.task_of(2).is_some()), (true, None, true));
    assert_eq!(world.failures(), 0);
}

#[test]
fn what_is_no_report_is_refused_and_counted() {
    let mut world = World::running(1);
    let executor_id = world.tasks[&world.task_of(0).expect("a task")].executor.clone();
    for data in [&b"no json"[..], br#"{"version":99,"sequence":0,"metrics_url":"","tasks":[]}"#] {
        let message =
            Input::Message { agent_id: "agent-1".into(), executor_id: executor_id.clone(), data: data.to_vec() };
        let effects = world.input(message);
        assert!(matches!(&effects.audit[..], [Audit::ReportRefused { .. }]), "{:?}", effects.audit);
    }
}

#[test]
fn a_report_of_partitions_that_are_not_the_tasks_is_not_taken_in() {
    let mut world = World::running(1);
    let id = world.task_of(0).expect("a task");
    let task = world.tasks.get_mut(&id).expect("it runs");
    task.partitions = vec![0, 7];
    let executor = task.executor.clone();
    world.report(&executor);
    assert_eq!(world.state.tasks[&id].statuses.keys().collect::<Vec<_>>(), [&0]);
}

#[test]
fn agents_that_are_silent_all_at_once_are_given_more_time() {
    let mut world = World::running(3);
    world.pass_silently(14_000);
    assert!((0..3).all(|slot| world.task_of(slot).is_some()), "three of three agents: something else is slow");
    world.report_all();
    world.pass_silently(14_000);
    assert!((0..3).all(|slot| world.task_of(slot).is_some()));
    world.pass_silently(2_000);
    assert!((0..3).all(|slot| world.task_of(slot).is_none()), "but not for ever");
}
