use millstream_protocol::PartitionReport;

use super::types::*;
use crate::State;

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
    let mut lags = vec![];
    for (_, slot) in state.store.slots_of(name) {
        let task = slot.task.as_ref().and_then(|id| state.store.task(id));
        let report = slot.task.as_ref().and_then(|id| state.tasks.get(id)?.report.as_ref());
        let host = task.map(|task| state.host_of(&task.executor));
        for &partition in &slot.partitions {
            let report = report.and_then(|report| report.partitions.iter().find(|p| p.partition == partition));
            lags.push(partition_lag(partition, slot.task.clone(), host.clone(), report));
        }
    }
    lags.sort_by_key(|lag| lag.partition);
    lags
}

fn partition_lag(
    number: i32,
    task: Option<String>,
    host: Option<String>,
    report: Option<&PartitionReport>,
) -> PartitionLag {
    PartitionLag {
        partition: number,
        task,
        host,
        position: report.and_then(|p| p.position),
        durable: report.and_then(|p| p.durable),
        log_end: report.and_then(|p| p.log_end),
        records: report.and_then(PartitionReport::lag_records),
        ms: report.and_then(|p| p.lag_ms),
        status: report.map(|p| p.status),
        reason: report.and_then(|p| p.reason.clone()),
    }
}
