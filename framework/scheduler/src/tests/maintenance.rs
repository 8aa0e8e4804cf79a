use millstream_mesos_types::{DurationInfo, TaskState, scheduler::Call};
use millstream_spec::{Constraint, ConstraintTest, TaskCount};

use super::world::*;
use crate::{views::FailureView, *};

fn accepts(world: &mut World) -> usize {
    world.count(|call| matches!(call, Call::AcceptInverseOffers { .. }))
}

fn declines(world: &mut World) -> usize {
    world.count(|call| matches!(call, Call::DeclineInverseOffers { .. }))
}

fn agent_of(world: &World, slot: u32) -> Option<String> {
    Some(world.tasks.get(&world.task_of(slot)?)?.agent.clone())
}

fn reasons(world: &World) -> Vec<String> {
    let reasons = world.audit.iter().filter_map(|audit| match audit {
        Audit::InverseOfferDeclined { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    reasons.collect()
}

#[test]
fn a_maintenance_far_away_is_accepted_and_left_for_just_in_time() {
    let mut world = World::running(3);
    world.plan_maintenance("agent-1", 900, 600);
    world.calls.clear();
    world.pass(295_000);
    assert_eq!(agent_of(&world, 0).as_deref(), Some("agent-1"), "nothing moves a quarter of an hour before");
    let asked = accepts(&mut world);
    assert!((4..=5).contains(&asked), "one answer a minute: {asked}");
    world.live(20);
    assert!(agent_of(&world, 0).is_some_and(|agent| agent != "agent-1"), "gone well before the start");
    assert!(world.tasks.values().all(|task| task.agent != "agent-1"));
    assert_eq!(reasons(&world), Vec::<String>::new());
    // It stays away while the maintenance lasts, and nothing is asked any more.
    world.calls.clear();
    world.live(60);
    assert_eq!(accepts(&mut world), 0);
    assert!(world.tasks.values().all(|task| task.agent != "agent-1"));
    assert_eq!(world.failures(), 0);
    assert_eq!(views::why(&world.state, JOB).expect("the job").recent_failures, vec![]);
}

#[test]
fn a_maintenance_that_is_near_is_left_for_at_once() {
    let mut world = World::running(3);
    world.plan_maintenance("agent-1", 60, 600);
    world.calls.clear();
    world.allocate_maintenance();
    assert_eq!(world.calls.iter().filter(|call| matches!(call, Call::Kill { .. })).count(), 1);
    assert_eq!(accepts(&mut world), 1);
    world.live(15);
    assert!(agent_of(&world, 0).is_some_and(|agent| agent != "agent-1"));
}

#[test]
fn too_short_a_notice_is_declined_with_the_reason_and_left_for_all_the_same() {
    let mut world = World::running(3);
    world.plan_maintenance("agent-1", 20, 600);
    world.calls.clear();
    world.allocate_maintenance();
    assert_eq!(reasons(&world), ["1 tasks may need 25 s to leave, and it begins in 20 s"]);
    assert_eq!(world.calls.iter().filter(|call| matches!(call, Call::Kill { .. })).count(), 1);
    assert_eq!((declines(&mut world), accepts(&mut world)), (1, 0));
    assert_eq!(views::overview(&world.state).maintenance.len(), 1);
}

#[test]
fn a_job_bound_to_the_host_declines_and_stays() {
    let mut world = World::new();
    world.subscribe();
    let mut spec = job();
    let only = ConstraintTest::In(vec!["host-1".into()]);
    spec.placement.constraints = vec![Constraint { attribute: "hostname".into(), test: only }];
    world.deploy(spec);
    world.topology(1);
    world.live(5);
    world.plan_maintenance("agent-1", 300, 600);
    world.live(30);
    assert_eq!(reasons(&world), ["job flights may run on this host only"]);
    assert_eq!(agent_of(&world, 0).as_deref(), Some("agent-1"));
}

#[test]
fn a_maintenance_whose_time_has_passed_counts_no_more_though_it_is_still_planned() {
    let mut world = World::running(1);
    world.plan_maintenance("agent-1", 60, 30);
    world.live(20);
    assert!(agent_of(&world, 0).is_some_and(|agent| agent != "agent-1"));
    world.live(80);
    let id = world.task_of(0).expect("a task");
    let elsewhere = world.tasks[&id].agent.clone();
    world.update(&id, TaskState::TaskLost, Some("REASON_AGENT_RESTARTED"));
    world.agents.retain(|agent, _| *agent != elsewhere);
    world.live(5);
    assert_eq!(agent_of(&world, 0).as_deref(), Some("agent-1"), "its own place is good again");
    world.calls.clear();
    world.live(120);
    assert_eq!(agent_of(&world, 0).as_deref(), Some("agent-1"));
    assert!(
        accepts(&mut world) > 0 && declines(&mut world) == 0,
        "the master asks on, and is told that nothing is in its way"
    );
}

#[test]
fn an_agent_without_tasks_of_ours_is_given_back_at_once() {
    let mut world = World::with_job(1);
    world.plan_maintenance("agent-3", 1, 600);
    let offer = world.inverse_offer("agent-3");
    let effects = world.input(Input::InverseOffers(vec![offer]));
    assert!(matches!(&effects.calls[..], [Call::AcceptInverseOffers { .. }]), "{:?}", effects.calls);
    assert_eq!(world.state.maintenance.len(), 0);
}

#[test]
fn only_some_of_an_agents_tasks_leave_at_a_time() {
    let mut world = World::new();
    world.subscribe();
    let mut spec = job();
    (spec.tasks.cpus, spec.tasks.mem_bytes, spec.tasks.count) = (0.1, 64 << 20, TaskCount::PerPartition);
    world.deploy(spec);
    world.topology(24);
    world.live(5);
    let here = |world: &World| world.tasks.values().filter(|task| task.agent == "agent-1").count();
    assert_eq!(here(&world), 8);
    world.plan_maintenance("agent-1", 120, 600);
    world.calls.clear();
    world.allocate_maintenance();
    assert_eq!(world.count(|call| matches!(call, Call::Kill { .. })), 5);
    world.live(20);
    assert_eq!(here(&world), 0);
    assert_eq!(world.tasks.len(), 24);
}

#[test]
fn repeated_inverse_offers_change_nothing() {
    let mut world = World::running(1);
    world.plan_maintenance("agent-1", 3_600, 600);
    for _ in 0..3 {
        let offer = world.inverse_offer("agent-1");
        let effects = world.input(Input::InverseOffers(vec![offer]));
        assert!(matches!(&effects.calls[..], [Call::AcceptInverseOffers { .. }]));
        assert_eq!(effects.records.len(), 0);
    }
    let told = world.audit.iter().filter(|audit| matches!(audit, Audit::InverseOfferAccepted { .. }));
    assert_eq!(told.count(), 1);
}

#[test]
fn tasks_not_yet_asked_to_leave_stay_when_it_is_rescinded_cancelled_or_offered_again() {
    for how in 0..3 {
        let mut world = World::running(1);
        world.plan_maintenance("agent-1", 700, 600);
        world.allocate_maintenance();
        let id = world.state.maintenance.len();
        assert_eq!(id, 1);
        let mut agent = std::mem::take(&mut world.agents.get_mut("agent-1").expect("an agent").maintenance);
        match how {
            0 => {
                let offer = agent.take().map(|_| format!("inverse-{}", world.last_number()));
                world.input(Input::RescindInverseOffer { offer_id: offer.expect("an id") });
            }
            1 => {
                let offer = world.offer("agent-1");
                world.input(Input::Offers(vec![offer]));
            }
            // It just does not come again.
            _ => world.pass(90_000),
        }
        assert_eq!(world.state.maintenance.len(), 0, "{how}");
        world.pass(700_000);
        assert_eq!(agent_of(&world, 0).as_deref(), Some("agent-1"), "{how}");
    }
}

#[test]
fn another_start_counts_from_then_on() {
    let mut world = World::running(1);
    world.plan_maintenance("agent-1", 3_600, 600);
    world.allocate_maintenance();
    world.plan_maintenance("agent-1", 120, 600);
    world.live(20);
    assert!(agent_of(&world, 0).is_some_and(|agent| agent != "agent-1"));
}

#[test]
fn after_a_restart_the_master_says_it_again() {
    let mut world = World::running(1);
    world.plan_maintenance("agent-1", 900, 600);
    world.allocate_maintenance();
    world.restart();
    assert_eq!(world.state.maintenance.len(), 0);
    world.subscribe();
    world.topology(1);
    world.pass(295_000);
    world.live(20);
    assert!(agent_of(&world, 0).is_some_and(|agent| agent != "agent-1"));
}

#[test]
fn an_agent_that_an_operator_drains_is_left_at_once_and_nobody_is_to_blame() {
    for mark_gone in [false, true] {
        let mut world = World::running(3);
        world.drain_agent("agent-1", mark_gone);
        world.deliver();
        assert_eq!(world.task_of(0), None);
        world.live(10);
        assert!(agent_of(&world, 0).is_some_and(|agent| agent != "agent-1"), "{mark_gone}");
        assert_eq!(world.failures(), 0);
        let failures = views::why(&world.state, JOB).expect("the job").recent_ends;
        let causes: Vec<_> = failures.iter().map(|FailureView { cause, .. }| cause.as_str()).collect();
        assert_eq!(causes, ["agent_draining"], "{mark_gone}");
        assert_eq!(world.state.store.tasks().len(), 3, "nothing is left of the old one, {mark_gone}");
    }
}

#[test]
fn a_task_that_is_being_killed_by_a_draining_agent_keeps_its_slot_until_it_has_committed() {
    let mut world = World::running(1);
    let task = world.task_of(0).expect("a task");
    world.update(&task, TaskState::TaskKilling, Some("REASON_AGENT_DRAINING"));
    assert_eq!(world.task_of(0), Some(task.clone()));
    world.update(&task, TaskState::TaskKilled, Some("REASON_AGENT_DRAINING"));
    assert_eq!(world.task_of(0), None);
}

#[test]
fn what_an_operator_has_declared_gone_is_given_up_for_good() {
    let mut world = World::running(1);
    let task = world.task_of(0).expect("a task");
    world.queue.clear();
    world.update(&task, TaskState::TaskGoneByOperator, None);
    assert_eq!(world.task_of(0), None);
    assert!(world.state.store.task(&task).is_some(), "condemned: killed if it lives");
    world.queue.clear();
    world.update(&task, TaskState::TaskGoneByOperator, Some("REASON_RECONCILIATION"));
    assert!(world.state.store.task(&task).is_none());
    // The operator was wrong.
    let effects = world.update(&task, TaskState::TaskRunning, None);
    assert_eq!(World::kills(&effects), [task]);
}

#[test]
fn a_maintenance_without_an_end_is_avoided_too() {
    let mut world = World::running(1);
    world.plan_maintenance("agent-1", 60, 600);
    let maintenance = &mut world.agents.get_mut("agent-1").expect("an agent").maintenance;
    maintenance.as_mut().expect("planned").0.duration = None::<DurationInfo>;
    world.live(100);
    assert!(agent_of(&world, 0).is_some_and(|agent| agent != "agent-1"));
}
