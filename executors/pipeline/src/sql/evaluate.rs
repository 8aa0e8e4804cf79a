//! A batch through the filters and outputs of a [`Transform`]. When the batch fails, halves of it are tried, until
//! the rows that fail stand alone: no other row is touched by them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array, new_empty_array},
    compute::{concat, filter, filter_record_batch},
    error::ArrowError,
};
use datafusion_common::{DataFusionError, Result, internal_err};
use datafusion_expr::ColumnarValue;

use super::{Transform, amplify, effort};
use crate::record::{BadReason, Fault, fault_in};

/// Longest detail of a failure, in characters; DataFusion may quote long values.
const MAX_DETAIL_CHARS: usize = 300;

/// What became of a batch.
#[derive(Debug)]
pub(crate) struct Evaluated {
    /// Rows of the input batch that came out, ascending; the same number as values in each column.
    pub(crate) rows: Vec<u32>,
    /// The outputs.
    pub(crate) columns: Vec<ArrayRef>,
    /// How many rows of the input batch failed.
    pub(crate) faults: usize,
    /// Not all rows were evaluated: what came out is more than was asked for.
    pub(crate) is_cut: bool,
}

impl Transform {
    /// Evaluates the outputs for the rows of `batch` that pass the filters (all rows when not `filtered`). Also gives
    /// the rows of `batch` that failed. Ends early when the outputs of several rows take more than `bytes_max`.
    pub(crate) fn evaluate(
        &self,
        batch: &RecordBatch,
        filtered: bool,
        bytes_max: usize,
    ) -> (Evaluated, Vec<(u32, Fault)>) {
        let mut search =
            Search { transform: self, filtered, bytes_left: bytes_max, is_cut: false, chunks: vec![], faults: vec![] };
        search.run(batch, 0);
        let Search { chunks, faults, is_cut, .. } = search;
        let (rows, columns) = self.joined(chunks);
        (Evaluated { rows, columns, faults: faults.len(), is_cut }, faults)
    }

    /// Rows and columns of all chunks.
    fn joined(&self, mut chunks: Vec<Chunk>) -> (Vec<u32>, Vec<ArrayRef>) {
        if chunks.len() == 1 {
            let Chunk { rows, columns, .. } = chunks.swap_remove(0);
            return (rows, columns);
        }
        let columns = self.inner.output_schema.fields().iter().enumerate().map(|(column, field)| {
            let parts: Vec<&dyn Array> = chunks.iter().map(|chunk| chunk.columns[column].as_ref()).collect();
            if parts.is_empty() {
                return new_empty_array(field.data_type());
            }
            concat(&parts).expect("the chunks of one expression have one type")
        });
        (chunks.iter().flat_map(|chunk| &chunk.rows).copied().collect(), columns.collect())
    }

    fn run(&self, batch: &RecordBatch, first_row: u32, filtered: bool) -> Result<Chunk> {
        effort::begin();
        let rows = u32::try_from(batch.num_rows()).map_err(|error| DataFusionError::External(Box::new(error)))?;
        let mut kept = UInt32Array::from_iter_values(first_row..first_row + rows);
        let mut batch = std::borrow::Cow::Borrowed(batch);
        let filters = if filtered { self.inner.filters.as_slice() } else { &[] };
        for test in filters {
            let mask = test.evaluate(&batch)?.into_array(batch.num_rows())?;
            let Some(mask) = mask.as_boolean_opt() else {
                return internal_err!("a filter gives {}", mask.data_type());
            };
            if !all_true(mask) {
                batch = std::borrow::Cow::Owned(filter_record_batch(&batch, mask)?);
                kept = filter(&kept, mask)?.as_primitive().clone();
            }
        }
        let mut bytes = 0;
        let mut columns = Vec::with_capacity(self.inner.outputs.len());
        for output in &self.inner.outputs {
            let value = output.evaluate(&batch)?;
            let made = match &value {
                ColumnarValue::Array(array) => array.to_data().get_slice_memory_size()?,
                // A constant is written out for each row.
                ColumnarValue::Scalar(value) => value.size().saturating_mul(batch.num_rows()),
            };
            bytes += made;
            amplify::check_outputs(bytes, batch.num_rows())?;
            columns.push(value.into_array(batch.num_rows())?);
        }
        Ok(Chunk { rows: kept.values().to_vec(), columns, bytes })
    }
}

/// Rows that came out of one evaluation.
struct Chunk {
    rows: Vec<u32>,
    columns: Vec<ArrayRef>,
    bytes: usize,
}

struct Search<'a> {
    transform: &'a Transform,
    filtered: bool,
    bytes_left: usize,
    is_cut: bool,
    chunks: Vec<Chunk>,
    faults: Vec<(u32, Fault)>,
}

impl Search<'_> {
    /// Depth is the logarithm of the batch's length.
    fn run(&mut self, batch: &RecordBatch, first_row: u32) {
        if batch.num_rows() == 0 || self.is_cut {
            return;
        }
        let evaluation = AssertUnwindSafe(|| self.transform.run(batch, first_row, self.filtered));
        let fault = match catch_unwind(evaluation) {
            Ok(Ok(chunk)) => return self.keep(chunk),
            Ok(Err(error)) => to_fault(&error),
            Err(_) => Fault::new(BadReason::Panic, "the evaluation of the SQL panicked"),
        };
        if batch.num_rows() == 1 {
            return self.faults.push((first_row, fault));
        }
        let half = batch.num_rows() / 2;
        self.run(&batch.slice(0, half), first_row);
        self.run(&batch.slice(half, batch.num_rows() - half), first_row + half as u32);
    }

    fn keep(&mut self, chunk: Chunk) {
        self.is_cut = chunk.bytes > self.bytes_left && (chunk.rows.len() > 1 || !self.chunks.is_empty());
        self.bytes_left = self.bytes_left.saturating_sub(chunk.bytes);
        if !self.is_cut {
            self.chunks.push(chunk);
        }
    }
}

fn all_true(mask: &BooleanArray) -> bool {
    mask.null_count() == 0 && mask.true_count() == mask.len()
}

fn to_fault(error: &DataFusionError) -> Fault {
    if let Some(fault) = fault_in(error) {
        return fault.clone();
    }
    let root = error.find_root();
    let reason = match root {
        DataFusionError::ArrowError(error, _) => match **error {
            ArrowError::DivideByZero => BadReason::DivisionByZero,
            ArrowError::ArithmeticOverflow(_) => BadReason::Overflow,
            _ => BadReason::Evaluation,
        },
        _ => BadReason::Evaluation,
    };
    let message = root.message();
    let line = message.lines().next().unwrap_or_default();
    Fault::new(reason, line.chars().take(MAX_DETAIL_CHARS).collect::<String>())
}
