//! Which rows of a batch are sent, and together with which. Pure.
//!
//! Rows of one Cassandra partition go in one unlogged batch (servers.md: 20 times less client CPU than single rows);
//! rows that a later one of the same batch overwrites wholly are not sent at all.
//!
//! Invariant: leaving out the rows it leaves out changes nothing in the table, because the row that stands for each of
//! them has a higher timestamp and sets or deletes every cell it would have set.

use std::{
    collections::HashMap,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
};

use millstream_pipeline::RowKind;

/// Most rows in one request: beyond, the gain per row is small and a retry costs more.
pub const CHUNK_ROWS_MAX: usize = 128;

/// Most bytes in one request. Cassandra leaves batches of one partition out of `batch_size_fail_threshold`
/// (CASSANDRA-10876), so what bounds this is memory per request and the cost of a retry.
pub const CHUNK_BYTES_MAX: usize = 64 << 10;

/// What is to be known of a row.
#[derive(Debug, Clone, Copy)]
pub struct RowFacts<'a> {
    /// Its index in the batch; ascending within one Kafka partition.
    pub index: u32,
    /// Upsert or delete.
    pub kind: RowKind,
    /// Cassandra partition key.
    pub partition_key: &'a [u8],
    /// Whole primary key.
    pub primary_key: &'a [u8],
    /// Time to live in seconds.
    pub ttl_secs: Option<i32>,
    /// Its timestamp in microseconds.
    pub timestamp_us: i64,
    /// Bytes in a request.
    pub size_bytes: usize,
}

/// What the table and the job say about leaving rows out.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The partition key is the whole primary key: no two rows share a partition.
    pub single_row_partitions: bool,
    /// A static column is written: a delete of a row leaves it.
    pub has_static: bool,
}

/// Rows that go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Where their indices are in [`Plan::order`].
    pub rows: Range<u32>,
    /// All of one kind.
    pub kind: RowKind,
    /// Bytes of their values.
    pub bytes: u32,
}

/// What is sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Indices of rows, chunk by chunk.
    pub order: Vec<u32>,
    /// The requests.
    pub chunks: Vec<Chunk>,
    /// Indices of rows that are not sent, ascending.
    pub superseded: Vec<u32>,
}

/// Plans the requests of a batch. `covers(later, earlier)` says whether the upsert at index `later` sets every cell the
/// one at `earlier` sets.
pub fn plan(rows: &[RowFacts<'_>], rules: Rules, covers: impl Fn(u32, u32) -> bool) -> Plan {
    let mut superseded = superseded(rows, rules, covers);
    let order = group(rows, rules, &superseded);
    let chunks = cut(&order);
    superseded.sort_unstable();
    Plan { order: order.iter().map(|row| row.index).collect(), chunks, superseded }
}

/// A [`plan`], or after a panic one that leaves nothing out and nothing together: slower, and as right.
pub fn plan_whatever(rows: &[RowFacts<'_>], rules: Rules, covers: impl Fn(u32, u32) -> bool) -> Plan {
    catch_unwind(AssertUnwindSafe(|| plan(rows, rules, covers))).unwrap_or_else(|_| {
        tracing::error!(rows = rows.len(), "planning the requests of a batch panicked: each row is sent by itself");
        let chunk = |(at, row): (u32, &RowFacts<'_>)| Chunk {
            rows: at..at + 1,
            kind: row.kind,
            bytes: u32::try_from(row.size_bytes).unwrap_or(u32::MAX),
        };
        Plan {
            order: rows.iter().map(|row| row.index).collect(),
            chunks: (0..).zip(rows).map(chunk).collect(),
            superseded: vec![],
        }
    })
}

/// Indices of the rows that need not be sent; walks backwards, so that each row meets the one that stands for it.
fn superseded(rows: &[RowFacts<'_>], rules: Rules, covers: impl Fn(u32, u32) -> bool) -> Vec<u32> {
    let mut later: HashMap<&[u8], &RowFacts<'_>> = HashMap::with_capacity(rows.len());
    let mut superseded = vec![];
    for row in rows.iter().rev() {
        match later.entry(row.primary_key) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(row);
            }
            std::collections::hash_map::Entry::Occupied(mut entry) => {
                if stands_for(entry.get(), row, rules, &covers) {
                    superseded.push(row.index);
                } else {
                    entry.insert(row);
                }
            }
        }
    }
    superseded
}

/// Whether the table is the same in the end when only `later` is sent.
fn stands_for(later: &RowFacts<'_>, earlier: &RowFacts<'_>, rules: Rules, covers: &impl Fn(u32, u32) -> bool) -> bool {
    // Two Kafka partitions may feed one row: then the order in the batch says nothing.
    if later.timestamp_us <= earlier.timestamp_us {
        return false;
    }
    match (later.kind, earlier.kind) {
        (RowKind::Delete, RowKind::Delete) => true,
        (RowKind::Delete, RowKind::Upsert) => !rules.has_static,
        // A delete removes cells that the upsert doesn't name.
        (RowKind::Upsert, RowKind::Delete) => false,
        // Another time to live would give another row marker: kept apart, though Cassandra should see no difference.
        (RowKind::Upsert, RowKind::Upsert) => later.ttl_secs == earlier.ttl_secs && covers(later.index, earlier.index),
    }
}

/// The rows that are sent, those of one partition and kind side by side, in the order of their first row.
fn group<'r, 'a>(rows: &'r [RowFacts<'a>], rules: Rules, superseded: &[u32]) -> Vec<&'r RowFacts<'a>> {
    let mut left_out = superseded.iter().rev().copied().peekable();
    let sent = rows.iter().filter(move |row| left_out.next_if_eq(&row.index).is_none());
    if rules.single_row_partitions {
        return sent.collect();
    }
    let mut groups: HashMap<(&[u8], bool), u32> = HashMap::new();
    let mut grouped: Vec<(u32, &RowFacts<'_>)> = sent
        .map(|row| {
            let next = groups.len() as u32;
            (*groups.entry((row.partition_key, row.kind == RowKind::Delete)).or_insert(next), row)
        })
        .collect();
    grouped.sort_by_key(|(group, _)| *group);
    grouped.into_iter().map(|(_, row)| row).collect()
}

/// Cuts rows into requests of one partition and kind, within the limits.
fn cut(order: &[&RowFacts<'_>]) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = vec![];
    let mut partition_key: &[u8] = &[];
    for (at, row) in order.iter().enumerate() {
        let (at, size) = (at as u32, row.size_bytes);
        match chunks.last_mut() {
            Some(chunk)
                if chunk.kind == row.kind
                    && partition_key == row.partition_key
                    && chunk.rows.len() < CHUNK_ROWS_MAX
                    && chunk.bytes as usize + size <= CHUNK_BYTES_MAX =>
            {
                chunk.rows.end = at + 1;
                chunk.bytes += size as u32;
            }
            _ => chunks.push(Chunk { rows: at..at + 1, kind: row.kind, bytes: size as u32 }),
        }
        partition_key = row.partition_key;
    }
    chunks
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
