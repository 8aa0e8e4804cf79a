//! The table `input`: the declared JSON columns and the record's metadata.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion_common::Column;
use datafusion_expr::Expr;
use millstream_spec::{SourceColumn, SourceType};

/// The name of the table in SQL.
pub(crate) const INPUT: &str = "input";

/// What a column of `input` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InputColumn {
    /// The n-th source column.
    Source(usize),
    /// Something of the record itself.
    Meta(Meta),
}

/// Metadata of a record, as columns of `input`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meta {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    KeyBytes,
    Headers,
}

const METADATA: [(&str, Meta); 7] = [
    ("_topic", Meta::Topic),
    ("_partition", Meta::Partition),
    ("_offset", Meta::Offset),
    ("_timestamp", Meta::Timestamp),
    ("_key", Meta::Key),
    ("_key_bytes", Meta::KeyBytes),
    ("_headers", Meta::Headers),
];

impl Meta {
    fn data_type(self) -> DataType {
        match self {
            Meta::Topic | Meta::Key => DataType::Utf8,
            Meta::Partition => DataType::Int32,
            Meta::Offset => DataType::Int64,
            Meta::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, None),
            Meta::KeyBytes => DataType::Binary,
            Meta::Headers => map_type(DataType::Utf8),
        }
    }
}

/// The table `input` of one job.
#[derive(Debug)]
pub(crate) struct Input {
    columns: Vec<InputColumn>,
    schema: SchemaRef,
}

impl Input {
    pub(crate) fn new(sources: &[SourceColumn]) -> Self {
        let declared = sources.iter().map(|c| Field::new(&c.name, arrow_type(&c.data_type), true));
        let metadata = METADATA.iter().map(|(name, meta)| Field::new(*name, meta.data_type(), true));
        let columns = (0..sources.len()).map(InputColumn::Source);
        Input {
            columns: columns.chain(METADATA.iter().map(|(_, meta)| InputColumn::Meta(*meta))).collect(),
            schema: Arc::new(Schema::new(declared.chain(metadata).collect::<Vec<_>>())),
        }
    }

    /// All columns, as the planner sees them.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The names `*` stands for: the declared columns, not the metadata.
    pub(crate) fn declared(&self) -> impl Iterator<Item = &str> {
        let fields = self.schema.fields().iter().zip(&self.columns);
        fields.filter(|(_, column)| matches!(column, InputColumn::Source(_))).map(|(field, _)| field.name().as_str())
    }

    /// The columns that occur in `exprs`, in the order of the table.
    pub(crate) fn reads<'e>(&self, exprs: impl Iterator<Item = &'e Expr>) -> Vec<InputColumn> {
        let mut read = vec![false; self.columns.len()];
        for column in exprs.flat_map(|expr| expr.column_refs()) {
            if let Some(index) = self.index_of(column) {
                read[index] = true;
            }
        }
        self.columns.iter().zip(read).filter(|(_, read)| *read).map(|(column, _)| *column).collect()
    }

    /// The schema of a batch that holds only these columns.
    pub(crate) fn schema_of(&self, columns: &[InputColumn]) -> SchemaRef {
        let fields = self.schema.fields().iter().zip(&self.columns);
        let fields = fields.filter(|(_, column)| columns.contains(column)).map(|(field, _)| Arc::clone(field));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn index_of(&self, column: &Column) -> Option<usize> {
        self.schema.index_of(&column.name).ok()
    }
}

/// The Arrow type of a source column.
pub(crate) fn arrow_type(ty: &SourceType) -> DataType {
    match ty {
        SourceType::Boolean => DataType::Boolean,
        SourceType::Tinyint => DataType::Int8,
        SourceType::Smallint => DataType::Int16,
        SourceType::Int => DataType::Int32,
        SourceType::Bigint => DataType::Int64,
        SourceType::Float => DataType::Float32,
        SourceType::Double => DataType::Float64,
        SourceType::Decimal(precision, scale) => DataType::Decimal128(*precision, *scale),
        SourceType::Text => DataType::Utf8,
        SourceType::Blob => DataType::Binary,
        SourceType::Timestamp | SourceType::EpochTimestamp(_) => DataType::Timestamp(TimeUnit::Millisecond, None),
        SourceType::Date => DataType::Date32,
        SourceType::Time => DataType::Time64(TimeUnit::Nanosecond),
        SourceType::List(item) => DataType::List(item_field(arrow_type(item))),
        SourceType::Map(value) => map_type(arrow_type(value)),
        SourceType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|(name, ty)| Field::new(name, arrow_type(ty), true)).collect())
        }
    }
}

/// The field of a list's items.
pub(crate) fn item_field(item: DataType) -> Arc<Field> {
    Arc::new(Field::new_list_field(item, true))
}

/// The field of a map's entries: text to `value`.
pub(crate) fn entries_field(value: DataType) -> Arc<Field> {
    let pair = vec![Field::new("keys", DataType::Utf8, false), Field::new("values", value, true)];
    Arc::new(Field::new("entries", DataType::Struct(pair.into()), false))
}

fn map_type(value: DataType) -> DataType {
    DataType::Map(entries_field(value), false)
}
