//! The executor without Mesos.

use std::process::Stdio;

use anyhow::{Context as _, Result};
use millstream_testbed::{Kafka, executors::standalone};
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
    let child = Command::from(standalone(kafka, file.path())?)
        .args(arguments)
        .env("RUST_LOG", "warn")
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("millstream-executor")?;
    Ok(Executor { child, _file: file })
}
