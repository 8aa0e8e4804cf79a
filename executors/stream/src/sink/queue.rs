//! Requests that wait: new ones in order, failed ones until their time has come.

use std::{
    collections::{BinaryHeap, VecDeque},
    time::{Duration, Instant},
};

use super::work::Work;

/// Pauses before retries.
#[derive(Debug, Clone, Copy)]
pub struct Pauses {
    /// Before the first retry of a request; doubles with each failure.
    pub first: Duration,
    /// The longest: what an outage adds to the time until rows flow again.
    pub longest: Duration,
    /// Before a table that doesn't fit is looked at again.
    pub schema: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Pauses { first: Duration::from_millis(50), longest: Duration::from_secs(5), schema: Duration::from_secs(10) }
    }
}

impl Pauses {
    /// The pause after `failures` earlier failures; `jitter` in [0, 1) takes up to half of it away.
    fn after(&self, failures: u32, jitter: f64) -> Duration {
        self.first.saturating_mul(1 << failures.min(10)).min(self.longest).mul_f64(1.0 - jitter / 2.0)
    }
}

/// Bounded by the memory budget: what waits here is in flight for the pump.
#[derive(Debug, Default)]
pub(super) struct Queue {
    ready: VecDeque<Work>,
    delayed: BinaryHeap<Delayed>,
    pub(super) pauses: Pauses,
}

#[derive(Debug)]
struct Delayed {
    due: Instant,
    work: Work,
}

impl Queue {
    pub(super) fn push(&mut self, work: Work) {
        self.ready.push_back(work);
    }

    /// Waits with exponential back-off and jitter.
    pub(super) fn retry(&mut self, work: Work, now: Instant) {
        let pause = self.pauses.after(work.failures, jitter());
        self.retry_at(work, now + pause);
    }

    /// Waits until somebody may have changed the table.
    pub(super) fn retry_after_change(&mut self, work: Work, now: Instant) {
        let due = now + self.pauses.schema;
        self.retry_at(work, due);
    }

    /// Waits until then.
    pub(super) fn retry_at(&mut self, mut work: Work, due: Instant) {
        work.failures = work.failures.saturating_add(1);
        self.delayed.push(Delayed { due, work });
    }

    /// What may be sent now; failed requests first, because the low-water mark waits for them.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Work> {
        match self.delayed.peek() {
            Some(delayed) if delayed.due <= now => self.delayed.pop().map(|delayed| delayed.work),
            _ => self.ready.pop_front(),
        }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.delayed.peek().map(|delayed| delayed.due)
    }

    pub(super) fn len(&self) -> usize {
        self.ready.len() + self.delayed.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Random enough to keep retries of several executors apart.
fn jitter() -> f64 {
    use std::hash::{BuildHasher as _, RandomState};
    (RandomState::new().hash_one(0u8) >> 11) as f64 / (1u64 << 53) as f64
}

/// Earliest first in a max-heap.
impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.due.cmp(&self.due)
    }
}

impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Delayed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_maximum() {
        let pauses = Pauses::default();
        assert_eq!(pauses.after(0, 0.0), Duration::from_millis(50));
        assert_eq!(pauses.after(3, 0.0), Duration::from_millis(400));
        assert_eq!(pauses.after(u32::MAX, 0.0), pauses.longest);
        assert_eq!(pauses.after(u32::MAX, 0.5), pauses.longest.mul_f64(0.75));
        assert!((0.0..1.0).contains(&jitter()));
    }
}
