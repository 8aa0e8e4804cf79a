//! Executor processes, found as an operator would: by the environment that Mesos gives them.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use nix::{sys::signal::Signal, unistd::Pid};

use crate::{kafka::Kafka, programs::program};

/// A running executor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorProcess {
    /// Process id.
    pub pid: u32,
    /// Mesos' name for it.
    pub id: String,
    /// Its sandbox.
    pub sandbox: String,
}

impl ExecutorProcess {
    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        nix::sys::signal::kill(Pid::from_raw(self.pid as i32), signal).with_context(|| format!("executor {}", self.id))
    }

    /// Whether the process is there (not ended, not a zombie).
    pub fn is_running(&self) -> bool {
        environment(self.pid).is_some_and(|environment| environment.get("MESOS_EXECUTOR_ID") == Some(&self.id))
    }
}

/// `millstream-executor standalone` of a job file, to be given its partitions; it ends with the cluster.
pub fn standalone(kafka: &Kafka, job: &Path) -> Result<Command> {
    let (mark, name) = kafka.mark();
    let mut command = Command::new(program("millstream-executor")?);
    command.args(["standalone", "--create-blocks-table", "--job"]).arg(job).env(mark, name).stdin(Stdio::null());
    Ok(command)
}

/// Executors of Millstream whose sandbox lies below `folder`, by id.
pub(crate) fn executors_below(folder: &Path) -> Result<Vec<ExecutorProcess>> {
    let mut found = vec![];
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let is_executor =
            std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("millstream-executor"));
        let Some(environment) = is_executor.then(|| environment(pid)).flatten() else { continue };
        let (Some(id), Some(sandbox)) = (environment.get("MESOS_EXECUTOR_ID"), environment.get("MESOS_SANDBOX")) else {
            continue;
        };
        if Path::new(sandbox).starts_with(folder) {
            found.push(ExecutorProcess { pid, id: id.clone(), sandbox: sandbox.clone() });
        }
    }
    found.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(found)
}

/// None for a process that is gone or of somebody else; a zombie has none either.
fn environment(pid: u32) -> Option<BTreeMap<String, String>> {
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).ok().filter(|bytes| !bytes.is_empty())?;
    let text = String::from_utf8_lossy(&bytes);
    Some(text.split('\0').filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
}
