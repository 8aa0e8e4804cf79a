//! What every partition depends on, and whether it is well.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use millstream_protocol::PartitionStatus;

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
    /// The dead-letter topic.
    pub dead_letters: Slot,
    /// Answers to commits and marks.
    pub commits: Slot,
}

impl Health {
    /// The trouble that is shown, if any.
    pub fn shown(&self) -> Option<Trouble> {
        [&self.setup, &self.sink, &self.dead_letters, &self.source, &self.commits].iter().find_map(|slot| slot.shown())
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

    fn shown(&self) -> Option<Trouble> {
        let slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, trouble) = slot.as_ref()?;
        let now = trouble.status == PartitionStatus::Stopped || since.elapsed() >= SHOWN_AFTER;
        now.then(|| trouble.clone())
    }
}
