//! Whether the table is still the one that rows are made for. One that was dropped and made again may have other types: the
//! executor starts anew. Columns that were dropped and added again: Cassandra hides their cells that are older than the
//! drop, so what was on its way then must be written again, younger.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use millstream_pipeline::Binding;
use millstream_protocol::Partition;
use millstream_spec::CassandraSink;
use scylla::{
    client::session::Session,
    deserialize::DeserializationError,
    errors::{ExecutionError, IntoRowsResultError, RowsError},
    statement::unprepared::Statement,
    value::CqlTimestamp,
};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::{Again, Engine, Stop};

/// How often it is asked: what was acknowledged up to two looks before is written again.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The table's dropped columns.
pub(super) struct Schema {
    session: Arc<Session>,
    sink: CassandraSink,
    columns: Vec<String>,
    /// As [`Schema::dropped_us`], when the executor began.
    before: Option<i64>,
    /// As [`table_id`], when the executor began.
    id: Option<Uuid>,
}

/// Why they could not be read.
#[derive(Debug, thiserror::Error)]
#[error("dropped columns could not be read")]
pub(super) enum SchemaError {
    /// The request failed.
    Execution(#[from] ExecutionError),
    /// The answer holds no rows.
    Result(#[from] IntoRowsResultError),
    /// The rows are not as expected.
    Rows(#[from] RowsError),
    /// A row is not as expected.
    Row(#[from] DeserializationError),
}

/// When each dropped column of a table was dropped last, in microseconds since the epoch.
pub(super) type Dropped = BTreeMap<String, i64>;

/// Reads the dropped columns of a table.
pub(super) async fn dropped(session: &Session, sink: &CassandraSink) -> Result<Dropped, SchemaError> {
    let cql = "SELECT column_name, dropped_time FROM system_schema.dropped_columns \
               WHERE keyspace_name = ? AND table_name = ?";
    let rows = session.query_unpaged(Statement::new(cql), (&sink.keyspace, &sink.table)).await?.into_rows_result()?;
    let mut all = BTreeMap::new();
    for row in rows.rows::<(String, CqlTimestamp)>()? {
        let (name, CqlTimestamp(millis)) = row?;
        // Stored in µs, told in ms.
        all.insert(name, millis.saturating_add(1).saturating_mul(1_000));
    }
    Ok(all)
}

impl Schema {
    /// `before` and `id`: what was dropped, and the table, when nothing had been read of it yet.
    pub(super) fn new(
        session: Arc<Session>,
        sink: &CassandraSink,
        binding: &Binding,
        before: &Dropped,
        id: Option<Uuid>,
    ) -> Self {
        let columns = binding.columns().iter().map(|column| column.name.clone()).collect();
        let mut schema = Schema { session, sink: sink.clone(), columns, before: None, id };
        schema.before = schema.newest(before);
        schema
    }

    /// When one of our columns was dropped last, in microseconds since the epoch: cells up to then are hidden. None when
    /// none ever was.
    pub(super) async fn dropped_us(&self) -> Result<Option<i64>, SchemaError> {
        Ok(self.newest(&dropped(&self.session, &self.sink).await?))
    }

    fn newest(&self, dropped: &Dropped) -> Option<i64> {
        self.columns.iter().filter_map(|column| dropped.get(column)).max().copied()
    }
}

/// The table's identity: another one after it was dropped and made again. None when there is no table.
pub(super) async fn table_id(session: &Session, sink: &CassandraSink) -> Result<Option<Uuid>, SchemaError> {
    let cql = "SELECT id FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?";
    let rows = session.query_unpaged(Statement::new(cql), (&sink.keyspace, &sink.table)).await?.into_rows_result()?;
    let row = rows.rows::<(Uuid,)>()?.next().transpose()?;
    Ok(row.map(|(id,)| id))
}

/// Looks until the engine is gone.
pub(super) async fn watch(engine: Weak<Engine>) {
    let mut known: Option<Option<i64>> = None;
    // What was durable at the last look and at the one before.
    let mut durable = [BTreeMap::new(), BTreeMap::new()];
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(engine) = engine.upgrade() else { return };
        let Some(ready) = engine.ready.get() else { continue };
        if let Ok(Some(id)) = table_id(&ready.schema.session, &ready.schema.sink).await
            && Some(id) != ready.schema.id
        {
            let CassandraSink { keyspace, table, .. } = &ready.schema.sink;
            return engine.shared.fail(format!("table {keyspace}.{table} was dropped and made again: starting anew"));
        }
        let Ok(dropped) = ready.schema.dropped_us().await else { continue };
        let states = engine.consumed();
        if known.replace(dropped).unwrap_or(ready.schema.before) < dropped {
            for state in &states {
                let now = state.durable();
                let Some(from) = durable[0].get(&state.partition).copied().into_iter().chain(now).min() else {
                    continue;
                };
                let reason =
                    format!("a column of the table was dropped; what was written since offset {from} is written again");
                state.request_stop(Stop { reason, again: Again::From(from) });
            }
        }
        durable.swap(0, 1);
        durable[1] = states
            .iter()
            .filter_map(|state| Some((state.partition, state.durable()?)))
            .collect::<BTreeMap<Partition, i64>>();
    }
}
