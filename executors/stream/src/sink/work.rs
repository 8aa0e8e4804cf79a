//! What travels from the pump to the sink, and how its end is known.

use std::{
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use millstream_pipeline::{RowKind, Rows};

use super::plan::Plan;
use crate::{
    budget::Budget,
    engine::{Bell, PartitionState},
    tracker::{Tracker, UnitId},
};

/// A batch of rows with all that is needed to write it.
#[derive(Debug)]
pub struct EncodedBatch {
    /// The rows, cells in CQL wire format.
    pub rows: Rows,
    /// Timestamp of each row in microseconds.
    pub timestamps_us: Vec<i64>,
    /// Where each row comes from.
    pub origins: Vec<Origin>,
    /// The Kafka partitions of the batch.
    pub lanes: Vec<Lane>,
    /// The requests.
    pub plan: Plan,
    /// What becomes durable with it.
    pub unit: Arc<Unit>,
}

/// The record of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Index in [`EncodedBatch::lanes`].
    pub lane: u32,
    /// The record's offset.
    pub offset: i64,
}

/// A Kafka partition of a batch.
#[derive(Debug, Clone)]
pub struct Lane {
    /// The partition.
    pub state: Arc<PartitionState>,
    /// Its tracker at the time of the batch; the partition may have been started anew since.
    pub tracker: SharedTracker,
}

/// A tracker that pump, sink and committer share.
pub type SharedTracker = Arc<Mutex<Tracker>>;

/// Works on a tracker. A panic elsewhere leaves no half-done change in it.
pub fn with_tracker<T>(tracker: &SharedTracker, work: impl FnOnce(&mut Tracker) -> T) -> T {
    work(&mut tracker.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What becomes durable together: the records of one batch, per partition. A partition's are when all parts are done and
/// nothing holds it.
#[derive(Debug)]
pub struct Unit {
    parts: AtomicUsize,
    extents: Vec<Extent>,
    bytes: u64,
    budget: Arc<Budget>,
    bell: Arc<Bell>,
}

/// The records of one partition.
#[derive(Debug)]
struct Extent {
    tracker: SharedTracker,
    id: UnitId,
    /// Its holds, and one for the parts that all share.
    holds: AtomicUsize,
}

impl Unit {
    /// Takes `bytes` of the budget until it is done. It has one part, which its maker ends when all others are added.
    pub fn new(extents: Vec<(SharedTracker, UnitId)>, bytes: u64, budget: Arc<Budget>, bell: Arc<Bell>) -> Arc<Self> {
        budget.take(bytes);
        let extent = |(tracker, id)| Extent { tracker, id, holds: AtomicUsize::new(1) };
        let extents = extents.into_iter().map(extent).collect();
        Arc::new(Unit { parts: AtomicUsize::new(1), extents, bytes, budget, bell })
    }

    /// There are `count` parts more.
    pub fn add_parts(&self, count: usize) {
        self.parts.fetch_add(count, Ordering::Relaxed);
    }

    /// One part is durable.
    pub fn part_done(&self) {
        if self.parts.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.extents.iter().for_each(Extent::release);
            self.budget.give(self.bytes);
            self.bell.ring();
        }
    }

    /// Keeps the partition of that index from being durable, whatever becomes of the others, and takes `bytes` of the
    /// budget until it is released. To be called while a part is open.
    pub fn hold(self: &Arc<Self>, lane: usize, bytes: u64) -> Hold {
        self.extents[lane].holds.fetch_add(1, Ordering::Relaxed);
        self.budget.take(bytes);
        Hold { unit: self.clone(), lane, bytes }
    }
}

impl Extent {
    fn release(&self) {
        if self.holds.fetch_sub(1, Ordering::AcqRel) == 1 {
            with_tracker(&self.tracker, |tracker| tracker.close(self.id));
        }
    }
}

/// Holds one partition of a unit. Dropped without a release it does so for ever: what it waited for did not happen.
#[derive(Debug)]
pub struct Hold {
    unit: Arc<Unit>,
    lane: usize,
    bytes: u64,
}

impl Hold {
    /// What it waited for has happened.
    pub fn release(self) {
        self.unit.extents[self.lane].release();
        self.unit.budget.give(self.bytes);
        self.unit.bell.ring();
    }
}

/// One request.
#[derive(Debug)]
pub struct Work {
    /// The batch of its rows.
    pub batch: Arc<EncodedBatch>,
    selection: Selection,
    /// All its rows are of this kind.
    pub kind: RowKind,
    /// Attempts that failed.
    pub failures: u32,
    /// It was refused before, although the table was as it should be.
    pub refused: bool,
}

#[derive(Debug, Clone)]
enum Selection {
    /// Of [`Plan::order`].
    Planned(Range<u32>),
    /// A row that was superseded by one that was rejected.
    One(u32),
}

impl Work {
    /// The requests of a batch.
    pub fn of(batch: &Arc<EncodedBatch>) -> impl Iterator<Item = Work> + '_ {
        batch.plan.chunks.iter().map(|chunk| Work {
            batch: batch.clone(),
            selection: Selection::Planned(chunk.rows.clone()),
            kind: chunk.kind,
            failures: 0,
            refused: false,
        })
    }

    /// One row by itself.
    pub fn one(batch: &Arc<EncodedBatch>, row: u32) -> Work {
        let kind = batch.rows.row(row as usize).kind();
        Work { batch: batch.clone(), selection: Selection::One(row), kind, failures: 0, refused: false }
    }

    /// Indices of its rows.
    pub fn rows(&self) -> &[u32] {
        match &self.selection {
            Selection::Planned(range) => &self.batch.plan.order[range.start as usize..range.end as usize],
            Selection::One(row) => std::slice::from_ref(row),
        }
    }

    /// Bytes of its rows.
    pub fn bytes(&self) -> usize {
        self.rows().iter().map(|row| self.batch.rows.row(*row as usize).size_bytes()).sum()
    }

    /// Two halves; none of a single row.
    pub fn split(&self) -> Option<[Work; 2]> {
        let Selection::Planned(range) = &self.selection else { return None };
        if range.len() < 2 {
            return None;
        }
        let middle = range.start + range.len() as u32 / 2;
        let half = |range| Work {
            batch: self.batch.clone(),
            selection: Selection::Planned(range),
            kind: self.kind,
            failures: 0,
            refused: false,
        };
        Some([half(range.start..middle), half(middle..range.end)])
    }
}
