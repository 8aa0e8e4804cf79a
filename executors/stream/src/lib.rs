//! millstream-executor: Kafka source, SQL, Cassandra sink under the Mesos executor API.
//!
//! Map: [`executor`] is the Mesos session, [`standalone`] runs the same without Mesos; both drive an
//! [`engine::Engine`]. [`source`] is Kafka, [`sink`] is Cassandra, [`blocks`] gives offsets their timestamps,
//! [`tracker`] knows what is durable, [`bad_record`] and [`dead_letter`] deal with what is no row, [`budget`] bounds
//! memory, [`metrics`] and [`http`] tell about it all.
//!
//! Invariants: delivery.md's rules D0–D6; a committed offset never passes one that is not durable.

pub mod bad_record;
pub mod blocks;
pub mod budget;
pub mod clock;
pub mod dead_letter;
pub mod engine;
pub mod executor;
pub mod http;
pub mod metrics;
mod redact;
pub mod sink;
pub mod source;
pub mod standalone;
pub mod tracker;
