//! Lists of earlier releases, in the table `millstream_blocks`: one for each generation, ended by a block of length 0.
//! They are read once, when a list of epochs begins: their end lies below it, and an executor of an earlier release that
//! still runs gets no further block.

use std::sync::Arc;

use millstream_topology::blocks::OLD_TABLE;
use scylla::{
    client::session::Session,
    statement::{Consistency, SerialConsistency, unprepared::Statement},
    value::Row,
};

use super::store::StoreError;

/// Generations beyond the job's own that are looked for: a scheduler that lost its state counted from 1 again.
const GENERATIONS_BEYOND: u64 = 8;

/// The old lists of a job's topic.
#[derive(Debug)]
pub struct OldLists {
    session: Arc<Session>,
    table: String,
    job: String,
    topic: String,
}

impl OldLists {
    /// In this keyspace.
    pub fn new(session: Arc<Session>, keyspace: &str, job: &str, topic: &str) -> Self {
        let table = format!("\"{}\".{OLD_TABLE}", keyspace.replace('"', "\"\""));
        OldLists { session, table, job: job.to_owned(), topic: topic.to_owned() }
    }

    /// Ends the lists of a partition for all generations up to `generation` and those just beyond. Returns the timestamp
    /// above all of theirs; none when there was no list.
    pub async fn seal(&self, partition: i32, generation: u64) -> Result<Option<i64>, StoreError> {
        let mut floor_us = None;
        let mut last = generation + GENERATIONS_BEYOND;
        let mut number = 1;
        while number <= last {
            if let Some(end_us) = self.seal_one(partition, number).await? {
                floor_us = floor_us.max(Some(end_us));
                last = last.max(number + GENERATIONS_BEYOND);
            }
            number += 1;
        }
        Ok(floor_us)
    }

    async fn seal_one(&self, partition: i32, generation: u64) -> Result<Option<i64>, StoreError> {
        loop {
            // One that was never used is ended too: its executor may still be on its way.
            let newest = self.newest(partition, generation).await?;
            let (from, len, anchor_us) = newest.unwrap_or_default();
            let end_us = anchor_us + len;
            if newest.is_some() && len == 0 {
                return Ok(Some(end_us).filter(|end_us| *end_us > 0));
            }
            let cql = format!(
                "INSERT INTO {} (job, generation, topic, partition, from_offset, len, anchor_us) \
                 VALUES (?, ?, ?, ?, ?, 0, ?) IF NOT EXISTS",
                self.table
            );
            let values = (&self.job, generation as i64, &self.topic, partition, from + len, end_us);
            self.session.query_unpaged(statement(cql, Consistency::Quorum), values).await?;
        }
    }

    async fn newest(&self, partition: i32, generation: u64) -> Result<Option<(i64, i64, i64)>, StoreError> {
        let cql = format!(
            "SELECT from_offset, len, anchor_us FROM {} WHERE job = ? AND generation = ? AND topic = ? AND partition = ? \
             ORDER BY from_offset DESC LIMIT 1",
            self.table
        );
        let values = (&self.job, generation as i64, &self.topic, partition);
        let rows = self.session.query_unpaged(statement(cql, Consistency::Serial), values).await?.into_rows_result()?;
        rows.maybe_first_row::<(i64, i64, i64)>().map_err(|error| StoreError::Rows(error.to_string()))
    }
}

/// Whether a keyspace has lists of an earlier release.
pub async fn exist(session: &Session, keyspace: &str) -> Result<bool, StoreError> {
    let cql = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?";
    let rows = session.query_unpaged(Statement::new(cql), (keyspace, OLD_TABLE)).await?.into_rows_result()?;
    let row = rows.maybe_first_row::<Row>().map_err(|error| StoreError::Rows(error.to_string()))?;
    Ok(row.is_some())
}

fn statement(cql: String, consistency: Consistency) -> Statement {
    let mut statement = Statement::new(cql);
    statement.set_consistency(consistency);
    statement.set_serial_consistency(Some(SerialConsistency::Serial));
    statement.set_is_idempotent(true);
    statement
}
