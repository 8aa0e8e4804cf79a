//! What a partition says of itself.

use std::sync::{PoisonError, atomic::Ordering::Relaxed};

use millstream_protocol::{PartitionReport, PartitionStatus};

use super::{PartitionState, known};
use crate::{engine::Trouble, sink::work::with_tracker};

impl PartitionState {
    /// State for the scheduler. `trouble` is what stops all partitions, `now_ms` the wall clock.
    pub fn report(&self, trouble: Option<&Trouble>, now_ms: i64) -> PartitionReport {
        let tracker = self.tracker();
        let offsets = tracker
            .as_ref()
            .map(|tracker| with_tracker(tracker, |t| (t.position(), t.durable(), t.oldest_timestamp_ms())));
        // The broker's word is up to a second old; what was read lies before the end all the same.
        let log_end = self.log_end().map(|end| offsets.map_or(end, |(position, ..)| end.max(position)));
        let lag_ms = offsets.zip(log_end).and_then(|((_, durable, oldest), log_end)| {
            if log_end <= durable {
                return Some(0);
            }
            // The oldest record that is not durable may still be in Kafka; it is not older than the last one consumed.
            let since = oldest.or(known(self.last_timestamp_ms.load(Relaxed)))?;
            // A record of the future has no age.
            u64::try_from(now_ms.saturating_sub(since)).ok()
        });
        let (mut status, mut reason) = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_idle = tracker.as_ref().is_none_or(|tracker| with_tracker(tracker, |tracker| tracker.is_idle()));
        match (trouble, status) {
            (Some(trouble), PartitionStatus::Running | PartitionStatus::Starting) => {
                (status, reason) = (trouble.status, Some(trouble.reason.clone()));
            }
            // It waits for what it has read to be written, and that waits for something else.
            (Some(trouble), PartitionStatus::Stalled | PartitionStatus::Draining) if !is_idle => {
                let own = reason.map_or_else(String::new, |reason| format!("{reason}; first: "));
                reason = Some(format!("{own}{}", trouble.reason));
            }
            _ => {}
        }
        PartitionReport {
            partition: self.partition,
            position: offsets.map(|(position, ..)| position),
            durable: offsets.map(|(_, durable, _)| durable),
            log_end,
            stable_end: log_end.and(known(self.stable_end.load(Relaxed)).zip(log_end).map(|(stable, end)| {
                // As old as the log end; what was read lies before it.
                stable.max(offsets.map_or(stable, |(position, ..)| position)).min(end)
            })),
            lag_ms,
            status,
            reason,
            stopped_at: known(self.stopped_at.load(Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::tracker::Tracker;

    #[test]
    fn lag_is_unknown_until_it_is_known_and_counts_from_what_is_durable() {
        let state = PartitionState::new(3, Arc::default());
        assert_eq!(state.report(None, 10_000).lag_ms, None);
        let tracker = Arc::new(Mutex::new(Tracker::new(5)));
        state.set_tracker(tracker.clone());
        assert_eq!(state.report(None, 10_000).lag_records(), None);
        state.set_log_end(Some(5));
        assert_eq!(state.report(None, 10_000).lag_ms, Some(0));
        state.set_log_end(Some(9));
        assert_eq!(state.report(None, 10_000).lag_ms, None);
        let unit = with_tracker(&tracker, |t| t.open(8, Some(4_000)));
        let report = state.report(None, 10_000);
        assert_eq!((report.lag_ms, report.lag_records(), report.position), (Some(6_000), Some(4), Some(8)));
        state.set_last_timestamp_ms(9_000);
        with_tracker(&tracker, |t| t.close(unit));
        assert_eq!(state.report(None, 10_000).lag_ms, Some(1_000));
    }

    #[test]
    fn trouble_of_all_shows_on_those_that_would_run() {
        let state = PartitionState::new(0, Arc::default());
        let trouble = Trouble::stalled("no broker");
        state.set_status(PartitionStatus::Running, None);
        assert_eq!(state.report(Some(&trouble), 0).status, PartitionStatus::Stalled);
        state.set_status(PartitionStatus::Draining, None);
        assert_eq!(state.report(Some(&trouble), 0).reason, None, "nothing is left to be written");
        let tracker = Arc::new(Mutex::new(Tracker::new(5)));
        state.set_tracker(tracker.clone());
        with_tracker(&tracker, |t| t.open(8, None));
        let report = state.report(Some(&trouble), 0);
        assert_eq!((report.status, report.reason.as_deref()), (PartitionStatus::Draining, Some("no broker")));
        state.set_status(PartitionStatus::Stalled, Some("beginning anew".into()));
        assert_eq!(state.report(Some(&trouble), 0).reason.as_deref(), Some("beginning anew; first: no broker"));
        state.set_status(PartitionStatus::Stopped, Some("bad record".into()));
        assert_eq!(state.report(Some(&trouble), 0).reason.as_deref(), Some("bad record"));
    }
}
