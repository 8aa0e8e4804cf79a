use std::time::{Duration, Instant};

/// First pause.
const MIN: Duration = Duration::from_millis(100);

/// Longest pause.
const MAX: Duration = Duration::from_secs(5);

/// Pauses that double, for questions to Kafka and Cassandra that are asked until there is an answer.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    first: Option<Instant>,
}

impl Backoff {
    pub(super) async fn pause(&mut self) {
        self.first.get_or_insert_with(Instant::now);
        tokio::time::sleep(MIN.saturating_mul(1 << self.failures.min(10)).min(MAX)).await;
        self.failures = self.failures.saturating_add(1);
    }

    /// Time since the first failure; none yet is no time.
    pub(super) fn since_first(&self) -> Duration {
        self.first.map_or(Duration::ZERO, |first| first.elapsed())
    }
}
