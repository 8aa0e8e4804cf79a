use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const RULES: Rules = Rules { single_row_partitions: false, has_static: false };

/// A row of a small world: 3 partitions of 3 rows with 3 cells.
#[derive(Debug, Clone)]
struct Write {
    partition: u8,
    row: u8,
    /// None: a delete. Else per cell: none leaves it, a value sets it.
    cells: Option<[Option<u8>; 3]>,
    size: usize,
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let cells = prop::option::weighted(0.8, prop::array::uniform3(prop::option::weighted(0.7, any::<u8>())));
    let one = (0u8..3, 0u8..3, cells, 1usize..30_000).prop_map(|(partition, row, cells, size)| Write {
        partition,
        row,
        cells,
        size,
    });
    prop::collection::vec(one, 0..400)
}

fn with_facts<T>(writes: &[Write], work: impl FnOnce(&[RowFacts<'_>]) -> T) -> T {
    let keys: Vec<[u8; 2]> = writes.iter().map(|w| [w.partition, w.row]).collect();
    let facts: Vec<_> = writes
        .iter()
        .enumerate()
        .map(|(index, write)| RowFacts {
            index: index as u32,
            kind: if write.cells.is_some() { RowKind::Upsert } else { RowKind::Delete },
            partition_key: &keys[index][..1],
            primary_key: &keys[index],
            ttl_secs: None,
            timestamp_us: 1_000 + index as i64,
            size_bytes: write.size,
        })
        .collect();
    work(&facts)
}

fn covers(writes: &[Write]) -> impl Fn(u32, u32) -> bool + '_ {
    |later, earlier| {
        let (later, earlier) = (writes[later as usize].cells.unwrap(), writes[earlier as usize].cells.unwrap());
        later.iter().zip(&earlier).all(|(later, earlier)| later.is_some() || earlier.is_none())
    }
}

/// Row marker, row deletion and cells with their timestamps, merged as Cassandra does.
#[derive(Debug, Default, Clone, PartialEq)]
struct Stored {
    deleted: i64,
    marker: i64,
    cells: [(i64, u8); 3],
}

/// What a reader sees after the writes arrived in any order.
fn table(writes: &[Write], sent: impl Iterator<Item = usize>) -> BTreeMap<(u8, u8), [Option<u8>; 3]> {
    let mut stored: BTreeMap<(u8, u8), Stored> = BTreeMap::new();
    for index in sent {
        let (write, ts) = (&writes[index], 1_000 + index as i64);
        let row = stored.entry((write.partition, write.row)).or_default();
        match write.cells {
            None => row.deleted = row.deleted.max(ts),
            Some(cells) => {
                row.marker = row.marker.max(ts);
                for (cell, value) in row.cells.iter_mut().zip(cells) {
                    if let Some(value) = value {
                        *cell = (*cell).max((ts, value));
                    }
                }
            }
        }
    }
    let alive = |row: &Stored| {
        let cells = row.cells.map(|(ts, value)| (ts > row.deleted).then_some(value));
        (row.marker > row.deleted || cells.iter().any(Option::is_some)).then_some(cells)
    };
    stored.iter().filter_map(|(key, row)| Some((*key, alive(row)?))).collect()
}

proptest! {
    #[test]
    fn leaving_rows_out_changes_nothing(writes in writes()) {
        let plan = with_facts(&writes, |facts| plan(facts, RULES, covers(&writes)));
        let all = table(&writes, 0..writes.len());
        prop_assert_eq!(table(&writes, plan.order.iter().map(|i| *i as usize)), all);
        let mut every: Vec<u32> = plan.order.iter().chain(&plan.superseded).copied().collect();
        every.sort_unstable();
        prop_assert_eq!(every, (0..writes.len() as u32).collect::<Vec<_>>());
    }

    #[test]
    fn chunks_hold_one_partition_and_kind_within_the_limits(writes in writes()) {
        let plan = with_facts(&writes, |facts| plan(facts, RULES, |_, _| false));
        let mut next = 0;
        for chunk in &plan.chunks {
            prop_assert_eq!(chunk.rows.start, next);
            next = chunk.rows.end;
            let rows: Vec<&Write> = plan.order[chunk.rows.start as usize..next as usize].iter().map(|i| &writes[*i as usize]).collect();
            prop_assert!(rows.iter().all(|w| w.partition == rows[0].partition && w.cells.is_some() == (chunk.kind == RowKind::Upsert)));
            let bytes: usize = rows.iter().map(|w| w.size).sum();
            prop_assert_eq!(bytes, chunk.bytes as usize);
            prop_assert!(!rows.is_empty() && rows.len() <= CHUNK_ROWS_MAX && (bytes <= CHUNK_BYTES_MAX || rows.len() == 1));
        }
        prop_assert_eq!(next as usize, plan.order.len());
    }
}

fn row(index: u32, kind: RowKind) -> RowFacts<'static> {
    RowFacts {
        index,
        kind,
        partition_key: b"p",
        primary_key: b"pk",
        ttl_secs: None,
        timestamp_us: index.into(),
        size_bytes: 10,
    }
}

#[test]
fn a_delete_is_never_dropped_for_an_upsert() {
    let rows = [row(0, RowKind::Upsert), row(1, RowKind::Delete), row(2, RowKind::Upsert)];
    assert_eq!(plan(&rows, RULES, |_, _| true).superseded, [0]);
    let has_static = Rules { has_static: true, ..RULES };
    assert_eq!(plan(&rows, has_static, |_, _| true).superseded, Vec::<u32>::new());
}

#[test]
fn rows_with_another_time_to_live_or_an_older_timestamp_stay() {
    let mut rows = [row(0, RowKind::Upsert), row(1, RowKind::Upsert)];
    rows[1].ttl_secs = Some(10);
    assert!(plan(&rows, RULES, |_, _| true).superseded.is_empty());
    let mut rows = [row(0, RowKind::Upsert), row(1, RowKind::Upsert)];
    rows[0].timestamp_us = 7;
    assert!(plan(&rows, RULES, |_, _| true).superseded.is_empty());
}

#[test]
fn partitions_of_one_row_go_one_by_one() {
    let rules = Rules { single_row_partitions: true, has_static: false };
    let keys: Vec<[u8; 1]> = (0..5).map(|key| [key]).collect();
    let rows: Vec<_> = (0..5u32)
        .map(|i| RowFacts {
            partition_key: &keys[i as usize],
            primary_key: &keys[i as usize],
            ..row(i, RowKind::Upsert)
        })
        .collect();
    let plan = plan(&rows, rules, |_, _| true);
    assert_eq!((plan.chunks.len(), plan.order), (5, vec![0, 1, 2, 3, 4]));
}

#[test]
fn a_plan_that_panics_sends_each_row_by_itself() {
    let write = |row, cells| Write { partition: 0, row, cells, size: 1 };
    let writes = [write(1, Some([Some(1); 3])), write(1, Some([Some(2); 3])), write(2, None)];
    let planned = with_facts(&writes, |facts| plan_whatever(facts, RULES, |_, _| panic!("thrown by a test")));
    assert_eq!((planned.order, planned.superseded), (vec![0, 1, 2], vec![]));
    let chunks: Vec<_> = planned.chunks.iter().map(|chunk| (chunk.rows.clone(), chunk.kind)).collect();
    assert_eq!(chunks, [(0..1, RowKind::Upsert), (1..2, RowKind::Upsert), (2..3, RowKind::Delete)]);
}
