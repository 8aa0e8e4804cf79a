//! The schema of a table, from `system_schema`.

use std::collections::BTreeMap;

use millstream_pipeline::{ColumnKind, CqlType, TableColumn, TableSchema, Udts};
use scylla::{
    DeserializeRow,
    client::session::Session,
    deserialize::row::DeserializeRow,
    statement::{Consistency, Statement},
};

use super::CassandraError;
use crate::nearest::nearest;

/// Scylla keeps a table's change data capture in a table of this name beside it.
const CDC_LOG_SUFFIX: &str = "_scylla_cdc_log";

/// Reads the schema of a table (or view). Names are in their true case.
pub async fn table_schema(session: &Session, keyspace: &str, table: &str) -> Result<TableSchema, CassandraError> {
    let rows: Vec<ColumnRow> = select(
        session,
        "SELECT column_name, kind, position, type FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?",
        (keyspace, table),
    )
    .await?;
    if rows.is_empty() {
        return Err(not_there(session, keyspace, table).await?);
    }
    let udts = udts(session, keyspace).await?;
    let mut columns = vec![];
    for row in rows {
        let ty = CqlType::parse(&row.r#type, &udts).map_err(|source| CassandraError::Type {
            table: format!("{keyspace}.{table}"),
            column: row.column_name.clone(),
            source,
        })?;
        // Positions of key columns count from 0; others have -1.
        let position = usize::try_from(row.position).unwrap_or(0);
        let kind = match row.kind.as_str() {
            "partition_key" => ColumnKind::PartitionKey(position),
            "clustering" => ColumnKind::Clustering(position),
            "static" => ColumnKind::Static,
            _ => ColumnKind::Regular,
        };
        columns.push(TableColumn { name: row.column_name, ty, kind });
    }
    columns.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    let tables = names(session, TABLES, keyspace).await?;
    Ok(TableSchema {
        keyspace: keyspace.to_owned(),
        table: table.to_owned(),
        columns,
        is_view: !tables.iter().any(|name| name == table),
        cdc: table.ends_with(CDC_LOG_SUFFIX) || tables.contains(&format!("{table}{CDC_LOG_SUFFIX}")),
    })
}

/// Whether a table is there.
pub(crate) async fn table_exists(session: &Session, keyspace: &str, table: &str) -> Result<bool, CassandraError> {
    Ok(names(session, TABLES, keyspace).await?.iter().any(|name| name == table))
}

/// An error when the keyspace is not there.
pub(crate) async fn require_keyspace(session: &Session, keyspace: &str) -> Result<(), CassandraError> {
    let rows: Vec<(String,)> = select(session, "SELECT keyspace_name FROM system_schema.keyspaces", ()).await?;
    if rows.iter().any(|(name,)| name == keyspace) {
        return Ok(());
    }
    let others = rows.into_iter().map(|(name,)| name).filter(|name| !name.starts_with("system"));
    Err(CassandraError::KeyspaceMissing { keyspace: keyspace.to_owned(), nearest: nearest(keyspace, others) })
}

#[derive(DeserializeRow)]
struct ColumnRow {
    column_name: String,
    kind: String,
    position: i32,
    r#type: String,
}

const TABLES: &str = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
const VIEWS: &str = "SELECT view_name FROM system_schema.views WHERE keyspace_name = ?";

async fn not_there(session: &Session, keyspace: &str, table: &str) -> Result<CassandraError, CassandraError> {
    require_keyspace(session, keyspace).await?;
    let mut others = names(session, TABLES, keyspace).await?;
    others.extend(names(session, VIEWS, keyspace).await?);
    let (keyspace, name) = (keyspace.to_owned(), table.to_owned());
    Ok(CassandraError::TableMissing { keyspace, nearest: nearest(&name, others), table: name })
}

async fn names(session: &Session, query: &str, keyspace: &str) -> Result<Vec<String>, CassandraError> {
    let rows: Vec<(String,)> = select(session, query, (keyspace,)).await?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

async fn udts(session: &Session, keyspace: &str) -> Result<Udts, CassandraError> {
    let query = "SELECT type_name, field_names, field_types FROM system_schema.types WHERE keyspace_name = ?";
    let rows: Vec<(String, Vec<String>, Vec<String>)> = select(session, query, (keyspace,)).await?;
    let types: BTreeMap<_, _> =
        rows.into_iter().map(|(name, fields, types)| (name, fields.into_iter().zip(types).collect())).collect();
    Ok(Udts { keyspace: keyspace.to_owned(), types })
}

/// System tables are local to each node, so one node's answer is all there is.
async fn select<T>(
    session: &Session,
    query: &str,
    values: impl scylla::serialize::row::SerializeRow,
) -> Result<Vec<T>, CassandraError>
where
    T: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
{
    const WHAT: &str = "tell its schema";
    let mut statement = Statement::new(query);
    statement.set_consistency(Consistency::One);
    let result = session.query_unpaged(statement, values).await.map_err(|e| CassandraError::statement(WHAT, e))?;
    let rows = result.into_rows_result().map_err(|e| CassandraError::statement(WHAT, e))?;
    let rows = rows.rows::<T>().map_err(|e| CassandraError::statement(WHAT, e))?;
    rows.collect::<Result<Vec<T>, _>>().map_err(|e| CassandraError::statement(WHAT, e))
}
