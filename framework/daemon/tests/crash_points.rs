//! All pairs of crash points of a launch (faults.md, M1 to M5): no orphan and no double 10 s after the last scheduler has
//! subscribed. Every point is made from outside; the shipped code knows nothing of it.

mod crash;

use std::{sync::Arc, time::Duration};

use crash::{
    executor,
    points::{POINTS, Point},
    trial::{self, Outcome},
};
use tokio::{sync::Semaphore, task::JoinSet};

/// Most trials under way. They wait most of the time, so that two cores bear this many.
const TRIALS_AT_ONCE: usize = 112;

/// Files and sockets that a trial may have open.
const FILES_PER_TRIAL: usize = 60;

/// Between the starts of two trials, so that their busy seconds spread out.
const START_EVERY: Duration = Duration::from_millis(110);

/// Failed trials whose whole trace is printed.
const TRACES_SHOWN: usize = 3;

/// What the clusters start (see `crash::executor`).
#[tokio::test]
#[ignore = "run by the clusters as their executor"]
async fn acts_as_executor() {
    executor::act().await;
}

/// Not every second fault can come: our id is stored once, and when all tasks run nothing is launched any more. The table
/// this prints says which came.
///
/// `CRASH_PAIR="M3 first name × M5 second name"` (or a part of it) runs only those, and shows their traces.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_pair_of_crash_points_of_a_launch_leaves_an_orphan_or_a_double() {
    let only = std::env::var("CRASH_PAIR").ok();
    let pairs = POINTS.iter().flat_map(|first| POINTS.iter().map(|second| [*first, *second]));
    let pairs: Vec<_> = pairs.filter(|pair| only.as_ref().is_none_or(|only| name(pair).contains(only))).collect();
    let outcomes = run_all(pairs).await;
    if only.is_some() {
        outcomes.iter().for_each(|outcome| println!("{}\n{}\n", name(&outcome.faults), outcome.trace));
    } else {
        show_table(&outcomes);
    }
    check(&outcomes);
    let came_second = |point: &Point| outcomes.iter().any(|both| both.came == 2 && both.faults[1] == *point);
    let never: Vec<_> = POINTS.iter().filter(|point| !came_second(point)).collect();
    assert!(only.is_some() || never.is_empty(), "never came second: {never:?}");
}

async fn run_all(pairs: Vec<[Point; 2]>) -> Vec<Outcome> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program: Arc<std::path::Path> = executor::program(folder.path(), "acts_as_executor").into();
    let places = Arc::new(Semaphore::new(trials_at_once()));
    let mut trials = JoinSet::new();
    for pair in pairs {
        let (program, place) = (program.clone(), places.clone().acquire_owned().await.expect("never closed"));
        trials.spawn(async move {
            let outcome = trial::run(pair, &program).await;
            drop(place);
            outcome
        });
        tokio::time::sleep(START_EVERY).await;
    }
    trials.join_all().await
}

/// As many as the limit on open files allows.
fn trials_at_once() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next());
    // "unlimited" is no number.
    let files = files.and_then(|files| files.parse().ok()).unwrap_or(usize::MAX);
    (files / FILES_PER_TRIAL).clamp(1, TRIALS_AT_ONCE)
}

/// One line for each first fault, one column for each second one, in the same order: x came, - did not.
fn show_table(outcomes: &[Outcome]) {
    for first in POINTS {
        let of = |second: &Point| outcomes.iter().find(|outcome| outcome.faults == [first, *second]);
        let came = |second: &Point| if of(second).is_some_and(|outcome| outcome.came == 2) { 'x' } else { '-' };
        println!("{}  {} {}", POINTS.iter().map(came).collect::<String>(), first.line, first.name);
    }
    let both = outcomes.iter().filter(|outcome| outcome.came == 2).count();
    println!("{} pairs of crash points; in {both} of them both came", outcomes.len());
}

fn check(outcomes: &[Outcome]) {
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.wrong.is_empty() || outcome.came == 0).collect();
    for outcome in &failed {
        let Outcome { faults, came, wrong, .. } = outcome;
        println!("FAILED {} ({came} of 2 came)\n  {}", name(faults), wrong.join("\n  "));
    }
    for outcome in failed.iter().take(TRACES_SHOWN) {
        println!("\n{}\n{}", name(&outcome.faults), outcome.trace);
    }
    assert!(failed.is_empty(), "{} of {} pairs failed", failed.len(), outcomes.len());
}

fn name(faults: &[Point; 2]) -> String {
    format!("{} {} × {} {}", faults[0].line, faults[0].name, faults[1].line, faults[1].name)
}
