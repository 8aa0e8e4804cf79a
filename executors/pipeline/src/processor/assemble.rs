//! Encoded columns and keys of the rows of a batch.

use arrow::{
    array::{Array, AsArray, Int64Array},
    compute::cast,
    datatypes::{DataType, Int64Type},
};

use super::{MAX_TTL_SECS, Outcome};
use crate::{
    BadRecord, Binding, RowKind, Rows,
    cql::BoundTtl,
    encode::Column,
    record::{BadReason, Fault},
    rows::{CellColumn, MAX_ROW_BYTES, RowMeta},
};

/// Longest partition key, longest component of one, and longest sum of clustering values, in bytes: Cassandra stores
/// these lengths in 16 bits.
const MAX_KEY_BYTES: usize = u16::MAX as usize;

/// Bytes of a value's length in a request.
const LENGTH_BYTES: usize = 4;

/// Usual bytes of a value, to reserve room.
const CELL_BYTES: usize = 8;

/// Collects the rows of a batch.
pub(super) struct Assembler<'b> {
    binding: &'b Binding,
    rows: Rows,
    /// Values in each column so far.
    slots: usize,
}

impl<'b> Assembler<'b> {
    pub(super) fn new(binding: &'b Binding, capacity: usize) -> Self {
        let columns = binding.columns().iter().map(|_| CellColumn::with_capacity(capacity, capacity * CELL_BYTES));
        let rows = Rows {
            rows: Vec::with_capacity(capacity),
            columns: columns.collect(),
            keys: Vec::with_capacity(capacity * CELL_BYTES * binding.key_columns()),
            key_columns: binding.key_columns(),
            unset_nulls: binding.unset_nulls(),
        };
        Assembler { binding, rows, slots: 0 }
    }

    /// Rows of records with a value.
    pub(super) fn upserts(&mut self, outcome: &Outcome, bad: &mut Vec<BadRecord>) {
        let ttls = match self.binding.ttl() {
            BoundTtl::None => Ttls::Fixed(None),
            BoundTtl::Secs(secs) => Ttls::Fixed(Some(secs)),
            BoundTtl::Column(column) => {
                let secs = cast(&outcome.evaluated.columns[column], &DataType::Int64);
                Ttls::Column(secs.expect("the column was bound as an integer").as_primitive::<Int64Type>().clone())
            }
        };
        self.append(outcome, RowKind::Upsert, &ttls, bad);
    }

    /// Rows of records without one.
    pub(super) fn deletes(&mut self, outcome: &Outcome, bad: &mut Vec<BadRecord>) {
        self.append(outcome, RowKind::Delete, &Ttls::Fixed(None), bad);
    }

    /// The rows in record order.
    pub(super) fn finish(mut self) -> Rows {
        self.rows.rows.sort_unstable_by_key(|row| row.record);
        self.rows
    }

    fn append(&mut self, outcome: &Outcome, kind: RowKind, ttls: &Ttls, bad: &mut Vec<BadRecord>) {
        let count = outcome.evaluated.rows.len();
        let mut faults = Faults { of_row: vec![false; count], list: vec![] };
        for index in 0..self.binding.columns().len() {
            if kind == RowKind::Delete && index >= self.binding.key_columns() {
                (0..count).for_each(|_| self.rows.columns[index].push_null());
            } else {
                self.encode_column(index, outcome, kind, &mut faults);
            }
        }
        self.rows.rows.reserve(count);
        for row in 0..count {
            if faults.of_row[row] {
                continue;
            }
            let record = outcome.records[outcome.evaluated.rows[row] as usize];
            match self.row(self.slots + row, record, kind, ttls.get(row)) {
                Ok(meta) => self.rows.rows.push(meta),
                Err(fault) => faults.add(row, fault),
            }
        }
        let record = |row: usize| outcome.records[outcome.evaluated.rows[row] as usize] as usize;
        bad.extend(faults.list.into_iter().map(|(row, fault)| fault.at(record(row))));
        self.slots += count;
    }

    /// Encodes one column of all rows. A row that failed before gets a NULL, so that all columns stay of one length.
    fn encode_column(&mut self, index: usize, outcome: &Outcome, kind: RowKind, faults: &mut Faults) {
        let bound = &self.binding.columns()[index];
        let values: Column = self.binding.encoders()[index].attach(&outcome.evaluated.columns[bound.output]);
        let cells = &mut self.rows.columns[index];
        for row in 0..outcome.evaluated.rows.len() {
            if faults.of_row[row] {
                cells.push_null();
            } else if values.is_null(row) {
                cells.push_null();
                if bound.kind.is_key() {
                    faults.add(row, null_key(kind, &bound.name));
                }
            } else if let Err(fault) = cells.push_with(|out| values.write(row, out)) {
                faults.add(row, Fault::new(fault.reason, format!("column `{}`: {}", bound.name, fault.detail)));
            }
        }
    }

    fn row(
        &mut self,
        slot: usize,
        record: u32,
        kind: RowKind,
        ttl: Result<Option<i32>, Fault>,
    ) -> Result<RowMeta, Fault> {
        let ttl_secs = ttl?;
        let sent = match kind {
            RowKind::Upsert => self.rows.columns.len(),
            RowKind::Delete => self.rows.key_columns,
        };
        let values = self.rows.columns[..sent].iter();
        let cell_bytes: usize = values.map(|column| LENGTH_BYTES + column.get(slot).map_or(0, <[u8]>::len)).sum();
        if cell_bytes > MAX_ROW_BYTES {
            let detail = format!("the row takes {cell_bytes} bytes, more than {MAX_ROW_BYTES}");
            return Err(Fault::new(BadReason::TooLarge, detail));
        }
        let key_start = self.rows.keys.len();
        match self.push_key(slot) {
            Ok(key_split) => Ok(RowMeta {
                record,
                slot: slot as u32,
                kind,
                ttl_secs,
                key_start,
                key_split,
                key_end: self.rows.keys.len(),
                cell_bytes: cell_bytes as u32,
            }),
            Err(fault) => {
                self.rows.keys.truncate(key_start);
                Err(fault)
            }
        }
    }

    /// Appends the key of a row; gives where its partition key ends.
    fn push_key(&mut self, slot: usize) -> Result<usize, Fault> {
        let Rows { columns, keys, key_columns, .. } = &mut self.rows;
        let (partition, clustering) = columns[..*key_columns].split_at(self.binding.partition_key_columns());
        let start = keys.len();
        if let [single] = partition {
            keys.extend_from_slice(single.get(slot).unwrap_or_default());
            if keys.len() == start {
                return Err(Fault::new(BadReason::InvalidKey, "the partition key is empty, which Cassandra refuses"));
            }
        } else {
            for component in partition {
                let bytes = component.get(slot).unwrap_or_default();
                let length = u16::try_from(bytes.len()).map_err(|_| too_long("a partition-key value", bytes.len()))?;
                keys.extend_from_slice(&length.to_be_bytes());
                keys.extend_from_slice(bytes);
                keys.push(0);
            }
        }
        let split = keys.len();
        if split - start > MAX_KEY_BYTES {
            return Err(too_long("the partition key", split - start));
        }
        for column in clustering {
            keys.extend_from_slice(column.get(slot).unwrap_or_default());
        }
        if keys.len() - split > MAX_KEY_BYTES {
            return Err(too_long("the clustering key", keys.len() - split));
        }
        for column in clustering {
            let length = column.get(slot).map_or(0, <[u8]>::len) as u16;
            keys.extend_from_slice(&length.to_be_bytes());
        }
        Ok(split)
    }
}

/// Times to live of the rows.
enum Ttls {
    Fixed(Option<i32>),
    Column(Int64Array),
}

impl Ttls {
    fn get(&self, row: usize) -> Result<Option<i32>, Fault> {
        match self {
            Ttls::Fixed(secs) => Ok(*secs),
            Ttls::Column(secs) if secs.is_null(row) => Ok(None),
            Ttls::Column(secs) => match secs.value(row) {
                // 0 is bound as such: it stays for ever even where the table has a default time to live.
                secs if (0..=i64::from(MAX_TTL_SECS)).contains(&secs) => Ok(Some(secs as i32)),
                secs => {
                    let detail = format!("a time to live of {secs} s; Cassandra takes 0 to {MAX_TTL_SECS}");
                    Err(Fault::new(BadReason::InvalidTtl, detail))
                }
            },
        }
    }
}

/// Rows that failed, with the first failure of each.
struct Faults {
    of_row: Vec<bool>,
    list: Vec<(usize, Fault)>,
}

impl Faults {
    fn add(&mut self, row: usize, fault: Fault) {
        self.of_row[row] = true;
        self.list.push((row, fault));
    }
}

fn null_key(kind: RowKind, column: &str) -> Fault {
    match kind {
        RowKind::Upsert => Fault::new(BadReason::NullKey, format!("primary-key column `{column}` is NULL")),
        RowKind::Delete => {
            let detail = format!(
                "a record without value deletes a row, but its primary-key column `{column}` is NULL then; \
                 take it from the record's key (`_key`)"
            );
            Fault::new(BadReason::TombstoneWithoutKey, detail)
        }
    }
}

fn too_long(what: &str, bytes: usize) -> Fault {
    Fault::new(BadReason::InvalidKey, format!("{what} has {bytes} bytes, more than {MAX_KEY_BYTES}"))
}
