//! `[tasks]`

use std::ops::RangeInclusive;

use toml::de::DeValue;

use super::{
    entry::{Entry, Section},
    report::Report,
};
use crate::{Diagnostic, TaskCount, Tasks, units};

/// CPUs of a task when the file does not say.
pub(crate) const DEFAULT_CPUS: f64 = 0.5;

/// Memory of a task when the file does not say.
pub(crate) const DEFAULT_MEM_BYTES: u64 = 256 << 20;

/// Mesos' smallest share of a CPU.
const MIN_CPUS: f64 = 0.01;

/// More CPUs than any host has: a slip, which would wait for ever.
const MAX_CPUS: f64 = 1_024.0;

/// Mesos' smallest memory.
const MIN_MEM_BYTES: u64 = 32 << 20;

/// More memory than any host has: a slip, which would wait for ever.
const MAX_MEM_BYTES: u64 = 64 << 40;

/// Less holds nothing worth keeping, and Mesos counts disk in MiB.
const MIN_VOLUME_BYTES: u64 = 1 << 20;

/// More disk than any host has: a slip, which would wait for ever.
const MAX_VOLUME_BYTES: u64 = 1_024 << 40;

/// Longest name of a user on Linux.
const MAX_USER_CHARS: usize = 32;

/// Most tasks of one job: a scheduler is meant to carry 100,000 in all.
const MAX_COUNT: i64 = 10_000;

pub(super) fn read(section: Option<Section<'_>>, r: &mut Report<'_>) -> Option<Tasks> {
    let Some(section) = section else {
        let (cpus, mem_bytes) = (DEFAULT_CPUS, DEFAULT_MEM_BYTES);
        let count = TaskCount::default();
        return Some(Tasks { count, cpus, mem_bytes, revocable: false, volume_bytes: None, user: None });
    };
    section.check_keys(r);
    let count = section.optional("count").map_or(Some(TaskCount::default()), |e| count(&e, r));
    let cpus = section.optional("cpus").map_or(Some(DEFAULT_CPUS), |e| cpus(&e, r));
    let mem_bytes = section.optional("mem").map_or(Some(DEFAULT_MEM_BYTES), |e| mem_bytes(&e, r));
    let revocable = section
        .optional("revocable")
        .map_or(Some(false), |e| yes_or_no(&e, "write it without quotation marks, as in `revocable = true`", r));
    let volume_bytes = section.optionally("volume", |e| volume_bytes(&e, r));
    let user = section.optionally("user", |e| user(&e, r));
    Some(Tasks {
        count: count?,
        cpus: cpus?,
        mem_bytes: mem_bytes?,
        revocable: revocable?,
        volume_bytes: volume_bytes?,
        user: user?,
    })
}

fn count(entry: &Entry<'_>, r: &mut Report<'_>) -> Option<TaskCount> {
    match entry.value() {
        DeValue::String(_) => {
            entry.choice(r, &[("per-partition", TaskCount::PerPartition)], Some("or write a number, as in `count = 3`"))
        }
        DeValue::Integer(i) => match i64::from_str_radix(i.as_str(), i.radix()) {
            // In range, so it fits.
            Ok(n @ 1..=MAX_COUNT) => Some(TaskCount::Fixed(n as u32)),
            _ => {
                r.push(
                    Diagnostic::error(entry.span(), format!("`tasks.count` must be between 1 and {MAX_COUNT}"))
                        .help("write \"per-partition\" for one task for each partition"),
                );
                None
            }
        },
        _ => entry.wrong_type(r, "a whole number or \"per-partition\"", "for example `count = 3`"),
    }
}

fn cpus(entry: &Entry<'_>, r: &mut Report<'_>) -> Option<f64> {
    let cpus = entry.number(r)?;
    if !(MIN_CPUS..=MAX_CPUS).contains(&cpus) {
        r.push(
            Diagnostic::error(entry.span(), format!("`tasks.cpus` must be between {MIN_CPUS} and {MAX_CPUS}"))
                .help("it is the share of CPUs one task asks for, as in `cpus = 0.5`"),
        );
        return None;
    }
    let milli = cpus * 1_000.0;
    // Parsing decimals leaves an error far below this; a fourth decimal is far above.
    if (milli - milli.round()).abs() > 1e-6 {
        r.push(
            Diagnostic::error(entry.span(), "`tasks.cpus` has more than three decimals")
                .note("Mesos keeps three")
                .help(format!("write `cpus = {}`", milli.round() / 1_000.0)),
        );
        return None;
    }
    Some(cpus)
}

pub(super) fn yes_or_no(entry: &Entry<'_>, help: &str, r: &mut Report<'_>) -> Option<bool> {
    match entry.value() {
        DeValue::Boolean(answer) => Some(*answer),
        _ => entry.wrong_type(r, "true or false", help),
    }
}

fn mem_bytes(entry: &Entry<'_>, r: &mut Report<'_>) -> Option<u64> {
    const OUTSIDE: Outside = Outside {
        message: "`tasks.mem` must be between 32MiB and 64TiB",
        help: "it is the memory of one task; 256MiB is plenty for most",
    };
    size_bytes(entry, r, MIN_MEM_BYTES..=MAX_MEM_BYTES, OUTSIDE)
}

fn volume_bytes(entry: &Entry<'_>, r: &mut Report<'_>) -> Option<u64> {
    const OUTSIDE: Outside = Outside {
        message: "`tasks.volume` must be between 1MiB and 1024TiB",
        help: "it is the disk that is kept for one task; leave it out for none",
    };
    size_bytes(entry, r, MIN_VOLUME_BYTES..=MAX_VOLUME_BYTES, OUTSIDE)
}

fn user(entry: &Entry<'_>, r: &mut Report<'_>) -> Option<String> {
    let text = entry.string(r)?;
    let name = text.value;
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let goes_on = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if !begins || !goes_on || name.len() > MAX_USER_CHARS {
        r.push(
            Diagnostic::error(text.span, "`tasks.user` is no name of a user")
                .help("it is a Unix user of the agents, as in `user = \"orders\"`; leave it out for that of the scheduler's settings"),
        );
        return None;
    }
    Some(name.to_owned())
}

/// What is said of a size outside its range.
struct Outside {
    message: &'static str,
    help: &'static str,
}

fn size_bytes(entry: &Entry<'_>, r: &mut Report<'_>, range: RangeInclusive<u64>, outside: Outside) -> Option<u64> {
    const HELP: &str = "write a size with its unit, as in \"256MiB\" or \"1GB\"";
    if let DeValue::Integer(i) = entry.value() {
        return entry.wrong_type(r, "a size with its unit", &format!("write \"{}MiB\" for mebibytes", i.as_str()));
    }
    let text = entry.string(r)?;
    let bytes = match units::parse_size_bytes(text.value) {
        Ok(bytes) => bytes,
        Err(e) => {
            r.push(Diagnostic::error(text.part(r, e.at), e.message).help(HELP));
            return None;
        }
    };
    if !range.contains(&bytes) {
        r.push(Diagnostic::error(text.span, outside.message).help(outside.help));
        return None;
    }
    Some(bytes)
}
