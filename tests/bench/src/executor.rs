//! The executor without Mesos.

use std::process::Stdio;

use anyhow::{Context as _, Result};
use millstream_testbed::{Kafka, program};
use tempfile::NamedTempFile;
use tokio::process::{Child, Command};

/// An executor that runs; dropping it kills it.
pub struct Executor {
    /// The process.
    pub child: Child,
    _file: NamedTempFile,
}

/// Starts `millstream-executor standalone` with a job file of this text; it ends with the cluster.
pub fn start(kafka: &Kafka, job: &str, arguments: &[&str]) -> Result<Executor> {
    let file = tempfile::Builder::new().suffix(".toml").tempfile()?;
    std::fs::write(file.path(), job)?;
    let (mark, name) = kafka.mark();
    let child = Command::new(program("millstream-executor")?)
        .args(["standalone", "--create-blocks-table", "--job"])
        .arg(file.path())
        .args(arguments)
        .env(mark, name)
        .env("RUST_LOG", "warn")
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("millstream-executor")?;
    Ok(Executor { child, _file: file })
}
