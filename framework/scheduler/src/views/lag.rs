use millstream_protocol::{KeptStop, PartitionReport, PartitionStatus};

use super::types::*;
use crate::{
    State,
    records::{JobPhase, JobRecord},
    state::JobState,
};

/// A job's lag.
pub fn lag(state: &State, name: &str) -> Option<LagView> {
    let record = state.store.job(&name.to_owned())?;
    let partitions = partitions(state, name);
    Some(LagView {
        job: name.into(),
        topic: record.spec.source.topic.clone(),
        total_records: partitions.iter().filter_map(|p| p.records).sum(),
        max_ms: partitions.iter().filter_map(|p| p.ms).max().unwrap_or(0),
        unknown: partitions.iter().filter(|p| p.records.is_none() || p.ms.is_none()).count(),
        partitions,
    })
}

pub(super) fn partitions(state: &State, name: &str) -> Vec<PartitionLag> {
    let job = state.jobs.get(name);
    let mut lags = vec![];
    for (_, slot) in state.store.slots_of(name) {
        let task = slot.task.as_ref().and_then(|id| state.store.task(id));
        let report = slot.task.as_ref().and_then(|id| state.tasks.get(id)?.report.as_ref());
        let host = task.map(|task| state.host_of(&task.executor));
        for &partition in &slot.partitions {
            let report = report.and_then(|report| report.partitions.iter().find(|p| p.partition == partition));
            let stop = slot.stops.iter().map(|kept| &kept.stop).find(|stop| stop.partition == partition);
            let known = Known { report, durable: slot.durable.get(&partition).copied(), stop };
            lags.push(partition_lag(partition, slot.task.clone(), host.clone(), known, job));
        }
    }
    let record = state.store.job(&name.to_owned()).filter(|job| job.phase == JobPhase::Stopped);
    lags.extend(record.into_iter().flat_map(|record| left(record, job)));
    lags.sort_by_key(|lag| lag.partition);
    lags
}

/// Of a stopped job what its tasks said last.
fn left<'a>(record: &'a JobRecord, job: Option<&'a JobState>) -> impl Iterator<Item = PartitionLag> + 'a {
    record.left.iter().flat_map(move |left| {
        left.durable.iter().map(move |(&partition, &durable)| {
            let stop = left.stops.iter().find(|stop| stop.partition == partition);
            partition_lag(partition, None, None, Known { report: None, durable: Some(durable), stop }, job)
        })
    })
}

/// All that is known of a partition.
struct Known<'a> {
    report: Option<&'a PartitionReport>,
    /// As the last task said.
    durable: Option<i64>,
    stop: Option<&'a KeptStop>,
}

fn partition_lag(
    number: i32,
    task: Option<String>,
    host: Option<String>,
    known: Known<'_>,
    job: Option<&JobState>,
) -> PartitionLag {
    let Known { report, durable, stop } = known;
    let gone = job.and_then(|job| job.source_gone.clone());
    let position = report.and_then(|p| p.position);
    let durable = report.and_then(|p| p.durable).or(durable);
    // What is asked seldom may be behind what has been read since.
    let end = report.and_then(|p| p.log_end).or_else(|| job?.log_ends.get(&number).copied());
    let log_end =
        end.filter(|_| gone.is_none()).map(|end| end.max(position.unwrap_or(end)).max(durable.unwrap_or(end)));
    let records = log_end.zip(durable).map(|(end, durable)| end.saturating_sub(durable).max(0) as u64);
    // Until its next task has looked, a kept stop holds.
    let stop = stop.filter(|_| report.is_none_or(|p| p.status == PartitionStatus::Starting));
    let (status, reason) = match (gone, stop) {
        (Some(reason), _) => (Some(PartitionStatus::Stopped), Some(reason)),
        (None, Some(stop)) => (Some(PartitionStatus::Stopped), Some(stop.reason.clone())),
        (None, None) => (report.map(|p| p.status), report.and_then(|p| p.reason.clone())),
    };
    let stopped_at = stop.map(|stop| stop.offset).or_else(|| report.and_then(|p| p.stopped_at));
    PartitionLag {
        partition: number,
        task,
        host,
        position,
        durable,
        log_end,
        records,
        behind_transaction: report.filter(|_| log_end.is_some()).and_then(PartitionReport::behind_transaction),
        ms: match records {
            // Nothing is behind, whoever said it.
            Some(0) => Some(report.and_then(|p| p.lag_ms).unwrap_or(0)),
            _ => report.filter(|_| log_end.is_some()).and_then(|p| p.lag_ms),
        },
        status,
        reason: reason.map(|reason| placed(reason, stopped_at)),
        stopped_at,
    }
}

/// The reason with its offset, unless it names it itself.
fn placed(reason: String, stopped_at: Option<i64>) -> String {
    match stopped_at {
        Some(offset) if !reason.contains(&format!("offset {offset}")) => format!("at offset {offset}: {reason}"),
        _ => reason,
    }
}
