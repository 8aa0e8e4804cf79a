use millstream_mesos_types::{TaskState, scheduler::Call};

use super::world::*;
use crate::{records::Key, views::SlotState, *};

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

/// Two executors of three say nothing more, or one.
fn silent(world: &mut World, how_many: u32, ms: u64) {
    let quiet: Vec<_> = (0..how_many).filter_map(|slot| world.task_of(slot)).collect();
    let quiet: Vec<_> = quiet.iter().map(|task| world.tasks[task].executor.clone()).collect();
    for _ in 0..ms / 1_000 {
        world.pass_silently(1_000);
        let speaking: Vec<_> =
            world.tasks.values().map(|task| task.executor.clone()).filter(|e| !quiet.contains(e)).collect();
        for executor in speaking {
            world.report(&executor);
        }
    }
}

fn placed(world: &World) -> usize {
    (0..3).filter(|slot| world.task_of(*slot).is_some()).count()
}

#[test]
fn who_is_silent_together_with_most_others_is_waited_for_and_why_says_so() {
    let mut world = World::running(3);
    silent(&mut world, 2, 10_000);
    assert_eq!(placed(&world), 3);
    let why = views::why(&world.state, JOB).expect("the job");
    let notes = why.slots.iter().filter_map(|slot| match &slot.state {
        SlotState::Placed { note: Some(note), .. } => Some(note.clone()),
        _ => None,
    });
    let notes: Vec<_> = notes.collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].contains("2 of 3 executors") && notes[0].contains("after 15 s"), "{}", notes[0]);
    assert_eq!(world.audit.iter().filter(|audit| matches!(audit, Audit::ManySilent { .. })).count(), 1);
    silent(&mut world, 2, 7_000);
    assert_eq!(placed(&world), 1, "in the end they are replaced");
}

#[test]
fn they_may_fall_silent_one_shortly_after_the_other() {
    let mut world = World::running(3);
    // One reports 0.75 s before the machine stands still, the others just then.
    world.report_all();
    world.pass_silently(750);
    let first = world.task_of(0).expect("a task");
    let others: Vec<_> = world.tasks.iter().filter(|(id, _)| **id != first).map(|(_, t)| t.executor.clone()).collect();
    others.iter().for_each(|executor| drop(world.report(executor)));
    world.pass_silently(3_500);
    assert_eq!(placed(&world), 3);
    // They come back one after the other; who is later than the others is not replaced for that.
    world.report(&others[0]);
    world.pass_silently(500);
    world.report(&others[1]);
    world.pass_silently(1_000);
    world.report_all();
    world.pass(5_000);
    assert_eq!(placed(&world), 3);
}

#[test]
fn one_of_three_is_replaced_as_ever() {
    let mut world = World::running(3);
    silent(&mut world, 1, 4_000);
    assert_eq!(placed(&world), 2);
}

#[test]
fn after_a_pause_of_the_scheduler_silence_counts_from_its_end_but_not_for_ever() {
    let mut world = World::running(1);
    world.pass_silently(2_500);
    world.now.mono_ms += 60_000;
    world.input(Input::Tick);
    world.pass_silently(2_500);
    assert!(world.task_of(0).is_some(), "what was said meanwhile may still be on its way");
    world.pass_silently(1_000);
    assert!(world.task_of(0).is_none());

    let mut world = World::running(1);
    for _ in 0..60 {
        world.now.mono_ms += 1_000;
        world.input(Input::Tick);
    }
    assert!(world.task_of(0).is_none(), "a scheduler that is always slow finds dead executors all the same");
}
