//! Lag without executors, of topics that are gone, and behind transactions.

use millstream_protocol::PartitionStatus;

use super::world::*;
use crate::*;

fn first(world: &World) -> views::PartitionLag {
    views::lag(&world.state, JOB).expect("the job").partitions.remove(0)
}

#[test]
fn without_an_executor_the_last_offset_and_the_real_end_are_shown() {
    let mut world = World::running(1);
    let task = world.task_of(0).expect("a task");
    world.report_that(&task, |p| (p.durable, p.log_end) = (Some(20), Some(25)));
    world.crash(&task, 9);
    let p = first(&world);
    assert_eq!((p.durable, p.log_end, p.records, p.ms), (Some(20), None, None, None), "unknown is unknown");
    world.input(Input::LogEnds { job: JOB.into(), ends: [(0, 31)].into() });
    let p = first(&world);
    assert_eq!((p.durable, p.log_end, p.records, p.ms), (Some(20), Some(31), Some(11), None));
    world.restart();
    world.subscribe();
    assert_eq!(first(&world).durable, Some(20));
}

#[test]
fn a_position_is_never_beyond_the_end() {
    let mut world = World::running(1);
    let task = world.task_of(0).expect("a task");
    world.report_that(&task, |p| (p.position, p.durable, p.log_end) = (Some(30), Some(28), Some(25)));
    let p = first(&world);
    assert_eq!((p.position, p.log_end, p.records), (Some(30), Some(30), Some(2)));
}

#[test]
fn records_behind_an_open_transaction_are_counted() {
    let mut world = World::running(1);
    let task = world.task_of(0).expect("a task");
    world.report_that(&task, |p| {
        (p.durable, p.position, p.stable_end, p.log_end) = (Some(20), Some(20), Some(20), Some(25));
    });
    let p = first(&world);
    assert_eq!((p.records, p.behind_transaction), (Some(5), Some(5)));
}

#[test]
fn a_topic_that_is_gone_stops_its_partitions_whatever_the_executor_says() {
    let mut world = World::running(2);
    world.input(Input::SourceGone { job: JOB.into(), reason: "topic `flights` does not exist".into() });
    let p = first(&world);
    assert_eq!((p.status, p.log_end, p.records), (Some(PartitionStatus::Stopped), None, None));
    let view = views::job(&world.state, JOB).expect("the job");
    assert_eq!(view.stopped_partitions, 2);
    assert!(view.summary.contains("topic `flights` does not exist"), "{}", view.summary);
    world.topology(2);
    assert_eq!(first(&world).status, Some(PartitionStatus::Running));
}
