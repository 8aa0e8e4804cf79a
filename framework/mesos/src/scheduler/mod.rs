//! The session of a framework with the leading master.
//!
//! ```no_run
//! # async fn example(subscribe: millstream_mesos_types::scheduler::Subscribe) -> Result<(), Box<dyn std::error::Error>> {
//! use futures_util::StreamExt as _;
//! use millstream_mesos::scheduler::{Config, Session, SessionEvent};
//!
//! let config = Config::read(&["zk://127.0.0.1:2181/mesos"], None)?;
//! let (mut events, caller) = Session::connect(config, subscribe);
//! while let Some(event) = events.next().await {
//!     match event {
//!         SessionEvent::Subscribed { subscribed, .. } => { /* persist the id, then reconcile */ }
//!         SessionEvent::Event(event) => { /* decide, persist, then caller.send(call).await */ }
//!         SessionEvent::Malformed { .. } | SessionEvent::Disconnected { .. } => { /* offers are void */ }
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Map: `driver` holds a session up; `finder` asks the masters, going where they point, for it and for [`get_json`];
//! `zookeeper` watches who leads; `verdict` judges the answers to calls.

mod address;
mod caller;
mod config;
mod disconnect;
mod driver;
mod finder;
mod leader;
mod location;
mod pauses;
mod session;
mod shared;
#[cfg(test)]
mod tests;
mod verdict;
mod zookeeper;

pub use address::{MasterUrl, Masters, MastersError, Scheme};
pub use caller::{CallError, Caller};
pub use config::{Config, ConfigError, Credentials, Timings};
pub use disconnect::DisconnectReason;
pub use leader::{AskError, get_json, leader};
pub use session::{Events, Session, SessionEvent};
pub use zookeeper::{ZooKeeperTls, ZooKeeperUrl, connect};
