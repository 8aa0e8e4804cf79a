//! Seeded simulation of the real scheduler, the real placement and the real executor protocol on virtual masters, agents,
//! executors, store and clock.
//!
//! Map: [`world`] holds everything and runs what `queue` says is next; `scheduler` (driver loop and session), `master`,
//! `agent`, `executor`, `data` (logs, timestamps, table) are the parts; `jobs` and `nemesis` say what people do and what
//! goes wrong; `check` says what must hold. `rng` is the only source of chance and `trace` hashes all that happens, so that
//! a seed is a run.

mod agent;
mod amounts;
mod arguments;
mod check;
mod data;
mod event;
mod executor;
mod jobs;
mod master;
mod nemesis;
mod queue;
mod rng;
mod scheduler;
mod seeds;
mod trace;
mod world;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

/// Simulated time, in milliseconds since the beginning of a run.
pub(crate) type Ms = u64;

fn main() -> ExitCode {
    match arguments::read(std::env::args().skip(1)) {
        Ok(arguments) => seeds::run(&arguments),
        Err(error) => {
            eprintln!("millstream-sim: {error}\n{}", arguments::USAGE);
            ExitCode::from(2)
        }
    }
}
