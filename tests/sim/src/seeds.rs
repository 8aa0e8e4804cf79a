//! Many seeds on a few threads, and what came of them.

use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::{
    arguments::Arguments,
    world::{Outcome, World},
};

/// Violations that are shown.
const SHOWN_MAX: usize = 8;

#[derive(Default)]
struct Sum {
    seeds: u64,
    steps: u64,
    simulated_ms: u64,
    healed_in_ms_max: u64,
    calls_per_minute_max: u64,
    faults: BTreeMap<&'static str, u64>,
    violations: Vec<(u64, String)>,
    hash: u64,
}

impl Sum {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.steps += outcome.steps;
        self.simulated_ms += outcome.simulated_ms;
        self.healed_in_ms_max = self.healed_in_ms_max.max(outcome.healed_in_ms);
        self.calls_per_minute_max = self.calls_per_minute_max.max(outcome.calls_per_minute_max);
        // The order of threads must not matter.
        self.hash ^= outcome.hash.rotate_left((outcome.seed % 64) as u32);
        for (fault, count) in outcome.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        self.violations.extend(outcome.violation.map(|violation| (outcome.seed, violation)));
    }
}

/// Runs them; 1 on a violation.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let began = Instant::now();
    let (next, found) = (AtomicU64::new(arguments.from), AtomicBool::new(false));
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= arguments.from + arguments.seeds || (arguments.first && found.load(Ordering::Relaxed)) {
                        return;
                    }
                    let outcome = World::new(seed, arguments.trace).run();
                    if outcome.violation.is_some() {
                        found.store(true, Ordering::Relaxed);
                    }
                    sum.lock().unwrap_or_else(PoisonError::into_inner).add(outcome);
                }
            });
        }
    });
    let mut sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    sum.violations.sort();
    show(&sum, began.elapsed().as_secs_f64());
    ExitCode::from(u8::from(!sum.violations.is_empty()))
}

fn show(sum: &Sum, wall_secs: f64) {
    println!("seeds            {}", sum.seeds);
    println!("steps            {}", sum.steps);
    println!("simulated hours  {:.1}", sum.simulated_ms as f64 / 3_600_000.0);
    println!("healed within    {:.0} s", sum.healed_in_ms_max as f64 / 1_000.0);
    println!("calls per minute {} at most, acknowledgements apart", sum.calls_per_minute_max);
    println!("hash             {:016x}", sum.hash);
    println!("faults           {}", sum.faults.values().sum::<u64>());
    for (fault, count) in &sum.faults {
        println!("  {count:>9} {fault}");
    }
    println!("violations       {}", sum.violations.len());
    for (seed, violation) in sum.violations.iter().take(SHOWN_MAX) {
        println!("  seed {seed}: {violation}");
    }
    println!("wall time        {wall_secs:.1} s");
}
