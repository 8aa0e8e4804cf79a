use millstream_mesos_types::{TaskState, scheduler::Call};

use super::world::*;
use crate::*;

#[test]
fn a_restart_takes_everything_over_without_a_task_noticing() {
    let mut world = World::running(3);
    let before: Vec<_> = (0..3).map(|slot| world.task_of(slot)).collect();
    world.restart();
    assert_eq!(world.state.framework_id(), Some(FRAMEWORK));
    world.calls.clear();
    world.subscribe();
    let asked = world.calls.iter().find_map(|call| match call {
        Call::Reconcile { reconcile } => Some(reconcile.tasks.len()),
        _ => None,
    });
    assert_eq!(asked, Some(3), "all tasks are asked for");
    world.calls.clear();
    world.deliver();
    world.pass(60_000);
    assert_eq!((0..3).map(|slot| world.task_of(slot)).collect::<Vec<_>>(), before);
    let disturbing = |call: &Call| matches!(call, Call::Kill { .. } | Call::Shutdown { .. } | Call::Reconcile { .. });
    assert_eq!(world.count(disturbing), 0);
}

#[test]
fn an_intent_without_its_accept_is_closed_after_the_restart() {
    let mut world = World::with_job(1);
    let offer = world.offer("agent-1");
    world.input_dying_before_calls(Input::Offers(vec![offer]));
    let lost = world.task_of(0).expect("the intent");
    world.restart();
    world.subscribe();
    world.deliver();
    assert_eq!(world.task_of(0), None);
    world.topology(1);
    let launches = World::launches(&world.offer_all());
    assert_eq!(launches.len(), 1);
    assert_ne!(launches[0].task_id.value, lost);
}

#[test]
fn reconciliation_goes_on_until_every_task_is_answered_for() {
    let mut world = World::running(2);
    world.restart();
    world.subscribe();
    // The master says nothing: agents have not registered again.
    world.queue.clear();
    world.calls.clear();
    world.pass_silently(29_000);
    let asked = world.count(|call| matches!(call, Call::Reconcile { .. }));
    assert!((4..=5).contains(&asked), "1, 2, 4, 8 … seconds: {asked}");
    let task = world.task_of(0).expect("a task");
    world.update(&task, TaskState::TaskRunning, None);
    let task = world.task_of(1).expect("a task");
    world.update(&task, TaskState::TaskRunning, None);
    world.report_all();
    world.calls.clear();
    world.pass(60_000);
    assert_eq!(world.count(|call| matches!(call, Call::Reconcile { .. })), 0);
}

#[test]
fn everything_is_reconciled_every_quarter_of_an_hour() {
    let mut world = World::running(1);
    world.deliver();
    world.calls.clear();
    world.pass(15 * 60_000 + 1_000);
    let implicit = |call: &Call| matches!(call, Call::Reconcile { reconcile } if reconcile.tasks.is_empty());
    assert_eq!(world.count(implicit), 1);
}

#[test]
fn a_connection_that_breaks_again_and_again_does_not_put_that_off() {
    let mut world = World::running(1);
    for _ in 0..8 {
        world.pass(120_000);
        world.input(Input::Disconnected);
        world.subscribe();
    }
    assert_eq!(world.audit.iter().filter(|audit| matches!(audit, Audit::ReconcilingAll)).count(), 1);
}

#[test]
fn waiting_goes_on_where_it_was() {
    let mut world = World::with_job(1);
    world.pass_silently(4_000);
    world.restart();
    world.subscribe();
    world.topology(1);
    world.pass_silently(1_000);
    let offer = world.offer("agent-2");
    world.input(Input::Offers(vec![offer]));
    assert!(world.task_of(0).is_some(), "five seconds have passed over the restart");
}

#[test]
fn a_record_of_an_unknown_kind_is_refused() {
    let error = State::restore(settings(), [("window/1".to_owned(), serde_json::json!({}))]).expect_err("unknown");
    assert_eq!(error.to_string(), "record \"window/1\" is of no known kind: was the store written by a newer version?");
}
