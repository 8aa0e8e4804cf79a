//! The three steps over a batch of records: decode, SQL, encode.

mod assemble;
#[cfg(test)]
mod tests;

use millstream_spec::SourceColumn;

use crate::{
    BadRecord, Binding, Record, Rows, Transform,
    decode::{Batch, DecodedRecords, Decoder},
    sql::Evaluated,
};
use assemble::Assembler;

/// Longest time to live Cassandra takes: 20 years, in seconds.
pub const MAX_TTL_SECS: i32 = 630_720_000;

/// Turns batches of records into rows.
///
/// The texts of one column in one batch must stay below 2 GiB (Arrow's offsets are 32 bits), so cut batches well before.
#[derive(Debug)]
pub struct Processor {
    transform: Transform,
    binding: Binding,
    decoder: Decoder,
}

/// What became of a batch. Every record is in exactly one of `rows`, `bad` and `filtered`.
#[derive(Debug, Default)]
pub struct Processed {
    /// Rows to write, in record order.
    pub rows: Rows,
    /// Bad records, in record order.
    pub bad: Vec<BadRecord>,
    /// Number of records that WHERE left out.
    pub filtered: usize,
}

/// Records after the first step.
#[derive(Debug)]
pub struct Decoded {
    records: DecodedRecords,
}

/// Records after the second step.
#[derive(Debug)]
pub struct Transformed {
    upserts: Outcome,
    deletes: Outcome,
    bad: Vec<BadRecord>,
    filtered: usize,
}

impl Transformed {
    /// Whether the outputs are more than was asked for: those of some records are missing. The batch is to be made again
    /// with fewer records; never so of one.
    pub fn is_cut(&self) -> bool {
        self.upserts.evaluated.is_cut || self.deletes.evaluated.is_cut
    }
}

/// Outputs of the SQL with the records they come from.
#[derive(Debug)]
struct Outcome {
    evaluated: Evaluated,
    /// Record index of each row of the batch that was evaluated.
    records: Vec<u32>,
}

impl Processor {
    /// A processor for records of `topic`. `columns` are those the transform was compiled with, `binding` is the
    /// transform's.
    pub fn new(topic: &str, transform: Transform, binding: Binding, columns: &[SourceColumn]) -> Self {
        let decoder = Decoder::new(topic, columns, transform.reads(), transform.batch_schema());
        Processor { transform, binding, decoder }
    }

    /// Whether [`Record::headers`] must be filled.
    pub fn uses_headers(&self) -> bool {
        self.transform.uses_headers()
    }

    /// All three steps.
    pub fn process(&mut self, records: &[Record<'_>]) -> Processed {
        let decoded = self.decode(records);
        let transformed = self.transform(decoded, usize::MAX);
        self.encode(transformed)
    }

    /// First step: bytes → Arrow columns.
    pub fn decode(&mut self, records: &[Record<'_>]) -> Decoded {
        Decoded { records: self.decoder.decode(records) }
    }

    /// Second step: SQL. Of records without value the outputs are computed as well, but WHERE is not applied to them:
    /// deleting a row that is not there is harmless, forgetting a delete is not. Ends early when the outputs take more than
    /// `bytes_max` bytes.
    pub fn transform(&mut self, decoded: Decoded, bytes_max: usize) -> Transformed {
        let DecodedRecords { values, tombstones, mut bad } = decoded.records;
        let rows = values.records.len();
        let upserts = self.evaluate(values, true, bytes_max, &mut bad);
        let filtered = rows - upserts.evaluated.rows.len() - upserts.evaluated.faults;
        let deletes = self.evaluate(tombstones, false, bytes_max, &mut bad);
        Transformed { upserts, deletes, bad, filtered }
    }

    /// Third step: rows in CQL wire format.
    pub fn encode(&mut self, transformed: Transformed) -> Processed {
        let Transformed { upserts, deletes, mut bad, filtered } = transformed;
        let mut assembler = Assembler::new(&self.binding, upserts.evaluated.rows.len() + deletes.evaluated.rows.len());
        assembler.upserts(&upserts, &mut bad);
        assembler.deletes(&deletes, &mut bad);
        bad.sort_unstable_by_key(|record| record.index);
        Processed { rows: assembler.finish(), bad, filtered }
    }

    fn evaluate(&self, batch: Batch, filtered: bool, bytes_max: usize, bad: &mut Vec<BadRecord>) -> Outcome {
        let Batch { batch, records } = batch;
        let (evaluated, faults) = self.transform.evaluate(&batch, filtered, bytes_max);
        bad.extend(faults.into_iter().map(|(row, fault)| fault.at(records[row as usize] as usize)));
        Outcome { evaluated, records }
    }
}
