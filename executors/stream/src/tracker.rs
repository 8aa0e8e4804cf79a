//! The low-water mark of one partition (delivery.md D4): the lowest offset that is not yet durable.
//!
//! Pure. It counts by position, not by records, so that gaps (aborted transactions, compaction, records that were
//! filtered or bad) are passed over like everything else.
//!
//! Invariant: [`Tracker::durable`] never passes an offset of a unit that is still open.

use std::collections::VecDeque;

/// Names a unit of work within one tracker.
pub type UnitId = u64;

/// Low-water mark of one partition.
#[derive(Debug)]
pub struct Tracker {
    /// The first offset.
    begin: i64,
    /// Everything below is durable.
    base: i64,
    /// Next offset to be consumed.
    position: i64,
    /// Open units in offset order, and closed ones that wait for an older one.
    units: VecDeque<Unit>,
    next_id: UnitId,
    /// Offset of a record that must not be committed past, whatever else becomes durable.
    cap: Option<i64>,
}

#[derive(Debug)]
struct Unit {
    id: UnitId,
    end: i64,
    oldest_timestamp_ms: Option<i64>,
    done: bool,
}

impl Tracker {
    /// Nothing is open; the next record is that at `position`.
    pub fn new(position: i64) -> Self {
        Tracker { begin: position, base: position, position, units: VecDeque::new(), next_id: 0, cap: None }
    }

    /// The first offset.
    pub fn begin(&self) -> i64 {
        self.begin
    }

    /// Next offset to be consumed.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Lowest offset that is not durable: what may be committed.
    pub fn durable(&self) -> i64 {
        self.cap.map_or(self.base, |cap| cap.min(self.base))
    }

    /// Whether no unit is open.
    pub fn is_idle(&self) -> bool {
        self.units.is_empty()
    }

    /// Timestamp of the oldest record that is not durable, when there is one and it has one.
    pub fn oldest_timestamp_ms(&self) -> Option<i64> {
        self.units.front()?.oldest_timestamp_ms
    }

    /// Opens a unit that covers every offset from the position up to `end`, and moves the position there.
    pub fn open(&mut self, end: i64, oldest_timestamp_ms: Option<i64>) -> UnitId {
        debug_assert!(end >= self.position, "positions never go back");
        let id = self.next_id;
        self.next_id += 1;
        self.position = self.position.max(end);
        self.units.push_back(Unit { id, end: self.position, oldest_timestamp_ms, done: false });
        id
    }

    /// All of the unit is durable. Closing one twice does nothing.
    pub fn close(&mut self, id: UnitId) {
        let Ok(index) = self.units.binary_search_by_key(&id, |unit| unit.id) else { return };
        self.units[index].done = true;
        while let Some(unit) = self.units.pop_front_if(|unit| unit.done) {
            self.base = unit.end;
        }
    }

    /// There is no record before `end`: the rest of the log so far is control records or aborted transactions.
    pub fn skip_to(&mut self, end: i64) {
        if end > self.position {
            let id = self.open(end, None);
            self.close(id);
        }
    }

    /// Never commit past `offset`: its record failed, and the job wants to stop there.
    pub fn cap(&mut self, offset: i64) {
        self.cap = Some(self.cap.map_or(offset, |cap| cap.min(offset)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_mark_waits_for_the_oldest_unit() {
        let mut tracker = Tracker::new(10);
        let (a, b) = (tracker.open(20, Some(5)), tracker.open(25, Some(6)));
        assert_eq!((tracker.durable(), tracker.position(), tracker.oldest_timestamp_ms()), (10, 25, Some(5)));
        tracker.close(b);
        assert_eq!(tracker.durable(), 10);
        tracker.close(a);
        assert_eq!((tracker.durable(), tracker.is_idle()), (25, true));
    }

    #[test]
    fn a_gap_counts_only_when_what_is_before_it_is_durable() {
        let mut tracker = Tracker::new(0);
        let a = tracker.open(5, None);
        tracker.skip_to(9);
        tracker.skip_to(7);
        assert_eq!((tracker.durable(), tracker.position()), (0, 9));
        tracker.close(a);
        assert_eq!(tracker.durable(), 9);
    }

    #[test]
    fn a_cap_is_never_passed() {
        let mut tracker = Tracker::new(0);
        let a = tracker.open(10, None);
        tracker.cap(7);
        tracker.cap(8);
        assert_eq!(tracker.durable(), 0);
        tracker.close(a);
        tracker.close(a);
        assert_eq!(tracker.durable(), 7);
    }

    proptest! {
        /// Invariant 3 against the obvious model: a set of ranges, some of them done.
        #[test]
        fn durable_is_the_lowest_offset_that_is_not_done(
            lengths in prop::collection::vec(0i64..5, 1..40),
            closing in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
        ) {
            let mut tracker = Tracker::new(100);
            let mut model = vec![];
            for length in lengths {
                let start = tracker.position();
                model.push((tracker.open(start + length, None), start, start + length, false));
            }
            for index in closing {
                let unit = index.get(&model).0;
                model.iter_mut().find(|m| m.0 == unit).unwrap().3 = true;
                tracker.close(unit);
                let lowest = model.iter().find(|m| !m.3).map_or(tracker.position(), |m| m.1);
                prop_assert_eq!(tracker.durable(), lowest);
            }
        }
    }
}
