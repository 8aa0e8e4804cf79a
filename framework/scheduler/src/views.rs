//! What people and machines may ask, as plain values: pure functions of the state.
//!
//! These are also the JSON of the HTTP API, so a field may be added (with a default) but never renamed.

mod compute;
mod rollout;
mod types;

pub use compute::*;
pub use types::*;
