//! Crash trials: the real scheduler process against the master of `millstream local`, with real executor processes.
//!
//! Map: `points` the table of what may go wrong · `script` what goes wrong in a trial, and its trace · `guarded` the store
//! and `proxy` the wire, the two places at which a scheduler process can be stopped from outside · `promises` what must hold
//! at every call · `executor` what the agents start · `oracle` the judge of what is left · `trial` one pair of points.

#![allow(unreachable_pub)] // modules of a test program

pub mod executor;
mod guarded;
mod oracle;
pub mod points;
mod promises;
mod proxy;
mod script;
pub mod trial;
