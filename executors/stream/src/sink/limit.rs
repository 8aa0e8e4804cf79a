//! How many requests may be on their way to Cassandra at once: additive increase, multiplicative decrease, on errors
//! and on latency. Pure.

use std::time::{Duration, Instant};

/// Where it begins.
const START: f64 = 16.0;

/// One request is always tried: it is how the end of an outage is seen.
const MIN: f64 = 1.0;

/// Cassandra works on 128 requests at a time by default; twice that keeps its queue filled.
const MAX: f64 = 256.0;

/// A failed request says the cluster has too much: half of it, then.
const ON_FAILURE: f64 = 0.5;

/// Latency that grows says so more softly.
const ON_SLOWNESS: f64 = 0.9;

/// Slow is this many times the best latency …
const SLOW_FACTOR: f64 = 8.0;

/// … and at least this, or an idle cluster's sub-millisecond answers would make any work look slow.
const SLOW_MIN: Duration = Duration::from_millis(50);

/// Requests that fail together count once.
const DECREASE_PAUSE: Duration = Duration::from_millis(100);

/// The best latency is forgotten by and by, because the cluster may have changed.
const BEST_DECAY: f64 = 1.0005;

/// Adapts the number of requests in flight.
#[derive(Debug)]
pub struct Limit {
    limit: f64,
    best_secs: f64,
    smooth_secs: f64,
    decreased: Option<Instant>,
}

impl Default for Limit {
    fn default() -> Self {
        Limit { limit: START, best_secs: f64::INFINITY, smooth_secs: 0.0, decreased: None }
    }
}

impl Limit {
    /// Requests that may be in flight now.
    pub fn get(&self) -> usize {
        self.limit as usize
    }

    /// A request was answered; `saturated`: as many were in flight as may be.
    pub fn succeeded(&mut self, latency: Duration, saturated: bool, now: Instant) {
        let secs = latency.as_secs_f64();
        self.best_secs = (self.best_secs * BEST_DECAY).min(secs);
        self.smooth_secs = if self.smooth_secs == 0.0 { secs } else { self.smooth_secs * 0.9 + secs * 0.1 };
        if self.smooth_secs > (self.best_secs * SLOW_FACTOR).max(SLOW_MIN.as_secs_f64()) {
            self.decrease(ON_SLOWNESS, now);
        } else if saturated {
            self.limit = (self.limit + 1.0 / self.limit).min(MAX);
        }
    }

    /// A request timed out, or the cluster was overloaded or not reachable.
    pub fn failed(&mut self, now: Instant) {
        self.decrease(ON_FAILURE, now);
    }

    fn decrease(&mut self, factor: f64, now: Instant) {
        if self.decreased.is_none_or(|at| now.duration_since(at) >= DECREASE_PAUSE) {
            self.limit = (self.limit * factor).max(MIN);
            self.decreased = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_millis(2);

    #[test]
    fn it_grows_while_answers_are_fast_and_it_is_the_limit() {
        let (mut limit, now) = (Limit::default(), Instant::now());
        limit.succeeded(FAST, false, now);
        assert_eq!(limit.get(), 16);
        for _ in 0..100_000 {
            limit.succeeded(FAST, true, now);
        }
        assert_eq!(limit.get(), 256);
    }

    #[test]
    fn failures_bring_it_under_a_quarter_within_a_second_and_never_to_nothing() {
        let (mut limit, begin) = (Limit::default(), Instant::now());
        for tenth in 0..10u32 {
            for _ in 0..50 {
                limit.failed(begin + DECREASE_PAUSE * tenth);
            }
            if tenth == 1 {
                assert_eq!(limit.get(), 4);
            }
        }
        assert_eq!(limit.get(), 1);
    }

    #[test]
    fn growing_latency_shrinks_it() {
        let (mut limit, begin) = (Limit::default(), Instant::now());
        limit.succeeded(FAST, true, begin);
        for tenth in 0..20u32 {
            limit.succeeded(Duration::from_millis(200), true, begin + DECREASE_PAUSE * tenth);
        }
        assert!(limit.get() < 8, "{limit:?}");
    }
}
