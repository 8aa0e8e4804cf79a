//! What the end-to-end tests share: the real servers, a job with its records, a load that runs beside the faults, and
//! those who watch: the master's view of our manners, a greedy neighbour, what executors have read.

pub mod accounts;
pub mod greedy;
pub mod load;
pub mod observer;
pub mod reads;
pub mod servers;

pub use accounts::{Accounts, Shape};
pub use greedy::Greedy;
pub use load::Load;
pub use observer::Observer;
pub use reads::Reads;
pub use servers::{Mesos, Servers, alone, alone_and_quick, beside, with};

/// Prints a measured figure past the test harness, which keeps the output of tests that pass to itself.
pub fn figure(text: impl std::fmt::Display) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "    {text}");
}
