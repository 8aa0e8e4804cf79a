//! Whether the table is still the one that rows are made for. One that was dropped and made again may have other types: the
//! executor starts anew, and what was on its way then is written again, younger, because it may have been written as what it
//! is not. So it is with columns that were dropped and added again: Cassandra hides their cells that are older than the drop.

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

use super::{PartitionState, Stop, Trouble, bind_table, causes, looks::Looks, setup::Ready};
use crate::{
    blocks::{
        Epoch, Why,
        keeper::{KeeperError, List as _, Wanted, append},
        store::{CassandraList, StoreError},
    },
    source::offsets,
};

/// How often it is asked: what was acknowledged up to two looks before is written again.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The table as the executor's rows are made for it.
pub(super) struct Schema {
    session: Arc<Session>,
    sink: CassandraSink,
    transform: Transform,
    /// How rows are written to it.
    binding: Binding,
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
        binding: Binding,
        before: Seen,
    ) -> Self {
        Schema { session, sink: sink.clone(), transform, binding, before }
    }

    /// Where rows go.
    pub(super) fn sink(&self) -> &CassandraSink {
        &self.sink
    }

    /// The one of our columns that was dropped last, and when, in microseconds since the epoch: its cells up to then are
    /// hidden. None when none ever was.
    pub(super) async fn dropped(&self) -> Result<Option<(String, i64)>, SchemaError> {
        Ok(self.newest(&dropped(&self.session, &self.sink).await?))
    }

    fn newest(&self, dropped: &BTreeMap<String, i64>) -> Option<(String, i64)> {
        let ours = self.binding.columns().iter().map(|column| &column.name);
        let dropped = ours.filter_map(|name| Some((name.clone(), *dropped.get(name)?)));
        dropped.max_by_key(|(_, dropped_us)| *dropped_us)
    }

    /// What only a new start mends.
    fn changed(&self, seen: &Seen, now: Option<&Binding>) -> Option<String> {
        let CassandraSink { keyspace, table, .. } = &self.sink;
        if seen.id.is_some() && seen.id != self.before.id {
            return Some(format!(
                "table {keyspace}.{table} was dropped and made again: starting anew. Rows that were written before are gone; to write them again, set the group's offset to the beginning"
            ));
        }
        now.is_some_and(|now| now.columns() != self.binding.columns())
            .then(|| format!("columns of {keyspace}.{table} have another type or order than before: starting anew"))
    }
}

/// What was durable and where it had begun, by partition: at the look before the last, and at the last.
#[derive(Default)]
struct Durable([BTreeMap<Partition, (i64, i64)>; 2]);

impl Durable {
    fn note(&mut self, states: &[Arc<PartitionState>]) {
        let now = states.iter().filter_map(|state| Some((state.partition, (state.durable()?, state.begun_at()?))));
        self.0 = [std::mem::take(&mut self.0[1]), now.collect()];
    }

    /// What lies below was written before the change that was just seen; none when nothing of the partition ever was.
    fn before_change(&self, state: &PartitionState) -> Option<i64> {
        let begun = state.begun_at()?;
        let noted = self.0[0].get(&state.partition).copied();
        // One that has begun since may have gone back.
        let new_begin = noted.is_none_or(|(_, noted)| noted != begun).then_some(begun);
        noted.map(|(durable, _)| durable).into_iter().chain(new_begin).chain(state.durable()).min()
    }
}

/// Looks until the engine is gone.
pub(super) async fn watch(mut looks: Looks) {
    let mut known = None;
    let mut durable = Durable::default();
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
        // What a start would say, also where nothing is written that would be refused.
        let binding = bind_table(&schema.session, &schema.sink, &schema.transform).await;
        let states = engine.partitions();
        if let Some(reason) = schema.changed(&seen, binding.as_ref().ok()) {
            match begin_again(&ready, &states, &durable).await {
                Ok(()) => return engine.shared.fail(reason),
                Err(error) => slot.set(Trouble::stalled(format!("{reason}; first: {}", causes(&error)))),
            }
            continue;
        }
        match binding {
            Ok(_) => slot.clear(),
            Err(trouble) => slot.set(trouble),
        }
        let newest_us = |of: &Seen| schema.newest(&of.dropped).map(|(_, dropped_us)| dropped_us);
        let dropped_us = newest_us(&seen);
        if known.replace(dropped_us).unwrap_or_else(|| newest_us(&schema.before)) < dropped_us {
            for state in &states {
                let Some(from) = durable.before_change(state) else { continue };
                let reason = format!(
                    "a column of the table was dropped; what was written since offset {from} is written again; for older rows too, set the group's offset to the beginning"
                );
                // Also of a partition that waits: it is done when it begins.
                state.ask_repair(from);
                state.request_stop(Stop::anew(reason));
            }
        }
        durable.note(&states);
    }
}

/// Has the next executor write again, under younger timestamps, what may have gone to the table as it is now by statements
/// made for the table as it was.
async fn begin_again(
    ready: &Ready,
    states: &[Arc<PartitionState>],
    durable: &Durable,
) -> Result<(), KeeperError<StoreError>> {
    // None of them begins at what is appended before the process ends.
    states.iter().for_each(|state| state.request_stop(Stop::other("the table is another one: starting anew")));
    // What one can't have yet holds no other up.
    let mut done = Ok(());
    for state in states {
        if let (Some(from), Some(ours)) = (durable.before_change(state), state.last_epoch()) {
            // Records that retention has passed meanwhile can't be written again.
            let from = from.max(log_start(ready, state.partition).await);
            if state.position() > Some(from) {
                match write_again(ready, state.partition, from, &ours).await {
                    // The whole keyspace was dropped: nothing of it is left to be written again.
                    Err(error) if is_without_table(&error) => tracing::warn!(error = causes(&error), "no list to tell"),
                    told => done = done.and(told),
                }
            }
        }
    }
    done
}

fn is_without_table(error: &KeeperError<StoreError>) -> bool {
    let words = causes(error);
    matches!(error, KeeperError::Store(_))
        && ["does not exist", "unconfigured table"].iter().any(|of| words.contains(of))
}

/// Oldest offset in the log; where Kafka does not say, the lowest there is.
async fn log_start(ready: &Ready, partition: Partition) -> i64 {
    let topic = ready.source.topic.clone();
    ready.ask(move |consumer| offsets::log_start(consumer, &topic, partition)).await.unwrap_or(0)
}

/// Appends the epoch for it, unless there is one. `ours` is the newest that is gone by here.
async fn write_again(
    ready: &Ready,
    partition: Partition,
    from: i64,
    ours: &Epoch,
) -> Result<(), KeeperError<StoreError>> {
    let list = CassandraList::new(ready.blocks.clone(), partition);
    let Some(last) = list.newest(None).await.map_err(KeeperError::Store)?.into_iter().next() else { return Ok(()) };
    let repairs = |epoch: &Epoch| epoch.why == Why::Repair && epoch.block.from <= from;
    // Another generation's list is not this executor's to mend; an attempt before may have done it.
    if !ours.life.is_same(&last.life) || (repairs(&last) && last != *ours) {
        return Ok(());
    }
    let wanted = Wanted { why: Why::Repair, from, ahead: 1, floor_us: i64::MIN };
    let (epoch, _) = append(&list, &last.life, Some(&last), wanted).await?;
    if !repairs(&epoch) {
        // Another append came first: this one is tried again.
        return Err(KeeperError::Early { ahead_us: 0 });
    }
    tracing::info!(partition, from, "written again after the new start");
    Ok(())
}
