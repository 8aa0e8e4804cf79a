//! JSON straight into Arrow columns.
//!
//! A record is first read into one [`Slot`] per source column, borrowing its text, and only a record that is good as a
//! whole is appended to the column builders: a bad one leaves no trace, whatever its columns' types.
//!
//! Map: [`fields`] which JSON fields are columns, by path · [`reader`] one record into slots · [`value`] one JSON value
//! as one type · [`builder`] slots into Arrow columns · [`metadata`] the record's own columns.

mod builder;
mod fields;
mod metadata;
mod reader;
mod value;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use millstream_spec::SourceColumn;

use crate::{
    BadRecord, Record,
    sql::input::{InputColumn, Meta},
};
use builder::ColumnBuilder;
use fields::Fields;
use reader::Reader;
use value::Slot;

/// Decodes records of one topic.
#[derive(Debug)]
pub(crate) struct Decoder {
    topic: String,
    columns: Vec<SourceColumn>,
    fields: Fields,
    /// What the batch consists of.
    reads: Vec<InputColumn>,
    schema: SchemaRef,
}

/// Records as a batch of the columns that the SQL reads.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) batch: RecordBatch,
    /// Record index of each row, ascending.
    pub(crate) records: Vec<u32>,
}

/// What became of the records.
#[derive(Debug)]
pub(crate) struct DecodedRecords {
    pub(crate) values: Batch,
    /// Records without value, all their source columns NULL.
    pub(crate) tombstones: Batch,
    pub(crate) bad: Vec<BadRecord>,
}

impl Decoder {
    pub(crate) fn new(topic: &str, columns: &[SourceColumn], reads: &[InputColumn], schema: &SchemaRef) -> Self {
        Decoder {
            topic: topic.to_owned(),
            columns: columns.to_vec(),
            fields: Fields::new(columns),
            reads: reads.to_vec(),
            schema: Arc::clone(schema),
        }
    }

    pub(crate) fn decode(&self, records: &[Record<'_>]) -> DecodedRecords {
        let mut bad = vec![];
        let mut good = Vec::with_capacity(records.len());
        let mut dead = vec![];
        let mut builders = self.builders(records.len());
        let mut slots: Vec<Slot<'_>> = vec![];
        let mut reader = Reader::new(&self.fields, &self.columns);
        for (index, record) in records.iter().enumerate() {
            let Some(value) = record.value else {
                dead.push(index as u32);
                continue;
            };
            match reader.read(value, &mut slots) {
                Ok(()) => {
                    good.push(index as u32);
                    for (column, builder) in &mut builders {
                        builder.append(std::mem::replace(&mut slots[*column], Slot::Null));
                    }
                }
                Err(fault) => bad.push(fault.at(index)),
            }
        }
        let values = self.batch(builders, records, good);
        let mut builders = self.builders(dead.len());
        for (_, builder) in &mut builders {
            dead.iter().for_each(|_| builder.append(Slot::Null));
        }
        DecodedRecords { values, tombstones: self.batch(builders, records, dead), bad }
    }

    /// A builder for each source column that is read, with its index.
    fn builders(&self, rows: usize) -> Vec<(usize, ColumnBuilder)> {
        let read = self.reads.iter().filter_map(|column| match column {
            InputColumn::Source(index) => Some(*index),
            InputColumn::Meta(_) => None,
        });
        read.map(|index| (index, ColumnBuilder::new(&self.columns[index].data_type, rows))).collect()
    }

    fn batch(&self, builders: Vec<(usize, ColumnBuilder)>, records: &[Record<'_>], rows: Vec<u32>) -> Batch {
        let mut sources = builders.into_iter().map(|(_, builder)| builder.finish());
        let columns: Vec<ArrayRef> = self
            .reads
            .iter()
            .map(|column| match column {
                InputColumn::Source(_) => sources.next().expect("there is one builder for each source column read"),
                InputColumn::Meta(meta) => self.metadata(*meta, records, &rows),
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .expect("the builders follow the schema");
        Batch { batch, records: rows }
    }

    fn metadata(&self, meta: Meta, records: &[Record<'_>], rows: &[u32]) -> ArrayRef {
        metadata::column(meta, &self.topic, rows.iter().map(|row| &records[*row as usize]))
    }
}
