//! The Cassandra sink: sends the requests of batches, many at a time, until every one is acknowledged.
//!
//! Map: [`plan`] says which rows go together (pure), [`work`] is what travels here, `values` puts rows into frames,
//! [`fault`] judges errors, [`limit`] adapts the number in flight, [`target`] is the table, and this file the loop.
//!
//! Invariant: a part of a unit ends only when its rows are acknowledged at the job's consistency, or its record went
//! the way of a bad record.

pub mod fault;
pub mod limit;
pub mod plan;
pub mod queue;
pub mod target;
#[cfg(test)]
mod tests;
mod values;
pub mod work;

use std::{
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use millstream_pipeline::{BadReason, RowKind};
use tokio::{sync::mpsc, time::timeout};

use self::{
    fault::{Fault, Refusals, Whose},
    limit::Limit,
    queue::{Pauses, Queue},
    target::{Target, Verdict},
    work::{EncodedBatch, Work},
};
use crate::{
    bad_record::BadRecords,
    engine::{Health, Stage, Trouble},
    metrics::Metrics,
};

/// Batches that wait before the sink; the pump holds one more and then stops reading.
pub const BATCHES_AHEAD: usize = 2;

/// Requests that wait in the sink before it takes another batch.
const QUEUE_MIN: usize = 64;

/// For so long a look at the schema is believed, where nothing is given up on it.
const SCHEMA_FRESH: Duration = Duration::from_secs(5);

/// A request of several rows that failed so often on every replica is tried in halves.
const SPLIT_AFTER: u32 = 8;

/// A write that is not answered for so long is shown as a stall, long before it times out.
const SLOW_AFTER: Duration = Duration::from_secs(2);

/// Rejected by Cassandra, as the reason of a bad record.
pub const REJECTED: &str = "rejected_by_cassandra";

/// The sink loop's surroundings.
pub struct Sink<T> {
    target: Arc<T>,
    bad_records: Arc<BadRecords>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    limit: Limit,
    queue: Queue,
    refusals: Refusals,
    /// When the table was last found as it should be.
    looked_at: Option<Instant>,
    /// The table was gone, or did not fit, and is looked at again then. Nothing is sent before it is found as it should be, for
    /// the driver prepares statements anew by itself, whatever types their columns have by then.
    look_again_at: Option<Instant>,
    /// Since when requests have been in flight, as far as it is not counted yet.
    busy_since: Option<Instant>,
}

/// A request that came back.
struct Answer {
    work: Work,
    result: Result<(), Fault>,
    latency: Duration,
}

impl<T: Target> Sink<T> {
    /// Of a table.
    pub fn new(target: Arc<T>, bad_records: Arc<BadRecords>, health: Arc<Health>, metrics: Arc<Metrics>) -> Self {
        let (limit, queue) = (Limit::default(), Queue::default());
        Sink {
            target,
            bad_records,
            health,
            metrics,
            limit,
            queue,
            refusals: Refusals::default(),
            looked_at: None,
            look_again_at: None,
            busy_since: None,
        }
    }

    /// With other pauses between retries.
    pub fn with_pauses(mut self, pauses: Pauses) -> Self {
        self.queue.pauses = pauses;
        self
    }

    /// Runs until the senders of `batches` are gone and everything is acknowledged.
    pub async fn run(mut self, mut batches: mpsc::Receiver<Arc<EncodedBatch>>) {
        let mut in_flight: FuturesUnordered<BoxFuture<'static, Answer>> = FuturesUnordered::new();
        let mut open = true;
        loop {
            let now = Instant::now();
            while in_flight.len() < self.limit.get() {
                let Some(work) = self.queue.pop(now) else { break };
                match self.look_again_at {
                    Some(due) => self.hold(work, due).await,
                    None => in_flight.push(self.send(work)),
                }
            }
            self.metrics.sink(in_flight.len(), self.limit.get());
            self.busy_since = if in_flight.is_empty() { None } else { self.busy_since.or(Some(now)) };
            if !open && in_flight.is_empty() && self.queue.is_empty() {
                return;
            }
            let due = self.queue.next_due().filter(|_| in_flight.len() < self.limit.get());
            tokio::select! {
                Some(answer) = in_flight.next() => {
                    let saturated = in_flight.len() + 1 >= self.limit.get();
                    self.answered(answer, saturated).await;
                }
                batch = batches.recv(), if open && self.queue.len() < QUEUE_MIN => match batch {
                    Some(batch) => {
                        Work::of(&batch).for_each(|work| self.queue.push(work));
                        batch.unit.part_done();
                    }
                    None => open = false,
                },
                () = tokio::time::sleep_until(due.unwrap_or(now).into()), if due.is_some() => {}
            }
        }
    }

    fn send(&self, work: Work) -> BoxFuture<'static, Answer> {
        let (target, health) = (self.target.clone(), self.health.clone());
        Box::pin(async move {
            let begin = Instant::now();
            let result = {
                // Whatever one row does, the others go their way.
                let write = AssertUnwindSafe(target.write(&work)).catch_unwind();
                let mut write = pin!(write.map(|result| result.unwrap_or(Err(Fault::Panicked))));
                match timeout(SLOW_AFTER, &mut write).await {
                    Ok(result) => result,
                    Err(_) => {
                        health.sink.set(Trouble::stalled(format!("Cassandra has not answered for {SLOW_AFTER:?}")));
                        write.await
                    }
                }
            };
            Answer { work, result, latency: begin.elapsed() }
        })
    }

    async fn answered(&mut self, answer: Answer, saturated: bool) {
        let Answer { work, result, latency } = answer;
        let now = Instant::now();
        let fault = match result {
            Ok(()) => {
                self.limit.succeeded(latency, saturated, now);
                self.health.sink.clear();
                self.refusals.taken();
                if work.refused {
                    self.health.refusals.clear();
                }
                self.metrics.write_latency.observe(latency.as_secs_f64());
                self.count_busy(&work, now);
                acknowledge(&work, &self.metrics);
                return;
            }
            Err(fault) => fault,
        };
        self.metrics.retried(fault.label());
        tracing::debug!(label = fault.label(), detail = fault.detail(), failures = work.failures, "write failed");
        match fault {
            Fault::Later { label, detail } => {
                self.limit.failed(now);
                self.health.sink.set(Trouble::stalled(detail));
                match work.split() {
                    Some(halves) if label == "write_failure" && work.failures >= SPLIT_AFTER => {
                        self.push_halves(halves);
                    }
                    _ => self.queue.retry(work, now),
                }
            }
            Fault::Denied { detail } => {
                self.health.sink.set(Trouble::stopped(detail));
                self.queue.retry_after_change(work, now);
            }
            Fault::Refused { detail } => self.refused(work, detail).await,
            Fault::Panicked => match work.split() {
                Some(halves) => self.push_halves(halves),
                None => self.give_up(work, BadReason::Panic.label(), fault.detail().to_owned()),
            },
        }
    }

    /// The schema changed, or it is one of the rows. A row is given up only when it was refused twice while the table
    /// was looked at in between and after and found as it should be; to split, an older look is good enough.
    async fn refused(&mut self, mut work: Work, detail: String) {
        if let Some(due) = self.look_again_at {
            return self.hold(work, due).await;
        }
        let halves = work.split();
        let looked_at = self.looked_at.filter(|at| halves.is_some() && at.elapsed() < SCHEMA_FRESH);
        let verdict = if looked_at.is_some() { Verdict::Same } else { self.target.check_schema().await };
        self.looked_at = (verdict == Verdict::Same).then(|| looked_at.unwrap_or_else(Instant::now));
        match (verdict, halves) {
            (Verdict::Same, Some(halves)) => self.push_halves(halves),
            (Verdict::Same, None) if work.refused => self.give_up(work, REJECTED, detail),
            (Verdict::Same, None) => {
                work.refused = true;
                self.queue.push(work);
            }
            (Verdict::Renewed, _) => self.queue.push(work),
            (doubt, _) => self.doubt(doubt, work),
        }
    }

    /// A row by itself that can't be written: its record is bad, unless it is said of row after row, or of no row at all.
    fn give_up(&mut self, mut work: Work, reason: &'static str, detail: String) {
        match self.refusals.judge(&detail) {
            Whose::Row => {
                self.health.refusals.clear();
                self.reject(work, reason, detail);
            }
            // The partition stops at its first bad record anyway, and can do so only when nothing waits.
            Whose::Limit if self.bad_records.stops() => self.reject(work, reason, detail),
            // No record is to blame.
            whose => {
                work.refused = true;
                self.metrics.retried("refused_for_all");
                self.health.refusals.set(Trouble::stopped(refused_for_all(whose, &detail)));
                self.queue.retry_after_change(work, Instant::now());
            }
        }
    }

    /// While the table does not fit: looks again when that is due, for one request, and lets the others wait.
    async fn hold(&mut self, work: Work, due: Instant) {
        if Instant::now() < due {
            return self.queue.retry_at(work, due);
        }
        match self.target.check_schema().await {
            Verdict::Same | Verdict::Renewed => {
                self.look_again_at = None;
                self.health.sink.clear();
                self.queue.push(work);
            }
            doubt => self.doubt(doubt, work),
        }
    }

    /// The table is not, or not known to be, what rows are encoded for.
    fn doubt(&mut self, verdict: Verdict, work: Work) {
        let (now, pauses) = (Instant::now(), self.queue.pauses);
        self.looked_at = None;
        let change = match verdict {
            Verdict::Changed(reason) => Trouble::stalled(reason),
            Verdict::Unfit(reason) => Trouble::stopped(reason),
            Verdict::Unknown(reason) => {
                self.health.sink.set(Trouble::stalled(reason));
                self.look_again_at = Some(now + pauses.first);
                return self.queue.retry(work, now);
            }
            Verdict::Same | Verdict::Renewed => return self.queue.push(work),
        };
        self.health.sink.set(change);
        self.look_again_at = Some(now + pauses.schema);
        self.queue.retry_after_change(work, now);
    }

    /// Counts the time since the last answer for the task of this one.
    fn count_busy(&mut self, work: &Work, now: Instant) {
        if let Some(since) = self.busy_since.replace(now) {
            let time = now.duration_since(since);
            self.metrics.busy(Stage::Write, time);
            let origin = work.batch.origins[work.rows()[0] as usize];
            work.batch.lanes[origin.lane as usize].state.task.busy(Stage::Write, time);
        }
    }

    fn push_halves(&mut self, halves: [Work; 2]) {
        halves[0].batch.unit.add_parts(1);
        halves.into_iter().for_each(|work| self.queue.push(work));
    }

    /// A row that Cassandra will never take. The rows it stood for are sent after all.
    fn reject(&mut self, work: Work, reason: &'static str, detail: String) {
        let (batch, row) = (work.batch.clone(), work.rows()[0]);
        let key = batch.rows.row(row as usize).primary_key();
        let instead: Vec<Work> = batch
            .plan
            .superseded
            .iter()
            .filter(|earlier| **earlier < row && batch.rows.row(**earlier as usize).primary_key() == key)
            .map(|earlier| Work::one(&batch, *earlier))
            .collect();
        batch.unit.add_parts(instead.len());
        instead.into_iter().for_each(|work| self.queue.push(work));
        self.bad_records.rejected(&batch, row, reason, detail);
    }
}

fn refused_for_all(whose: Whose, detail: &str) -> String {
    match whose {
        Whose::Limit if detail == fault::PANICKED => "row after row makes the sink panic: report it with the executor's log, and deploy a version of the job that leaves such rows out; they are tried again every 10 s".into(),
        Whose::Limit => format!(
            "Cassandra refuses row after row for the same limit: {detail}; raise it, or deploy a version of the job that leaves such rows out; they are tried again every 10 s"
        ),
        _ => format!(
            "Cassandra refuses rows for a reason that is not theirs: {detail}; mend that (a guardrail, the consistency, the table), they are tried again every 10 s"
        ),
    }
}

/// Counts what is durable now, and ends the part.
fn acknowledge(work: &Work, metrics: &Metrics) {
    let batch = &work.batch;
    let rows = work.rows();
    for row in rows {
        let lane = &batch.lanes[batch.origins[*row as usize].lane as usize];
        lane.state.task.row_written(batch.rows.row(*row as usize).size_bytes());
    }
    metrics.written(work.kind == RowKind::Delete, rows.len(), work.bytes());
    batch.unit.part_done();
}
