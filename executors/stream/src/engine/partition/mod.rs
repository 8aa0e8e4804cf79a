//! One partition as its parts share it.

mod report;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use millstream_protocol::{Partition, PartitionStatus};
use millstream_spec::Tier;
use tokio::sync::watch;

use super::{
    Stop,
    counters::{TIERS, TaskCounters},
};
use crate::{
    blocks::{Epoch, Mark, window::Window},
    sink::work::{SharedTracker, with_tracker},
};

/// An offset or timestamp that is not known.
const UNKNOWN: i64 = i64::MIN;

/// One partition of a task, as pump, sink, committer and reports share it.
#[derive(Debug)]
pub struct PartitionState {
    /// Its number.
    pub partition: Partition,
    /// Counters of its task.
    pub task: Arc<TaskCounters>,
    status: Mutex<(PartitionStatus, Option<String>)>,
    tracker: Mutex<Option<SharedTracker>>,
    stop: watch::Sender<Option<Stop>>,
    log_end: AtomicI64,
    stable_end: AtomicI64,
    eof: AtomicI64,
    /// Number of the newest epoch by which it stamps.
    epoch: AtomicU64,
    /// Blocks at hand, for the timestamps of marks.
    window: Mutex<Option<Window>>,
    /// Leader epoch of the last record consumed; negative while unknown.
    leader: AtomicI32,
    word: Mutex<Option<Word>>,
    /// Offset of the record at which it stays stopped until a person acts.
    stopped_at: AtomicI64,
    /// From there on rows are to be written again, under timestamps of now; `i64::MAX` for none.
    repair_from: AtomicI64,
    /// Timestamp of the last record consumed, in milliseconds.
    last_timestamp_ms: AtomicI64,
    tier: AtomicUsize,
    /// Bytes consumed while the tier was not known.
    untiered: AtomicU64,
    is_consumed: AtomicBool,
    /// The last commit before the next start has been taken.
    is_committed: AtomicBool,
}

/// What was last committed for a partition by this process, or found and taken as ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// The offset.
    pub offset: i64,
    /// The epoch it was made under.
    pub epoch: u64,
}

impl PartitionState {
    /// A partition that is starting.
    pub fn new(partition: Partition, task: Arc<TaskCounters>) -> Arc<Self> {
        Arc::new(PartitionState {
            partition,
            task,
            status: Mutex::new((PartitionStatus::Starting, None)),
            tracker: Mutex::new(None),
            stop: watch::Sender::new(None),
            log_end: AtomicI64::new(UNKNOWN),
            stable_end: AtomicI64::new(UNKNOWN),
            eof: AtomicI64::new(UNKNOWN),
            epoch: AtomicU64::new(0),
            window: Mutex::new(None),
            leader: AtomicI32::new(-1),
            word: Mutex::new(None),
            stopped_at: AtomicI64::new(UNKNOWN),
            repair_from: AtomicI64::new(i64::MAX),
            last_timestamp_ms: AtomicI64::new(UNKNOWN),
            tier: AtomicUsize::new(TIERS.len()),
            untiered: AtomicU64::new(0),
            is_consumed: AtomicBool::new(false),
            is_committed: AtomicBool::new(false),
        })
    }

    /// Sets the status; the reason is for all but `running`.
    pub fn set_status(&self, status: PartitionStatus, reason: Option<String>) {
        let mut slot = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if *slot != (status, reason.clone()) {
            tracing::info!(partition = self.partition, ?status, reason = reason.as_deref().unwrap_or(""), "partition");
            *slot = (status, reason);
        }
    }

    /// Whether it waits for something of its own.
    pub fn is_stalled(&self) -> bool {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).0 == PartitionStatus::Stalled
    }

    /// Asks its supervisor to stop it. The first reason counts; of bad records the lowest, for they come in any order.
    pub fn request_stop(&self, stop: Stop) {
        self.stop.send_if_modified(|slot| {
            let counts = slot.as_ref().is_none_or(|there| stop.is_before(there));
            if counts {
                *slot = Some(stop);
            }
            counts
        });
    }

    /// Waits until it is asked to stop.
    pub async fn stop_requested(&self) -> Stop {
        let mut slot = self.stop.subscribe();
        let stop = slot.wait_for(Option::is_some).await.ok().and_then(|stop| stop.clone());
        match stop {
            Some(stop) => stop,
            None => std::future::pending().await, // the sender is ours
        }
    }

    /// Takes the request to stop.
    pub fn take_stop(&self) -> Option<Stop> {
        self.stop.send_replace(None)
    }

    /// The tracker since the last start.
    pub fn tracker(&self) -> Option<SharedTracker> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A new start, with a new tracker.
    pub fn set_tracker(&self, tracker: SharedTracker) {
        *self.tracker.lock().unwrap_or_else(PoisonError::into_inner) = Some(tracker);
        self.eof.store(UNKNOWN, Relaxed);
        self.is_committed.store(false, Relaxed);
    }

    /// Whether the pump reads it.
    pub fn is_consumed(&self) -> bool {
        self.is_consumed.load(Relaxed)
    }

    /// The pump begins or ends to read it.
    pub fn set_consumed(&self, is_consumed: bool) {
        self.is_consumed.store(is_consumed, Relaxed);
    }

    /// Next offset to be consumed.
    pub fn position(&self) -> Option<i64> {
        self.tracker().map(|tracker| with_tracker(&tracker, |tracker| tracker.position()))
    }

    /// Whether it is not read any more, and nothing from the offset on ever was.
    pub fn has_left_at(&self, offset: i64) -> bool {
        !self.is_consumed() && self.position() == Some(offset)
    }

    /// Where it began to be read last.
    pub fn begun_at(&self) -> Option<i64> {
        self.tracker().map(|tracker| with_tracker(&tracker, |tracker| tracker.begin()))
    }

    /// Lowest offset that is not durable.
    pub fn durable(&self) -> Option<i64> {
        self.tracker().map(|tracker| with_tracker(&tracker, |tracker| tracker.durable()))
    }

    /// What is to be committed: what is durable, unless [`PartitionState::take_last_commit`] has been here since the start.
    pub fn to_commit(&self) -> Option<Mark> {
        self.settled().filter(|_| !self.is_committed.load(Relaxed))
    }

    /// The newest epoch it stamps by is asked for first: what becomes durable meanwhile under a newer one counts as well.
    fn settled(&self) -> Option<Mark> {
        let (epoch, leader) = (self.epoch(), self.leader());
        // What is to be written again is not in the table, whoever does it.
        let again = self.repair_from().unwrap_or(i64::MAX);
        self.durable().map(|durable| match again < durable {
            true => Mark { offset: again, epoch, leader: -1 },
            false => Mark { offset: durable, epoch, leader },
        })
    }

    /// What a partition that has stopped commits, once until its next start, and whatever comes of it: from then on the
    /// group's offset is a person's, or a newer version's, and a commit that is made again would undo theirs.
    pub fn take_last_commit(&self) -> Option<Mark> {
        self.settled().filter(|_| !self.is_committed.swap(true, Relaxed))
    }

    /// What the broker said of the end of the log; none when it can't be asked.
    pub fn set_log_end(&self, offset: Option<i64>) {
        self.log_end.store(offset.unwrap_or(UNKNOWN), Relaxed);
    }

    /// Up to where the broker gives records; those beyond wait behind an open transaction.
    pub fn set_stable_end(&self, offset: Option<i64>) {
        self.stable_end.store(offset.unwrap_or(UNKNOWN), Relaxed);
    }

    /// The blocks by which it stamps now.
    pub fn set_window(&self, window: &Window) {
        self.epoch.store(window.last().map_or(0, |last| last.number), Relaxed);
        *self.window.lock().unwrap_or_else(PoisonError::into_inner) = Some(window.clone());
    }

    /// Number of the newest epoch by which it stamps. To be asked before [`PartitionState::durable`]: what is durable under
    /// a newer epoch is so under an older one only up to where the newer one begins.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Relaxed)
    }

    /// The timestamp that lies above all that is stamped below `offset`; none before the first start.
    pub fn mark_us(&self, offset: i64) -> Option<i64> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.mark_us(offset)
    }

    /// Kafka's id of the topic that is read; empty while it is not known.
    pub fn topic_id(&self) -> String {
        self.last_epoch().map_or_else(String::new, |last| last.life.topic_id.clone())
    }

    /// The last record consumed was appended under this leader epoch.
    pub fn set_leader(&self, leader: i32) {
        self.leader.store(leader, Relaxed);
    }

    /// Leader epoch of the last record consumed; negative while unknown.
    pub fn leader(&self) -> i32 {
        self.leader.load(Relaxed)
    }

    /// The newest epoch by which it stamps.
    pub fn last_epoch(&self) -> Option<Epoch> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.last().cloned()
    }

    /// Rows from there on are to be written again; kept until it is done, whatever state the partition is in. Ask it to
    /// stop after this.
    pub fn ask_repair(&self, from: i64) {
        self.repair_from.fetch_min(from, Relaxed);
    }

    /// From where on rows are to be written again, if they are.
    pub fn repair_from(&self) -> Option<i64> {
        let from = self.repair_from.load(Relaxed);
        (from != i64::MAX).then_some(from)
    }

    /// They lie above an epoch that has begun there; unless more was asked for since.
    pub fn repaired(&self, from: i64) {
        let _ = self.repair_from.compare_exchange(from, i64::MAX, Relaxed, Relaxed);
    }

    /// What was last committed for it.
    pub fn word(&self) -> Option<Word> {
        *self.word.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is committed now.
    pub fn set_word(&self, word: Option<Word>) {
        *self.word.lock().unwrap_or_else(PoisonError::into_inner) = word;
    }

    /// The record at which it stays stopped until a person acts; none when it does not.
    pub fn set_stopped_at(&self, offset: Option<i64>) {
        self.stopped_at.store(offset.unwrap_or(UNKNOWN), Relaxed);
    }

    /// The broker's log end.
    pub fn log_end(&self) -> Option<i64> {
        known(self.log_end.load(Relaxed))
    }

    /// librdkafka has queued every record below this offset, and there was none above.
    pub fn set_eof(&self, offset: i64) {
        self.eof.store(offset, Relaxed);
    }

    /// Takes the offset of [`set_eof`](Self::set_eof).
    pub fn take_eof(&self) -> Option<i64> {
        known(self.eof.swap(UNKNOWN, Relaxed))
    }

    /// The last record consumed was made then.
    pub fn set_last_timestamp_ms(&self, timestamp_ms: i64) {
        self.last_timestamp_ms.store(timestamp_ms, Relaxed);
    }

    /// How near the broker is that serves it. Returns the bytes that came before this was known.
    pub fn set_tier(&self, tier: Tier) -> u64 {
        self.tier.store(tier as usize, Relaxed);
        let bytes = self.untiered.swap(0, Relaxed);
        self.task.consumed_from(tier, bytes);
        bytes
    }

    /// Counts consumed bytes for their tier, and says which one when it is known.
    pub fn consumed(&self, bytes: u64) -> Option<Tier> {
        let tier = TIERS.get(self.tier.load(Relaxed)).copied();
        match tier {
            Some(tier) => self.task.consumed_from(tier, bytes),
            None => drop(self.untiered.fetch_add(bytes, Relaxed)),
        }
        tier
    }
}

fn known(value: i64) -> Option<i64> {
    (value != UNKNOWN).then_some(value)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as StdMutex;

    use super::*;
    use crate::tracker::Tracker;

    #[test]
    fn a_stopped_partition_commits_once_and_then_leaves_the_offset_to_others() {
        let state = PartitionState::new(0, Arc::default());
        assert_eq!(state.to_commit(), None);
        state.set_tracker(Arc::new(StdMutex::new(Tracker::new(5))));
        let durable = |offset| Some(Mark { offset, epoch: 0, leader: -1 });
        assert_eq!(state.to_commit(), durable(5));
        assert_eq!(state.take_last_commit(), durable(5));
        assert_eq!((state.to_commit(), state.take_last_commit(), state.durable()), (None, None, Some(5)));
        state.set_tracker(Arc::new(StdMutex::new(Tracker::new(9))));
        assert_eq!(state.to_commit(), durable(9), "a new start");
    }

    #[test]
    fn the_first_stop_counts_and_the_lowest_bad_record() {
        let state = PartitionState::new(0, Arc::default());
        let asked = |stops: &[Stop]| {
            stops.iter().for_each(|stop| state.request_stop(stop.clone()));
            state.take_stop()
        };
        let (first, second) = (Stop::other("first"), Stop::anew("second"));
        let bad = |offset| Stop::bad_record(offset, "json", "");
        assert_eq!(asked(&[first.clone(), second, bad(3)]), Some(first.clone()));
        assert_eq!(asked(&[bad(9), bad(5), first, bad(7)]), Some(bad(5)));
        assert_eq!(state.take_stop(), None);
    }

    #[test]
    fn what_is_to_be_written_again_is_not_said_to_be_there() {
        let state = PartitionState::new(0, Arc::default());
        let mut tracker = Tracker::new(0);
        tracker.skip_to(20);
        state.set_tracker(Arc::new(StdMutex::new(tracker)));
        state.set_leader(3);
        assert_eq!(state.to_commit(), Some(Mark { offset: 20, epoch: 0, leader: 3 }));
        state.ask_repair(10);
        assert_eq!(state.to_commit(), Some(Mark { offset: 10, epoch: 0, leader: -1 }));
        state.repaired(10);
        assert_eq!(state.to_commit().map(|mark| mark.offset), Some(20));
    }

    #[test]
    fn a_repair_is_kept_until_an_epoch_has_begun_there() {
        let state = PartitionState::new(0, Arc::default());
        assert_eq!(state.repair_from(), None);
        state.ask_repair(7);
        state.ask_repair(9);
        assert_eq!(state.repair_from(), Some(7));
        state.ask_repair(5);
        state.repaired(7);
        assert_eq!(state.repair_from(), Some(5), "more was asked for meanwhile");
        state.repaired(5);
        assert_eq!(state.repair_from(), None);
    }
}
