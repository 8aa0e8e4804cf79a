//! The framework's decisions: [`step`] takes the state, one input and the time, and says what to store, send and tell.
//!
//! PURE: no clock, no randomness, no IO. The driver (crate `daemon`) applies [`Effects::records`] in one transaction and
//! only then sends [`Effects::calls`]; whatever dies in between, [`State::restore`] continues from the records.
//!
//! Map, from the outside in:
//! * [`Input`], [`Now`] → [`step`] → [`Effects`] (records, calls, [`Audit`], [`Reply`])
//! * [`Settings`]: what does not change while it runs, [`framework_info`] made from it
//! * [`records`]: the durable forms; `store`: them in memory, with what a step has changed; `state`: all of it
//! * `jobs` (deploy, stop, delete, slots), `refusal` (what is not deployed here), `offers` (plan, accept, decline),
//!   `launch` (task and executor infos), `resources` (cutting them out of offers), `updates` (task states), `liveness`
//!   (reports and silence), `ending` (condemned tasks, drains), `rollout` (changes of running jobs), `maintenance` (inverse
//!   offers), `volumes` (persistent ones) and `operations` (what became of them), `reconcile`, `manners` (SUPPRESS, REVIVE,
//!   UPDATE_FRAMEWORK), `wishes` (what the master is told to offer)
//! * [`views`]: what people and machines may ask
//!
//! Invariants: records leave before calls; each slot has at most one current task; a task id is used once, for ever;
//! every offer is answered in the step that brings it; nothing is acknowledged without a uuid.

mod crashes;
mod effects;
mod ending;
mod input;
mod jobs;
mod kept;
mod launch;
mod liveness;
mod maintenance;
mod manners;
mod offers;
mod operations;
mod reconcile;
pub mod records;
mod refusal;
mod resources;
mod rollout;
mod settings;
mod state;
mod step;
mod store;
mod updates;
pub mod views;
mod volumes;
mod wishes;

#[cfg(test)]
mod tests;

pub use effects::*;
pub use input::*;
pub use offers::{
    guessed_bytes_per_sec, job_wishes, task_resources, tier,
    view::{agent_offer, place_of},
};
pub use refusal::{Refusal, refusal, table_shared_with};
pub use resources::role_may_use;
pub use rollout::{Change, change};
pub use settings::*;
pub use state::{RestoreError, State};
pub use step::step;
