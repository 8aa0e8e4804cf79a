//! What outlives an executor: how far its partitions had come, and which of them stopped until a person acts.

use millstream_protocol::{KeptStop, PartitionReport, PartitionStatus};

use crate::{
    Audit, Effects, State,
    records::{LeftRecord, SlotRecord, StopRecord, TaskRecord},
};

/// Takes a report's stops into the slot's record, and out of it those that are over.
pub(crate) fn reported(state: &mut State, effects: &mut Effects, id: &String) {
    let (Some(task), Some(watch)) = (state.store.task(id), state.tasks.get(id)) else { return };
    let key = (task.job.clone(), task.slot);
    let (Some(slot), Some(report)) = (state.store.slot(&key), &watch.report) else { return };
    if slot.stops.is_empty() && report.partitions.iter().all(|partition| partition.stopped_at.is_none()) {
        return;
    }
    let version = state.store.executor(&task.executor).map_or(slot.version, |executor| executor.version);
    let mut stops = slot.stops.clone();
    for partition in report.partitions.iter().filter(|report| slot.partitions.contains(&report.partition)) {
        take_in(&mut stops, version, partition);
    }
    if stops == slot.stops {
        return;
    }
    let job = &key.0;
    let is_in = |all: &[StopRecord], one: &StopRecord| {
        all.iter().any(|other| (other.stop.partition, other.stop.offset) == (one.stop.partition, one.stop.offset))
    };
    for StopRecord { stop: KeptStop { partition, offset, .. }, .. } in slot.stops.iter().filter(|s| !is_in(&stops, s)) {
        effects.audit.push(Audit::StopEnded { job: job.clone(), partition: *partition, offset: *offset });
    }
    for StopRecord { stop: KeptStop { partition, offset, reason }, .. } in
        stops.iter().filter(|s| !is_in(&slot.stops, s))
    {
        let (job, reason) = (job.clone(), reason.clone());
        effects.audit.push(Audit::StopKept { job, partition: *partition, offset: *offset, reason });
    }
    state.store.slot_mut(&key).expect("found above").stops = stops;
}

fn take_in(stops: &mut Vec<StopRecord>, version: u64, report: &PartitionReport) {
    let partition = report.partition;
    let before = stops.iter().find(|kept| kept.stop.partition == partition);
    if let (PartitionStatus::Stopped, Some(offset)) = (report.status, report.stopped_at) {
        let reason = report.reason.clone().unwrap_or_else(|| "no reason given".into());
        let kept = StopRecord { version, stop: KeptStop { partition, offset, reason } };
        if before != Some(&kept) {
            stops.retain(|kept| kept.stop.partition != partition);
            stops.push(kept);
            stops.sort_by_key(|kept| kept.stop.partition);
        }
        return;
    }
    // While it starts or drains nothing is known yet; only one that reads again, or is beyond it, is no longer stopped.
    let is_over = |kept: &StopRecord| {
        report.status == PartitionStatus::Running || report.durable.is_some_and(|durable| durable > kept.stop.offset)
    };
    if before.is_some_and(is_over) {
        stops.retain(|kept| kept.stop.partition != partition);
    }
}

/// Keeps the last offsets of a task that ends with its slot.
pub(crate) fn ended(state: &mut State, id: &String, task: &TaskRecord) {
    let key = (task.job.clone(), task.slot);
    let Some(report) = state.tasks.get(id).and_then(|watch| watch.report.as_ref()) else { return };
    let offsets: Vec<_> = report.partitions.iter().filter_map(|p| Some((p.partition, p.durable?))).collect();
    if let Some(slot) = state.store.slot_mut(&key) {
        slot.durable.extend(offsets);
    }
}

/// The stops that the next task of this version is told.
pub(crate) fn stops(slot: &SlotRecord, version: u64) -> Vec<KeptStop> {
    let of_version = slot.stops.iter().filter(|kept| kept.version == version);
    of_version.map(|kept| kept.stop.clone()).collect()
}

/// What is kept of a job whose slots are about to go.
pub(crate) fn left(state: &State, job: &str) -> Option<LeftRecord> {
    let mut left = LeftRecord::default();
    for (_, slot) in state.store.slots_of(job) {
        left.durable.extend(&slot.durable);
        left.stops.extend(slot.stops.iter().map(|kept| kept.stop.clone()));
    }
    left.stops.sort_by_key(|stop| stop.partition);
    (left != LeftRecord::default()).then_some(left)
}
