//! Job files: TOML with spans → [`JobSpec`], diagnostics a person can act on, and the JSON schema of the format.
//!
//! Map:
//! * [`model`]: what a job *is*. Travels as JSON to the scheduler's store and to executors; old forms load for ever.
//! * [`parse`]: text → [`JobFile`], or every error found in one run. `read/` has one file for each section of a job file.
//! * [`JobFile`]: the job and its text; turns later errors (SQL, tables) into [`Diagnostic`]s that point into the file.
//! * [`Diagnostics`]: what is wrong, where, why and what to do; for people (`render`) and programs (`locate`).
//! * [`schema`]: the JSON schema of the TOML form, committed as `job.schema.json`.
//! * [`kafka_options`]: which librdkafka properties a job may set.
//! * [`units`], [`types`], [`constraint`]: the small grammars inside strings.
//!
//! Architecture invariant: nothing here reads a file, a clock, the environment or the network.

pub mod constraint;
mod diagnostic;
mod file;
pub mod kafka_options;
mod literal;
mod meaning;
pub mod model;
mod read;
mod render;
pub mod schema;
mod suggest;
pub mod types;
pub mod units;

pub use diagnostic::{Diagnostic, Diagnostics, Located, Position, Severity};
pub use file::{JobFile, MAX_FILE_BYTES, parse};
pub use model::*;
