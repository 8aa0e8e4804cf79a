//! A job under load, and questions that several themes ask.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use millstream_e2e::{Accounts, Load, Servers, Shape, observer::MILLSTREAM};
use millstream_testbed::{
    eventually,
    executors::ExecutorProcess,
    hosts::host,
    produce::{Message, Position, produce},
};
use serde_json::Value;

pub(crate) const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(120);
/// What the load does between two events of a test.
pub(crate) const A_WHILE: Duration = Duration::from_secs(2);

/// A job under load on the real Mesos.
pub(crate) struct Run {
    pub(crate) job: String,
    pub(crate) load: Load,
    pub(crate) executors: BTreeMap<String, ExecutorProcess>,
}

impl Run {
    pub(crate) async fn start(servers: &Servers, job: &str) -> Result<Self> {
        Self::start_shaped(servers, job, &Shape::default()).await
    }

    pub(crate) async fn start_shaped(servers: &Servers, job: &str, shape: &Shape) -> Result<Self> {
        let accounts = Accounts::prepare(servers, job, 500).await?;
        servers.millstream.deploy(job, &accounts.shaped_job_file(servers, shape)).await?;
        let load = Load::start(servers, accounts)?;
        let executors = servers.placed_without(job, &[]).await?;
        tokio::time::sleep(A_WHILE).await;
        Ok(Run { job: job.to_owned(), load, executors })
    }

    pub(crate) fn victim(&self) -> Result<ExecutorProcess> {
        self.executors.values().next().cloned().context("no executor")
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.executors.values().map(|executor| executor.pid).collect()
    }

    /// The host of an executor, as a number.
    pub(crate) async fn agent_of(&self, servers: &Servers, executor: &str) -> Result<usize> {
        let slots = slots(servers, &self.job).await?;
        let slot = slots.iter().find(|slot| slot["executor"] == executor).context("no slot of the executor")?;
        let name = slot["host"].as_str().context("no host")?;
        (1..=250).find(|&i| host(i) == name).with_context(|| format!("host {name}"))
    }

    /// Ends the load, waits until all of it is durable, holds the table against the log, and stops the job. Gives the
    /// number of records.
    pub(crate) async fn exact(self, servers: &Servers) -> Result<u64> {
        tokio::time::sleep(A_WHILE).await;
        let (accounts, log) = self.load.stop().await?;
        let ends = servers.kafka.end_offsets(&self.job)?;
        ensure!(ends.iter().sum::<i64>() == log.len() as i64, "{} records, ends {ends:?}", log.len());
        servers.millstream.api().wait_caught_up(&self.job, &ends, CAUGHT_UP_WITHIN).await?;
        let differences = accounts.compare(servers, &log).await?;
        ensure!(differences.total() == 0, "{differences}");
        servers.stop(&self.job).await?;
        Ok(log.len() as u64)
    }
}

/// Produces all, and says where each message is.
pub(crate) async fn produce_all(
    servers: &Servers,
    topic: &str,
    messages: Vec<Message>,
) -> Result<Vec<(Position, Message)>> {
    let (client, topic) = (servers.kafka.client(), topic.to_owned());
    let log = tokio::task::spawn_blocking(move || {
        let positions = produce(&client, &topic, messages.clone())?;
        anyhow::Ok(positions.into_iter().zip(messages).collect())
    });
    log.await?
}

/// Waits until all that the topic of the job's name holds is durable.
pub(crate) async fn caught_up(servers: &Servers, job: &str) -> Result<()> {
    let ends = servers.kafka.end_offsets(job)?;
    servers.millstream.api().wait_caught_up(job, &ends, CAUGHT_UP_WITHIN).await
}

/// The job's slots, as `why` has them.
pub(crate) async fn slots(servers: &Servers, job: &str) -> Result<Vec<Value>> {
    let mut why = servers.millstream.api().why(job).await?;
    Ok(why["slots"].as_array_mut().context("no slots")?.drain(..).collect())
}

/// The Mesos tasks of a job that have not ended, as the master's state has them.
pub(crate) async fn live_tasks(servers: &Servers, job: &str) -> Result<Vec<Value>> {
    let framework = servers.mesos()?.framework(MILLSTREAM).await?;
    let tasks = framework["tasks"].as_array().context("no tasks")?.iter();
    let prefix = format!("{job}.");
    let of_job = tasks.filter(|task| task["id"].as_str().is_some_and(|id| id.starts_with(&prefix)));
    Ok(of_job.filter(|task| task["state"] == "TASK_RUNNING").cloned().collect())
}

/// The scheduler's id at the master, as its API tells it.
pub(crate) async fn framework_id(servers: &Servers) -> Result<String> {
    let health = servers.millstream.api().get("/health").await?;
    Ok(health["overview"]["framework_id"].as_str().context("no framework id")?.to_owned())
}

/// Waits until an executor's process is not there any more.
pub(crate) async fn gone(executor: &ExecutorProcess, within: Duration) -> Result<()> {
    let what = format!("executor {} (pid {}) leaves", executor.id, executor.pid);
    eventually(&what, within, async || Ok((!executor.is_running()).then_some(()))).await
}

/// Waits until nothing of Millstream is left on the agents, so that all of them could be offered whole.
pub(crate) async fn nothing_is_used(servers: &Servers) -> Result<()> {
    eventually("Millstream uses nothing", Duration::from_secs(30), async || {
        let framework = servers.mesos()?.framework(MILLSTREAM).await?;
        Ok((framework["used_resources"]["cpus"].as_f64() == Some(0.0)).then_some(()))
    })
    .await
}
