//! Revocable resources: used by a job that may, taken back by the agent, and nobody's fault.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use millstream_e2e::{Servers, Shape, beside, figure, observer::MILLSTREAM};
use millstream_testbed::MesosOptions;
use serde_json::Value;

use crate::run::{Run, framework_id};

/// More than the job's tasks and executors need, on each agent.
const OVERSUBSCRIBED: &str = "cpus:2;mem:1024";

#[test]
fn a_job_that_may_runs_on_revocable_resources_and_outlives_their_revocation() -> Result<()> {
    let options = MesosOptions { oversubscribed: Some(OVERSUBSCRIBED.to_owned()), ..MesosOptions::default() };
    beside(options, async |servers| {
        let run = Run::start_shaped(servers, "revocable", &Shape { revocable: true, ..Shape::default() }).await?;
        ensure!(revocable_tasks(servers).await? == 3, "{}", servers.mesos()?.framework(MILLSTREAM).await?["tasks"]);
        ensure!(servers.mesos()?.metrics().await?["master/cpus_revocable_used"].as_f64() > Some(0.0));

        let victim = run.victim()?;
        let agent = run.agent_of(servers, &victim.id).await?;
        let revoked = Instant::now();
        servers.mesos()?.revoke(agent, &framework_id(servers).await?, &victim.id)?;
        servers.placed_without(&run.job, &[victim.pid]).await?;
        figure(format!("runs again {:.1} s after the revocation", revoked.elapsed().as_secs_f64()));
        ensure!(revocable_tasks(servers).await? == 3);
        let why = servers.millstream.api().why(&run.job).await?;
        ensure!(why["backoff"].is_null(), "a revocation counts as a failure: {why}");
        let metrics = servers.millstream.api().text("/metrics").await?;
        let preempted = |line: &str| line.contains("task_ends_total") && line.contains("cause=\"preempted\"");
        ensure!(metrics.lines().any(preempted), "Mesos did not say that the task was preempted:\n{metrics}");
        run.exact(servers).await.map(drop)
    })
}

/// Running tasks that have revocable CPUs and memory, and no others.
async fn revocable_tasks(servers: &Servers) -> Result<usize> {
    let framework = servers.mesos()?.framework(MILLSTREAM).await?;
    let tasks = framework["tasks"].as_array().context("no list of tasks")?.iter();
    let only_revocable = |task: &&Value| {
        let amount = |name: &str| task["resources"][name].as_f64().unwrap_or(0.0);
        let revocable = amount("cpus_revocable") > 0.0 && amount("mem_revocable") > 0.0;
        task["state"] == "TASK_RUNNING" && revocable && amount("cpus") == 0.0 && amount("mem") == 0.0
    };
    Ok(tasks.filter(only_revocable).count())
}
