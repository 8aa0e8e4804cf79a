//! Changes of running jobs under load.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use millstream_e2e::{Mesos, Servers, with};
use millstream_testbed::eventually;
use serde_json::Value;

use crate::run::{A_WHILE, Run};

/// Three tasks in turn, each well for some seconds before the next one goes.
const CHANGED_WITHIN: Duration = Duration::from_secs(120);

/// The deployed job file with another text in it.
async fn changed(servers: &Servers, run: &Run, from: &str, to: &str) -> Result<String> {
    let job = job(servers, &run.job).await?;
    let file = job["toml"].as_str().context("no file")?;
    ensure!(file.contains(from), "{file}");
    Ok(file.replace(from, to))
}

async fn job(servers: &Servers, job: &str) -> Result<Value> {
    servers.millstream.api().get(&format!("/api/v1/jobs/{job}")).await
}

#[test]
fn a_changed_meaning_goes_task_by_task_and_the_table_is_exact() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let run = Run::start(servers, "changed").await?;
        // Another text, the same values.
        let file = changed(servers, &run, "balance * 2 AS doubled", "balance + balance AS doubled").await?;
        servers.millstream.deploy(&run.job, &file).await?;
        eventually("the change is done", CHANGED_WITHIN, async || {
            let job = job(servers, &run.job).await?;
            ensure!(job["running"].as_u64() >= Some(2), "more than one task is away at once: {job}");
            Ok((job["generation"] == 2 && job["rollout"].is_null() && job["running"] == 3).then_some(()))
        })
        .await?;
        servers.placed_without(&run.job, &run.pids()).await?;
        run.exact(servers).await.map(drop)
    })
}

#[test]
fn a_change_that_no_agent_could_hold_drains_nothing_unless_it_is_forced() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let run = Run::start(servers, "too-large").await?;
        let before = job(servers, &run.job).await?["toml"].as_str().context("no file")?.to_owned();
        let file = changed(servers, &run, "cpus = 0.2", "cpus = 64.0").await?;
        let refused = servers.millstream.deploy(&run.job, &file).await.err().context("it was deployed")?.to_string();
        ensure!(refused.contains("needs 64.1 cpus") && refused.contains("--force"), "{refused}");
        tokio::time::sleep(A_WHILE).await;
        let after = job(servers, &run.job).await?;
        ensure!(after["toml"] == before && after["rollout"].is_null(), "the refused file is stored: {after}");
        ensure!(servers.executors_of(&run.job).await? == run.executors);

        let millstream = &servers.millstream;
        let path = millstream.path().join("too-large.toml").display().to_string();
        let forced = millstream.cli(&["deploy", "--force", &path]).await?;
        ensure!(forced.contains("warning: as the cluster is") && forced.contains("task by task"), "{forced}");
        eventually("a task has drained for it", CHANGED_WITHIN, async || {
            Ok((job(servers, &run.job).await?["waiting"] == 1).then_some(()))
        })
        .await?;
        millstream.deploy(&run.job, &before).await?;
        servers.placed_without(&run.job, &[]).await?;
        run.exact(servers).await.map(drop)
    })
}

#[test]
fn a_version_that_stops_at_records_is_taken_back() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let run = Run::start(servers, "taken-back").await?;
        // Some records have no name.
        let file = changed(servers, &run, "name = \"text\"", "name = { type = \"text\", required = true }").await?;
        servers.millstream.deploy(&run.job, &file).await?;
        let reason = eventually("the change is taken back", CHANGED_WITHIN, async || {
            let job = job(servers, &run.job).await?;
            let back = job["rollout"]["state"] == "rolled_back" && job["running"] == 3;
            Ok(back.then(|| job["rollout"]["reason"].as_str().unwrap_or_default().to_owned()))
        })
        .await?;
        ensure!(reason.contains("partition"), "{reason}");
        let stayed = servers.executors_of(&run.job).await?;
        let stayed = run.pids().iter().filter(|pid| stayed.values().any(|executor| executor.pid == **pid)).count();
        ensure!(stayed == 2, "{stayed} of 3 executors were left alone");
        run.exact(servers).await.map(drop)
    })
}
