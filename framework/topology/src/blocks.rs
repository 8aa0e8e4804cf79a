//! Millstream's own table of timestamp blocks (docs/delivery.md), beside the sink's table.

use futures_util::future::try_join_all;
use scylla::{
    client::session::Session,
    statement::{Consistency, unprepared::Statement},
};

use crate::cassandra::{CassandraError, require_keyspace, table_exists};

/// Its name, in the sink's keyspace.
pub const EPOCHS: &str = "millstream_epochs";

/// Its name in earlier releases, with another shape: read once for each list, and ended.
pub const OLD_TABLE: &str = "millstream_blocks";

/// Makes the table unless it is there. For the scheduler: one process changes the schema, executors only read and insert. A
/// user without the right to create tables can have it made beforehand.
pub async fn ensure_table(session: &Session, keyspace: &str) -> Result<(), CassandraError> {
    require_keyspace(session, keyspace).await?;
    if table_exists(session, keyspace, EPOCHS).await? {
        return Ok(());
    }
    let made = session.query_unpaged(create_cql(keyspace), ()).await;
    made.map(drop).map_err(|e| CassandraError::statement(&format!("create `{keyspace}.{EPOCHS}`"), e))
}

/// The statement that makes the table.
pub fn create_cql(keyspace: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (job text, topic text, partition int, epoch bigint, generation bigint, meaning text, \
         topic_id text, group_id text, reason text, from_offset bigint, len bigint, anchor_us bigint, \
         mark_offset bigint static, mark_epoch bigint static, mark_leader int static, \
         PRIMARY KEY ((job, topic, partition), epoch)) WITH CLUSTERING ORDER BY (epoch DESC)",
        table(keyspace)
    )
}

/// The newest generation that a job's lists speak of, and what it makes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The generation.
    pub generation: u64,
    /// [`JobSpec::meaning`](millstream_spec::JobSpec::meaning) of its text.
    pub meaning: String,
}

/// Reads the newest generation of a job's lists of this topic; none when no list has begun. A scheduler that lost its state
/// goes on from there.
pub async fn begun(
    session: &Session,
    keyspace: &str,
    job: &str,
    topic: &str,
    partitions: i32,
) -> Result<Option<Begun>, CassandraError> {
    let cql = format!(
        "SELECT generation, meaning FROM {} WHERE job = ? AND topic = ? AND partition = ? LIMIT 1",
        table(keyspace)
    );
    fn failed(error: impl std::error::Error + Send + Sync + 'static) -> CassandraError {
        CassandraError::statement(&format!("read `{EPOCHS}`"), error)
    }
    let ask = async |partition: i32| {
        let mut statement = Statement::new(&cql);
        statement.set_consistency(Consistency::Quorum);
        let rows = session.query_unpaged(statement, (job, topic, partition)).await.map_err(failed)?;
        let rows = rows.into_rows_result().map_err(failed)?;
        rows.maybe_first_row::<(i64, Option<String>)>().map_err(failed)
    };
    let found = try_join_all((0..partitions).map(ask)).await?;
    let newest = found.into_iter().flatten().max_by_key(|(generation, _)| *generation);
    Ok(newest
        .map(|(generation, meaning)| Begun { generation: generation as u64, meaning: meaning.unwrap_or_default() }))
}

fn table(keyspace: &str) -> String {
    format!("\"{}\".{EPOCHS}", keyspace.replace('"', "\"\""))
}
