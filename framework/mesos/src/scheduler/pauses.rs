use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

use super::Timings;

/// Doubling pauses with jitter, without end.
pub(super) struct Pauses {
    backoff: ExponentialBackoff,
    max: Duration,
}

impl Pauses {
    /// Jitter adds up to the pause itself, hence half the maximum here.
    pub(super) fn new(timings: &Timings) -> Self {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(timings.backoff_min)
            .with_max_delay(timings.backoff_max / 2)
            .with_jitter()
            .without_max_times()
            .build();
        Self { backoff, max: timings.backoff_max }
    }

    pub(super) fn next(&mut self) -> Duration {
        self.backoff.next().unwrap_or(self.max).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(count: usize) -> Vec<Duration> {
        let mut pauses = Pauses::new(&Timings::default());
        (0..count).map(|_| pauses.next()).collect()
    }

    #[test]
    fn pauses_grow_up_to_15_seconds_and_no_further() {
        let pauses = first(200);
        assert!(pauses[0] <= 2 * Timings::default().backoff_min, "{:?}", pauses[0]);
        assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(15)), "{pauses:?}");
        assert!(pauses[20..].iter().all(|pause| *pause >= Duration::from_millis(7500)), "{pauses:?}");
    }

    #[test]
    fn two_schedulers_do_not_come_back_in_step() {
        assert_ne!(first(20), first(20));
    }
}
