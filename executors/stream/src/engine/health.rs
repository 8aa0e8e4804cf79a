//! What every partition depends on, and whether it is well.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use millstream_protocol::{Partition, PartitionStatus};

/// Trouble that lasts longer than this is shown; shorter ones are what retries are for.
const SHOWN_AFTER: Duration = Duration::from_secs(2);

/// What every partition of the executor depends on.
#[derive(Debug, Default)]
pub struct Health {
    /// Connecting, binding, preparing.
    pub setup: Slot,
    /// Kafka brokers.
    pub source: Slot,
    /// Cassandra.
    pub sink: Slot,
    /// Answers to commits and marks.
    pub commits: Slot,
    /// Looks at the table's schema.
    pub schema: Slot,
    /// Looks at the lists of epochs.
    pub list: Slot,
    /// Rows that Cassandra refuses for the job's sake.
    pub refusals: Slot,
    /// Dead letters on their way, per partition.
    pub letters: LetterSlots,
}

impl Health {
    /// The trouble that is shown, if any.
    pub fn shown(&self) -> Option<Trouble> {
        let Health { setup, refusals, sink, source, commits, schema, list, letters: _ } = self;
        [setup, refusals, sink, source, commits, schema, list].iter().find_map(|slot| slot.shown())
    }

    /// The trouble that is shown for one partition, if any: its own counts first.
    pub fn shown_for(&self, partition: Partition) -> Option<Trouble> {
        self.letters.shown(partition).or_else(|| self.shown())
    }
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Stalled (it is tried again) or stopped (somebody has to act; it is still looked at again by and by).
    pub status: PartitionStatus,
    /// For people, one line.
    pub reason: String,
}

impl Trouble {
    /// It is tried again by itself.
    pub fn stalled(reason: impl Into<String>) -> Trouble {
        Trouble { status: PartitionStatus::Stalled, reason: reason.into() }
    }

    /// Somebody has to act.
    pub fn stopped(reason: impl Into<String>) -> Trouble {
        Trouble { status: PartitionStatus::Stopped, reason: reason.into() }
    }
}

/// The present trouble of one thing.
#[derive(Debug, Default)]
pub struct Slot(Mutex<Option<(Instant, Trouble)>>);

impl Slot {
    /// There is trouble; it began when it was first said.
    pub fn set(&self, trouble: Trouble) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = slot.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        *slot = Some((since, trouble));
    }

    /// It is over.
    pub fn clear(&self) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, trouble)) = slot.take() {
            tracing::debug!(reason = %trouble.reason, "trouble is over");
        }
    }

    /// Whether there is none.
    #[cfg(test)]
    pub fn is_clear(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn shown(&self) -> Option<Trouble> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(shown)
    }
}

fn shown((since, trouble): &(Instant, Trouble)) -> Option<Trouble> {
    let is_shown = trouble.status == PartitionStatus::Stopped || since.elapsed() >= SHOWN_AFTER;
    is_shown.then(|| trouble.clone())
}

/// Letters on their way by partition and offset: one that is delivered does not hide another that waits.
#[derive(Debug, Default)]
pub struct LetterSlots(Mutex<BTreeMap<(Partition, i64), (Instant, Trouble)>>);

impl LetterSlots {
    /// The letter of that offset waits, since this was first said of it.
    pub fn set(&self, partition: Partition, offset: i64, trouble: Trouble) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.entry((partition, offset)).or_insert_with(|| (Instant::now(), trouble.clone()));
        slot.1 = trouble;
    }

    /// It is delivered.
    pub fn clear(&self, partition: Partition, offset: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(partition, offset));
    }

    /// What the first letter of the partition that waits for long waits for.
    fn shown(&self, partition: Partition) -> Option<Trouble> {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.range((partition, i64::MIN)..=(partition, i64::MAX)).find_map(|(_, slot)| shown(slot))
    }
}
