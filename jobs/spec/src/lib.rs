//! Job files: TOML with spans → [`JobSpec`], diagnostics a person can act on, and the JSON schema of the format.
//!
//! Map:
//! * [`model`]: what a job *is*. Travels as JSON to the scheduler's store and to executors; old forms load for ever.

pub mod model;

pub use model::*;
