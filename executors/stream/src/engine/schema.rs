//! Whether the table is still the one that rows are made for. One that was dropped and made again may have other types: the
//! executor starts anew. Columns that were dropped and added again: Cassandra hides their cells that are older than the
//! drop, so what was on its way then must be written again, younger.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use millstream_pipeline::{Binding, Transform};
use millstream_protocol::Partition;
use millstream_spec::CassandraSink;
use scylla::{
    client::session::Session,
    deserialize::DeserializationError,
    errors::{ExecutionError, IntoRowsResultError, MaybeFirstRowError, RowsError},
    response::query_result::QueryRowsResult,
    statement::unprepared::Statement,
    value::CqlTimestamp,
};
use uuid::Uuid;

use super::{Stop, Trouble, bind_table, causes, looks::Looks};

/// How often it is asked: what was acknowledged up to two looks before is written again.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The table as the executor's rows are made for it.
pub(super) struct Schema {
    session: Arc<Session>,
    sink: CassandraSink,
    transform: Transform,
    columns: Vec<String>,
    /// When the executor began.
    before: Seen,
}

/// What is told of a table.
pub(super) struct Seen {
    /// Its identity: another one after it was dropped and made again. None when there is no table.
    id: Option<Uuid>,
    /// When each dropped column was dropped last, in microseconds since the epoch.
    dropped: BTreeMap<String, i64>,
}

/// Why it could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the table's identity and dropped columns could not be read")]
pub(super) enum SchemaError {
    /// The request failed.
    Execution(#[from] ExecutionError),
    /// The answer holds no rows.
    Result(#[from] IntoRowsResultError),
    /// The rows are not as expected.
    Rows(#[from] RowsError),
    /// The first row is not as expected.
    First(#[from] MaybeFirstRowError),
    /// A row is not as expected.
    Row(#[from] DeserializationError),
}

/// Looks at a table.
pub(super) async fn look(session: &Session, sink: &CassandraSink) -> Result<Seen, SchemaError> {
    let id = ask(session, sink, "id FROM system_schema.tables").await?;
    let id = id.maybe_first_row::<(Uuid,)>()?.map(|(id,)| id);
    Ok(Seen { id, dropped: dropped(session, sink).await? })
}

async fn dropped(session: &Session, sink: &CassandraSink) -> Result<BTreeMap<String, i64>, SchemaError> {
    let answer = ask(session, sink, "column_name, dropped_time FROM system_schema.dropped_columns").await?;
    let mut dropped = BTreeMap::new();
    for row in answer.rows::<(String, CqlTimestamp)>()? {
        let (name, CqlTimestamp(millis)) = row?;
        // Stored in µs, told in ms.
        dropped.insert(name, millis.saturating_add(1).saturating_mul(1_000));
    }
    Ok(dropped)
}

async fn ask(session: &Session, sink: &CassandraSink, what: &str) -> Result<QueryRowsResult, SchemaError> {
    let statement = Statement::new(format!("SELECT {what} WHERE keyspace_name = ? AND table_name = ?"));
    Ok(session.query_unpaged(statement, (&sink.keyspace, &sink.table)).await?.into_rows_result()?)
}

impl Schema {
    /// `before`: what was seen when nothing had been read of the table yet.
    pub(super) fn new(
        session: Arc<Session>,
        sink: &CassandraSink,
        transform: Transform,
        binding: &Binding,
        before: Seen,
    ) -> Self {
        let columns = binding.columns().iter().map(|column| column.name.clone()).collect();
        Schema { session, sink: sink.clone(), transform, columns, before }
    }

    /// When one of our columns was dropped last, in microseconds since the epoch: cells up to then are hidden. None when
    /// none ever was.
    pub(super) async fn dropped_us(&self) -> Result<Option<i64>, SchemaError> {
        Ok(self.newest(&dropped(&self.session, &self.sink).await?))
    }

    fn newest(&self, dropped: &BTreeMap<String, i64>) -> Option<i64> {
        self.columns.iter().filter_map(|column| dropped.get(column)).max().copied()
    }
}

/// Looks until the engine is gone.
pub(super) async fn watch(mut looks: Looks) {
    let mut known = None;
    // What was durable at the look before the last, and at the last.
    let mut durable = [BTreeMap::new(), BTreeMap::new()];
    while let Some((engine, ready)) = looks.next().await {
        let schema = &ready.schema;
        let slot = &engine.shared.health.schema;
        let seen = match look(&schema.session, &schema.sink).await {
            Ok(seen) => seen,
            Err(error) => {
                slot.set(Trouble::stalled(causes(&error)));
                continue;
            }
        };
        let CassandraSink { keyspace, table, .. } = &schema.sink;
        if seen.id.is_some() && seen.id != schema.before.id {
            return engine.shared.fail(format!(
                "table {keyspace}.{table} was dropped and made again: starting anew. Rows that were written before are gone; to write them again, set the group's offset to the beginning"
            ));
        }
        // What a start would say, also where nothing is written that would be refused.
        match bind_table(&schema.session, &schema.sink, &schema.transform).await {
            Ok(_) => slot.clear(),
            Err(trouble) => slot.set(trouble),
        }
        let dropped = schema.newest(&seen.dropped);
        let states = engine.partitions();
        if known.replace(dropped).unwrap_or_else(|| schema.newest(&schema.before.dropped)) < dropped {
            for state in &states {
                let earlier = durable[0].get(&state.partition).copied();
                let Some(from) = earlier.into_iter().chain(state.durable()).min() else { continue };
                let reason = format!(
                    "a column of the table was dropped; what was written since offset {from} is written again; for older rows too, set the group's offset to the beginning"
                );
                // Also of a partition that waits: it is done when it begins.
                state.ask_repair(from);
                state.request_stop(Stop::anew(reason));
            }
        }
        let now: BTreeMap<Partition, i64> =
            states.iter().filter_map(|state| Some((state.partition, state.durable()?))).collect();
        let [_, last] = durable;
        durable = [last, now];
    }
}
