//! HTTP servers that strangers can reach: the scheduler's, the executors', and those of `millstream local`.
//!
//! Map:
//! * [`serve`]: an accept loop with limits on time, size and number, with TLS or without
//! * `patience`: whose answer nobody takes; `crowd`: who is connected, and who goes when there are too many
//! * [`process`]: what a process does at its start
//! * [`token`]: who sends one, and whether it is the one that is known
//! * [`browser`]: what a page of another site must not do here
//!
//! Invariant: whoever holds connections open without asking anything keeps nobody else from being answered.

pub mod browser;
mod crowd;
mod patience;
pub mod process;
mod serve;
pub mod token;

pub use serve::{Limits, Peer, serve};
