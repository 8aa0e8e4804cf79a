//! The memory budget: bytes of records that were fetched and are not durable yet (invariant 8).
//!
//! Reading pauses when the budget is used up and goes on below half of it, so that a slow sink makes the consumer stop
//! instead of its queues grow.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Of a task's memory, this part may be rows on their way. The rest is the process itself, librdkafka's queue (whose
/// records cost about twice their size) and the batch that is being made.
const IN_FLIGHT_DIVISOR: u64 = 16;

/// Of a task's memory, this part may wait in librdkafka's queue.
const QUEUE_DIVISOR: u64 = 16;

/// Rows of one batch that take less are never too much.
const MADE_MIN_BYTES: u64 = 1 << 20;

/// Less than this would not hold one fetch.
const QUEUE_MIN_BYTES: u64 = 1 << 20;

/// More than this makes nothing faster (servers.md: 16 MiB is enough).
const QUEUE_MAX_BYTES: u64 = 16 << 20;

/// Bytes in flight of one executor.
#[derive(Debug, Default)]
pub struct Budget {
    limit: AtomicU64,
    used: AtomicU64,
    paused: AtomicBool,
}

impl Budget {
    /// Adds a task's memory.
    pub fn grow(&self, mem_bytes: u64) {
        self.limit.fetch_add(mem_bytes / IN_FLIGHT_DIVISOR, Relaxed);
    }

    /// Takes it away again.
    pub fn shrink(&self, mem_bytes: u64) {
        self.limit.fetch_sub(mem_bytes / IN_FLIGHT_DIVISOR, Relaxed);
    }

    /// Takes bytes, always: a batch that has been made must go its way.
    pub fn take(&self, bytes: u64) {
        self.used.fetch_add(bytes, Relaxed);
    }

    /// Gives bytes back.
    pub fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Relaxed);
    }

    /// Bytes in flight.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Most bytes in flight.
    pub fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    /// Whether reading has to wait. Nothing in flight never waits, or one huge record would wait for ever.
    pub fn is_paused(&self) -> bool {
        let (used, limit) = (self.used(), self.limit());
        let paused = used > 0 && if self.paused.load(Relaxed) { used > limit / 2 } else { used >= limit };
        self.paused.store(paused, Relaxed);
        paused
    }

    /// Most bytes that the rows of one batch may take, unless it is a single row.
    pub fn made_bytes(&self) -> u64 {
        self.limit().max(MADE_MIN_BYTES)
    }

    /// Most bytes of records in one batch: a batch is held a second time while it is turned into rows.
    pub fn batch_bytes(&self) -> u64 {
        (self.limit() / 4).max(1)
    }
}

/// Rows are expected to take at most this many times what their records do; batches of those that take more are smaller.
const EXPECTED_GROWTH: u64 = 4;

/// How much larger rows are than their records, lately.
#[derive(Debug, Default)]
pub struct Growth(u64);

impl Growth {
    /// A batch of records made rows of so many bytes.
    pub fn saw(&mut self, record_bytes: u64, row_bytes: u64) {
        // It grows at once and falls by and by.
        self.0 = (row_bytes / record_bytes.max(1)).max(self.0 - self.0.div_ceil(8));
    }

    /// What a batch may hold of records, when it might hold `most`.
    pub fn batch_bytes(&self, most: u64) -> u64 {
        (most / (self.0 / EXPECTED_GROWTH).max(1)).max(1)
    }
}

/// What librdkafka may hold per partition, of a task with this memory and so many partitions.
pub fn queue_bytes_per_partition(mem_bytes: u64, partitions: usize) -> u64 {
    let queue = (mem_bytes / QUEUE_DIVISOR).clamp(QUEUE_MIN_BYTES, QUEUE_MAX_BYTES);
    queue / partitions.max(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_pauses_at_the_limit_and_goes_on_below_half() {
        let budget = Budget::default();
        budget.grow(160);
        budget.take(9);
        assert!(!budget.is_paused());
        budget.take(1);
        assert!(budget.is_paused());
        budget.give(4);
        assert!(budget.is_paused());
        budget.give(1);
        assert!(!budget.is_paused());
        assert_eq!(budget.batch_bytes(), 2);
    }

    #[test]
    fn one_record_larger_than_the_budget_gets_through() {
        let budget = Budget::default();
        budget.grow(160);
        budget.take(1_000);
        assert!(budget.is_paused());
        budget.give(1_000);
        assert!(!budget.is_paused());
    }

    #[test]
    fn batches_are_smaller_where_rows_are_much_larger_than_records() {
        let mut growth = Growth::default();
        assert_eq!(growth.batch_bytes(1_000), 1_000);
        growth.saw(100, 399);
        assert_eq!(growth.batch_bytes(1_000), 1_000);
        growth.saw(100, 40_000);
        assert_eq!(growth.batch_bytes(1_000), 10);
        for _ in 0..100 {
            growth.saw(100, 100);
        }
        assert_eq!(growth.batch_bytes(1_000), 1_000);
        growth.saw(0, u64::MAX);
        assert_eq!(growth.batch_bytes(1_000), 1);
    }

    #[test]
    fn queues_are_divided_and_bounded() {
        assert_eq!(queue_bytes_per_partition(256 << 20, 8), 2 << 20);
        assert_eq!(queue_bytes_per_partition(4 << 30, 1), 16 << 20);
        assert_eq!(queue_bytes_per_partition(4 << 20, 2), 1 << 19);
    }
}
