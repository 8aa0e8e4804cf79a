//! The scheduler process: settings, state store, driver loop, HTTP API, status page and metrics.
//!
//! Map, from the outside in:
//! * [`run`]: the whole life of a scheduler process; [`serve`] and [`serve_elected`] with store or election and listener
//!   handed in, for tests
//! * [`election`]: which of several schedulers decides; `terms`: one time of leading after the other; [`zookeeper`]: both
//!   election and records there
//! * [`config`]: settings; [`api`]: the JSON of the HTTP API; `http`: its routes, its OpenAPI document and the
//!   status page; `plan`: what would be placed where
//! * [`access`]: tokens, roles, and whose jobs they are good for
//! * [`reach`]: which secrets, addresses and users of the hosts a job may name
//! * [`check`]: is a job right, alone and against its live topic and table
//! * `driver`: one input, one [`millstream_scheduler::step`], one frame: store, then send (`driver/calls`), then tell
//!   (`audit`); `watchers`: topologies of the jobs
//! * [`program`]: the executor, as agents fetch it; `change`: a job file's diff
//! * [`state`]: a stopped scheduler's state, backed up, restored and moved; [`quota`]: how much of jobs and tasks there may be
//! * [`store`]: what must survive; [`metrics`]: every metric, in one place
//!
//! Invariant: records are durable before any call of their step leaves; while the store fails, nothing is decided; a
//! scheduler that does not lead any more cannot write.

pub mod access;
pub mod api;
mod audit;
mod change;
pub mod check;
mod clock;
pub mod config;
mod driver;
pub mod election;
mod http;
pub mod metrics;
mod plan;
pub mod program;
pub mod quota;
pub mod reach;
mod run;
pub mod state;
pub mod store;
mod terms;
mod watchers;
pub mod zookeeper;

pub use config::{Config, ConfigError, Overrides};
pub use run::{Reload, RunError, run, serve, serve_elected};

/// Bytes in hex.
fn hex<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> String {
    bytes.into_iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Transparent errors say what their cause says.
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
