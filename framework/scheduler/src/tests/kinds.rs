//! Ports, reservations and revocable resources, from the offer to the launch and to their loss.

use millstream_mesos_types::{Offer, Resource, TaskInfo, TaskState, scalar_sum, scheduler::Call};
use millstream_placement::ReasonKind;
use millstream_protocol::ExecutorData;
use serde_json::{Value, json};

use super::world::*;
use crate::*;

fn data(task: &TaskInfo) -> ExecutorData {
    let data = task.executor.clone().and_then(|executor| executor.data).expect("data");
    serde_json::from_slice(&data.0).expect("executor data")
}

fn named<'a>(resources: &'a [Resource], name: &str) -> Vec<&'a Resource> {
    resources.iter().filter(|resource| resource.name == name).collect()
}

fn deploy_named(world: &mut World, name: &str, change: impl Fn(&mut millstream_spec::JobSpec)) {
    let mut spec = job();
    spec.name = millstream_spec::JobName(name.into());
    spec.source.group = name.into();
    change(&mut spec);
    world.deploy(spec);
    world.input(Input::Topology { job: name.into(), topology: topology(1) });
}

#[test]
fn each_executor_gets_a_port_of_the_offer_and_its_tasks_none() {
    let mut world = World::new();
    world.subscribe();
    for name in ["one", "two"] {
        deploy_named(&mut world, name, |_| {});
    }
    let offer = world.offer("agent-1");
    let launches = World::launches(&world.input(Input::Offers(vec![offer])));
    assert_eq!(launches.iter().map(|task| data(task).metrics_port).collect::<Vec<_>>(), [Some(1), Some(2)]);
    for (task, port) in launches.iter().zip([1, 2]) {
        assert_eq!(named(&task.resources, "ports"), Vec::<&Resource>::new());
        let executor = task.executor.as_ref().expect("an executor");
        let ranges = named(&executor.resources, "ports")[0].ranges.clone().expect("ranges");
        assert_eq!(ranges.range, [millstream_mesos_types::Range { begin: port, end: port }]);
    }
}

#[test]
fn an_agent_without_ports_is_refused_unless_any_port_will_do() {
    let without_ports = |world: &mut World| {
        let mut offer = world.offer("agent-1");
        offer.resources.retain(|resource| resource.name != "ports");
        let effects = world.input(Input::Offers(vec![offer]));
        World::launches(&effects)
    };
    let mut world = World::with_job(1);
    assert_eq!(without_ports(&mut world), vec![]);
    let why = views::why(&world.state, JOB).expect("the job");
    let views::SlotState::Waiting { text, refused, .. } = &why.slots[0].state else { panic!("{why:?}") };
    assert!(text.starts_with("no port is offered for the executor's endpoint"), "{text}");
    assert_eq!(refused[&ReasonKind::Ports], 1);
    world.state.settings.executor_port = false;
    let launches = without_ports(&mut world);
    assert_eq!(data(&launches[0]).metrics_port, None);
}

#[test]
fn what_is_reserved_for_a_role_above_ours_is_used_first() {
    let mut world = World::new();
    world.state.settings.framework.role = "stream/night".into();
    world.subscribe();
    deploy_named(&mut world, JOB, |_| {});
    let mut offer = world.offer("agent-1");
    let role = millstream_mesos_types::AllocationInfo { role: "stream/night".into() };
    offer.allocation_info = Some(role.clone());
    for (name, value, reserved_for) in [("cpus", 0.2, "stream"), ("cpus", 9.0, "stream/day"), ("mem", 300.0, "stream")]
    {
        let mut resource = Resource::scalar(name, value, Some(role.clone()));
        resource.rest.insert("reservations".into(), json!([{ "type": "STATIC", "role": reserved_for }]));
        offer.resources.push(resource);
    }
    let launches = World::launches(&world.input_dying_before_calls(Input::Offers(vec![offer])));
    let cpus: Vec<_> = named(&launches[0].resources, "cpus").into_iter().map(|r| (r.is_reserved(), r.scalar)).collect();
    let scalar = |value| Some(millstream_mesos_types::Scalar { value });
    assert_eq!(cpus, [(true, scalar(0.2)), (false, scalar(0.3))]);
    assert_eq!(scalar_sum(&launches[0].resources, "mem"), 256.0);
    assert!(named(&launches[0].resources, "mem")[0].is_reserved());
}

/// An offer whose CPUs are lent, all but these.
fn lending(world: &mut World, lent: f64, firm: f64) -> Offer {
    let mut offer = world.offer("agent-1");
    let mut revocable = offer.resources[0].clone();
    revocable.scalar = Some(millstream_mesos_types::Scalar { value: lent });
    revocable.rest.insert("revocable".into(), Value::Object(Default::default()));
    offer.resources[0].scalar = Some(millstream_mesos_types::Scalar { value: firm });
    offer.resources.push(revocable);
    offer
}

fn capabilities(calls: &[Call]) -> Vec<bool> {
    let updates = calls.iter().filter_map(|call| match call {
        Call::UpdateFramework { update_framework } => Some(&update_framework.framework_info.capabilities),
        _ => None,
    });
    updates.map(|list| list.iter().any(|capability| capability.kind == "REVOCABLE_RESOURCES")).collect()
}

#[test]
fn revocable_resources_are_asked_for_only_while_a_job_allows_them() {
    let mut world = World::new();
    world.subscribe();
    deploy_named(&mut world, "firm", |_| {});
    assert_eq!(capabilities(&std::mem::take(&mut world.calls)), [false]);
    deploy_named(&mut world, "lent", |spec| spec.tasks.revocable = true);
    world.pass_silently(5_000);
    assert_eq!(capabilities(&std::mem::take(&mut world.calls)), [true]);
    world.offer_all();
    world.run_all();
    world.pass(10_000);
    assert_eq!(capabilities(&std::mem::take(&mut world.calls)), [false; 0], "both jobs run, and nothing has changed");
    world.input(Input::Stop { job: "lent".into() });
    world.deliver();
    world.pass(5_000);
    assert_eq!(capabilities(&std::mem::take(&mut world.calls)), [false], "nothing waits, and the capability goes");
    assert!(!world.state.subscribe().framework_info.capabilities.iter().any(|c| c.kind == "REVOCABLE_RESOURCES"));
}

#[test]
fn a_job_that_does_not_allow_it_uses_nothing_revocable() {
    let mut world = World::with_job(1);
    let offer = lending(&mut world, 4.0, 0.5);
    assert_eq!(World::launches(&world.input(Input::Offers(vec![offer]))), vec![]);
}

#[test]
fn task_and_executor_are_of_one_kind_and_another_kind_has_another_executor() {
    let mut world = World::new();
    world.subscribe();
    deploy_named(&mut world, JOB, |spec| spec.tasks.revocable = true);
    world.topology(7);
    let offer = lending(&mut world, 1.1, 1.2);
    let launches = World::launches(&world.input_dying_before_calls(Input::Offers(vec![offer])));
    // Two on what is lent with one executor, the third on what is firm with another.
    let kinds = launches.iter().map(|task| {
        let executor = task.executor.as_ref().expect("an executor");
        let all: Vec<_> =
            named(&task.resources, "cpus").into_iter().chain(named(&executor.resources, "cpus")).collect();
        let lent = all.iter().filter(|resource| resource.is_revocable()).count();
        assert!(lent == 0 || lent == all.len(), "mixed: {all:?}");
        (executor.executor_id.value.clone(), lent > 0)
    });
    let kinds: Vec<_> = kinds.collect();
    assert_eq!(kinds.iter().map(|(_, lent)| *lent).collect::<Vec<_>>(), [true, true, false]);
    assert!(kinds[0].0 == kinds[1].0 && kinds[1].0 != kinds[2].0);
}

#[test]
fn a_preempted_task_is_replaced_at_once_and_its_job_is_not_to_blame() {
    for failure_first in [false, true] {
        let mut world = World::new();
        world.subscribe();
        deploy_named(&mut world, JOB, |spec| spec.tasks.revocable = true);
        let offer = lending(&mut world, 1.0, 4.0);
        world.input(Input::Offers(vec![offer]));
        world.run_all();
        world.report_all();
        let task = world.task_of(0).expect("launched");
        let (agent, executor) = (world.tasks[&task].agent.clone(), world.tasks[&task].executor.clone());
        let failure = Input::Failure { agent_id: Some(agent), executor_id: Some(executor.clone()), status: Some(9) };
        if failure_first {
            world.input(failure.clone());
            assert_eq!(world.task_of(0), Some(task.clone()), "its update will say why");
        }
        let effects = world.update(&task, TaskState::TaskGone, Some("REASON_CONTAINER_PREEMPTED"));
        let ends = effects.audit.iter().filter_map(|audit| match audit {
            Audit::TaskEnded { cause, retry_in_ms, .. } => Some((*cause, *retry_in_ms)),
            _ => None,
        });
        assert_eq!(ends.collect::<Vec<_>>(), [(EndCause::Preempted, 0)]);
        if !failure_first {
            world.input(failure);
        }
        assert_eq!(world.failures(), 0);
        let launches = World::launches(&world.offer_all());
        assert_eq!(launches.len(), 1, "at once");
        assert_ne!(launches[0].executor.as_ref().expect("an executor").executor_id.value, executor);
    }
}

#[test]
fn a_revocable_executor_whose_updates_are_lost_is_missed_all_the_same() {
    let mut world = World::new();
    world.subscribe();
    deploy_named(&mut world, JOB, |spec| spec.tasks.revocable = true);
    let offer = lending(&mut world, 1.0, 4.0);
    world.input(Input::Offers(vec![offer]));
    world.run_all();
    world.report_all();
    let task = world.task_of(0).expect("launched");
    let (agent, executor) = (world.tasks[&task].agent.clone(), world.tasks[&task].executor.clone());
    world.input(Input::Failure { agent_id: Some(agent), executor_id: Some(executor), status: None });
    world.pass_silently(3_250);
    assert_eq!(world.task_of(0), None);
}
