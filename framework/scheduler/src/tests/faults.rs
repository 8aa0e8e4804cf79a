//! The faults of faults.md, B1, as far as a step can see them. M6 and M8 (two schedulers, half-open connections) belong to
//! the session, M15 (the store is down) to the driver.

use std::collections::BTreeMap;

use millstream_mesos_types::{FrameworkId, TaskState, scheduler::Call};
use serde_json::json;

use super::world::*;
use crate::{records::Key, *};

fn reconciled(effects: &Effects) -> usize {
    let counts = effects.calls.iter().map(|call| match call {
        Call::Reconcile { reconcile } => reconcile.tasks.len(),
        _ => 0,
    });
    counts.sum()
}

fn launches(world: &World) -> usize {
    world.audit.iter().filter(|audit| matches!(audit, Audit::TaskLaunched { .. })).count()
}

/// The one slot has one task, which runs, and nothing else is alive or known.
fn one_task_runs(world: &World, what: &str) {
    let current = world.task_of(0);
    let alive: Vec<_> = world.tasks.keys().cloned().collect();
    assert_eq!(alive, current.iter().cloned().collect::<Vec<_>>(), "no orphan and no double: {what}");
    assert!(current.is_some(), "{what}");
    assert_eq!(world.state.store.tasks().len(), 1, "{what}");
}

#[test]
fn m1_a_framework_id_that_was_not_stored_is_never_used_again() {
    let mut world = World::new();
    // The step of SUBSCRIBED never got into the store.
    world.restart();
    assert_eq!(world.state.subscribe().framework_info.id, None);
    world.input(Input::Subscribed { framework_id: FrameworkId::new("framework-2") });
    world.restart();
    assert_eq!(world.state.framework_id(), Some("framework-2"));
    assert_eq!(world.store.keys().filter(|key| *key == "framework").count(), 1);
}

#[test]
fn m2_a_launch_that_was_not_stored_was_never_sent() {
    let mut world = World::with_job(1);
    world.dies_after = Some(0);
    world.offer_all();
    world.restart();
    assert_eq!((world.tasks.len(), world.state.store.tasks().len()), (0, 0));
    world.subscribe();
    world.topology(1);
    world.live(10);
    one_task_runs(&world, "M2");
    assert_eq!(launches(&world), 1);
}

#[test]
fn m3_an_intent_whose_accept_was_not_sent_is_closed_and_launched_once_more_under_a_new_id() {
    let mut world = World::with_job(1);
    world.dies_after = Some(1);
    world.offer_all();
    let intent = world.task_of(0).expect("the intent");
    world.restart();
    world.subscribe();
    world.topology(1);
    world.live(10);
    one_task_runs(&world, "M3");
    assert_ne!(world.task_of(0), Some(intent));
    assert_eq!(launches(&world), 2);
}

#[test]
fn m4_an_accept_that_is_lost_is_known_within_ten_seconds_and_the_late_double_is_killed() {
    use TaskState::*;
    let answers = [(TaskUnknown, "REASON_RECONCILIATION"), (TaskGone, "REASON_RECONCILIATION")];
    let dropped = [(TaskDropped, "REASON_RECONCILIATION"), (TaskDropped, "REASON_MASTER_DISCONNECTED")];
    for (state, reason) in answers.into_iter().chain(dropped) {
        let mut world = World::with_job(1);
        let offer = world.offer("agent-1");
        world.input_dying_before_calls(Input::Offers(vec![offer]));
        let lost = world.task_of(0).expect("the intent");
        let began = world.now.mono_ms;
        world.calls.clear();
        while world.count(|call| matches!(call, Call::Reconcile { .. })) == 0 {
            world.pass_silently(TICK_MS);
        }
        world.queue.clear();
        world.update(&lost, state, Some(reason));
        world.offer_all();
        let again = world.task_of(0).expect("at once, on the same agent");
        assert_ne!(again, lost);
        assert_eq!(world.tasks[&again].agent, "agent-1", "{state:?}: nothing is wrong with the agent");
        assert!(world.now.mono_ms - began <= 5_000);
        assert_eq!(World::kills(&world.update(&lost, TaskRunning, None)), [lost]);
        assert_eq!(world.failures(), 0);
    }
}

#[test]
fn m5_an_update_is_taken_in_once_wherever_the_scheduler_dies() {
    // Before the records, before the acknowledgement, after it.
    for point in 0..3 {
        for state in [TaskState::TaskRunning, TaskState::TaskFailed] {
            let mut world = World::with_job(1);
            world.offer_all();
            let task = world.task_of(0).expect("a task");
            let status = world.status(&task, state, None);
            world.set_state(&task, state);
            world.dies_after = Some(point);
            world.input(Input::Update(status.clone()));
            world.restart();
            world.subscribe();
            world.topology(1);
            // The agent sends it again, late.
            let again = world.input(Input::Update(status));
            assert!(again.calls.iter().any(|call| matches!(call, Call::Acknowledge { .. })), "else it comes for ever");
            world.live(10);
            one_task_runs(&world, &format!("{state:?}, dies at {point}"));
            let kept = world.task_of(0) == Some(task);
            assert_eq!(kept, state == TaskState::TaskRunning, "never back from an end");
        }
    }
}

#[test]
fn m7_a_failover_of_the_master_disturbs_no_task_and_placement_goes_on() {
    let mut world = World::running(3);
    let before: Vec<_> = (0..3).map(|slot| world.task_of(slot)).collect();
    world.input(Input::Disconnected);
    world.pass_silently(20_000);
    world.calls.clear();
    assert_eq!(reconciled(&world.subscribe()), 3);
    world.live(3);
    assert_eq!((0..3).map(|slot| world.task_of(slot)).collect::<Vec<_>>(), before);
    assert_eq!(world.count(|call| matches!(call, Call::Kill { .. } | Call::Shutdown { .. })), 0);
    world.topology(5);
    world.live(10);
    assert_eq!(world.tasks.len(), 5);
}

#[test]
fn m9_a_partitioned_agent_is_replaced_after_three_missed_reports_and_its_twin_killed_when_it_is_back() {
    let mut world = World::running(1);
    let twin = world.task_of(0).expect("a task");
    let zombie = world.tasks.remove(&twin).expect("alive");
    world.pass_silently(3_250);
    assert_eq!(world.task_of(0), None, "by the scheduler's own watch, long before TASK_UNREACHABLE");
    world.update(&twin, TaskState::TaskUnreachable, None);
    world.live(10);
    assert!(world.task_of(0).is_some());
    // The network is back: the agent registers, and its task is RUNNING again.
    world.tasks.insert(twin.clone(), zombie);
    world.update(&twin, TaskState::TaskRunning, None);
    world.live(10);
    one_task_runs(&world, "M9");
    assert!(!world.tasks.contains_key(&twin));
}

#[test]
fn m10_an_agent_that_comes_back_under_another_id_gets_tasks_like_any_other() {
    let mut world = World::running(3);
    world.input(Input::Failure { agent_id: Some("agent-1".into()), executor_id: None, status: None });
    let gone = world.agents.remove("agent-1").expect("an agent");
    world.tasks.retain(|_, task| task.agent != "agent-1");
    world.queue.clear();
    let agent = Agent { free: (4.0, 4096.0), ..Agent::default() };
    world.agents.insert("agent-4".into(), agent);
    world.live(10);
    assert!(world.task_of(0).is_some());
    assert_eq!(world.tasks.len(), 3);
    drop(gone);
}

#[test]
fn m11_an_agent_process_that_is_away_for_two_reports_costs_nothing() {
    let mut world = World::running(3);
    let before: Vec<_> = (0..3).map(|slot| world.task_of(slot)).collect();
    world.calls.clear();
    for _ in 0..5 {
        world.pass_silently(2_750);
        world.report_all();
    }
    assert_eq!((0..3).map(|slot| world.task_of(slot)).collect::<Vec<_>>(), before);
    assert_eq!(world.count(|call| matches!(call, Call::Kill { .. } | Call::Shutdown { .. })), 0);
}

#[test]
fn m12_offers_that_are_always_gone_make_no_storm() {
    let mut world = World::with_job(1);
    world.calls.clear();
    for _ in 0..60 {
        world.offer_all();
        if let Some(task) = world.task_of(0) {
            world.update(&task, TaskState::TaskDropped, Some("REASON_INVALID_OFFERS"));
        }
        world.pass_silently(1_000);
    }
    let calls = world.calls.iter().filter(|call| !matches!(call, Call::Acknowledge { .. })).count();
    assert!(calls < 5 * 60, "{calls} calls in a minute");
    let accepts = world.count(|call| matches!(call, Call::Accept { .. }));
    assert!(accepts <= 12, "{accepts} tries");
}

#[test]
fn m13_ten_thousand_tasks_are_reconciled_in_ten_calls() {
    const TASKS: usize = 10_000;
    let mut world = World::running(1);
    let (task, executor) = {
        let id = world.task_of(0).expect("a task");
        (id.clone(), world.tasks[&id].executor.clone())
    };
    let mut records: BTreeMap<String, serde_json::Value> = world.store.clone();
    let (slot_key, task_key) = (Key::Slot((JOB.into(), 0)).to_string(), Key::Task(task).to_string());
    for number in 1..TASKS {
        let (mut slot, mut record) = (records[&slot_key].clone(), records[&task_key].clone());
        let id = format!("{JOB}.{number}.many");
        (slot["task"], slot["partitions"]) = (json!(id), json!([number]));
        (record["slot"], record["partitions"], record["executor"]) = (json!(number), json!([number]), json!(executor));
        records.insert(Key::Slot((JOB.into(), number as u32)).to_string(), slot);
        records.insert(Key::Task(id).to_string(), record);
    }
    let mut state = State::restore(settings(), records).expect("records");
    let subscribed = step(&mut state, Input::Subscribed { framework_id: FrameworkId::new(FRAMEWORK) }, world.now);
    assert_eq!(reconciled(&subscribed), TASKS);
    assert_eq!(subscribed.calls.iter().filter(|call| matches!(call, Call::Reconcile { .. })).count(), 10);
    let ids: Vec<_> = state.store.tasks().keys().cloned().collect();
    for id in ids {
        let mut status = world.status(&id, TaskState::TaskRunning, Some("REASON_RECONCILIATION"));
        status.uuid = None;
        let effects = step(&mut state, Input::Update(status), world.now);
        assert_eq!((effects.calls.len(), effects.records.len()), (0, 0));
    }
    for _ in 0..40 {
        world.now.mono_ms += TICK_MS;
        assert_eq!(reconciled(&step(&mut state, Input::Tick, world.now)), 0, "each has been answered for");
    }
}

#[test]
fn m14_a_bad_binary_is_launched_ever_more_rarely_and_other_jobs_do_not_wait() {
    let mut world = World::new();
    world.subscribe();
    world.deploy(job_that(FAILS));
    world.topology(1);
    world.live(100);
    let mut other = job();
    (other.name.0, other.source.group) = ("other".into(), "other".into());
    world.deploy(other);
    world.input(Input::Topology { job: "other".into(), topology: topology(1) });
    world.live(2);
    assert_eq!(views::job(&world.state, "other").expect("the job").running, 1);
    world.live(198);
    let failed = world.audit.iter().filter(|audit| matches!(audit, Audit::TaskEnded { cause: EndCause::Failed, .. }));
    let failed = failed.count();
    assert!((6..=12).contains(&failed), "{failed} launches in 5 minutes");
}

/// Deploys (again, if the first try was lost with the scheduler) and lets time pass until something dies.
fn begin(world: &mut World, secs: usize) {
    world.subscribe();
    if !world.dead && world.state.store.job(&JOB.to_owned()).is_none() {
        world.deploy(job());
    }
    world.topology(1);
    for _ in 0..secs {
        world.live(1);
    }
}

#[test]
fn all_pairs_of_crash_points_of_a_launch_leave_no_orphan_and_no_double() {
    let mut pairs = 0;
    for first in 0.. {
        let mut world = World::new();
        world.dies_after = Some(first);
        begin(&mut world, 4);
        if !world.dead {
            break;
        }
        for second in 0.. {
            let mut world = World::new();
            world.dies_after = Some(first);
            begin(&mut world, 4);
            world.restart();
            world.dies_after = Some(second);
            begin(&mut world, 6);
            let died_twice = world.dead;
            if died_twice {
                world.restart();
                begin(&mut world, 10);
            }
            world.dies_after = None;
            one_task_runs(&world, &format!("dies at {first} and {second}"));
            pairs += 1;
            if !died_twice {
                break;
            }
        }
    }
    assert!(pairs > 150, "{pairs} pairs");
}
