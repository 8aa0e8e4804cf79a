//! What the end-to-end tests share: the real servers, a job with its records, a load that runs beside the faults.

pub mod accounts;
pub mod load;
pub mod servers;

pub use accounts::Accounts;
pub use load::Load;
pub use servers::{Mesos, Servers, with};
