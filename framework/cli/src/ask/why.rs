//! `millstream why`

use std::{
    fmt::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use millstream_daemon::api::{
    FailureView, RepeatedCrash, RolloutState, RolloutView, SlotState, SlotWhy, StoppedPartition, VolumeView, WhyView,
    counted,
};

use super::word;
use crate::table::{Table, UNKNOWN, alike, duration, named_partitions, partitions};

pub(super) fn text(why: &WhyView) -> String {
    let placed = why.slots.iter().filter(|s| matches!(s.state, SlotState::Placed { .. })).count();
    let tasks = counted(why.slots.len(), "task");
    let mut out = format!("{}: {}, {placed} of {tasks} placed\n", why.job, word(&why.phase));
    if let Some(note) = &why.note {
        let _ = writeln!(out, "{note}");
    }
    if let Some(rollout) = &why.rollout {
        out.push_str(&rollout_line(rollout));
    }
    if let Some(backoff) = &why.backoff {
        let failures = counted(backoff.failures as usize, "failure");
        let _ = match backoff.retry_in_ms {
            0 => writeln!(out, "{failures} in a row"),
            ms => writeln!(out, "{failures} in a row: next launch in {}", duration(Some(ms))),
        };
    }
    for crash in &why.repeated_crashes {
        out.push_str(&repeated_crash(crash));
    }
    out.push_str(&placed_slots(&why.slots));
    out.push_str(&notes(&why.slots));
    for slot in &why.slots {
        out.push_str(&waiting_slot(slot));
    }
    out.push_str(&held_up(&why.stopped_partitions, "stopped"));
    out.push_str(&held_up(&why.stalled_partitions, "stalled"));
    if !why.recent_failures.is_empty() {
        out.push_str("last failures:\n");
        for failure in &why.recent_failures {
            out.push_str(&failure_line(failure, now_ms()));
        }
    }
    if !why.recent_ends.is_empty() {
        out.push_str("ended by an operator, no failures:\n");
        for end in &why.recent_ends {
            out.push_str(&failure_line(end, now_ms()));
        }
    }
    out
}

/// Partitions that do not go on, with what a person can do.
fn held_up(partitions: &[StoppedPartition], how: &str) -> String {
    let mut out = String::new();
    for ((task, reason, remedy), numbers) in
        alike(partitions.iter().map(|p| ((&p.task, &p.reason, p.remedy.as_ref()), p.partition)))
    {
        let task = if task.is_empty() { "no task now" } else { task };
        let _ = writeln!(out, "{} ({task}) {how}: {reason}", named_partitions(&numbers));
        if let Some(remedy) = remedy {
            let _ = writeln!(out, "help: {remedy}");
        }
    }
    out
}

fn repeated_crash(crash: &RepeatedCrash) -> String {
    let RepeatedCrash { partition, offset, crashes, last, remedy } = crash;
    format!(
        "has crashed {crashes} times without getting beyond offset {offset} of partition {partition}: {last}\n\
         help: {remedy}\n"
    )
}

/// Why executors are waited for though they are silent.
fn notes(slots: &[SlotWhy]) -> String {
    let said = slots.iter().filter_map(|slot| match &slot.state {
        SlotState::Placed { note: Some(note), .. } => Some((note, slot.slot as i32)),
        _ => None,
    });
    let mut out = String::new();
    for (note, slots) in alike(said) {
        let _ = writeln!(out, "{} {}: {note}", if slots.len() == 1 { "slot" } else { "slots" }, partitions(&slots));
    }
    out
}

fn rollout_line(rollout: &RolloutView) -> String {
    let RolloutView { state, from, to, done, total, reason } = rollout;
    let reason = reason.as_deref().unwrap_or_default();
    // A change of tasks or placement only leaves the generation as it is.
    let (what, failed) = match from == to {
        true => (format!("changes within generation {to}"), "the new version failed".to_owned()),
        false => (format!("generation {from} → {to}"), format!("generation {from} failed")),
    };
    match state {
        RolloutState::Rolling => format!("{what}, task by task: {done} of {total} are well\n"),
        RolloutState::Restarting => format!("{what}, all at once: {done} of {total} are well\n"),
        RolloutState::RollingBack => format!("{failed}: {reason}\ngoes back: {done} of {}\n", counted(*total, "task")),
        RolloutState::RolledBack => format!("the last change was taken back: {failed}: {reason}\n"),
    }
}

fn placed_slots(slots: &[SlotWhy]) -> String {
    let mut columns = vec![">SLOT", "PARTITIONS", "HOST", "SOURCE", "SINK", "STATE", "LAST REPORT", "TASK"];
    let with_volumes = slots.iter().any(|slot| slot.volume.is_some());
    columns.extend(with_volumes.then_some("VOLUME"));
    let mut table = Table::new(&columns);
    let mut any = false;
    for slot in slots {
        if let SlotState::Placed { task, task_state, draining, host, source_tier, sink_tier, last_report_ms, .. } =
            &slot.state
        {
            let state = word(task_state).trim_start_matches("TASK_").to_lowercase();
            let state = if *draining { format!("{state}, draining") } else { state };
            let row = [
                partitions(&slot.partitions),
                host.clone(),
                word(source_tier),
                word(sink_tier),
                state,
                ago(*last_report_ms),
                task.clone(),
            ];
            let volume = with_volumes.then(|| slot.volume.as_ref().map_or_else(|| UNKNOWN.to_owned(), volume));
            table.row(std::iter::once(slot.slot.to_string()).chain(row).chain(volume));
            any = true;
        }
    }
    if any { table.render() } else { String::new() }
}

fn volume(volume: &VolumeView) -> String {
    if volume.made { volume.id.clone() } else { format!("{}, being made", volume.id) }
}

fn waiting_slot(slot: &SlotWhy) -> String {
    let SlotState::Waiting { text, refused, deadline_in_ms, backoff_in_ms, .. } = &slot.state else {
        return String::new();
    };
    let mut line = format!("slot {} ({}) waits: {text}", slot.slot, named_partitions(&slot.partitions));
    if *backoff_in_ms > 0 {
        let _ = write!(line, "; may start in {}", duration(Some(*backoff_in_ms)));
    } else if *deadline_in_ms > 0 {
        let _ = write!(line, "; takes any place in {}", duration(Some(*deadline_in_ms)));
    }
    if let Some(VolumeView { id, host, agent, .. }) = &slot.volume {
        let _ = write!(line, "; its volume {id} is on {}", if host.is_empty() { agent } else { host });
    }
    line.push('\n');
    if !refused.is_empty() {
        let counts: Vec<String> = refused.iter().map(|(reason, n)| format!("{} {n}", word(reason))).collect();
        let _ = writeln!(line, "  offers refused since it waits: {}", counts.join(", "));
    }
    line
}

fn ago(ms: Option<u64>) -> String {
    ms.map_or_else(|| UNKNOWN.to_owned(), |ms| format!("{} ago", duration(Some(ms))))
}

fn failure_line(failure: &FailureView, now_ms: u64) -> String {
    let age = duration(Some(now_ms.saturating_sub(failure.at_ms)));
    let FailureView { task, host, cause, message, .. } = failure;
    format!("  {age} ago on {host}: {task}: {cause}: {message}\n")
}

/// Milliseconds since the epoch on this machine's clock, which may differ from the scheduler's: only for ages.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crashes_that_repeat_common_silence_and_an_operators_hand_are_told_apart() {
        let placed = |slot: u32| {
            serde_json::json!({ "slot": slot, "partitions": [slot], "since_ms": 1, "state": "placed", "task": "t",
                "task_state": "TASK_RUNNING", "draining": false, "executor": "e", "agent": "a", "host": "h",
                "source_tier": "host", "sink_tier": "host", "last_report_ms": 4_000, "note": "silent together" })
        };
        let end = serde_json::json!({ "at_ms": now_ms(), "task": "t", "host": "h", "cause": "terminated",
            "message": "its executor was asked to leave by SIGTERM" });
        let crash = serde_json::json!({ "partition": 2, "offset": 41, "crashes": 3, "last": "signal 9", "remedy": "more memory" });
        let stopped = serde_json::json!({ "partition": 5, "task": "", "reason": "at offset 7: no JSON", "offset": 7,
            "remedy": "set the offset to 8" });
        let stalled = serde_json::json!({ "partition": 1, "task": "t", "reason": "no broker answers" });
        let why = serde_json::json!({ "job": "flights", "phase": "running", "slots": [placed(0), placed(1)],
            "repeated_crashes": [crash], "recent_ends": [end], "stopped_partitions": [stopped],
            "stalled_partitions": [stalled] });
        let text = text(&serde_json::from_value(why).expect("a view"));
        let crashed =
            "has crashed 3 times without getting beyond offset 41 of partition 2: signal 9\nhelp: more memory\n";
        assert!(text.contains(crashed), "{text}");
        assert!(text.contains("\nslots 0-1: silent together\n"), "{text}");
        let held_up = "partition 5 (no task now) stopped: at offset 7: no JSON\nhelp: set the offset to 8\n\
                       partition 1 (t) stalled: no broker answers\n";
        assert!(text.contains(held_up), "{text}");
        let ended =
            "ended by an operator, no failures:\n  0.0 s ago on h: t: terminated: its executor was asked to leave";
        assert!(text.contains(ended) && !text.contains("last failures"), "{text}");
    }
}
