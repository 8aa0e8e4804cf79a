//! The whole way on the real Mesos 1.11, and what must not matter to it: deaths and pauses of its parts, under load.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use millstream_e2e::{Accounts, Load, Mesos, Servers, with};
use millstream_testbed::{eventually, executors::ExecutorProcess};
use nix::sys::signal::Signal;

const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(120);
/// What the load does between two events of a test.
const A_WHILE: Duration = Duration::from_secs(3);
/// The job of a paused executor must be back on its feet long before its time is over.
const PAUSE: Duration = Duration::from_secs(20);
/// Long enough to be replaced (three missed reports), too short for Mesos to end it by force (the grace is 10 s).
const SHORT_PAUSE: Duration = Duration::from_secs(7);
/// For an executor that learns it was replaced.
const LEAVES_WITHIN: Duration = Duration::from_secs(10);

/// A job under load on the real Mesos.
struct Run {
    job: String,
    load: Load,
    executors: BTreeMap<String, ExecutorProcess>,
}

impl Run {
    async fn start(servers: &Servers, job: &str) -> Result<Self> {
        let accounts = Accounts::prepare(servers, job, 500).await?;
        servers.millstream.deploy(job, &accounts.job_file(servers, "")).await?;
        let load = Load::start(servers, accounts)?;
        let executors = servers.placed_without(job, &[]).await?;
        tokio::time::sleep(A_WHILE).await;
        Ok(Run { job: job.to_owned(), load, executors })
    }

    fn victim(&self) -> Result<ExecutorProcess> {
        self.executors.values().next().cloned().context("no executor")
    }

    fn pids(&self) -> Vec<u32> {
        self.executors.values().map(|executor| executor.pid).collect()
    }

    /// The host of an executor, as a number.
    async fn agent_of(&self, servers: &Servers, executor: &str) -> Result<usize> {
        let why = servers.millstream.api().why(&self.job).await?;
        let slots = why["slots"].as_array().context("no slots")?;
        let slot = slots.iter().find(|slot| slot["executor"] == executor).context("no slot of the executor")?;
        let host = slot["host"].as_str().context("no host")?;
        host.rsplit('.').next().and_then(|number| number.parse().ok()).with_context(|| format!("host {host}"))
    }

    /// Ends the load, waits until all of it is durable, and holds the table against the log.
    async fn exact(self, servers: &Servers) -> Result<()> {
        tokio::time::sleep(A_WHILE).await;
        let (accounts, log) = self.load.stop().await?;
        let ends = servers.kafka.end_offsets(&self.job)?;
        ensure!(ends.iter().sum::<i64>() == log.len() as i64, "{} records, ends {ends:?}", log.len());
        servers.millstream.api().wait_caught_up(&self.job, &ends, CAUGHT_UP_WITHIN).await?;
        let differences = accounts.compare(servers, &log).await?;
        ensure!(differences.total() == 0, "{differences}");
        servers.stop(&self.job).await
    }
}

#[test]
fn the_whole_way_is_exact_and_host_local() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let run = Run::start(servers, "mesos-whole-way").await?;
        let why = servers.millstream.api().why(&run.job).await?;
        let slots = why["slots"].as_array().context("no slots")?;
        ensure!(slots.len() == 3 && slots.iter().all(|slot| slot["source_tier"] == "host"), "{why}");
        run.exact(servers).await
    })
}

#[test]
fn a_killed_executor_is_replaced() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let run = Run::start(servers, "kill-executor").await?;
        let victim = run.victim()?;
        victim.signal(Signal::SIGKILL)?;
        servers.placed_without(&run.job, &[victim.pid]).await?;
        run.exact(servers).await
    })
}

#[test]
fn a_killed_scheduler_is_not_noticed_by_executors() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let run = Run::start(servers, "kill-scheduler").await?;
        servers.millstream.process().kill();
        tokio::time::sleep(A_WHILE).await;
        servers.millstream.restart().await?;
        tokio::time::sleep(A_WHILE).await;
        let after = servers.placed_without(&run.job, &[]).await?;
        ensure!(after == run.executors, "before {:?}, after {after:?}", run.executors);
        run.exact(servers).await
    })
}

#[test]
fn a_killed_agent_that_comes_back_keeps_its_executor() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let run = Run::start(servers, "kill-agent").await?;
        let agent = run.agent_of(servers, &run.victim()?.id).await?;
        let mesos = servers.mesos.as_mut().context("no Mesos")?;
        mesos.kill_agent(agent, Signal::SIGKILL)?;
        mesos.restart_agent(agent).await?;
        tokio::time::sleep(A_WHILE).await;
        mesos.wait_for_agents(3).await?;
        let after = servers.placed_without(&run.job, &[]).await?;
        ensure!(after == run.executors, "before {:?}, after {after:?}", run.executors);
        run.exact(servers).await
    })
}

#[test]
fn a_lost_agent_is_worked_around_and_its_executor_leaves_when_it_is_back() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let run = Run::start(servers, "lose-agent").await?;
        let victim = run.victim()?;
        let agent = run.agent_of(servers, &victim.id).await?;
        servers.mesos.as_mut().context("no Mesos")?.kill_agent(agent, Signal::SIGKILL)?;
        servers.placed_without(&run.job, &[victim.pid]).await?;
        tokio::time::sleep(A_WHILE).await;
        servers.mesos.as_mut().context("no Mesos")?.restart_agent(agent).await?;
        gone(&victim, LEAVES_WITHIN * 2).await?;
        run.exact(servers).await
    })
}

/// It wakes up with writes in flight before Mesos ends it by force: what it still writes changes nothing.
#[test]
fn a_paused_executor_that_wakes_up_as_a_zombie_leaves() -> Result<()> {
    paused_executor("wake-executor", SHORT_PAUSE)
}

/// After this time Mesos has ended it by force, since it was told to shut down when it was replaced.
#[test]
fn a_paused_executor_is_replaced_and_gone_after_twenty_seconds() -> Result<()> {
    paused_executor("pause-executor", PAUSE)
}

fn paused_executor(job: &str, pause: Duration) -> Result<()> {
    with(Mesos::Real, async |servers| {
        let run = Run::start(servers, job).await?;
        let victim = run.victim()?;
        victim.signal(Signal::SIGSTOP)?;
        let paused = std::time::Instant::now();
        let replaced = servers.placed_without(&run.job, &[victim.pid]).await;
        let replaced_after = paused.elapsed();
        tokio::time::sleep(pause.saturating_sub(paused.elapsed())).await;
        if victim.is_running() {
            victim.signal(Signal::SIGCONT)?;
        }
        replaced?;
        ensure!(replaced_after < PAUSE, "replaced after {replaced_after:?}");
        gone(&victim, LEAVES_WITHIN).await?;
        // Nobody else was disturbed.
        let others: Vec<u32> = run.pids().into_iter().filter(|pid| *pid != victim.pid).collect();
        let now: Vec<u32> = servers.executors_of(&run.job).await?.values().map(|executor| executor.pid).collect();
        ensure!(others.iter().all(|pid| now.contains(pid)), "others {others:?}, now {now:?}");
        run.exact(servers).await
    })
}

async fn gone(executor: &ExecutorProcess, within: Duration) -> Result<()> {
    let what = format!("executor {} (pid {}) leaves", executor.id, executor.pid);
    eventually(&what, within, async || Ok((!executor.is_running()).then_some(()))).await
}
