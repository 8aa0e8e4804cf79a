use std::{sync::Arc, time::Instant};

use rdkafka::{Message as _, message::OwnedMessage};

use super::{PartitionState, Stop, pump::Begin};
use crate::{
    blocks::{
        Epoch, Speed,
        keeper::BELOW,
        window::{Need, Window},
    },
    sink::work::{Lane as BatchLane, SharedTracker, with_tracker},
};

/// Weight of the last second in a rate.
const RATE_WEIGHT: f64 = 0.3;

/// A partition as the pump sees it.
pub(super) struct Lane {
    pub(super) state: Arc<PartitionState>,
    pub(super) tracker: SharedTracker,
    /// Next offset to be consumed.
    pub(super) position: i64,
    /// Leader epoch of the log at the position it began at; negative while unknown.
    pub(super) leader: i32,
    pub(super) window: Window,
    /// More blocks are on their way.
    pub(super) extending: bool,
    /// A record beyond the window waits here for its timestamp.
    pub(super) held: Option<OwnedMessage>,
    /// Leader epoch under which it was appended.
    pub(super) held_leader: Option<i32>,
    /// Nothing more is read: its supervisor was told why.
    pub(super) stopped: bool,
    /// librdkafka has signalled the end of the log since the partition was assigned.
    pub(super) seen_eof: bool,
    /// Offset below which nothing is left once the queue is empty.
    pub(super) eof: Option<i64>,
    meter: Meter,
}

impl Lane {
    pub(super) fn new(state: Arc<PartitionState>, tracker: SharedTracker, begin: Begin) -> Self {
        let Begin { position, leader, window } = begin;
        state.set_window(&window);
        // That of another log, or of records that are read again, says nothing here.
        state.set_leader(leader);
        Lane {
            state,
            tracker,
            position,
            leader,
            window,
            extending: false,
            held: None,
            held_leader: None,
            stopped: false,
            seen_eof: false,
            eof: None,
            meter: Meter { at: Instant::now(), position, log_end: None, consumed: 0.0, appended: 0.0 },
        }
    }

    /// What keeps the record that waits, if one does. `now` is compared with the age of its block.
    pub(super) fn held_needs(&self, now: Instant) -> Option<(i64, Need)> {
        let held = self.held.as_ref()?;
        Some((held.offset(), self.window.need(held.offset(), held.timestamp().to_millis(), now)))
    }

    /// The offset that needs a block, and whether it is a younger one that it needs: of the record that waits, or, when the
    /// newest block is almost used up, the first one after it.
    pub(super) fn wants(&self, now: Instant) -> Option<(i64, bool)> {
        match self.held_needs(now) {
            Some((_, Need::Nothing)) => None,
            Some((offset, need)) => Some((offset, need == Need::Younger)),
            None => self.window.is_almost_used(self.position).then(|| (self.window.end(), false)),
        }
    }

    /// The answer to what it wanted. What another process has begun below the position must be read again.
    pub(super) fn take_epochs(&mut self, epochs: Vec<Epoch>, young_until: Instant) {
        self.extending = false;
        if epochs.iter().any(|epoch| epoch.block.from < self.position) {
            self.stopped = true;
            return self.state.request_stop(Stop::anew(format!("{BELOW}; beginning anew there")));
        }
        self.window.extend(epochs, young_until);
        self.state.set_window(&self.window);
    }

    pub(super) fn for_batch(&self) -> BatchLane {
        BatchLane { state: self.state.clone(), tracker: self.tracker.clone() }
    }

    /// After statistics: records the end of the log they speak of.
    ///
    /// librdkafka queues records before it notes that it met the end behind them, so once the queue is empty every
    /// record below that offset has been consumed. An offset noted before this assignment is harmless too, as long as
    /// this assignment has met the end itself: it lies above.
    pub(super) fn note_eof(&mut self) {
        if let Some(eof) = self.state.take_eof()
            && self.seen_eof
        {
            self.eof = Some(eof);
        }
    }

    /// The queue is empty: passes what is no record at the end of the log (control records, aborted transactions).
    pub(super) fn queue_is_empty(&mut self) {
        if self.held.is_some() || self.stopped {
            return;
        }
        if let Some(eof) = self.eof.take()
            && eof > self.position
        {
            // Records in hand have no unit yet: theirs will reach up to the position. Only without them may the mark jump.
            with_tracker(&self.tracker, |tracker| {
                if tracker.position() == self.position {
                    tracker.skip_to(eof);
                }
            });
            self.position = eof;
        }
    }

    /// Once a second.
    pub(super) fn measure(&mut self, now: Instant) {
        let secs = now.duration_since(self.meter.at).as_secs_f64();
        let log_end = self.state.log_end();
        let smooth = |old: f64, offsets: i64| old + RATE_WEIGHT * (offsets.max(0) as f64 / secs - old);
        let meter = &mut self.meter;
        meter.consumed = smooth(meter.consumed, self.position - meter.position);
        if let (Some(before), Some(end)) = (meter.log_end, log_end) {
            meter.appended = smooth(meter.appended, end - before);
        }
        (meter.at, meter.position) = (now, self.position);
        meter.log_end = log_end.or(meter.log_end);
    }

    /// For a block from `from` on.
    pub(super) fn speed(&self, from: i64) -> Speed {
        // Within the first second there is no measure yet; what was consumed since then says something.
        let secs = self.meter.at.elapsed().as_secs_f64().max(0.1);
        let lately = (self.position - self.meter.position) as f64 / secs;
        Speed {
            consumed_per_sec: self.meter.consumed.max(lately),
            backlog: self.state.log_end().map(|end| (end - from).max(0)),
            appended_per_sec: self.meter.appended,
        }
    }
}

struct Meter {
    at: Instant,
    position: i64,
    log_end: Option<i64>,
    consumed: f64,
    appended: f64,
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::tracker::Tracker;

    fn lane(position: i64) -> Lane {
        let state = PartitionState::new(0, Arc::default());
        Lane::new(
            state,
            Arc::new(Mutex::new(Tracker::new(position))),
            Begin { position, leader: -1, window: Window::new([], Instant::now(), 0) },
        )
    }

    #[test]
    fn the_end_of_the_log_does_not_pass_records_in_hand() {
        let mut lane = lane(10);
        (lane.position, lane.eof) = (15, Some(17)); // 10 to 14 are gathered, 15 and 16 are control records
        lane.queue_is_empty();
        let durable = |lane: &Lane| with_tracker(&lane.tracker, |tracker| tracker.durable());
        assert_eq!((lane.position, durable(&lane)), (17, 10));
        let unit = with_tracker(&lane.tracker, |tracker| tracker.open(lane.position, None));
        assert_eq!(durable(&lane), 10);
        with_tracker(&lane.tracker, |tracker| tracker.close(unit));
        assert_eq!(durable(&lane), 17);
    }

    #[test]
    fn with_nothing_in_hand_it_is_passed() {
        let mut lane = lane(10);
        lane.eof = Some(12);
        lane.queue_is_empty();
        assert_eq!(with_tracker(&lane.tracker, |tracker| tracker.durable()), 12);
    }
}
