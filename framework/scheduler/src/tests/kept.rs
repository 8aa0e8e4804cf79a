//! A stop outlives its executor.

use millstream_mesos_types::TaskState;
use millstream_protocol::{KeptStop, PartitionReport, PartitionStatus, TaskData};

use super::world::*;
use crate::*;

fn stops(p: &mut PartitionReport) {
    (p.status, p.stopped_at, p.durable) = (PartitionStatus::Stopped, Some(7), Some(7));
    p.reason = Some("bad record: no JSON".into());
}

/// A job of one partition that has stopped, and whose executor is gone.
fn stopped() -> World {
    let mut world = World::running(1);
    let task = world.task_of(0).expect("a task");
    world.report_that(&task, stops);
    world.crash(&task, 9);
    assert_eq!(world.task_of(0), None);
    world
}

fn told(effects: &Effects) -> Vec<KeptStop> {
    let launched = World::launches(effects);
    let data = &launched.first().expect("a launch").data.as_ref().expect("data").0;
    serde_json::from_slice::<TaskData>(data).expect("task data").stops
}

#[test]
fn it_is_shown_without_an_executor_also_after_a_restart_and_told_to_the_next_task() {
    let mut world = stopped();
    world.restart();
    world.subscribe();
    world.topology(1);
    let lag = views::lag(&world.state, JOB).expect("the job");
    let p = &lag.partitions[0];
    assert_eq!((p.status, p.stopped_at, p.durable), (Some(PartitionStatus::Stopped), Some(7), Some(7)));
    assert_eq!(p.reason.as_deref(), Some("at offset 7: bad record: no JSON"));
    let summary = views::job(&world.state, JOB).expect("the job").summary;
    assert!(summary.contains("1 of its partitions stopped") && summary.contains("offset 7"), "{summary}");
    let why = views::why(&world.state, JOB).expect("the job");
    assert_eq!(why.stopped_partitions.iter().map(|s| s.offset).collect::<Vec<_>>(), [Some(7)]);
    let remedy = why.stopped_partitions[0].remedy.as_deref().unwrap_or_default();
    assert!(remedy.contains("--topic flights:0 --reset-offsets --to-offset OFFSET --execute"), "{remedy}");
    let overview = views::overview(&world.state);
    assert_eq!(
        overview.stopped.iter().map(|s| (s.job.as_str(), s.stopped.offset)).collect::<Vec<_>>(),
        [(JOB, Some(7))]
    );
    world.pass(2_000);
    let launch = world.offer_all();
    assert_eq!(told(&launch), [KeptStop { partition: 0, offset: 7, reason: "bad record: no JSON".into() }]);
    // While the next one starts, the stop holds.
    world.run_all();
    let task = world.task_of(0).expect("a task");
    world.report_that(&task, |p| p.status = PartitionStatus::Starting);
    assert_eq!(views::lag(&world.state, JOB).expect("the job").partitions[0].stopped_at, Some(7));
}

#[test]
fn it_ends_when_the_partition_runs_again() {
    let mut world = stopped();
    world.pass(2_000);
    world.offer_all();
    world.run_all();
    let task = world.task_of(0).expect("a task");
    world.report_that(&task, stops);
    world.report_that(&task, |p| p.status = PartitionStatus::Running);
    assert!(world.audit.iter().any(|audit| matches!(audit, Audit::StopEnded { offset: 7, .. })));
    world.crash(&task, 9);
    world.pass(5_000);
    assert_eq!(told(&world.offer_all()), []);
}

#[test]
fn it_ends_with_a_new_version() {
    let mut world = stopped();
    world.deploy(job_that("mended"));
    for _ in 0..30 {
        world.deliver();
        world.pass(1_000);
        world.topology(1);
        let launch = world.offer_all();
        if !World::launches(&launch).is_empty() {
            assert_eq!(told(&launch), []);
            return;
        }
    }
    panic!("never launched");
}

#[test]
fn a_stopped_job_shows_what_its_tasks_said_last() {
    let mut world = World::running(1);
    let task = world.task_of(0).expect("a task");
    world.report_that(&task, stops);
    world.input(Input::Stop { job: JOB.into() });
    world.update(&task, TaskState::TaskKilled, None);
    world.restart();
    world.subscribe();
    let view = views::job(&world.state, JOB).expect("the job");
    assert_eq!(view.phase, records::JobPhase::Stopped);
    assert!(view.summary.starts_with("stopped; partition 0: at offset 7: bad record"), "{}", view.summary);
    world.input(Input::LogEnds { job: JOB.into(), ends: [(0, 12)].into() });
    let p = views::lag(&world.state, JOB).expect("the job").partitions.remove(0);
    assert_eq!((p.durable, p.log_end, p.records), (Some(7), Some(12), Some(5)));
    // A person starts it anew.
    world.deploy(job());
    world.topology(1);
    assert_eq!(told(&world.offer_all()), []);
}
