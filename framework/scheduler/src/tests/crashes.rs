//! Crashes that repeat at the same offset.

use super::world::*;
use crate::*;

/// The task of slot 0 runs for so long, comes to this offset, and is killed.
fn crash_at(world: &mut World, durable: i64, after_ms: u64) {
    world.live(1);
    while world.task_of(0).is_none() {
        world.live(1);
    }
    let task = world.task_of(0).expect("a task");
    world.run_all();
    let report = |world: &mut World| {
        world.report_that(&task, |p| (p.durable, p.position, p.log_end) = (Some(durable), Some(durable), Some(100)));
    };
    report(world);
    for _ in 0..after_ms / 1_000 {
        world.pass_silently(1_000);
        report(world);
    }
    world.crash(&task, 9);
}

fn repeated(world: &World) -> Vec<views::RepeatedCrash> {
    views::why(&world.state, JOB).expect("the job").repeated_crashes
}

#[test]
fn a_crash_that_repeats_at_one_offset_is_named_with_a_remedy() {
    let mut world = World::with_job(1);
    crash_at(&mut world, 41, 2_000);
    crash_at(&mut world, 41, 2_000);
    assert_eq!(repeated(&world), []);
    // It begins again from an older commit and dies before it has come as far as before.
    crash_at(&mut world, 40, 2_000);
    let found = repeated(&world);
    assert_eq!(found.iter().map(|c| (c.partition, c.offset, c.crashes)).collect::<Vec<_>>(), [(0, 41, 3)]);
    let remedy = "kafka-consumer-groups --bootstrap-server 127.0.1.1:9092 --group=flights --topic flights:0 \
                  --reset-offsets --to-offset 42 --execute";
    assert!(found[0].remedy.contains(remedy) && found[0].remedy.contains("`mem`"), "{}", found[0].remedy);
    assert!(found[0].last.contains("signal 9 (perhaps out of memory)"), "{}", found[0].last);
    let summary = views::job(&world.state, JOB).expect("the job").summary;
    assert!(summary.contains("has crashed 3 times without getting beyond offset 41 of partition 0"), "{summary}");
    assert!(world.audit.iter().any(|audit| matches!(audit, Audit::CrashRepeats { offset: 41, crashes: 3, .. })));
}

#[test]
fn the_remedy_names_the_login_where_the_brokers_ask_for_one() {
    let mut world = World::new();
    world.subscribe();
    let mut job = job();
    job.source.options.insert("sasl.mechanism".into(), millstream_spec::Setting::Value("PLAIN".into()));
    world.deploy(job);
    world.topology(1);
    (0..3).for_each(|_| crash_at(&mut world, 41, 2_000));
    let remedy = &repeated(&world)[0].remedy;
    assert!(remedy.contains("9092 --command-config YOUR-LOGIN.properties --group=flights"), "{remedy}");
}

#[test]
fn the_pause_grows_also_when_each_crash_takes_longer_than_the_time_of_forgiving() {
    let mut world = World::with_job(1);
    for _ in 0..6 {
        crash_at(&mut world, 41, 65_000);
    }
    assert!(world.failures() >= 5, "{} failures are held against it", world.failures());
    let backoff = views::why(&world.state, JOB).expect("the job").backoff.expect("a pause");
    assert!(backoff.retry_in_ms > 8_000, "{backoff:?}");
}

#[test]
fn crashes_that_come_further_each_time_do_not_repeat_and_are_forgiven() {
    let mut world = World::with_job(1);
    for durable in 50..55 {
        crash_at(&mut world, durable, 65_000);
    }
    assert_eq!(repeated(&world), []);
    assert_eq!(world.failures(), 1);
}

#[test]
fn a_task_that_gets_beyond_it_is_well_again() {
    let mut world = World::with_job(1);
    for _ in 0..3 {
        crash_at(&mut world, 41, 2_000);
    }
    while world.task_of(0).is_none() {
        world.live(1);
    }
    world.live(1);
    let task = world.task_of(0).expect("a task");
    world.report_that(&task, |p| (p.durable, p.log_end) = (Some(42), Some(100)));
    assert_eq!(repeated(&world), []);
}
