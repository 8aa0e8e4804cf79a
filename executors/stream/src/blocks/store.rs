//! The lists of epochs in Cassandra: the table `millstream_epochs` beside the sink table. Only conditional writes touch
//! its epochs; the marks are plain static columns.

use std::sync::Arc;

use futures_util::future::join_all;
use millstream_topology::blocks::EPOCHS;
use scylla::{
    DeserializeRow,
    client::session::Session,
    errors::{ExecutionError, IntoRowsResultError, PrepareError, RowsError},
    statement::{
        Consistency, SerialConsistency,
        batch::{Batch, BatchType},
        prepared::PreparedStatement,
        unprepared::Statement,
    },
    value::{CqlTimestamp, CqlValue, Row},
};
use tokio::time::Duration;

use super::{
    Block, Epoch, Life, Mark, Why,
    keeper::{Clocks, List, PAGE},
};
use crate::clock;

/// An LWT takes several rounds; Cassandra itself gives up after 1–2 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A coordinator's clock that differs from ours by more is held against those of others.
const CLOCK_DOUBT_US: i64 = 5_000_000;

/// How many coordinators are asked then: the driver takes another one for each question.
const CLOCKS_IN_DOUBT: usize = 5;

/// Why the table could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The request failed.
    #[error("request on millstream_epochs failed: {0}")]
    Execution(#[from] ExecutionError),
    /// The statement could not be prepared.
    #[error("statement on millstream_epochs could not be prepared: {0}")]
    Prepare(#[from] PrepareError),
    /// The answer holds no rows.
    #[error("answer of millstream_epochs could not be read: {0}")]
    Result(#[from] IntoRowsResultError),
    /// A row is not as expected.
    #[error("rows of millstream_epochs could not be read: {0}")]
    Rows(String),
}

/// Prepared statements on the table, shared by all partitions.
pub struct Statements {
    session: Arc<Session>,
    newest: PreparedStatement,
    first: PreparedStatement,
    next: Batch,
    mark: PreparedStatement,
    put_mark: PreparedStatement,
    clock: PreparedStatement,
    job: String,
    topic: String,
}

#[derive(DeserializeRow)]
struct EpochRow {
    epoch: i64,
    generation: i64,
    meaning: Option<String>,
    topic_id: Option<String>,
    group_id: Option<String>,
    reason: Option<String>,
    from_offset: i64,
    len: i64,
    anchor_us: i64,
}

impl Statements {
    /// Prepares them. The table must exist (the scheduler makes it when it deploys the job).
    pub async fn prepare(session: Arc<Session>, keyspace: &str, job: &str, topic: &str) -> Result<Self, PrepareError> {
        let table = format!("\"{}\".{EPOCHS}", keyspace.replace('"', "\"\""));
        let of_list = "job = ? AND topic = ? AND partition = ?";
        let columns = "epoch, generation, meaning, topic_id, group_id, reason, from_offset, len, anchor_us";
        let serial = |cql: String| prepare(&session, cql, Consistency::Serial);
        let insert = format!(
            "INSERT INTO {table} (job, topic, partition, {columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS"
        );
        // The newest epoch must still be there: a list that was emptied meanwhile begins anew instead of going on.
        let still_there =
            format!("UPDATE {table} SET len = ? WHERE {of_list} AND epoch = ? IF len = ? AND anchor_us = ?");
        let mut next = Batch::new(BatchType::Unlogged);
        next.append_statement(prepare(&session, insert.clone(), Consistency::Quorum).await?);
        next.append_statement(prepare(&session, still_there, Consistency::Quorum).await?);
        next.set_consistency(Consistency::Quorum);
        next.set_serial_consistency(Some(SerialConsistency::Serial));
        next.set_request_timeout(Some(REQUEST_TIMEOUT));
        Ok(Statements {
            newest: serial(format!("SELECT {columns} FROM {table} WHERE {of_list} AND epoch < ? LIMIT {PAGE}")).await?,
            first: prepare(&session, insert, Consistency::Quorum).await?,
            next,
            mark: prepare(
                &session,
                format!("SELECT DISTINCT job, topic, partition, mark_offset, mark_epoch, mark_leader FROM {table} WHERE {of_list}"),
                Consistency::Quorum,
            )
            .await?,
            put_mark: prepare(
                &session,
                format!(
                    "UPDATE {table} USING TIMESTAMP ? SET mark_offset = ?, mark_epoch = ?, mark_leader = ? WHERE {of_list}"
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

    /// The session they were prepared on.
    pub fn session(&self) -> &Session {
        &self.session
    }

    async fn coordinator_us(&self) -> Result<i64, StoreError> {
        let rows = self.session.execute_unpaged(&self.clock, ()).await?.into_rows_result()?;
        let (CqlTimestamp(millis),) =
            rows.first_row::<(CqlTimestamp,)>().map_err(|error| StoreError::Rows(error.to_string()))?;
        Ok(millis.saturating_mul(1_000))
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

/// The list of one partition.
#[derive(Clone)]
pub struct CassandraList {
    statements: Arc<Statements>,
    partition: i32,
}

impl CassandraList {
    /// Of this partition.
    pub fn new(statements: Arc<Statements>, partition: i32) -> Self {
        CassandraList { statements, partition }
    }

    /// Its partition.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// Writes the mark at `timestamp_us`, that of its offset: an older mark that comes late loses.
    pub async fn put_mark(&self, mark: Mark, timestamp_us: i64) -> Result<(), StoreError> {
        let Statements { session, put_mark, job, topic, .. } = &*self.statements;
        let values = (timestamp_us, mark.offset, mark.epoch as i64, mark.leader, job, topic, self.partition);
        session.execute_unpaged(put_mark, values).await?;
        Ok(())
    }
}

impl List for CassandraList {
    type Error = StoreError;

    async fn newest(&self, before: Option<u64>) -> Result<Vec<Epoch>, StoreError> {
        let Statements { session, newest, job, topic, .. } = &*self.statements;
        let before = before.map_or(i64::MAX, |before| before as i64);
        let rows = session.execute_unpaged(newest, (job, topic, self.partition, before)).await?.into_rows_result()?;
        let rows = rows.rows::<EpochRow>().map_err(|error: RowsError| StoreError::Rows(error.to_string()))?;
        let epochs: Result<_, _> = rows.map(|row| row.map(epoch)).collect();
        epochs.map_err(|error| StoreError::Rows(error.to_string()))
    }

    async fn mark(&self) -> Result<Option<Mark>, StoreError> {
        type MarkRow = (String, String, i32, Option<i64>, Option<i64>, Option<i32>);
        let Statements { session, mark, job, topic, .. } = &*self.statements;
        let rows = session.execute_unpaged(mark, (job, topic, self.partition)).await?.into_rows_result()?;
        let row = rows.maybe_first_row::<MarkRow>().map_err(|error| StoreError::Rows(error.to_string()))?;
        Ok(row.and_then(|(.., offset, epoch, leader)| {
            Some(Mark { offset: offset?, epoch: epoch? as u64, leader: leader.unwrap_or(-1) })
        }))
    }

    async fn append(&self, last: Option<&Epoch>, epoch: &Epoch) -> Result<bool, StoreError> {
        let Statements { session, first, next, job, topic, .. } = &*self.statements;
        let (Life { generation, meaning, topic_id, group }, Block { from, len, anchor_us }) =
            (&*epoch.life, epoch.block);
        let (number, generation) = (epoch.number as i64, *generation as i64);
        let (list, why) = ((job, topic, self.partition), epoch.why.word());
        let insert = (list.0, list.1, list.2, number, generation, meaning, topic_id, group, why, from, len, anchor_us);
        let result = match last {
            None => session.execute_unpaged(first, insert).await?,
            Some(last) => {
                let block = last.block;
                let there = (block.len, list.0, list.1, list.2, last.number as i64, block.len, block.anchor_us);
                session.batch(next, (insert, there)).await?
            }
        };
        // The first column is `[applied]`; how many follow depends on its value.
        let rows = result.into_rows_result()?;
        let row = rows.rows::<Row>().map_err(|error| StoreError::Rows(error.to_string()))?.next();
        let row = row.transpose().map_err(|error| StoreError::Rows(error.to_string()))?;
        Ok(row.is_some_and(|row| matches!(row.columns.first(), Some(Some(CqlValue::Boolean(true))))))
    }

    async fn clocks_us(&self) -> Result<Clocks, StoreError> {
        let first = self.statements.coordinator_us().await?;
        let here_us = clock::now_us();
        if (first - here_us).abs() <= CLOCK_DOUBT_US {
            return Ok(Clocks { coordinator_us: first, here_us });
        }
        // Either it is ours that is wrong, or this one node's.
        let others = join_all((0..CLOCKS_IN_DOUBT).map(|_| self.statements.coordinator_us())).await;
        let mut all: Vec<i64> = others.into_iter().collect::<Result<_, _>>()?;
        all.sort_unstable();
        Ok(Clocks { coordinator_us: all[all.len() / 2], here_us: clock::now_us() })
    }
}

fn epoch(row: EpochRow) -> Epoch {
    let life = Life {
        generation: row.generation as u64,
        meaning: row.meaning.unwrap_or_default(),
        topic_id: row.topic_id.unwrap_or_default(),
        group: row.group_id.unwrap_or_default(),
    };
    Epoch {
        number: row.epoch as u64,
        life: Arc::new(life),
        // A reason of a later release: the most careful reading is that of a block like any other.
        why: row.reason.as_deref().and_then(Why::from_word).unwrap_or(Why::Next),
        block: Block { from: row.from_offset, len: row.len, anchor_us: row.anchor_us },
    }
}
