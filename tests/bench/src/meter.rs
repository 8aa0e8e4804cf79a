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
    kib(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmHWM:").map(|kib| kib * 1024)
}

/// Memory of a running process in bytes, what it shares with others counted in part (`Pss` of proc_pid_smaps_rollup(5)), so
/// that the memory of many processes of one program may be summed; none once it has ended.
pub fn proportional_bytes(pid: u32) -> Option<u64> {
    kib(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss:").map(|kib| kib * 1024)
}

/// The value of a line such as `VmHWM:  1234 kB`.
fn kib(text: &str, field: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(field))?.trim().strip_suffix(" kB")?.parse().ok()
}
