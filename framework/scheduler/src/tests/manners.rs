use millstream_mesos_types::{TaskState, scheduler::Call};

use super::world::*;
use crate::*;

fn is_revive(call: &Call) -> bool {
    matches!(call, Call::Revive { .. })
}

fn is_suppress(call: &Call) -> bool {
    matches!(call, Call::Suppress { .. })
}

#[test]
fn nothing_wanted_is_said_once_and_a_new_want_revives() {
    let mut world = World::new();
    let effects = world.subscribe();
    assert!(effects.calls.iter().any(is_suppress));
    world.calls.clear();
    world.pass_silently(10_000);
    assert_eq!(world.count(is_suppress), 0);
    world.deploy(job());
    world.topology(3);
    assert_eq!(world.count(is_revive), 1);
    world.offer_all();
    assert_eq!(world.count(is_suppress), 1);
}

#[test]
fn revives_are_rare_and_never_lost() {
    let mut world = World::with_job(1);
    world.offer_all();
    world.calls.clear();
    // Wants come one after the other, each with its own end of the last task.
    for _ in 0..4 {
        let task = world.task_of(0).expect("a task");
        world.update(&task, TaskState::TaskDropped, Some("REASON_INVALID_OFFERS"));
        assert_eq!(world.count(is_revive), 0, "within five seconds of the last");
        world.pass_silently(5_000);
        assert_eq!(world.count(is_revive), 1, "but as soon as they have passed");
        world.offer_all();
        world.run_all();
        world.calls.clear();
    }
}

#[test]
fn offers_that_came_all_the_same_are_declined_for_long() {
    let mut world = World::running(1);
    let effects = world.offer_all();
    let seconds = effects.calls.iter().map(|call| match call {
        Call::Decline { decline } => decline.filters.and_then(|filters| filters.refuse_seconds),
        other => panic!("{other:?}"),
    });
    assert_eq!(seconds.collect::<Vec<_>>(), [Some(120.0); 3]);
}

#[test]
fn a_want_that_appears_after_a_long_decline_revives() {
    let mut world = World::new();
    world.subscribe();
    let mut spec = job();
    let nowhere = millstream_spec::ConstraintTest::In(vec!["host-9".into()]);
    spec.placement.constraints = vec![millstream_spec::Constraint { attribute: "hostname".into(), test: nowhere }];
    world.deploy(spec);
    world.topology(3);
    world.offer_all();
    world.pass_silently(5_000);
    world.calls.clear();
    world.topology(4);
    assert_eq!(world.count(is_revive), 1);
}

#[test]
fn a_wait_for_a_nearer_place_is_declined_until_its_deadline() {
    let mut world = World::with_job(1);
    let offer = world.offer("agent-2");
    let effects = world.input(Input::Offers(vec![offer]));
    let Some(Call::Decline { decline }) = effects.calls.first() else { panic!("{:?}", effects.calls) };
    let seconds = decline.filters.and_then(|filters| filters.refuse_seconds).expect("a filter");
    assert!((1.0..=5.0).contains(&seconds), "{seconds}");
}

#[test]
fn a_deadline_is_absolute() {
    let mut world = World::with_job(1);
    for _ in 0..5 {
        let offer = world.offer("agent-2");
        world.input(Input::Offers(vec![offer]));
        assert_eq!(world.task_of(0), None);
        world.pass_silently(1_000);
    }
    let offer = world.offer("agent-2");
    world.input(Input::Offers(vec![offer]));
    assert!(world.task_of(0).is_some(), "refused offers must not move the deadline");
}
