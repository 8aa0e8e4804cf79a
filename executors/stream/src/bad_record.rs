//! What becomes of bad records: the job's policy (invariant 6: nothing is skipped silently).

use std::sync::Arc;

use millstream_spec::BadRecord as Policy;
use tokio::sync::mpsc;

use crate::{
    dead_letter::{Body, Letter, Letters},
    engine::Stop,
    metrics::{Metrics, Outcome},
    sink::work::{Lane, Unit, with_tracker},
};

/// Letters from the sink that wait for the dead-letter writer. More are sent as soon as there is room.
pub const LETTERS_AHEAD: usize = 1_024;

/// The policy of one job.
pub struct BadRecords {
    policy: Policy,
    letters: mpsc::Sender<Letters>,
    metrics: Arc<Metrics>,
}

impl BadRecords {
    /// `letters` leads to the dead-letter writer.
    pub fn new(policy: Policy, letters: mpsc::Sender<Letters>, metrics: Arc<Metrics>) -> Self {
        BadRecords { policy, letters, metrics }
    }

    /// The partition stops at its first bad record.
    pub fn stops(&self) -> bool {
        self.policy == Policy::Fail
    }

    /// Bad records are written to a topic.
    pub fn keeps_letters(&self) -> bool {
        matches!(self.policy, Policy::DeadLetter(_))
    }

    /// Counts a record the pump found bad.
    pub fn found(&self, lane: &Lane, reason: &str) {
        let outcome = match self.policy {
            Policy::Fail => Outcome::Stopped,
            Policy::Skip => {
                lane.state.task.bad_record(false);
                Outcome::Skipped
            }
            // Counted for the task when it is delivered.
            Policy::DeadLetter(_) => Outcome::DeadLettered,
        };
        self.metrics.bad_record(reason, outcome);
    }

    /// Takes letters of a batch; the unit has a part for them.
    pub fn send(&self, letters: Letters) {
        if let Err(unsent) = self.letters.try_send(letters) {
            let (letters, queue) = (unsent.into_inner(), self.letters.clone());
            // Bounded by the memory budget: the unit of the letters is still open.
            tokio::spawn(async move { queue.send(letters).await });
        }
    }

    /// A row that Cassandra refuses for good: one part of the unit waits for what becomes of its record.
    pub fn rejected(&self, lane: &Lane, offset: i64, reason: &'static str, detail: String, unit: &Arc<Unit>) {
        tracing::warn!(partition = lane.state.partition, offset, reason, %detail, "bad record");
        self.found(lane, reason);
        match self.policy {
            Policy::Fail => {
                with_tracker(&lane.tracker, |tracker| tracker.cap(offset));
                lane.state.request_stop(Stop::bad_record(offset, reason, &detail));
                unit.part_done();
            }
            Policy::Skip => unit.part_done(),
            Policy::DeadLetter(_) => {
                let body = Body::InKafka;
                let letter = Letter { lane: lane.clone(), offset, body, reason: reason.into(), detail };
                self.send(Letters { letters: vec![letter], unit: unit.clone() });
            }
        }
    }
}
