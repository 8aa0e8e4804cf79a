//! Cassandra sessions from a job, the schema of its table, and who holds how much of its keyspace.

mod connect;
mod error;
mod ring;
mod schema;
mod tls;

pub use connect::{CONNECT_TIMEOUT, Near, REQUEST_TIMEOUT, connect, consistency};
pub use error::CassandraError;
pub(crate) use ring::ring;
pub use schema::table_schema;
pub(crate) use schema::{require_keyspace, table_exists};
