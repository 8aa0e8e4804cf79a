//! Where tasks go: [`Problem`] → [`Plan`], with a reason for every no.
//!
//! PURE: facts and `now` go in, a complete, printable, diffable value comes out. Knows neither Mesos JSON nor TOML.
//!
//! Map: `problem` and `topology` hold what goes in, `plan` what comes out. [`plan()`] (`planner`) serves the requests in
//! order, run by run: `view` says what a place costs, `refusal` why it is not to be had, `room` what it still has, `spread` counts who holds how
//! much, `flow` finds the cheapest assignment of a run. `check` holds the post-conditions, [`group_partitions`] (`group`)
//! divides a topic into tasks, `text` is for people.

mod check;
mod constraint;
mod flow;
mod group;
mod place;
mod plan;
mod planner;
mod problem;
mod refusal;
mod room;
mod round;
mod spread;
#[cfg(test)]
mod tests;
mod text;
mod topology;
mod view;

pub use check::violations;
pub use group::group_partitions;
pub use plan::*;
pub use planner::{SPREAD_PATIENCE_MS, plan};
pub use problem::*;
pub use refusal::{AVOID_RETRY_MS, MAINTENANCE_HORIZON_MS, RATE_RETRY_MS};
pub use topology::*;
