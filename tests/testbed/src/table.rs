//! Reads a whole Cassandra table, by token ranges, as plain values: the check's own way, not the pipeline's.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt};
use scylla::{
    client::session::Session,
    statement::{Consistency, prepared::PreparedStatement, unprepared::Statement},
    value::{CqlValue, Row},
};
use serde_json::{Map, Value};

use crate::process::eventually;

/// Parts the ring is read in, and how many of them at a time.
const RANGES: i128 = 32;
const RANGES_AT_ONCE: usize = 4;
const PAGE_ROWS: i32 = 5_000;
/// For one part, failed attempts included.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// A table's rows, each with one value per column.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Column names, in the order of the values.
    pub columns: Vec<String>,
    /// Rows, in no order.
    pub rows: Vec<Vec<Value>>,
}

/// Reads `keyspace.table` at LOCAL_QUORUM.
pub async fn read(session: &Session, keyspace: &str, table: &str) -> Result<Table> {
    session.refresh_metadata().await?;
    let state = session.get_cluster_state();
    let schema = state.get_keyspace(keyspace).and_then(|keyspace| keyspace.tables.get(table));
    let key = schema.with_context(|| format!("no table {keyspace}.{table}"))?.partition_key.join("\", \"");
    let cql = format!("SELECT * FROM {keyspace}.{table} WHERE token(\"{key}\") > ? AND token(\"{key}\") <= ?");
    let mut statement = Statement::new(cql);
    statement.set_consistency(Consistency::LocalQuorum);
    statement.set_page_size(PAGE_ROWS);
    let prepared = session.prepare(statement).await?;
    let specs = prepared.get_current_result_set_col_specs();
    let columns = specs.get().iter().map(|column| column.name().to_owned()).collect();
    let prepared = &prepared;
    let ranges = futures_util::stream::iter(0..RANGES).map(|range| {
        // Right after the death of a node reads time out, until the others have noticed it.
        eventually("a part of the table is read", READ_WITHIN, async move || {
            read_range(session, prepared, range).await.map(Some)
        })
    });
    let parts: Vec<Vec<Vec<Value>>> = ranges.buffer_unordered(RANGES_AT_ONCE).try_collect().await?;
    Ok(Table { columns, rows: parts.into_iter().flatten().collect() })
}

async fn read_range(session: &Session, prepared: &PreparedStatement, range: i128) -> Result<Vec<Vec<Value>>> {
    let rows = session.execute_iter(prepared.clone(), bounds(range)).await?.rows_stream::<Row>()?;
    let rows: Vec<Row> = rows.try_collect().await?;
    Ok(rows.into_iter().map(|row| row.columns.into_iter().map(json).collect()).collect())
}

/// Tokens `(after, up to]` of a part of the ring. The smallest token belongs to no row.
fn bounds(range: i128) -> (i64, i64) {
    let step = (1_i128 << 64) / RANGES;
    let edge = |n: i128| (n * step - (1_i128 << 63)).clamp(i64::MIN.into(), i64::MAX.into()) as i64;
    (edge(range), edge(range + 1))
}

/// A value as JSON: timestamps as RFC 3339 in milliseconds, blobs in hex, what JSON cannot hold as text.
pub fn json(value: Option<CqlValue>) -> Value {
    let Some(value) = value else { return Value::Null };
    match value {
        CqlValue::Boolean(v) => v.into(),
        CqlValue::TinyInt(v) => v.into(),
        CqlValue::SmallInt(v) => v.into(),
        CqlValue::Int(v) => v.into(),
        CqlValue::BigInt(v) => v.into(),
        CqlValue::Float(v) => number(f64::from(v)),
        CqlValue::Double(v) => number(v),
        CqlValue::Ascii(v) | CqlValue::Text(v) => v.into(),
        CqlValue::Timestamp(v) => timestamp(v.0),
        CqlValue::Blob(v) => v.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into(),
        CqlValue::List(v) | CqlValue::Set(v) | CqlValue::Vector(v) => v.into_iter().map(|v| json(Some(v))).collect(),
        CqlValue::Tuple(v) => v.into_iter().map(json).collect(),
        CqlValue::Map(v) => v.into_iter().map(|(k, v)| Value::from(vec![json(Some(k)), json(Some(v))])).collect(),
        CqlValue::UserDefinedType { fields, .. } => {
            Value::Object(fields.into_iter().map(|(name, v)| (name, json(v))).collect::<Map<_, _>>())
        }
        CqlValue::Empty => "".into(),
        other => other.to_string().trim_matches('\'').to_owned().into(),
    }
}

fn number(v: f64) -> Value {
    serde_json::Number::from_f64(v).map_or_else(|| Value::from(v.to_string()), Value::Number)
}

/// A CQL timestamp as [`json`] gives it.
pub fn timestamp(ms: i64) -> Value {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(time) => time.to_string().into(),
        Err(_) => ms.into(),
    }
}

/// The rows of a small SELECT, each with one value per column.
pub async fn select(session: &Session, cql: &str) -> Result<Vec<Vec<Value>>> {
    let rows = session.query_unpaged(cql, ()).await?.into_rows_result()?;
    let rows: Vec<Row> = rows.rows::<Row>()?.collect::<Result<_, _>>()?;
    Ok(rows.into_iter().map(|row| row.columns.into_iter().map(json).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_the_ring_without_gaps() {
        assert_eq!(bounds(0).0, i64::MIN);
        assert_eq!(bounds(RANGES - 1).1, i64::MAX);
        for range in 1..RANGES {
            assert_eq!(bounds(range - 1).1, bounds(range).0);
        }
    }
}
