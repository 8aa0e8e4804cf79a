//! What becomes of bad records: the job's policy (invariant 6: nothing is skipped silently).

use std::{borrow::Cow, sync::Arc};

use millstream_spec::{BadRecord as Policy, Errors};
use tokio::sync::mpsc;

use crate::{
    dead_letter::{Body, Letter, Letters},
    engine::Stop,
    metrics::{Metrics, Outcome},
    redact::redacted,
    sink::work::{EncodedBatch, Lane, Origin, with_tracker},
};

/// Letters from the sink that wait for the dead-letter writer. More are sent as soon as there is room.
pub const LETTERS_AHEAD: usize = 1_024;

/// The policy of one job.
pub struct BadRecords {
    policy: Policy,
    show_values: bool,
    letters: mpsc::Sender<Letters>,
    metrics: Arc<Metrics>,
}

impl BadRecords {
    /// `letters` leads to the dead-letter writer.
    pub fn new(errors: &Errors, letters: mpsc::Sender<Letters>, metrics: Arc<Metrics>) -> Self {
        let Errors { bad_record: policy, show_values } = errors.clone();
        BadRecords { policy, show_values, letters, metrics }
    }

    /// What status and logs say of a bad record; its letter says all.
    pub fn shown<'a>(&self, detail: &'a str) -> Cow<'a, str> {
        if self.show_values { detail.into() } else { redacted(detail).into() }
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

    /// Takes letters of a batch; they hold their partition.
    pub fn send(&self, letters: Letters) {
        if let Err(unsent) = self.letters.try_send(letters) {
            let (letters, queue) = (unsent.into_inner(), self.letters.clone());
            // Bounded by the memory budget: the letters hold theirs.
            tokio::spawn(async move { queue.send(letters).await });
        }
    }

    /// A row that Cassandra refuses for good: one part of the unit, and its partition, wait for what becomes of its record.
    pub fn rejected(&self, batch: &EncodedBatch, row: u32, reason: &'static str, detail: String) {
        let Origin { lane: index, offset } = batch.origins[row as usize];
        let lane = &batch.lanes[index as usize];
        let shown = self.shown(&detail);
        tracing::warn!(partition = lane.state.partition, offset, reason, detail = %shown, "bad record");
        self.found(lane, reason);
        match self.policy {
            Policy::Fail => {
                with_tracker(&lane.tracker, |tracker| tracker.cap(offset));
                lane.state.request_stop(Stop::bad_record(offset, reason, &shown));
            }
            Policy::Skip => {}
            Policy::DeadLetter(_) => {
                let letter = Letter { offset, body: Body::InKafka, reason: reason.into(), detail };
                let hold = batch.unit.hold(index as usize, 0);
                self.send(Letters { lane: lane.clone(), letters: vec![letter], hold });
            }
        }
        batch.unit.part_done();
    }
}
