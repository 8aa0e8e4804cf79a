//! What people and machines may ask, as plain values: pure functions of the state.
//!
//! These are also the JSON of the HTTP API, so a field may be added (with a default) but never renamed.

mod compute;
mod lag;
mod rollout;
mod summary;
mod types;
mod wait;
mod why;

pub use compute::*;
pub use lag::lag;
pub use summary::{counted, plural};
pub use types::*;
pub use wait::without_room;
pub use why::{repeated_crashes, why};
