//! Tasks lost, doubled, forgotten, killed, or started as they used to be.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use millstream_e2e::{Accounts, Mesos, Shape, observer::MILLSTREAM, with};
use millstream_testbed::eventually;
use nix::sys::signal::Signal;

use crate::run::{A_WHILE, Run, framework_id, gone, live_tasks};

const SOON: Duration = Duration::from_secs(30);
/// For an executor that learns it was replaced.
const LEAVES_WITHIN: Duration = Duration::from_secs(20);
const WEEK_SECS: f64 = 7.0 * 86_400.0;

/// marathon#4190, #4137, #4603: tasks of a lost agent are stuck for ever, or run twice when it comes back.
#[test]
fn lost_tasks_stuck_or_doubled_marathon_4190() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let run = Run::start(servers, "marathon-4190").await?;
        let victim = run.victim()?;
        let agent = run.agent_of(servers, &victim.id).await?;
        servers.mesos.as_mut().context("no Mesos")?.kill_agent(agent, Signal::SIGKILL)?;
        servers.placed_without(&run.job, &[victim.pid]).await?;
        tokio::time::sleep(A_WHILE).await;
        servers.mesos.as_mut().context("no Mesos")?.restart_agent(agent).await?;
        gone(&victim, LEAVES_WITHIN).await?;
        eventually("three tasks live, none of them twice", SOON, async || {
            Ok((live_tasks(servers, &run.job).await?.len() == 3).then_some(()))
        })
        .await?;
        run.exact(servers).await.map(drop)
    })
}

/// marathon#2477, mesos/kafka#306: after a restart the scheduler forgets its tasks, kills them, or hangs in reconciling.
#[test]
fn restart_forgets_or_kills_everything_marathon_2477() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let run = Run::start(servers, "marathon-2477").await?;
        let id = framework_id(servers).await?;
        servers.millstream.process().kill();
        tokio::time::sleep(A_WHILE).await;
        servers.millstream.restart().await?;
        tokio::time::sleep(A_WHILE).await;
        ensure!(framework_id(servers).await? == id);
        let after = servers.placed_without(&run.job, &[]).await?;
        ensure!(after == run.executors, "before {:?}, after {after:?}", run.executors);
        // It does not hang: new work is placed.
        let more = Accounts::prepare(servers, "marathon-2477-more", 10).await?;
        servers.millstream.deploy(&more.name, &more.job_file(servers, "")).await?;
        servers.millstream.api().wait_running(&more.name, SOON).await?;
        servers.stop(&more.name).await?;
        run.exact(servers).await.map(drop)
    })
}

/// dcos-flink-service#44: a `failover_timeout` of 0 ends all tasks at a disconnect, and "Framework has been removed" is met
/// with the same id again, for ever.
#[test]
fn framework_has_been_removed_loop_flink_44() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let run = Run::start(servers, "flink-44").await?;
        let framework = servers.mesos()?.framework(MILLSTREAM).await?;
        ensure!(framework["failover_timeout"].as_f64().is_some_and(|secs| secs >= WEEK_SECS), "{framework}");
        let old = framework_id(servers).await?;
        servers.mesos()?.teardown(&old).await?;
        let new = eventually("the scheduler has a new id", SOON, async || {
            let id = framework_id(servers).await?;
            let registered = servers.mesos()?.framework(MILLSTREAM).await?["id"] == id.as_str();
            Ok((id != old && registered).then_some(id))
        })
        .await?;
        servers.placed_without(&run.job, &run.pids()).await?;
        for executor in run.executors.values() {
            gone(executor, LEAVES_WITHIN).await?;
        }
        // The new id holds, also over a restart.
        servers.millstream.restart().await?;
        tokio::time::sleep(A_WHILE).await;
        ensure!(framework_id(servers).await? == new);
        run.exact(servers).await.map(drop)
    })
}

/// dcos-cassandra#370: a task that is replaced starts from the TaskInfo it once had, not from what is wanted now.
#[test]
fn relaunch_from_an_old_task_info_cassandra_370() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let accounts = Accounts::prepare(servers, "cassandra-370", 10).await?;
        let job = accounts.name.as_str();
        let file = |mem_mib| accounts.shaped_job_file(servers, &Shape { mem_mib, ..Shape::default() });
        servers.millstream.deploy(job, &file(128)).await?;
        let old: Vec<u32> = servers.placed_without(job, &[]).await?.values().map(|executor| executor.pid).collect();
        servers.millstream.deploy(job, &file(160)).await?;
        let updated = servers.placed_without(job, &old).await?;
        let victim = updated.values().next().context("no executor")?;
        victim.signal(Signal::SIGKILL)?;
        servers.placed_without(job, &[victim.pid]).await?;
        let mems = eventually("the master has three tasks", SOON, async || {
            let tasks = live_tasks(servers, job).await?;
            let mems: Vec<f64> = tasks.iter().filter_map(|task| task["resources"]["mem"].as_f64()).collect();
            Ok((mems.len() == 3).then_some(mems))
        })
        .await?;
        ensure!(mems.iter().all(|mem| *mem == 160.0), "{mems:?}");
        let executors: BTreeSet<u32> = servers.executors_of(job).await?.values().map(|executor| executor.pid).collect();
        ensure!(old.iter().all(|pid| !executors.contains(pid)), "an executor of the old file lives");
        servers.stop(job).await
    })
}
