//! Millstream's own table of timestamp blocks (docs/delivery.md), beside the sink's table.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use millstream_spec::{CassandraSink, JobSpec};
use scylla::{
    client::session::Session,
    deserialize::row::DeserializeRow,
    serialize::row::SerializeRow,
    statement::{Consistency, unprepared::Statement},
};

use crate::cassandra::{CassandraError, Near, connect, require_keyspace, table_exists};

/// Its name, in the sink's keyspace.
pub const EPOCHS: &str = "millstream_epochs";

/// Its name in earlier releases, with another shape: read once for each list, and ended.
pub const OLD_TABLE: &str = "millstream_blocks";

/// Nodes may need so long to know a table that another scheduler of the keyspace makes at the same moment.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);

/// Pause between looks at it.
const ASKED_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// A session of a job's sink in which the table is there. For the scheduler, and for who stands in for it.
pub async fn connect_with_table(sink: &CassandraSink) -> Result<Session, CassandraError> {
    let session = connect(sink, &Near::default()).await?;
    ensure_table(&session, &sink.keyspace).await?;
    Ok(session)
}

/// Makes the table unless it is there. For the scheduler: one process changes the schema, executors only read and insert. A
/// user without the right to create tables can have it made beforehand.
async fn ensure_table(session: &Session, keyspace: &str) -> Result<(), CassandraError> {
    require_keyspace(session, keyspace).await?;
    if !table_exists(session, keyspace, EPOCHS).await? {
        let made = session.query_unpaged(create_cql(keyspace), ()).await;
        made.map(drop).map_err(|e| CassandraError::statement(&format!("create `{keyspace}.{EPOCHS}`"), e))?;
    }
    // Who asks next may ask another node, which must have heard of it.
    let agreed = session.await_schema_agreement().await;
    agreed.map(drop).map_err(|e| CassandraError::statement(&format!("make all nodes know `{keyspace}.{EPOCHS}`"), e))
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
pub async fn begun(session: &Session, spec: &JobSpec) -> Result<Option<Begun>, CassandraError> {
    let begin = Instant::now();
    loop {
        match try_begun(session, spec).await {
            Err(error) if begin.elapsed() < KNOWN_WITHIN => tracing::debug!(%error, "asked again"),
            done => return done,
        }
        tokio::time::sleep(ASKED_AGAIN_AFTER).await;
    }
}

async fn try_begun(session: &Session, spec: &JobSpec) -> Result<Option<Begun>, CassandraError> {
    let table = table(&spec.sink.keyspace);
    // As many lists as there are partitions of all jobs: few enough for one look at a deploy.
    let all: Vec<(String, String, i32)> =
        rows(session, format!("SELECT DISTINCT job, topic, partition FROM {table}"), ()).await?;
    let ours = all.into_iter().filter(|(job, topic, _)| *job == spec.name.0 && *topic == spec.source.topic);
    let newest = ours.map(async |(job, topic, partition)| {
        let cql =
            format!("SELECT generation, meaning FROM {table} WHERE job = ? AND topic = ? AND partition = ? LIMIT 1");
        rows::<(i64, Option<String>)>(session, cql, (job, topic, partition)).await
    });
    let newest = try_join_all(newest).await?.into_iter().flatten().max_by_key(|(generation, _)| *generation);
    Ok(newest
        .map(|(generation, meaning)| Begun { generation: generation as u64, meaning: meaning.unwrap_or_default() }))
}

async fn rows<R: for<'f, 'm> DeserializeRow<'f, 'm>>(
    session: &Session,
    cql: String,
    values: impl SerializeRow,
) -> Result<Vec<R>, CassandraError> {
    fn failed(error: impl std::error::Error + Send + Sync + 'static) -> CassandraError {
        CassandraError::statement(&format!("read `{EPOCHS}`"), error)
    }
    let mut statement = Statement::new(cql);
    statement.set_consistency(Consistency::Quorum);
    let answer = session.query_unpaged(statement, values).await.map_err(failed)?;
    let answer = answer.into_rows_result().map_err(failed)?;
    answer.rows::<R>().map_err(failed)?.collect::<Result<_, _>>().map_err(failed)
}

fn table(keyspace: &str) -> String {
    format!("\"{}\".{EPOCHS}", keyspace.replace('"', "\"\""))
}
