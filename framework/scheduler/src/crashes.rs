//! Crashes that repeat at the same offset: known as such, shown with a remedy, and never forgiven before it is passed.

use std::collections::BTreeMap;

use millstream_protocol::PartitionReport;

use crate::{Audit, Effects, EndCause, State, records::SlotKey, state::SlotWish};

/// So many crashes in a row at one offset are no accident.
pub(crate) const REPEATS_MIN: u32 = 3;

/// From so many on, having run for a while is no reason to forgive: a record that takes long to crash is not well.
const UNFORGIVEN_MIN: u32 = 2;

/// A task that has nothing left to read and has run this long is past whatever crashed it.
const PAST_AFTER_MS: u64 = 60_000;

/// What is remembered of a slot's crashes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Crashes {
    /// Partitions whose durable offset has not moved since.
    pub(crate) stuck: BTreeMap<i32, Stuck>,
    /// How the last one ended, for people.
    pub(crate) last: String,
}

/// A partition that a crash left where the one before had.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stuck {
    /// Lowest offset that is not durable.
    pub(crate) offset: i64,
    /// Crashes in a row.
    pub(crate) crashes: u32,
}

/// Counts the end of a slot's task, after its last offsets were kept with the slot.
pub(crate) fn count(state: &mut State, effects: &mut Effects, key: &SlotKey, cause: EndCause, message: &str) {
    use EndCause::*;
    if !matches!(cause, Failed | ExecutorLost | OutOfMemory | Unexpected) {
        return;
    }
    let (Some(slot), Some(wish)) = (state.store.slot(key), state.slots.get_mut(key)) else { return };
    wish.crashes.last = format!("{message} ({})", cause.as_str());
    for (&partition, &offset) in &slot.durable {
        if slot.stops.iter().any(|kept| kept.stop.partition == partition) {
            // It reads nothing.
            continue;
        }
        let stuck = wish.crashes.stuck.entry(partition).or_insert(Stuck { offset, crashes: 0 });
        if offset > stuck.offset {
            *stuck = Stuck { offset, crashes: 0 };
        }
        stuck.crashes += 1;
        if stuck.crashes == REPEATS_MIN {
            let Stuck { offset, crashes } = *stuck;
            effects.audit.push(Audit::CrashRepeats { job: key.0.clone(), partition, offset, crashes });
        }
    }
}

/// A task's report: partitions that have come further are past it.
pub(crate) fn reported(state: &mut State, id: &String, running_ms: u64) {
    let State { store, tasks, slots, .. } = state;
    let (Some(task), Some(watch)) = (store.task(id), tasks.get(id)) else { return };
    let Some(wish) = slots.get_mut(&(task.job.clone(), task.slot)) else { return };
    if wish.crashes.stuck.is_empty() {
        return;
    }
    let partitions = watch.report.iter().flat_map(|report| &report.partitions);
    for PartitionReport { partition, durable, log_end, .. } in partitions {
        let Some(durable) = durable else { continue };
        let idle = log_end.is_some_and(|end| *durable >= end) && running_ms >= PAST_AFTER_MS;
        if wish.crashes.stuck.get(partition).is_some_and(|stuck| idle || *durable > stuck.offset) {
            wish.crashes.stuck.remove(partition);
        }
    }
}

/// Do tasks of the job crash again and again at the same place?
pub(crate) fn repeats(slots: &BTreeMap<SlotKey, SlotWish>, job: &str) -> bool {
    let of_job = slots.range((job.to_owned(), 0)..).take_while(|((name, _), _)| name == job);
    of_job.flat_map(|(_, wish)| wish.crashes.stuck.values()).any(|stuck| stuck.crashes >= UNFORGIVEN_MIN)
}
