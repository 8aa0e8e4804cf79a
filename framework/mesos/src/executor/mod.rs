//! The session of an executor with its agent.
//!
//! Every status update is kept until the agent acknowledged it and sent again at each subscription, so that
//! [`Handle::update`] cannot fail and [`Handle::flush`] is what to wait for before leaving.

mod environment;
mod sender;
mod session;
#[cfg(test)]
mod tests;
mod unacknowledged;

pub use environment::{Environment, EnvironmentError};
pub use session::{Events, Handle, MessageError, Session, SessionEvent, Timings};
