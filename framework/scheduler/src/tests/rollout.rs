use millstream_mesos_types::TaskState;
use millstream_spec::{JobSpec, TaskCount};

use super::world::*;
use crate::{
    records::JobPhase,
    views::{RolloutState, RolloutView},
    *,
};

fn view(world: &World) -> Option<RolloutView> {
    views::job(&world.state, JOB).expect("the job").rollout
}

fn state(world: &World) -> Option<RolloutState> {
    view(world).map(|view| view.state)
}

/// Generation and SQL each task was told, by slot.
fn told(world: &World) -> Vec<(u64, String)> {
    let slots = world.state.store.slots_of(JOB).map(|(_, slot)| slot.task.clone());
    let told = slots.map(|task| match task.and_then(|task| world.tasks.get(&task)) {
        Some(task) => (task.told.generation, task.told.job.transform.sql.clone()),
        None => (0, String::new()),
    });
    told.collect()
}

fn sql(spec: &JobSpec) -> String {
    spec.transform.sql.clone()
}

fn all_run(world: &World, generation: u64, spec: &JobSpec, slots: usize) {
    assert_eq!(told(world), vec![(generation, sql(spec)); slots]);
    let view = views::job(&world.state, JOB).expect("the job");
    assert_eq!((view.phase, view.running, view.generation), (JobPhase::Running, slots, generation));
}

fn reason(world: &World) -> String {
    view(world).and_then(|view| view.reason).expect("a reason")
}

#[test]
fn a_good_version_replaces_the_one_before_task_by_task() {
    let mut world = World::running(3);
    let better = job_that("better");
    let effects = world.deploy(better.clone());
    assert_eq!(effects.reply, Some(Reply::Updating { generation: 2, rolling: true, tasks: 3 }));
    assert_eq!(World::kills(&effects).len(), 1, "one drains");
    let mut most_away = 0;
    for _ in 0..120 {
        world.live(1);
        let running = world.tasks.values().filter(|task| task.state == TaskState::TaskRunning).count();
        most_away = most_away.max(3 - running.min(3));
    }
    assert_eq!(most_away, 1, "never more than one is away");
    all_run(&world, 2, &better, 3);
    assert_eq!(view(&world), None);
    let steps = world.audit.iter().filter(|audit| matches!(audit, Audit::RolloutStep { .. })).count();
    assert_eq!(steps, 3);
    assert!(world.audit.iter().any(|audit| matches!(audit, Audit::RolloutDone { generation: 2, .. })));
    assert_eq!(world.failures(), 0);
}

#[test]
fn the_next_task_changes_only_when_the_one_before_is_well() {
    let mut world = World::running(3);
    world.deploy(job_that("better"));
    world.live(3);
    let view = view(&world).expect("under way");
    assert_eq!((view.state, view.from, view.to, view.total), (RolloutState::Rolling, 1, 2, 3));
    let old = told(&world).iter().filter(|(generation, _)| *generation == 1).count();
    assert_eq!(old, 2, "the first is not well for long enough");
}

#[test]
fn a_version_that_stops_at_a_record_is_taken_back_and_the_others_never_notice() {
    let mut world = World::running(3);
    let untouched: Vec<_> = (1..3).map(|slot| world.task_of(slot)).collect();
    world.deploy(job_that(STOPS));
    world.live(30);
    assert_eq!((1..3).map(|slot| world.task_of(slot)).collect::<Vec<_>>(), untouched);
    // Its blocks of generation 1 were sealed by 2.
    assert_eq!(told(&world), [(3, sql(&job())), (1, sql(&job())), (1, sql(&job()))]);
    assert_eq!(state(&world), Some(RolloutState::RolledBack));
    assert_eq!(reason(&world), "partition 0 stopped: bad record");
    let job_view = views::job(&world.state, JOB).expect("the job");
    assert!(job_view.summary.contains("taken back: partition 0 stopped"), "{}", job_view.summary);
    assert!(world.audit.iter().any(|audit| matches!(audit, Audit::RolledBack { from: 2, to: 3, .. })));

    // Deployed again, the text that runs takes the reason off; another good version goes over all of them.
    assert_eq!(world.deploy(job()).reply, Some(Reply::Unchanged));
    assert_eq!(view(&world), None);
    let better = job_that("better");
    world.deploy(better.clone());
    world.live(60);
    all_run(&world, 4, &better, 3);
}

#[test]
fn a_version_that_fails_is_taken_back_after_three_tries() {
    let mut world = World::running(3);
    world.deploy(job_that(FAILS));
    world.live(60);
    let failed = world.audit.iter().filter(|audit| matches!(audit, Audit::TaskEnded { cause: EndCause::Failed, .. }));
    assert_eq!(failed.count(), 3);
    assert_eq!(state(&world), Some(RolloutState::RolledBack));
    assert_eq!(reason(&world), "task 0 does not run: as it happens (failed)");
    assert_eq!(views::job(&world.state, JOB).expect("the job").running, 3);
    assert_eq!(world.failures(), 0, "what is good starts at once");
}

#[test]
fn what_mends_a_job_that_crashes_does_not_wait_for_its_back_off() {
    let mut world = World::new();
    world.subscribe();
    world.deploy(job_that(FAILS));
    world.topology(4);
    // Long enough for a pause of minutes.
    world.live(600);
    assert!(world.failures() > 6);
    world.deploy(job());
    world.live(60);
    let view = views::job(&world.state, JOB).expect("the job");
    assert_eq!((view.running, view.rollout), (4, None));
}

#[test]
fn a_version_that_never_gets_well_is_taken_back() {
    let mut world = World::running(2);
    world.deploy(job_that(STALLS));
    world.live(100);
    assert_eq!(state(&world), Some(RolloutState::Rolling), "it may recover");
    world.live(60);
    assert_eq!(state(&world), Some(RolloutState::RolledBack));
    assert_eq!(reason(&world), "task 0 was not well in 120 s, partition 0: Cassandra: no host");
}

#[test]
fn a_version_that_fits_nowhere_is_taken_back() {
    let mut world = World::running(2);
    let mut spec = job();
    spec.tasks.cpus = 64.0;
    assert_eq!(world.deploy(spec).reply, Some(Reply::Updating { generation: 1, rolling: true, tasks: 2 }));
    world.live(60);
    assert_eq!(state(&world), Some(RolloutState::RolledBack));
    assert!(reason(&world).starts_with("task 0 found no place in 35 s: needs 64.1 cpus"), "{}", reason(&world));
    all_run(&world, 1, &job(), 2);
}

#[test]
fn more_memory_restarts_tasks_in_new_executors_of_the_same_generation() {
    let mut world = World::running(2);
    let mut spec = job();
    spec.tasks.mem_bytes *= 2;
    world.deploy(spec.clone());
    world.live(30);
    all_run(&world, 1, &spec, 2);
    for task in world.tasks.values() {
        assert_eq!(task.told.job, spec, "no task of the new version is in an executor of the old one");
        assert_eq!(task.mem, 512.0);
    }
}

#[test]
fn a_task_that_is_lost_before_its_turn_comes_back_as_it_was() {
    let mut world = World::running(3);
    world.deploy(job_that(STALLS));
    world.live(3);
    let task = world.task_of(2).expect("a task");
    world.update(&task, TaskState::TaskDropped, None);
    world.live(20);
    assert_eq!(told(&world)[2], (1, sql(&job())));
}

#[test]
fn another_task_count_restarts_all_and_is_taken_back_when_it_fails() {
    let mut world = World::running(4);
    let mut spec = job_that(STOPS);
    spec.tasks.count = TaskCount::Fixed(2);
    assert_eq!(world.deploy(spec).reply, Some(Reply::Updating { generation: 2, rolling: false, tasks: 4 }));
    assert_eq!(state(&world), Some(RolloutState::Restarting));
    world.deliver();
    world.topology(4);
    world.live(1);
    assert_eq!(world.state.store.slots().len(), 2);
    for _ in 0..5 {
        world.live(2);
        world.topology(4);
    }
    world.live(10);
    assert_eq!(state(&world), Some(RolloutState::RolledBack));
    all_run(&world, 3, &job(), 4);
}

#[test]
fn a_restart_that_is_well_is_kept() {
    let mut world = World::running(4);
    let mut spec = job_that("better");
    spec.tasks.count = TaskCount::Fixed(2);
    world.deploy(spec.clone());
    world.deliver();
    world.topology(4);
    world.live(20);
    assert_eq!(view(&world), None);
    all_run(&world, 2, &spec, 2);
}

#[test]
fn where_nothing_runs_there_is_nothing_to_keep() {
    let mut world = World::new();
    world.subscribe();
    world.deploy(job_that(FAILS));
    world.topology(3);
    world.live(30);
    let effects = world.deploy(job());
    assert_eq!(effects.reply, Some(Reply::Updating { generation: 2, rolling: false, tasks: 0 }));
    world.topology(3);
    world.live(10);
    all_run(&world, 2, &job(), 3);
}

#[test]
fn a_further_deploy_replaces_the_target_and_the_good_version_stays_the_good_one() {
    let mut world = World::running(3);
    world.deploy(job_that("better"));
    world.live(12);
    assert!(told(&world).iter().any(|(generation, _)| *generation == 2));
    world.deploy(job_that(STOPS));
    world.live(30);
    assert_eq!(state(&world), Some(RolloutState::RolledBack));
    let told = told(&world);
    assert!(told.iter().all(|(_, text)| *text == sql(&job())), "{told:?}");
    assert_eq!(views::job_toml(&world.state, JOB), Some(serde_json::to_string(&job()).expect("json")));
}

#[test]
fn a_further_deploy_while_nothing_runs_starts_all_anew_and_still_goes_back() {
    let mut world = World::running(1);
    world.deploy(job_that(FAILS));
    world.live(2);
    let reply = world.deploy(job_that(STOPS)).reply;
    assert!(matches!(reply, Some(Reply::Updating { generation: 3, rolling: false, .. })), "{reply:?}");
    world.live(20);
    assert_eq!(state(&world), Some(RolloutState::RolledBack));
    all_run(&world, 4, &job(), 1);
}

#[test]
fn partitions_added_during_a_change_wait_for_their_turn() {
    let mut world = World::running(2);
    world.deploy(job_that(STALLS));
    world.live(2);
    world.topology(3);
    world.live(5);
    assert_eq!(told(&world)[2], (1, sql(&job())));
}

#[test]
fn deploying_what_ran_before_takes_the_change_back() {
    let mut world = World::running(3);
    world.deploy(job_that(STALLS));
    world.live(3);
    let effects = world.deploy(job());
    assert_eq!(effects.reply, Some(Reply::Updating { generation: 3, rolling: true, tasks: 1 }));
    world.live(10);
    assert_eq!(view(&world), None, "nothing has failed");
    assert_eq!(told(&world), [(3, sql(&job())), (1, sql(&job())), (1, sql(&job()))]);
}

#[test]
fn a_partition_that_stood_still_before_is_not_held_against_the_new_version() {
    let mut world = World::new();
    world.subscribe();
    world.deploy(job_that(STOPS));
    world.topology(2);
    world.live(5);
    let mut spec = job_that(STOPS);
    spec.tasks.mem_bytes *= 2;
    world.deploy(spec.clone());
    world.live(40);
    assert_eq!(view(&world), None);
    all_run(&world, 1, &spec, 2);
}

#[test]
fn stop_in_the_middle_of_a_change_drains_everything() {
    let mut world = World::running(3);
    world.deploy(job_that("better"));
    world.live(12);
    world.input(Input::Stop { job: JOB.into() });
    world.live(5);
    assert_eq!(world.tasks.len(), 0);
    let view = views::job(&world.state, JOB).expect("the job");
    assert_eq!((view.phase, view.rollout), (JobPhase::Stopped, None));
}

#[test]
fn a_change_goes_on_from_the_records_wherever_the_scheduler_dies() {
    for (target, deaths_at) in
        [("better", (0..40).step_by(4)), (STOPS, (0..15).step_by(3)), (FAILS, (0..15).step_by(3))]
    {
        for at in deaths_at {
            let mut world = World::running(3);
            world.deploy(job_that(target));
            world.live(at);
            world.restart();
            world.subscribe();
            world.topology(3);
            world.live(60);
            let told = told(&world);
            let expected = if target == "better" { job_that("better") } else { job() };
            assert!(told.iter().all(|(_, text)| *text == sql(&expected)), "{target}, dies after {at} s: {told:?}");
            assert_eq!(world.tasks.len(), 3, "{target}, dies after {at} s");
            let done = if target == "better" { None } else { Some(RolloutState::RolledBack) };
            assert_eq!(state(&world), done, "{target}, dies after {at} s");
        }
    }
}

#[test]
fn after_the_first_a_tenth_of_the_tasks_changes_at_once() {
    let mut world = World::running(20);
    let mut spec = job();
    spec.placement.max_wait_ms = 0;
    world.deploy(spec);
    let mut most_away = 0;
    for _ in 0..200 {
        world.live(1);
        most_away =
            most_away.max(20 - world.tasks.values().filter(|t| t.state == TaskState::TaskRunning).count().min(20));
    }
    assert_eq!(view(&world), None);
    assert_eq!(most_away, 2);
}

#[test]
fn a_plan_says_what_a_deploy_does() {
    let world = World::running(3);
    let toml = |spec: &JobSpec| serde_json::to_string(spec).expect("json");
    let says = |spec: &JobSpec, toml: &str| change(&world.state, spec, toml);
    let (same, better) = (job(), job_that("better"));
    let (mut bigger, mut fewer, mut other) = (job(), job(), job());
    bigger.tasks.mem_bytes *= 2;
    fewer.tasks.count = TaskCount::Fixed(1);
    other.name.0 = "other".into();
    assert_eq!(says(&same, &toml(&same)), Change::Nothing);
    assert_eq!(says(&same, "# a comment"), Change::TextOnly);
    assert_eq!(says(&bigger, &toml(&bigger)), Change::Roll { generation: 1, tasks: 3 });
    assert_eq!(says(&better, &toml(&better)), Change::Roll { generation: 2, tasks: 3 });
    assert_eq!(says(&fewer, &toml(&fewer)), Change::Restart { generation: 1, tasks: 3 });
    assert_eq!(says(&other, &toml(&other)), Change::Start { generation: 1 });
}
