//! Stored state of every release (`tests/stored/README.md`) loads for ever.

use std::{collections::BTreeMap, fs, path::PathBuf};

use millstream_mesos_types::{TaskState, scheduler::Call};
use millstream_spec::JobSpec;
use serde_json::Value;

use super::world::*;
use crate::{
    records::{Aim, JobPhase},
    *,
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/stored")
}

fn load(version: &str) -> BTreeMap<String, Value> {
    let file = folder().join(format!("{version}.json"));
    serde_json::from_str(&fs::read_to_string(file).expect("a stored form")).expect("JSON")
}

/// Every kind of record, in every state a scheduler may die in.
fn everything() -> World {
    let mut world = World::new();
    world.subscribe();
    for name in ["gone", "idle", "leaving", "changing", "flights"] {
        let mut spec = named(name);
        spec.source.group = name.into();
        world.deploy(spec.clone());
        world.input(Input::Topology { job: name.into(), topology: topology(3) });
        world.offer_all();
        world.run_all();
        world.report_all();
        match name {
            "gone" | "idle" => {
                world.input(Input::Stop { job: name.into() });
                world.deliver();
            }
            "leaving" => drop(world.input_dying_before_calls(Input::Stop { job: name.into() })),
            "changing" => {
                spec.source.topic = "other".into();
                let toml = serde_json::to_string(&spec).expect("a job");
                drop(world.input_dying_before_calls(Input::Deploy { spec: Box::new(spec), toml, begun: None }));
            }
            _ => {}
        }
    }
    world.input(Input::Delete { job: "gone".into() });
    // Slot 0 lost its agent and waits, slot 1 runs, slot 2 failed and starts again.
    let lost = world.task_of(0).expect("a task");
    world.update(&lost, TaskState::TaskUnreachable, None);
    let failed = world.task_of(2).expect("a task");
    world.update(&failed, TaskState::TaskFailed, Some("REASON_EXECUTOR_TERMINATED"));
    world.pass(1_250);
    let offer = world.offer("agent-3");
    world.input(Input::Offers(vec![offer]));
    world
}

/// A job with all that a job file can say.
fn named(name: &str) -> JobSpec {
    let text = include_str!("../../../../jobs/spec/tests/released/0.1/everything.toml");
    let mut spec = millstream_spec::parse("everything.toml", text).expect("a released job file").spec;
    spec.name.0 = name.into();
    spec.tasks.count = millstream_spec::TaskCount::PerPartition;
    spec.tasks.mem_bytes = 64 << 20;
    (spec.tasks.cpus, spec.placement) = (0.2, millstream_spec::Placement::default());
    spec
}

#[test]
#[ignore = "writes the stored form of a new release"]
fn write_the_stored_form() {
    let file = folder().join(format!("{}.json", env!("CARGO_PKG_VERSION").rsplit_once('.').expect("x.y.z").0));
    assert!(!file.exists(), "a released form is never written again");
    fs::write(file, serde_json::to_string_pretty(&everything().store).expect("JSON") + "\n").expect("written");
}

#[test]
fn every_released_form_loads() {
    for entry in fs::read_dir(folder()).expect("the corpus") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let version = path.file_stem().and_then(|stem| stem.to_str()).expect("a version");
            let state = State::restore(settings(), load(version)).unwrap_or_else(|e| panic!("{version}: {e}"));
            assert!(!state.records().is_empty(), "{version}");
        }
    }
}

#[test]
fn what_release_0_1_stored_is_taken_over() {
    let mut world = World::new();
    world.store = load("0.1");
    world.state = State::restore(settings(), world.store.clone()).expect("the stored form");
    let state = &world.state;
    assert_eq!(state.framework_id(), Some(FRAMEWORK));
    let jobs: Vec<_> =
        views::jobs(state).into_iter().map(|j| (j.name, j.phase, j.generation, j.next_generation)).collect();
    let expected = [
        ("changing", JobPhase::Draining, 1, Some(2)),
        ("flights", JobPhase::Running, 1, None),
        ("idle", JobPhase::Stopped, 1, None),
        ("leaving", JobPhase::Draining, 1, None),
    ];
    assert_eq!(jobs, expected.map(|(name, phase, generation, next)| (name.to_owned(), phase, generation, next)));
    let watched: Vec<_> = state.watched_jobs().into_iter().map(|spec| (spec.name.0, spec.source.topic)).collect();
    let expected = [("changing", "other"), ("flights", "orders.v2"), ("leaving", "orders.v2")];
    assert_eq!(watched, expected.map(|(job, topic)| (job.to_owned(), topic.to_owned())));
    assert_eq!(state.store.job(&"idle".into()).expect("a job").spec, named("idle"));
    assert_eq!(state.store.first_generation("gone"), 2);
    let aims = |aim| state.store.tasks().values().filter(|task| task.aim == aim).count();
    assert_eq!((aims(Aim::Run), aims(Aim::Drain), aims(Aim::Condemned)), (2, 6, 1));
    assert_eq!(state.store.executors().values().filter(|executor| executor.lost).count(), 1);
    let slots: Vec<_> = state.store.slots_of("flights").map(|(_, slot)| slot.task.is_some()).collect();
    assert_eq!(slots, [false, true, true]);
}

#[test]
fn a_scheduler_goes_on_from_what_release_0_1_stored() {
    let mut world = World::new();
    world.state = State::restore(settings(), load("0.1")).expect("the stored form");
    world.store = world.state.records();
    world.now.wall_ms += 60_000;
    let effects = world.subscribe();
    let asked = effects.calls.iter().find_map(|call| match call {
        Call::Reconcile { reconcile } => Some(reconcile.tasks.len()),
        _ => None,
    });
    assert_eq!(asked, Some(9), "every task is asked for");
    assert_eq!(World::kills(&effects).len(), 7, "drains and condemned tasks go on");
    // The master knows none of them: all are answered for, and all jobs go on.
    for _ in 0..3 {
        world.deliver();
        for job in ["changing", "flights"] {
            world.input(Input::Topology { job: job.into(), topology: topology(3) });
        }
        world.pass(5_000);
        world.offer_all();
        world.run_all();
    }
    let running = |job: &str| views::job(&world.state, job).map(|job| (job.phase, job.generation, job.running));
    assert_eq!(running("flights"), Some((JobPhase::Running, 1, 3)));
    assert_eq!(running("changing"), Some((JobPhase::Running, 2, 3)));
    assert_eq!(running("leaving"), Some((JobPhase::Stopped, 1, 0)));
    assert_eq!(running("idle"), Some((JobPhase::Stopped, 1, 0)));
}
