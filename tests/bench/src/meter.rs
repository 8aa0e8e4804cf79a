//! What the kernel has counted for a process.

use std::fs;

use anyhow::{Context, Result};

/// `USER_HZ`: the unit of CPU times in /proc, 100 on every Linux.
const TICKS_PER_SEC: f64 = 100.0;

/// CPU seconds a running process has used so far, user and system (proc(5), fields 14 and 15 of `stat`).
pub fn cpu_secs(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("no process {pid}"))?;
    // The second field is the program's name in parentheses and may hold blanks.
    let after_name = stat.rsplit(')').next().context("a stat line has a name")?;
    let ticks = |field: usize| -> Result<f64> {
        Ok(after_name.split_whitespace().nth(field - 3).context("short stat line")?.parse()?)
    };
    Ok((ticks(14)? + ticks(15)?) / TICKS_PER_SEC)
}

/// Peak resident memory of a running process in bytes (`VmHWM`); none once it has ended.
pub fn peak_bytes(pid: u32) -> Option<u64> {
    status_kib(pid, "VmHWM:").map(|kib| kib * 1024)
}

/// Resident memory of a running process in bytes (`VmRSS`); none once it has ended.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    status_kib(pid, "VmRSS:").map(|kib| kib * 1024)
}

fn status_kib(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(field))?.trim().strip_suffix(" kB")?.parse().ok()
}
