//! Slots into Arrow columns.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder,
        Int8Builder, Int16Builder, Int32Builder, Int64Builder, ListArray, MapArray, StringBuilder, StructArray,
        Time64NanosecondBuilder, TimestampMillisecondBuilder,
    },
    buffer::{NullBuffer, OffsetBuffer, ScalarBuffer},
    datatypes::{DataType, Field, Fields},
};
use millstream_spec::SourceType;

use super::value::Slot;
use crate::sql::input::{arrow_type, entries_field, item_field};

/// Usual bytes of a text, to reserve room.
const TEXT_BYTES: usize = 12;

/// A column under construction.
#[derive(Debug)]
pub(crate) enum ColumnBuilder {
    Boolean(BooleanBuilder),
    Tinyint(Int8Builder),
    Smallint(Int16Builder),
    Int(Int32Builder),
    Bigint(Int64Builder),
    Float(Float32Builder),
    Double(Float64Builder),
    Decimal(Decimal128Builder, DataType),
    Text(StringBuilder),
    Blob(BinaryBuilder),
    Timestamp(TimestampMillisecondBuilder),
    Date(Date32Builder),
    Time(Time64NanosecondBuilder),
    List { ends: Ends, items: Box<ColumnBuilder>, item: DataType },
    Map { ends: Ends, keys: StringBuilder, values: Box<ColumnBuilder>, value: DataType },
    Struct { valid: Vec<bool>, fields: Fields, columns: Vec<ColumnBuilder> },
}

/// Where the items of each row end.
#[derive(Debug)]
pub(crate) struct Ends {
    offsets: Vec<i32>,
    valid: Vec<bool>,
}

impl Ends {
    fn new(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Ends { offsets, valid: Vec::with_capacity(rows) }
    }

    /// Appends a row of `items` items.
    fn append(&mut self, items: Option<usize>) {
        let end = *self.offsets.last().expect("there is always the first offset") + items.unwrap_or(0) as i32;
        self.offsets.push(end);
        self.valid.push(items.is_some());
    }

    fn finish(self) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
        (OffsetBuffer::new(ScalarBuffer::from(self.offsets)), Some(NullBuffer::from(self.valid)))
    }
}

impl ColumnBuilder {
    pub(crate) fn new(ty: &SourceType, rows: usize) -> Self {
        match ty {
            SourceType::Boolean => ColumnBuilder::Boolean(BooleanBuilder::with_capacity(rows)),
            SourceType::Tinyint => ColumnBuilder::Tinyint(Int8Builder::with_capacity(rows)),
            SourceType::Smallint => ColumnBuilder::Smallint(Int16Builder::with_capacity(rows)),
            SourceType::Int => ColumnBuilder::Int(Int32Builder::with_capacity(rows)),
            SourceType::Bigint => ColumnBuilder::Bigint(Int64Builder::with_capacity(rows)),
            SourceType::Float => ColumnBuilder::Float(Float32Builder::with_capacity(rows)),
            SourceType::Double => ColumnBuilder::Double(Float64Builder::with_capacity(rows)),
            SourceType::Decimal(..) => ColumnBuilder::Decimal(Decimal128Builder::with_capacity(rows), arrow_type(ty)),
            SourceType::Text => ColumnBuilder::Text(StringBuilder::with_capacity(rows, rows * TEXT_BYTES)),
            SourceType::Blob => ColumnBuilder::Blob(BinaryBuilder::with_capacity(rows, rows * TEXT_BYTES)),
            SourceType::Timestamp | SourceType::EpochTimestamp(_) => {
                ColumnBuilder::Timestamp(TimestampMillisecondBuilder::with_capacity(rows))
            }
            SourceType::Date => ColumnBuilder::Date(Date32Builder::with_capacity(rows)),
            SourceType::Time => ColumnBuilder::Time(Time64NanosecondBuilder::with_capacity(rows)),
            SourceType::List(item) => ColumnBuilder::List {
                ends: Ends::new(rows),
                items: Box::new(ColumnBuilder::new(item, rows)),
                item: arrow_type(item),
            },
            SourceType::Map(value) => ColumnBuilder::Map {
                ends: Ends::new(rows),
                keys: StringBuilder::new(),
                values: Box::new(ColumnBuilder::new(value, rows)),
                value: arrow_type(value),
            },
            SourceType::Struct(fields) => ColumnBuilder::Struct {
                valid: Vec::with_capacity(rows),
                fields: fields.iter().map(|(name, ty)| Field::new(name, arrow_type(ty), true)).collect(),
                columns: fields.iter().map(|(_, ty)| ColumnBuilder::new(ty, rows)).collect(),
            },
        }
    }

    /// Appends a value that was read for this column's type.
    pub(crate) fn append(&mut self, slot: Slot<'_>) {
        // The casts keep the value: `value::read` checked its range.
        match (self, slot) {
            (ColumnBuilder::Boolean(builder), Slot::Boolean(value)) => builder.append_value(value),
            (ColumnBuilder::Tinyint(builder), Slot::Int(value)) => builder.append_value(value as i8),
            (ColumnBuilder::Smallint(builder), Slot::Int(value)) => builder.append_value(value as i16),
            (ColumnBuilder::Int(builder), Slot::Int(value)) => builder.append_value(value as i32),
            (ColumnBuilder::Bigint(builder), Slot::Int(value)) => builder.append_value(value),
            (ColumnBuilder::Float(builder), Slot::Double(value)) => builder.append_value(value as f32),
            (ColumnBuilder::Double(builder), Slot::Double(value)) => builder.append_value(value),
            (ColumnBuilder::Decimal(builder, _), Slot::Decimal(value)) => builder.append_value(value),
            (ColumnBuilder::Text(builder), Slot::Text(value)) => builder.append_value(value),
            (ColumnBuilder::Blob(builder), Slot::Blob(value)) => builder.append_value(value),
            (ColumnBuilder::Timestamp(builder), Slot::Int(value)) => builder.append_value(value),
            (ColumnBuilder::Date(builder), Slot::Int(value)) => builder.append_value(value as i32),
            (ColumnBuilder::Time(builder), Slot::Int(value)) => builder.append_value(value),
            (ColumnBuilder::List { ends, items, .. }, Slot::Items(values)) => {
                ends.append(Some(values.len()));
                values.into_iter().for_each(|value| items.append(value));
            }
            (ColumnBuilder::Map { ends, keys, values, .. }, Slot::Map(pairs)) => {
                ends.append(Some(pairs.len()));
                for (key, value) in pairs {
                    keys.append_value(key);
                    values.append(value);
                }
            }
            (ColumnBuilder::Struct { valid, columns, .. }, Slot::Items(values)) => {
                valid.push(true);
                columns.iter_mut().zip(values).for_each(|(column, value)| column.append(value));
            }
            (builder, _) => builder.append_null(),
        }
    }

    fn append_null(&mut self) {
        match self {
            ColumnBuilder::Boolean(builder) => builder.append_null(),
            ColumnBuilder::Tinyint(builder) => builder.append_null(),
            ColumnBuilder::Smallint(builder) => builder.append_null(),
            ColumnBuilder::Int(builder) => builder.append_null(),
            ColumnBuilder::Bigint(builder) => builder.append_null(),
            ColumnBuilder::Float(builder) => builder.append_null(),
            ColumnBuilder::Double(builder) => builder.append_null(),
            ColumnBuilder::Decimal(builder, _) => builder.append_null(),
            ColumnBuilder::Text(builder) => builder.append_null(),
            ColumnBuilder::Blob(builder) => builder.append_null(),
            ColumnBuilder::Timestamp(builder) => builder.append_null(),
            ColumnBuilder::Date(builder) => builder.append_null(),
            ColumnBuilder::Time(builder) => builder.append_null(),
            ColumnBuilder::List { ends, .. } | ColumnBuilder::Map { ends, .. } => ends.append(None),
            ColumnBuilder::Struct { valid, columns, .. } => {
                valid.push(false);
                columns.iter_mut().for_each(ColumnBuilder::append_null);
            }
        }
    }

    pub(crate) fn finish(self) -> ArrayRef {
        match self {
            ColumnBuilder::Boolean(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::Tinyint(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::Smallint(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::Int(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::Bigint(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::Float(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::Double(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::Decimal(mut builder, ty) => Arc::new(builder.finish().with_data_type(ty)),
            ColumnBuilder::Text(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::Blob(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::Timestamp(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::Date(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::Time(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::List { ends, items, item } => {
                let (offsets, nulls) = ends.finish();
                Arc::new(ListArray::new(item_field(item), offsets, items.finish(), nulls))
            }
            ColumnBuilder::Map { ends, mut keys, values, value } => {
                let (offsets, nulls) = ends.finish();
                let entries = entries_field(value);
                let DataType::Struct(pair) = entries.data_type().clone() else {
                    unreachable!("entries are a struct of key and value")
                };
                let pairs = StructArray::new(pair, vec![Arc::new(keys.finish()), values.finish()], None);
                Arc::new(MapArray::new(entries, offsets, pairs, nulls, false))
            }
            ColumnBuilder::Struct { valid, fields, columns } => {
                let (rows, nulls) = (valid.len(), Some(NullBuffer::from(valid)));
                let columns: Vec<_> = columns.into_iter().map(ColumnBuilder::finish).collect();
                if columns.is_empty() {
                    return Arc::new(StructArray::new_empty_fields(rows, nulls));
                }
                Arc::new(StructArray::new(fields, columns, nulls))
            }
        }
    }
}
