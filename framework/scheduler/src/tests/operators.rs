//! What an operator does on purpose is no failure, and has its name.

use millstream_mesos_types::{Base64, TaskState};
use millstream_protocol::{AskedBy, EndData, VERSION};

use super::world::*;
use crate::{views::SlotState, *};

/// The task's executor leaves because somebody asked it to.
fn asked(world: &mut World, task: &str, asked_by: AskedBy) -> Effects {
    let mut status = world.status(task, TaskState::TaskKilled, None);
    status.data = Some(Base64(serde_json::to_vec(&EndData { version: VERSION, asked_by }).expect("JSON")));
    world.set_state(task, TaskState::TaskKilled);
    world.input(Input::Update(status))
}

fn ends(effects: &Effects) -> Vec<(EndCause, u64)> {
    let ends = effects.audit.iter().filter_map(|audit| match audit {
        Audit::TaskEnded { cause, retry_in_ms, .. } => Some((*cause, *retry_in_ms)),
        _ => None,
    });
    ends.collect()
}

#[test]
fn sigterm_is_no_failure_however_often_it_comes() {
    let mut world = World::running(1);
    for _ in 0..10 {
        world.pass(20_000);
        let task = world.task_of(0).expect("a task");
        let effects = asked(&mut world, &task, AskedBy::Signal);
        assert_eq!(ends(&effects), [(EndCause::Terminated, 0)], "a task that ran for a while starts again at once");
        world.offer_all();
        assert!(world.task_of(0).is_some(), "on the same agent too");
        world.run_all();
    }
    assert_eq!(world.failures(), 0);
    let why = views::why(&world.state, JOB).expect("the job");
    assert_eq!((why.recent_failures.len(), why.backoff), (0, None));
    assert_eq!(why.recent_ends.len(), 10);
    assert_eq!(why.recent_ends[0].cause, "terminated");
}

#[test]
fn a_loop_of_sigterms_launches_at_most_every_ten_seconds_and_says_so() {
    let mut world = World::running(1);
    let (mut launches, mut said) = (0, false);
    for _ in 0..60 {
        launches += World::launches(&world.offer_all()).len();
        if let Some(task) = world.task_of(0) {
            world.run_all();
            asked(&mut world, &task, AskedBy::Signal);
        }
        world.pass_silently(1_000);
        if world.task_of(0).is_none() && launches == 2 {
            let why = views::why(&world.state, JOB).expect("the job");
            let SlotState::Waiting { text, backoff_in_ms, .. } = &why.slots[0].state else { panic!("{why:?}") };
            if *backoff_in_ms > 0 {
                said = true;
                assert!(text.contains("no failure") && text.contains("at most every 10 s"), "{text}");
                assert!(*backoff_in_ms <= 10_000);
            }
        }
    }
    assert!(said && (5..=7).contains(&launches), "{launches} launches in a minute");
    assert_eq!(world.failures(), 0);
}

#[test]
fn the_acts_of_an_operator_have_their_names() {
    let draining = Some("REASON_AGENT_DRAINING");
    let mut world = World::running(1);
    let task = world.task_of(0).expect("a task");
    assert_eq!(ends(&world.update(&task, TaskState::TaskKilled, draining)), [(EndCause::AgentDraining, 0)]);
    let mut world = World::running(1);
    let task = world.task_of(0).expect("a task");
    assert_eq!(ends(&asked(&mut world, &task, AskedBy::Agent)), [(EndCause::AgentShutdown, 0)]);
    let mut world = World::running(1);
    let task = world.task_of(0).expect("a task");
    // Before it could take the signal.
    assert_eq!(ends(&world.crash(&task, 15)).first().map(|end| end.0), Some(EndCause::Terminated));
    let mut world = World::running(1);
    world.input(Input::Stop { job: JOB.into() });
    let task = world.task_of(0).expect("a task");
    assert_eq!(ends(&asked(&mut world, &task, AskedBy::Signal)), [(EndCause::Drained, 0)]);
    assert_eq!(world.failures(), 0);
}

#[test]
fn kill_9_and_an_end_nobody_asked_for_are_failures_still() {
    let mut world = World::running(1);
    let task = world.task_of(0).expect("a task");
    assert_eq!(ends(&world.crash(&task, 9)).first().map(|end| end.0), Some(EndCause::ExecutorLost));
    assert_eq!(world.failures(), 1);
    let why = views::why(&world.state, JOB).expect("the job");
    assert!(why.recent_failures[0].message.contains("signal 9"), "{why:?}");
    let mut world = World::running(1);
    let task = world.task_of(0).expect("a task");
    assert_eq!(ends(&world.update(&task, TaskState::TaskKilled, None)), [(EndCause::Unexpected, 1_000)]);
}

#[test]
fn no_task_is_launched_into_an_executor_that_leaves() {
    let mut spec = job();
    spec.tasks.count = millstream_spec::TaskCount::PerPartition;
    let mut world = World::new();
    world.agents.retain(|agent, _| agent == "agent-1");
    world.subscribe();
    world.deploy(spec);
    world.topology(2);
    world.pass(6_000);
    world.offer_all();
    world.run_all();
    world.pass(20_000);
    let (first, second) = (world.task_of(0).expect("a task"), world.task_of(1).expect("a task"));
    let leaving = world.tasks[&first].executor.clone();
    assert_eq!(world.tasks[&second].executor, leaving);
    asked(&mut world, &first, AskedBy::Signal);
    world.offer_all();
    let again = world.task_of(0).expect("launched");
    assert_ne!(world.tasks[&again].executor, leaving);
}
