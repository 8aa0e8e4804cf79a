use millstream_mesos_types::TaskState;

use super::world::{Agent, JOB, STOPS, World, job as job_spec, job_that};
use crate::{views::*, *};

#[test]
fn a_running_job_shows_where_it_is_and_how_far() {
    let world = World::running(3);
    let job = job(&world.state, JOB).expect("the job");
    assert_eq!((job.slots, job.running, job.launching, job.waiting), (3, 3, 0, 0));
    assert_eq!((job.lag_records, job.lag_ms, job.rows), (Some(15), Some(40), 21));
    assert_eq!(job.summary, "running");
    let lag = lag(&world.state, JOB).expect("the job");
    assert_eq!((lag.total_records, lag.max_ms, lag.unknown), (15, 40, 0));
    let locality = locality(&world.state);
    assert_eq!(locality.tasks_by_source_tier[&millstream_placement::Tier::Host], 3);
    assert_eq!(locality.bytes_in_by_tier[&millstream_placement::Tier::Host], 3_000);
    assert_eq!(scrape_targets(&world.state).len(), 3);
    assert_eq!(overview(&world.state).tasks["running"], 3);
}

#[test]
fn an_unknown_lag_is_never_a_made_up_zero() {
    let mut world = World::with_job(2);
    world.offer_all();
    let lag = lag(&world.state, JOB).expect("the job");
    assert_eq!((lag.unknown, lag.partitions[0].records), (2, None));
    assert_eq!(job(&world.state, JOB).expect("the job").lag_records, None);
}

#[test]
fn why_names_the_wait_in_words_and_times_of_the_wall() {
    let mut world = World::with_job(1);
    let offer = world.offer("agent-2");
    world.input(Input::Offers(vec![offer]));
    let why = why(&world.state, JOB).expect("the job");
    let SlotState::Waiting { reason, text, deadline_in_ms, .. } = &why.slots[0].state else { panic!("{why:?}") };
    assert!(text.starts_with("waits for a place nearer to the data"), "{text}");
    assert_eq!(*deadline_in_ms, 5_000);
    let millstream_placement::Reason::Locality { until_ms } = reason else { panic!("{reason:?}") };
    assert!((world.now.wall_ms..=world.now.wall_ms + 5_000).contains(until_ms));
    let text = serde_json::to_string(&why).expect("json");
    assert_eq!(serde_json::from_str::<WhyView>(&text).expect("both ways"), why);
}

#[test]
fn a_job_without_topology_says_so() {
    let mut world = World::new();
    world.subscribe();
    world.deploy(job_spec());
    assert_eq!(job(&world.state, JOB).expect("the job").summary, "waits for its topic's metadata");
    assert!(why(&world.state, JOB).expect("the job").note.is_some());
}

#[test]
fn the_framework_info_keeps_tasks_over_a_long_weekend() {
    let info = framework_info(&FrameworkSettings {
        name: "millstream".into(),
        user: "root".into(),
        role: "stream".into(),
        principal: None,
        hostname: None,
        webui_url: None,
        failover_timeout_secs: 0.0,
    });
    assert_eq!((info.failover_timeout, info.checkpoint), (604_800.0, true));
    let kinds: Vec<_> = info.capabilities.iter().map(|capability| capability.kind.as_str()).collect();
    assert!(kinds.contains(&"MULTI_ROLE") && kinds.contains(&"PARTITION_AWARE") && !kinds.contains(&"GPU_RESOURCES"));
}

#[test]
fn why_names_the_partitions_that_need_a_person() {
    let mut world = World::new();
    world.subscribe();
    world.deploy(job_that(STOPS));
    world.topology(2);
    world.live(3);
    let stopped = why(&world.state, JOB).expect("the job").stopped_partitions;
    let told: Vec<_> = stopped.iter().map(|stopped| (stopped.partition, stopped.reason.as_str())).collect();
    assert_eq!(told, [(0, "bad record"), (1, "bad record")]);
    assert_eq!(Some(&stopped[1].task), world.task_of(1).as_ref());
}

#[test]
fn what_can_never_fit_is_not_told_to_take_any_place_soon() {
    let mut world = World::new();
    world.subscribe();
    let mut spec = job_spec();
    spec.tasks.cpus = 64.0;
    world.deploy(spec);
    world.topology(1);
    world.offer_all();
    let why = why(&world.state, JOB).expect("the job");
    let SlotState::Waiting { text, deadline_in_ms, .. } = &why.slots[0].state else { panic!("{why:?}") };
    assert_eq!((text.as_str(), *deadline_in_ms), ("needs 64.1 cpus, 4 are offered", 0));
    let [(without_room, slots)] = &without_room(&world.state, JOB)[..] else { panic!() };
    assert_eq!((without_room.tasks.cpus, &slots[..]), (64.0, &[0][..]));
    let mut why = why;
    why.never_placed(slots, "too large");
    let SlotState::Waiting { text, .. } = &why.slots[0].state else { panic!("{why:?}") };
    assert_eq!(text, "as the cluster is, it will never be placed: too large");
}

#[test]
fn a_stop_right_after_the_start_is_no_failure() {
    let mut world = World::with_job(1);
    world.offer_all();
    let task = world.task_of(0).expect("a task");
    let executor_id = Some(world.tasks[&task].executor.clone());
    world.input(Input::Stop { job: JOB.into() });
    // The executor was told to leave before it had begun.
    let effects = world.input(Input::Failure { agent_id: Some("agent-1".into()), executor_id, status: Some(0) });
    assert!(!effects.audit.iter().any(|audit| matches!(audit, Audit::ExecutorLost { .. })), "{:?}", effects.audit);
    world.update(&task, TaskState::TaskFailed, Some("REASON_EXECUTOR_TERMINATED"));
    let why = why(&world.state, JOB).expect("the job");
    assert_eq!((why.phase, why.recent_failures), (records::JobPhase::Stopped, vec![]));
}

#[test]
fn tasks_a_new_master_does_not_know_are_placed_again_and_are_no_failures() {
    let mut world = World::running(2);
    world.tasks.clear();
    world.agents.values_mut().for_each(|agent| *agent = Agent { free: (4.0, 4096.0), ..Agent::default() });
    world.restart();
    world.subscribe();
    world.topology(2);
    world.live(5);
    let job = job(&world.state, JOB).expect("the job");
    assert_eq!(job.running, 2);
    assert_eq!(why(&world.state, JOB).expect("the job").recent_failures, vec![]);
    let ended = world.audit.iter().filter(|a| matches!(a, Audit::TaskEnded { cause: EndCause::Unknown, .. }));
    assert_eq!(ended.count(), 2, "but said");
}

#[test]
fn a_rollback_shows_its_cause_while_tasks_wait_and_drain() {
    let mut world = World::running(3);
    world.deploy(job_that(STOPS));
    let mut seen = 0;
    for _ in 0..120 {
        world.live(1);
        let view = job(&world.state, JOB).expect("the job");
        match view.rollout.as_ref().map(|rollout| rollout.state) {
            Some(RolloutState::RollingBack) => {
                assert!(
                    view.summary.starts_with("the last change failed (partition 0 stopped: bad record)"),
                    "{view:?}"
                );
                seen += 1;
            }
            Some(RolloutState::RolledBack) => break,
            _ => {}
        }
    }
    assert!(seen > 0);
}

#[test]
fn what_waits_for_the_next_revive_says_so_and_does_not_blame_the_agents() {
    let text = |world: &World| {
        let why = why(&world.state, JOB).expect("the job");
        let SlotState::Waiting { text, .. } = &why.slots[0].state else { panic!("{why:?}") };
        text.clone()
    };
    let mut world = World::with_job(1);
    assert_eq!(text(&world), "has just asked for offers");
    world.offer_all();
    world.pass(3_000);
    let task = world.task_of(0).expect("a task");
    world.update(&task, TaskState::TaskGone, Some("REASON_RECONCILIATION"));
    assert_eq!(text(&world), "asks for offers in 2.0 s (at most every 5 s)");
    assert_eq!(without_room(&world.state, JOB), vec![], "nobody has said no yet");
    world.pass(2_000);
    assert_eq!(text(&world), "has just asked for offers");
    world.pass(2_500);
    assert_eq!(text(&world), "no agent offers anything that is wanted: 0.5 cpus, 256 MiB of memory");
    assert_eq!(without_room(&world.state, JOB), [(job_spec(), vec![0])]);
    world.input(Input::Disconnected);
    assert_eq!(text(&world), "there is no subscription at the Mesos master");
}

#[test]
fn numbers_of_one_have_no_plural() {
    assert_eq!(
        (counted(0, "task"), counted(1, "task"), counted(2, "task")),
        ("0 tasks".into(), "1 task".into(), "2 tasks".into())
    );
}

#[test]
fn the_file_before_the_present_one_is_kept_whatever_replaced_it() {
    let files = |world: &World| (job_toml(&world.state, JOB), previous_toml(&world.state, JOB));
    let toml = |spec: &millstream_spec::JobSpec| Some(serde_json::to_string(spec).expect("json"));
    let (first, better, stops) = (job_spec(), job_that("better"), job_that(STOPS));
    let mut world = World::running(2);
    assert_eq!(files(&world), (toml(&first), None));
    // Task by task.
    world.deploy(better.clone());
    assert_eq!(files(&world), (toml(&better), toml(&first)));
    world.live(60);
    world.deploy(better.clone());
    assert_eq!(files(&world), (toml(&better), toml(&first)), "nothing was changed");
    // Taken back: what runs again counts as deployed, what has failed is kept.
    world.deploy(stops.clone());
    world.live(30);
    assert_eq!(files(&world), (toml(&better), toml(&stops)));
    world.restart();
    assert_eq!(files(&world), (toml(&better), toml(&stops)), "it is durable");
    world.subscribe();
    world.topology(2);
    world.live(10);
    // By way of a drain, and stopped in the middle of it.
    let mut fewer = better.clone();
    fewer.tasks.count = millstream_spec::TaskCount::Fixed(1);
    world.input_dying_before_calls(Input::Deploy {
        spec: Box::new(fewer.clone()),
        toml: toml(&fewer).expect("text"),
        begun: None,
    });
    assert_eq!(files(&world), (toml(&fewer), toml(&better)));
    world.input(Input::Stop { job: JOB.into() });
    assert_eq!(files(&world), (toml(&better), toml(&fewer)));
    world.live(10);
    world.deploy(first.clone());
    assert_eq!(files(&world), (toml(&first), toml(&better)), "and when it starts again");
}
