//! Agents that are asked back: tasks leave in time, and nothing is read twice for it.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use millstream_e2e::{Reads, Servers, Shape, beside, figure};
use millstream_testbed::{MesosOptions, eventually, hosts::host};

use crate::run::{A_WHILE, Run, framework_id, gone, slots};

/// Between the announcement and the maintenance: time for a drain (grace and slack are 25 s) and a new place.
const NOTICE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// The master asks in the next allocation; a framework has its grace to drain after that.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(30);

/// One agent more than the job's three tasks need.
fn cluster() -> MesosOptions {
    MesosOptions { agents: 4, ..MesosOptions::default() }
}

/// A task for each host, and content with any host soon.
fn movable() -> Shape {
    Shape { placement: "max_share_per_host = 0.5\nmax_wait = \"1s\"".to_owned(), ..Shape::default() }
}

#[test]
fn tasks_leave_before_a_planned_maintenance_and_nothing_is_read_twice() -> Result<()> {
    beside(cluster(), async |servers| {
        let run = Run::start_shaped(servers, "maintenance", &movable()).await?;
        let reads = Reads::start(servers.millstream.api(), &run.job);
        let victim = run.victim()?;
        let agent = run.agent_of(servers, &victim.id).await?;
        let framework = framework_id(servers).await?;

        let start = SystemTime::now() + NOTICE;
        servers.mesos()?.plan_maintenance(&[agent], start, HOUR).await?;
        answered(servers, agent, &framework, "ACCEPT").await?;
        left(servers, &run, agent).await?;
        let early = start.duration_since(SystemTime::now()).context("they left too late")?;
        figure(format!("all tasks had moved {:.1} s before the maintenance", early.as_secs_f64()));
        gone(&victim, SOON).await?;

        // The agent goes, and nobody notices.
        let before = servers.placed_without(&run.job, &[]).await?;
        servers.mesos()?.start_maintenance(&[agent]).await?;
        servers.mesos()?.wait_for_agents(3).await?;
        tokio::time::sleep(A_WHILE).await;
        ensure!(servers.placed_without(&run.job, &[]).await? == before);
        nothing_read_twice(servers, run, reads).await
    })
}

/// DRAIN_AGENT gives no notice: Mesos kills the tasks, each with its grace.
#[test]
fn tasks_of_a_drained_agent_move_and_nothing_is_read_twice() -> Result<()> {
    beside(cluster(), async |servers| {
        let run = Run::start_shaped(servers, "drain-agent", &movable()).await?;
        let reads = Reads::start(servers.millstream.api(), &run.job);
        let victim = run.victim()?;
        let agent = run.agent_of(servers, &victim.id).await?;
        servers.mesos()?.drain_agent(agent, Duration::from_secs(10)).await?;
        left(servers, &run, agent).await?;
        eventually("the agent is drained", SOON, async || {
            Ok((servers.mesos()?.agent_state(agent).await?["drain_info"]["state"] == "DRAINED").then_some(()))
        })
        .await?;
        gone(&victim, SOON).await?;
        nothing_read_twice(servers, run, reads).await
    })
}

/// A maintenance that begins before a drain could end: no promise that cannot be kept.
#[test]
fn a_maintenance_without_notice_is_declined() -> Result<()> {
    beside(cluster(), async |servers| {
        let run = Run::start_shaped(servers, "no-notice", &movable()).await?;
        let agent = run.agent_of(servers, &run.victim()?.id).await?;
        let start = SystemTime::now() + Duration::from_secs(1);
        servers.mesos()?.plan_maintenance(&[agent], start, HOUR).await?;
        answered(servers, agent, &framework_id(servers).await?, "DECLINE").await?;
        run.exact(servers).await.map(drop)
    })
}

async fn answered(servers: &Servers, agent: usize, framework: &str, wanted: &str) -> Result<()> {
    let mut last = None;
    let what = format!("the inverse offer is answered with {wanted}");
    let answered = eventually(&what, ANSWERED_WITHIN, async || {
        last = servers.mesos()?.inverse_offer_answer(agent, framework).await?;
        Ok((last.as_deref() == Some(wanted)).then_some(()))
    });
    answered.await.with_context(|| format!("last answer: {last:?}"))
}

/// Waits until all tasks of the job run, none of them on the agent.
async fn left(servers: &Servers, run: &Run, agent: usize) -> Result<()> {
    let host = host(agent);
    eventually(&format!("all tasks run elsewhere than on {host}"), SOON, async || {
        let slots = slots(servers, &run.job).await?;
        let elsewhere =
            slots.iter().filter(|slot| slot["task_state"] == "TASK_RUNNING" && slot["host"] != host.as_str());
        Ok((elsewhere.count() == slots.len()).then_some(()))
    })
    .await
}

async fn nothing_read_twice(servers: &Servers, run: Run, reads: Reads) -> Result<()> {
    let first = run.executors.len();
    let produced = run.exact(servers).await?;
    let (read, executors) = reads.total();
    figure(format!("{executors} executors, {first} of them the first ones, have read {read} of {produced} records"));
    ensure!(executors >= first, "one that has left was never looked at");
    // What the executor that left has read at its very end is not counted, so a few may seem to be missing.
    ensure!(read <= produced, "{} records were read twice at least", read - produced);
    ensure!(read > produced / 2, "hardly anything was counted: {read} of {produced}");
    Ok(())
}
