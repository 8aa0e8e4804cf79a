//! Where tasks go: [`Problem`] → [`Plan`], with a reason for every no.
//!
//! PURE: facts and `now` go in, a complete, printable, diffable value comes out. Knows neither Mesos JSON nor TOML.
//!
//! Map: [`problem`] holds what goes in, [`plan`] what comes out.

pub mod plan;
pub mod problem;
pub mod topology;

pub use plan::*;
pub use problem::*;
pub use topology::*;
