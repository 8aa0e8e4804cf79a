//! The lists of blocks in Cassandra: the table `millstream_blocks` beside the sink table, which only LWT touches.

use std::{sync::Arc, time::Duration};

use scylla::{
    client::session::Session,
    errors::{ExecutionError, IntoRowsResultError, PrepareError, RowsError},
    statement::{Consistency, SerialConsistency, prepared::PreparedStatement, unprepared::Statement},
    value::{CqlTimestamp, CqlValue, Row},
};

use super::{
    Block,
    keeper::{Clocks, List, PAGE},
};
use crate::clock;

/// An LWT takes several rounds; Cassandra itself gives up after 1–2 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the table could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The request failed.
    #[error("request on millstream_blocks failed: {0}")]
    Execution(#[from] ExecutionError),
    /// The statement could not be prepared.
    #[error("statement on millstream_blocks could not be prepared: {0}")]
    Prepare(#[from] PrepareError),
    /// The answer holds no rows.
    #[error("answer of millstream_blocks could not be read: {0}")]
    Result(#[from] IntoRowsResultError),
    /// A row is not as expected.
    #[error("rows of millstream_blocks could not be read: {0}")]
    Rows(String),
    /// The insert was lost: neither ours nor another's is there.
    #[error("the insert into millstream_blocks was lost")]
    Lost,
}

/// Prepared statements on the table, shared by all partitions.
#[derive(Debug)]
pub struct Statements {
    session: Arc<Session>,
    newest: PreparedStatement,
    following: PreparedStatement,
    insert: PreparedStatement,
    clock: PreparedStatement,
    job: String,
    topic: String,
}

impl Statements {
    /// Prepares them. The table must exist (the scheduler makes it when it deploys the job).
    pub async fn prepare(session: Arc<Session>, keyspace: &str, job: &str, topic: &str) -> Result<Self, PrepareError> {
        let table = format!("\"{}\".millstream_blocks", keyspace.replace('"', "\"\""));
        let of_list = "job = ? AND generation = ? AND topic = ? AND partition = ?";
        let columns = "from_offset, len, anchor_us";
        let serial = |cql: String| prepare(&session, cql, Consistency::Serial);
        Ok(Statements {
            newest: serial(format!(
                "SELECT {columns} FROM {table} WHERE {of_list} AND from_offset <= ? ORDER BY from_offset DESC LIMIT 1"
            ))
            .await?,
            following: serial(format!(
                "SELECT {columns} FROM {table} WHERE {of_list} AND from_offset >= ? ORDER BY from_offset LIMIT {PAGE}"
            ))
            .await?,
            insert: prepare(
                &session,
                format!(
                    "INSERT INTO {table} (job, generation, topic, partition, {columns}) VALUES (?, ?, ?, ?, ?, ?, ?) \
                     IF NOT EXISTS"
                ),
                Consistency::Quorum,
            )
            .await?,
            clock: prepare(&session, "SELECT toTimestamp(now()) FROM system.local".into(), Consistency::One).await?,
            session,
            job: job.to_owned(),
            topic: topic.to_owned(),
        })
    }
}

async fn prepare(session: &Session, cql: String, consistency: Consistency) -> Result<PreparedStatement, PrepareError> {
    let mut statement = session.prepare(Statement::new(cql)).await?;
    statement.set_consistency(consistency);
    statement.set_serial_consistency(Some(SerialConsistency::Serial));
    statement.set_request_timeout(Some(REQUEST_TIMEOUT));
    statement.set_is_idempotent(true);
    Ok(statement)
}

/// The lists of one partition.
#[derive(Debug, Clone)]
pub struct CassandraList {
    statements: Arc<Statements>,
    partition: i32,
}

impl CassandraList {
    /// Of this partition.
    pub fn new(statements: Arc<Statements>, partition: i32) -> Self {
        CassandraList { statements, partition }
    }

    async fn select(
        &self,
        statement: &PreparedStatement,
        generation: u64,
        offset: i64,
    ) -> Result<Vec<Block>, StoreError> {
        let Statements { session, job, topic, .. } = &*self.statements;
        let values = (job, generation as i64, topic, self.partition, offset);
        let rows = session.execute_unpaged(statement, values).await?.into_rows_result()?;
        let rows = rows.rows::<(i64, i64, i64)>().map_err(|error: RowsError| StoreError::Rows(error.to_string()))?;
        let blocks: Result<_, _> =
            rows.map(|row| row.map(|(from, len, anchor_us)| Block { from, len, anchor_us })).collect();
        blocks.map_err(|error| StoreError::Rows(error.to_string()))
    }

    /// Whether the insert was applied; an error when that is not known.
    async fn try_insert(&self, generation: u64, block: Block) -> Result<bool, StoreError> {
        let Statements { session, job, topic, insert, .. } = &*self.statements;
        let Block { from, len, anchor_us } = block;
        let values = (job, generation as i64, topic, self.partition, from, len, anchor_us);
        let rows = session.execute_unpaged(insert, values).await?.into_rows_result()?;
        // The first column is `[applied]`; how many follow depends on its value.
        let row = rows.first_row::<Row>().map_err(|error| StoreError::Rows(error.to_string()))?;
        Ok(matches!(row.columns.first(), Some(Some(CqlValue::Boolean(true)))))
    }
}

impl List for CassandraList {
    type Error = StoreError;

    async fn newest_from(&self, generation: u64, offset: i64) -> Result<Option<Block>, StoreError> {
        Ok(self.select(&self.statements.newest, generation, offset).await?.pop())
    }

    async fn following(&self, generation: u64, offset: i64) -> Result<Vec<Block>, StoreError> {
        self.select(&self.statements.following, generation, offset).await
    }

    async fn insert(&self, generation: u64, block: Block) -> Result<Block, StoreError> {
        match self.try_insert(generation, block).await {
            Ok(true) => return Ok(block),
            Ok(false) => {}
            // A timed-out LWT may still happen, or have happened: what a SERIAL read sees stays (fault C9).
            Err(error) => tracing::warn!(partition = self.partition, %error, "block insert has no clear answer"),
        }
        match self.newest_from(generation, block.from).await? {
            Some(there) if there.from == block.from => Ok(there),
            _ => Err(StoreError::Lost),
        }
    }

    async fn clocks_us(&self) -> Result<Clocks, StoreError> {
        let rows = self.statements.session.execute_unpaged(&self.statements.clock, ()).await?.into_rows_result()?;
        let (CqlTimestamp(millis),) =
            rows.first_row::<(CqlTimestamp,)>().map_err(|error| StoreError::Rows(error.to_string()))?;
        Ok(Clocks { coordinator_us: millis.saturating_mul(1_000), here_us: clock::now_us() })
    }
}
