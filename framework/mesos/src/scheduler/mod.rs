//! The session of a framework with the leading master.
//!
//! ```no_run
//! # async fn example(subscribe: millstream_mesos_types::scheduler::Subscribe) {
//! use futures_util::StreamExt as _;
//! use millstream_mesos::scheduler::{Config, Session, SessionEvent};
//!
//! let (mut events, caller) = Session::connect(Config::new(["127.0.0.1:5050"]), subscribe);
//! while let Some(event) = events.next().await {
//!     match event {
//!         SessionEvent::Subscribed { subscribed, .. } => { /* persist the id, then reconcile */ }
//!         SessionEvent::Event(event) => { /* decide, persist, then caller.send(call).await */ }
//!         SessionEvent::Malformed { .. } | SessionEvent::Disconnected { .. } => { /* offers are void */ }
//!     }
//! }
//! # }
//! ```

mod caller;
mod config;
mod location;
mod masters;
mod session;
#[cfg(test)]
mod tests;

pub use caller::{CallError, Caller};
pub use config::{Config, Credentials, Timings};
pub use session::{DisconnectReason, Events, Session, SessionEvent};
