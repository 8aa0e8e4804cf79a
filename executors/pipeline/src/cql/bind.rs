//! Binds the output of a transform to the columns of a table: what is written where, by which statement.

use std::sync::Arc;

use arrow::datatypes::DataType;
use millstream_spec::{CassandraSink, Nulls, Ttl};

use super::{ColumnKind, CqlType, TableColumn, TableSchema};
use crate::{Transform, encode::Encoder, suggest::did_you_mean};

/// Millstream's own table in each sink keyspace (delivery.md D1), which no job may write.
const BLOCKS_TABLE: &str = "millstream_blocks";

/// Why a transform cannot be written to a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BindError {
    /// What is wrong, one line.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where in the job file, as a dotted key path.
    pub at: String,
}

impl BindError {
    fn new(at: impl Into<String>, message: impl Into<String>, help: impl Into<String>) -> Self {
        BindError { message: message.into(), help: Some(help.into()), at: at.into() }
    }
}

/// A table column that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundColumn {
    /// Its name in the table.
    pub name: String,
    /// Its type.
    pub ty: CqlType,
    /// Its part in the table.
    pub kind: ColumnKind,
    /// Index of the transform's output column that is written there.
    pub output: usize,
}

/// A transform's output bound to a table. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Binding {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    keyspace: String,
    table: String,
    /// Partition key, clustering columns, then the others in output order.
    columns: Vec<BoundColumn>,
    encoders: Vec<Encoder>,
    partition_key_columns: usize,
    key_columns: usize,
    ttl: BoundTtl,
    unset_nulls: bool,
}

/// Where a row's time to live comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BoundTtl {
    None,
    Secs(i32),
    /// An output column.
    Column(usize),
}

/// Binds `transform` to `table` as `sink` says, or tells all that is wrong with it.
pub fn bind(transform: &Transform, sink: &CassandraSink, table: &TableSchema) -> Result<Binding, Vec<BindError>> {
    let mut errors = check_table(table);
    if !errors.is_empty() {
        return Err(errors);
    }
    let outputs = Outputs::new(transform);
    let ttl = bind_ttl(sink, &outputs).unwrap_or_else(|error| {
        errors.push(error);
        BoundTtl::None
    });
    let mut columns = match_columns(sink, table, &outputs, ttl, &mut errors);
    columns.sort_by_key(|column| column.kind);
    check_key(table, &columns, &mut errors);

    let mut encoders = Vec::with_capacity(columns.len());
    for column in &columns {
        match encoder(transform, column) {
            Ok(encoder) => encoders.push(encoder),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let count = |test: fn(ColumnKind) -> bool| columns.iter().filter(|c| test(c.kind)).count();
    Ok(Binding {
        inner: Arc::new(Inner {
            keyspace: table.keyspace.clone(),
            table: table.table.clone(),
            partition_key_columns: count(|kind| matches!(kind, ColumnKind::PartitionKey(_))),
            key_columns: count(ColumnKind::is_key),
            columns,
            encoders,
            ttl,
            unset_nulls: sink.nulls == Nulls::Unset,
        }),
    })
}

impl Binding {
    /// The columns in bind order: partition key, clustering columns, then the others.
    pub fn columns(&self) -> &[BoundColumn] {
        &self.inner.columns
    }

    /// How many of [`columns`](Self::columns), from the first on, are the primary key: what a delete binds.
    pub fn key_columns(&self) -> usize {
        self.inner.key_columns
    }

    /// How many of [`columns`](Self::columns), from the first on, are the partition key.
    pub fn partition_key_columns(&self) -> usize {
        self.inner.partition_key_columns
    }

    /// Whether [`upsert_cql`](Self::upsert_cql) ends with a time to live to bind.
    pub fn has_ttl(&self) -> bool {
        self.inner.ttl != BoundTtl::None
    }

    /// `INSERT INTO ks.t (a, b) VALUES ((text)?, (int)?) USING TIMESTAMP ?[ AND TTL ?]`: bind the row's cells, the timestamp in
    /// microseconds, and (when [`has_ttl`](Self::has_ttl)) the time to live in seconds, unset for none.
    ///
    /// Each says the type it is encoded for: a driver prepares a statement again by itself when the server has forgotten it,
    /// and would then put them into a column of another type without a word.
    pub fn upsert_cql(&self) -> String {
        let names: Vec<String> = self.inner.columns.iter().map(|c| quoted(&c.name)).collect();
        let marks = self.inner.columns.iter().map(mark).collect::<Vec<_>>().join(", ");
        let ttl = if self.has_ttl() { " AND TTL ?" } else { "" };
        format!("INSERT INTO {} ({}) VALUES ({marks}) USING TIMESTAMP ?{ttl}", self.table_name(), names.join(", "))
    }

    /// `DELETE FROM ks.t USING TIMESTAMP ? WHERE pk = (int)? AND ck = (text)?`: bind the timestamp in microseconds, then the
    /// row's cells.
    pub fn delete_cql(&self) -> String {
        let keys = &self.inner.columns[..self.inner.key_columns];
        let tests: Vec<String> = keys.iter().map(|c| format!("{} = {}", quoted(&c.name), mark(c))).collect();
        format!("DELETE FROM {} USING TIMESTAMP ? WHERE {}", self.table_name(), tests.join(" AND "))
    }

    pub(crate) fn encoders(&self) -> &[Encoder] {
        &self.inner.encoders
    }

    pub(crate) fn ttl(&self) -> BoundTtl {
        self.inner.ttl
    }

    pub(crate) fn unset_nulls(&self) -> bool {
        self.inner.unset_nulls
    }

    fn table_name(&self) -> String {
        format!("{}.{}", quoted(&self.inner.keyspace), quoted(&self.inner.table))
    }
}

/// The bind marker of a column.
fn mark(column: &BoundColumn) -> String {
    if column.ty.is_plain() { format!("({})?", column.ty) } else { "?".to_owned() }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The transform's output columns by name.
struct Outputs<'a> {
    transform: &'a Transform,
}

impl<'a> Outputs<'a> {
    fn new(transform: &'a Transform) -> Self {
        Outputs { transform }
    }

    fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.transform.output_schema().fields().iter().map(|field| field.name().as_str())
    }

    fn find(&self, name: &str, at: &str) -> Result<usize, BindError> {
        self.names().position(|output| output == name).ok_or_else(|| {
            let help = did_you_mean(name, self.names()).unwrap_or_else(|| {
                format!("the transform's columns are {}", self.names().collect::<Vec<_>>().join(", "))
            });
            BindError::new(at, format!("the transform has no output column `{name}`"), help)
        })
    }
}

/// What no job may write, whatever its transform.
fn check_table(table: &TableSchema) -> Vec<BindError> {
    const AT: &str = "sink.cassandra.table";
    let name = format!("`{}.{}`", table.keyspace, table.table);
    let mut errors = vec![];
    if table.is_view {
        errors.push(BindError::new(AT, format!("{name} is a materialised view"), "name its base table instead"));
    }
    if table.cdc {
        errors.push(BindError::new(
            AT,
            format!("{name} has Scylla's change data capture on, which would log repeated writes as changes"),
            "name a table without CDC",
        ));
    }
    if table.table == BLOCKS_TABLE {
        errors.push(BindError::new(
            AT,
            format!("{name} is Millstream's own table of timestamp blocks"),
            "name another table",
        ));
    }
    if let Some(counter) = table.columns.iter().find(|c| *c.ty.thawed() == CqlType::Counter) {
        errors.push(BindError::new(
            AT,
            format!("{name} has the counter column `{}`; a repeated increment would count twice", counter.name),
            "use a table with a bigint column and write absolute values",
        ));
    }
    errors
}

fn bind_ttl(sink: &CassandraSink, outputs: &Outputs<'_>) -> Result<BoundTtl, BindError> {
    const AT: &str = "sink.cassandra.ttl";
    match &sink.ttl {
        None => Ok(BoundTtl::None),
        Some(Ttl::Secs(secs)) => match i32::try_from(*secs) {
            Ok(secs) if (1..=crate::processor::MAX_TTL_SECS).contains(&secs) => Ok(BoundTtl::Secs(secs)),
            _ => Err(BindError::new(AT, format!("a ttl of {secs} s"), "Cassandra takes 1 s to 20 years")),
        },
        Some(Ttl::Column(name)) => {
            let index = outputs.find(name, AT)?;
            let ty = outputs.transform.output_schema().field(index).data_type();
            // Anything that surely fits 64 bits.
            if ty.is_integer() && *ty != DataType::UInt64 {
                return Ok(BoundTtl::Column(index));
            }
            Err(BindError::new(
                AT,
                format!(
                    "the time to live column `{name}` is {}, not a whole number of seconds",
                    crate::sql::type_name(ty)
                ),
                format!("write CAST(… AS INT) AS {name} in the transform"),
            ))
        }
    }
}

/// Finds the table column of every output column.
fn match_columns(
    sink: &CassandraSink,
    table: &TableSchema,
    outputs: &Outputs<'_>,
    ttl: BoundTtl,
    errors: &mut Vec<BindError>,
) -> Vec<BoundColumn> {
    let mut columns = vec![];
    let mut used = vec![false; outputs.names().count()];
    if let BoundTtl::Column(index) = ttl {
        used[index] = true;
    }
    for (name, output) in &sink.columns {
        let at = format!("sink.cassandra.columns.{name}");
        match (find_column(table, name, &at), outputs.find(output, &at)) {
            (Ok(column), Ok(output)) => {
                used[output] = true;
                columns.push(bound(column, output));
            }
            (column, output) => errors.extend(column.err().into_iter().chain(output.err())),
        }
    }
    for (output, name) in outputs.names().enumerate().filter(|(output, _)| !used[*output]) {
        match find_column(table, name, "transform.sql") {
            Ok(column) if sink.columns.contains_key(name) => errors.push(BindError::new(
                format!("sink.cassandra.columns.{name}"),
                format!(
                    "two output columns would be written to `{}`: `{}` and `{name}`",
                    column.name, sink.columns[name]
                ),
                "remove the entry, or select only one of them",
            )),
            Ok(column) => columns.push(bound(column, output)),
            Err(error) => errors.push(error),
        }
    }
    columns
}

fn bound(column: &TableColumn, output: usize) -> BoundColumn {
    BoundColumn { name: column.name.clone(), ty: column.ty.clone(), kind: column.kind, output }
}

fn find_column<'t>(table: &'t TableSchema, name: &str, at: &str) -> Result<&'t TableColumn, BindError> {
    table.columns.iter().find(|column| column.name == name).ok_or_else(|| {
        let names = table.columns.iter().map(|column| column.name.as_str());
        let help = did_you_mean(name, names.clone()).unwrap_or_else(|| {
            let names = names.collect::<Vec<_>>().join(", ");
            format!("its columns are {names}; rename with AS in the transform or in [sink.cassandra.columns]")
        });
        BindError::new(at, format!("table `{}.{}` has no column `{name}`", table.keyspace, table.table), help)
    })
}

fn check_key(table: &TableSchema, columns: &[BoundColumn], errors: &mut Vec<BindError>) {
    for key in table.columns.iter().filter(|column| column.kind.is_key()) {
        if !columns.iter().any(|column| column.name == key.name) {
            errors.push(BindError::new(
                "transform.sql",
                format!("primary-key column `{}` of `{}.{}` gets no value", key.name, table.keyspace, table.table),
                format!("select it: … AS {}", key.name),
            ));
        }
    }
}

fn encoder(transform: &Transform, column: &BoundColumn) -> Result<Encoder, BindError> {
    let at = "transform.sql";
    if let CqlType::List(item) = &column.ty {
        return Err(BindError::new(
            "sink.cassandra.table",
            format!(
                "column `{}` is a list that is not frozen; a repeated write would add its items again",
                column.name
            ),
            format!("declare it frozen<list<{item}>>, or set<{item}>"),
        ));
    }
    let source = transform.output_schema().field(column.output);
    Encoder::compile(source.data_type(), &column.ty).map_err(|unsuited| BindError {
        message: format!("column `{}` is {}: {}", column.name, column.ty, unsuited.message),
        help: unsuited.help,
        at: at.to_owned(),
    })
}
