//! Millstream's own table of timestamp blocks (delivery.md D1), beside the sink's table.

use scylla::client::session::Session;

use crate::cassandra::{CassandraError, require_keyspace, table_exists};

/// Its name, in the sink's keyspace.
pub const TABLE: &str = "millstream_blocks";

/// Makes the table unless it is there. For the scheduler at deploy: one process changes the schema, executors only read
/// and insert. A user without the right to create tables can have it made beforehand.
pub async fn ensure_table(session: &Session, keyspace: &str) -> Result<(), CassandraError> {
    require_keyspace(session, keyspace).await?;
    if table_exists(session, keyspace, TABLE).await? {
        return Ok(());
    }
    let made = session.query_unpaged(create_cql(keyspace), ()).await;
    made.map(drop).map_err(|e| CassandraError::statement(&format!("create `{keyspace}.{TABLE}`"), e))
}

/// The statement that makes the table.
pub fn create_cql(keyspace: &str) -> String {
    let keyspace = keyspace.replace('"', "\"\"");
    format!(
        "CREATE TABLE IF NOT EXISTS \"{keyspace}\".{TABLE} (job text, generation bigint, topic text, partition int, \
         from_offset bigint, len bigint, anchor_us bigint, PRIMARY KEY ((job, generation, topic, partition), from_offset))"
    )
}
