//! The executor that the scheduler serves, as Mesos' agents fetch it.

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use millstream_e2e::{Servers, Shape, alone};
use millstream_testbed::{MesosOptions, Millstream, SchedulerOptions};
use nix::sys::signal::Signal;

use crate::run::Run;

const AGENTS: usize = 2;

#[test]
fn a_served_executor_is_downloaded_once_per_agent_and_then_comes_from_its_cache() -> Result<()> {
    alone(async |data| {
        let options = MesosOptions { agents: AGENTS, ..MesosOptions::default() };
        let mesos = millstream_testbed::Mesos::start(options).await?;
        let args = vec!["--serve-executor".to_owned()];
        let scheduler = Millstream::scheduler(&mesos, SchedulerOptions { args, ..SchedulerOptions::default() }).await?;
        fetched_and_fetched_again(&data.with(Some(mesos), scheduler)).await
    })
}

async fn fetched_and_fetched_again(servers: &Servers) -> Result<()> {
    let run = Run::start_shaped(servers, "fetched", &Shape { tasks: AGENTS, ..Shape::default() }).await?;
    for executor in run.executors.values() {
        let program = fs::read_link(format!("/proc/{}/exe", executor.pid))?;
        ensure!(program.starts_with(&executor.sandbox), "{} was not fetched", program.display());
    }
    for victim in run.executors.values() {
        victim.signal(Signal::SIGKILL)?;
    }
    servers.placed_without(&run.job, &run.pids()).await?;
    let mut fetched = 0;
    for agent in 1..=AGENTS {
        let stderr = texts(&servers.mesos()?.path().join(format!("agent{agent}/slaves")), "stderr");
        let downloads = stderr.matches("Downloading resource from 'http://").count();
        ensure!(downloads == 1, "agent {agent} downloaded {downloads} times:\n{stderr}");
        fetched += stderr.matches("from cache").count();
    }
    ensure!(fetched >= 2 * AGENTS, "only {fetched} executors came from a cache");
    run.exact(servers).await.map(drop)
}

/// All files of that name below a folder, as one text.
fn texts(folder: &Path, name: &str) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => text += &texts(&entry.path(), name),
            // Not through the links that agents make, such as `latest`.
            Ok(kind) if kind.is_file() && entry.file_name() == name => {
                text += &String::from_utf8_lossy(&fs::read(entry.path()).unwrap_or_default());
            }
            _ => {}
        }
    }
    text
}
