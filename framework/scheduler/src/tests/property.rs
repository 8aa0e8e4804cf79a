//! Random inputs, with a crash and restart between any two steps. The world checks the invariants at every step; at the
//! end everything heals, and every partition must be running again.

use millstream_mesos_types::TaskState;
use proptest::prelude::*;

use super::world::*;
use crate::*;

#[derive(Debug, Clone)]
enum Action {
    Pass(u64),
    Stall,
    Offer(usize),
    OfferAll,
    /// The ACCEPTs of this step are lost.
    OfferLost,
    Deliver,
    DeliverOne,
    /// The master's next event is lost with the connection.
    Update(usize, TaskState, Option<&'static str>),
    Report(usize),
    ExecutorFails(usize),
    AgentFails(usize),
    Disconnect,
    Subscribe,
    Restart,
    Deploy(u8),
    Stop,
    PlanMaintenance(usize, u64),
    CancelMaintenance(usize),
    DrainAgent(usize, bool),
    ReactivateAgent(usize),
    Delete,
    Grow(i32),
}

fn action() -> impl Strategy<Value = Action> {
    use TaskState::*;
    let state = prop::sample::select(vec![
        (TaskStarting, None),
        (TaskRunning, None),
        (TaskRunning, None),
        (TaskFinished, None),
        (TaskFailed, None),
        (TaskFailed, Some("REASON_EXECUTOR_TERMINATED")),
        (TaskKilled, None),
        (TaskKilling, Some("REASON_AGENT_DRAINING")),
        (TaskKilled, Some("REASON_AGENT_DRAINING")),
        (TaskGone, Some("REASON_RECONCILIATION")),
        (TaskError, Some("REASON_INVALID_OFFERS")),
        (TaskError, Some("REASON_TASK_INVALID")),
        (TaskDropped, None),
        (TaskLost, None),
        (TaskUnreachable, None),
        (TaskGone, None),
        (TaskGone, Some("REASON_CONTAINER_PREEMPTED")),
        (TaskGoneByOperator, None),
        (TaskUnknown, None),
    ]);
    prop_oneof![
        4 => (1u64..40).prop_map(|ticks| Action::Pass(ticks * TICK_MS)),
        1 => Just(Action::Stall),
        3 => (0usize..3).prop_map(Action::Offer),
        3 => Just(Action::OfferAll),
        1 => Just(Action::OfferLost),
        3 => Just(Action::Deliver),
        2 => Just(Action::DeliverOne),
        6 => (0usize..12, state).prop_map(|(task, (state, reason))| Action::Update(task, state, reason)),
        3 => (0usize..12).prop_map(Action::Report),
        1 => (0usize..12).prop_map(Action::ExecutorFails),
        1 => (0usize..3).prop_map(Action::AgentFails),
        1 => Just(Action::Disconnect),
        2 => Just(Action::Subscribe),
        2 => Just(Action::Restart),
        3 => (0u8..9).prop_map(Action::Deploy),
        1 => Just(Action::Stop),
        1 => Just(Action::Delete),
        2 => (0usize..3, 0u64..1_200).prop_map(|(agent, secs)| Action::PlanMaintenance(agent, secs)),
        1 => (0usize..3).prop_map(Action::CancelMaintenance),
        1 => (0usize..3, any::<bool>()).prop_map(|(agent, gone)| Action::DrainAgent(agent, gone)),
        1 => (0usize..3).prop_map(Action::ReactivateAgent),
        1 => (1i32..9).prop_map(Action::Grow),
    ]
}

fn spec(variant: u8) -> millstream_spec::JobSpec {
    let mut spec = job();
    match variant {
        0 => {}
        1 => spec.tasks.mem_bytes *= 2,
        2 => spec = job_that("better"),
        3 => spec = job_that(FAILS),
        4 => spec = job_that(STOPS),
        5 => spec = job_that(STALLS),
        6 | 7 => spec.tasks.volume_bytes = Some(u64::from(variant) << 20),
        _ => spec.tasks.count = millstream_spec::TaskCount::Fixed(2),
    }
    spec
}

fn agent_of(world: &mut World, number: usize) -> &mut Agent {
    world.agents.get_mut(&format!("agent-{}", number + 1)).expect("a known agent")
}

fn apply(world: &mut World, action: Action) {
    let nth = |world: &World, n: usize| {
        let ids: Vec<_> = world.tasks.keys().cloned().collect();
        (!ids.is_empty()).then(|| ids[n % ids.len()].clone())
    };
    // Only a subscribed scheduler hears of the master.
    let subscribed = world.state.is_subscribed();
    match action {
        Action::Pass(ms) if subscribed => world.pass(ms),
        Action::Pass(ms) => world.pass_silently(ms),
        Action::Stall => {
            world.now.mono_ms += 7_000;
            world.now.wall_ms += 7_000;
            world.input(Input::Tick);
        }
        Action::Disconnect => {
            world.queue.retain(|input| matches!(input, Input::Update(status) if status.uuid.is_some()));
            world.input(Input::Disconnected);
        }
        Action::Subscribe => drop(world.subscribe()),
        Action::Restart => world.restart(),
        Action::Deploy(variant) => drop(world.deploy(spec(variant))),
        Action::Stop => drop(world.input(Input::Stop { job: JOB.into() })),
        Action::PlanMaintenance(agent, secs) => world.plan_maintenance(&format!("agent-{}", agent + 1), secs, 600),
        Action::CancelMaintenance(agent) => agent_of(world, agent).maintenance = None,
        Action::ReactivateAgent(agent) => agent_of(world, agent).draining = false,
        Action::Delete => drop(world.input(Input::Delete { job: JOB.into() })),
        Action::Grow(partitions) => {
            let known = world.state.topologies.get(JOB).map_or(0, |topology| topology.partitions.len() as i32);
            world.topology(partitions.max(known));
        }
        _ if !subscribed => {}
        Action::DrainAgent(agent, mark_gone) => world.drain_agent(&format!("agent-{}", agent + 1), mark_gone),
        Action::Offer(agent) if agent_of(world, agent).draining => {}
        Action::Offer(agent) => {
            let offer = world.offer(&format!("agent-{}", agent + 1));
            world.input(Input::Offers(vec![offer]));
        }
        Action::OfferAll => drop(world.offer_all()),
        Action::OfferLost if agent_of(world, 0).draining => {}
        Action::OfferLost => {
            let offer = world.offer("agent-1");
            world.input_dying_before_calls(Input::Offers(vec![offer]));
        }
        Action::Deliver => world.deliver(),
        Action::DeliverOne => {
            if let Some(input) = world.queue.pop_front() {
                world.input(input);
            }
        }
        Action::Update(n, state, reason) => {
            if let Some(task) = nth(world, n) {
                world.update(&task, state, reason);
            }
        }
        Action::Report(n) => {
            if let Some(task) = nth(world, n) {
                let executor = world.tasks[&task].executor.clone();
                world.report(&executor);
            }
        }
        Action::ExecutorFails(n) => {
            if let Some(task) = nth(world, n) {
                let executor = world.tasks[&task].executor.clone();
                let agent_id = Some(world.tasks[&task].agent.clone());
                world.input(Input::Failure { agent_id, executor_id: Some(executor), status: Some(9) });
            }
        }
        Action::AgentFails(agent) => {
            let agent_id = Some(format!("agent-{}", agent + 1));
            world.input(Input::Failure { agent_id, executor_id: None, status: None });
        }
    }
}

/// Longer than the longest back-off, in a world where everything works.
fn heal(world: &mut World) {
    for agent in world.agents.values_mut() {
        (agent.draining, agent.maintenance) = (false, None);
    }
    world.subscribe();
    world.deploy(job());
    world.topology(8);
    settle(world, 1);
    world.topology(8);
    settle(world, 66);
}

/// That many times five seconds.
fn settle(world: &mut World, times: usize) {
    for _ in 0..times {
        world.deliver();
        world.run_all();
        world.pass(5_000);
        world.offer_all();
    }
    world.deliver();
    world.run_all();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_and_the_world_heals(actions in prop::collection::vec(action(), 1..80)) {
        let mut world = World::with_job(4);
        world.agents.values_mut().for_each(|agent| agent.disk = 1_000.0);
        for action in actions {
            apply(&mut world, action);
        }
        heal(&mut world);
        let view = views::job(&world.state, JOB).expect("the job");
        prop_assert_eq!((view.slots, view.running), (8, 8), "{:?}", views::why(&world.state, JOB));
        // Nothing runs that the store does not want, and nothing is forgotten.
        prop_assert_eq!(world.tasks.len(), 8);
        prop_assert_eq!(world.state.store.tasks().len(), 8);
        // The last version deployed has gone over everything.
        prop_assert_eq!(view.rollout, None);
        prop_assert!(world.tasks.values().all(|task| task.told.job == job()));
        // No volume is left of versions that wanted some.
        prop_assert!(world.agents.values().all(|agent| (agent.disk, agent.reserved.len()) == (1_000.0, 0)));
        prop_assert!(world.state.store.volumes().is_empty());
    }
}
