use millstream_protocol::PartitionStatus;

use super::{
    rollout,
    types::*,
    wait::state_text,
    why::{backoff, crash_text, repeated_crashes},
};
use crate::{
    State,
    records::{JobPhase, JobRecord},
};

/// The worst first.
pub(super) fn summary(state: &State, record: &JobRecord, view: &JobView, partitions: &[PartitionLag]) -> String {
    let first = |status| partitions.iter().find(|p| p.status == Some(status));
    let because = |p: &PartitionLag| {
        let reason = p.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("partition {}{reason}", p.partition)
    };
    if let Some(back) = going_back(state, view) {
        return back;
    }
    if record.phase == JobPhase::Stopped {
        let stop = first(PartitionStatus::Stopped).map(|p| format!("; {} had stopped", because(p)));
        return format!("stopped{}", stop.unwrap_or_default());
    }
    if let Some(p) = first(PartitionStatus::Stopped) {
        return format!("{} of its partitions stopped; {}", view.stopped_partitions, because(p));
    }
    match record.phase {
        JobPhase::Draining if record.next.is_some() => return "draining, then updated".into(),
        JobPhase::Draining => return "draining, then stopped".into(),
        JobPhase::Running | JobPhase::Stopped => {}
    }
    if let Some(crash) = repeated_crashes(state, &view.name).first() {
        let retry_in_ms = backoff(state, &view.name).map_or(0, |backoff| backoff.retry_in_ms);
        let next = match retry_in_ms {
            0 => String::new(),
            ms => format!("; tries again in {} s", ms.div_ceil(1_000)),
        };
        return format!("{}{next}; see `millstream why {}`", crash_text(crash), view.name);
    }
    if let Some(backoff) = backoff(state, &view.name).filter(|backoff| view.waiting > 0 && backoff.retry_in_ms > 0) {
        let message = state.jobs.get(&view.name).and_then(|job| job.recent_failures.front());
        let message = message.map(|failure| format!(": {} ({})", failure.message, failure.cause)).unwrap_or_default();
        return format!(
            "failed {}, tries again in {} s{message}",
            counted(backoff.failures as usize, "time"),
            backoff.retry_in_ms.div_ceil(1_000)
        );
    }
    if view.slots == 0 {
        return "waits for its topic's metadata".into();
    }
    if let Some(waiting) = waiting(state, view) {
        return waiting;
    }
    if let Some(p) = first(PartitionStatus::Stalled) {
        return format!("{} stalled; {}", counted(view.stalled_partitions, "partition"), because(p));
    }
    if let Some(text) = rollout::text(view.rollout.as_ref()) {
        return text;
    }
    match view.launching {
        0 => "running".into(),
        1 => "1 task starts".into(),
        more => format!("{more} tasks start"),
    }
}

/// What failed is not to be hidden by its consequences.
fn going_back(state: &State, view: &JobView) -> Option<String> {
    let rollout = view.rollout.as_ref().filter(|rollout| rollout.state == RolloutState::RollingBack)?;
    let text = rollout::text(Some(rollout))?;
    Some(waiting(state, view).map_or(text.clone(), |waiting| format!("{text}; {waiting}")))
}

fn waiting(state: &State, view: &JobView) -> Option<String> {
    let key = state.pending.iter().find(|(job, _)| *job == view.name).filter(|_| view.waiting > 0)?;
    let verb = if view.waiting == 1 { "waits" } else { "wait" };
    Some(format!("{} of {} {verb}: {}", view.waiting, counted(view.slots, "task"), state_text(state, key)))
}

/// A number of things, as in `1 task` and `3 tasks`.
pub fn counted(number: usize, thing: &str) -> String {
    format!("{number} {}", plural(number, thing))
}

/// The things alone, as in `task` and `tasks`.
pub fn plural(number: usize, thing: &str) -> String {
    if number == 1 { thing.to_owned() } else { format!("{thing}s") }
}
