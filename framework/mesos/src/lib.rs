//! Mesos v1 sessions: RecordIO, scheduler and executor connections, leader detection.
//!
//! Map: [`RecordIo`] cuts the event streams into records; [`scheduler`] is the session of a framework with the leading
//! master, [`executor`] that of an executor with its agent. Both are a stream of events that reconnects by itself and a
//! handle that may be cloned. `connection` is the one place that opens sockets and speaks HTTP, through [`Tls`] if so
//! configured; the ZooKeeper client has its own.
//!
//! Invariants:
//! - a call never goes out on another event stream than the one its sender has seen the `Subscribed` of;
//! - calls of one session travel one after the other on one connection, in the order they were made;
//! - a status update of an executor is kept until the agent acknowledged it, and sent again at each subscription.

mod connection;
pub mod executor;
mod recordio;
pub mod scheduler;
mod tls;

pub use connection::TransportError;
pub use recordio::{MAX_RECORD_BYTES, RecordIo, RecordIoError};
pub use tls::Tls;
