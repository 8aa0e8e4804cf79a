//! What must not matter: deaths and pauses of the parts, under load.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use millstream_e2e::{Mesos, beside, with};
use millstream_testbed::{MesosOptions, eventually};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::run::{A_WHILE, CAUGHT_UP_WITHIN, Run, gone};

/// The job of a paused executor must be back on its feet long before its time is over.
const PAUSE: Duration = Duration::from_secs(20);
/// Long enough to be replaced (three missed reports), too short for Mesos to end it by force (the grace is 10 s).
const SHORT_PAUSE: Duration = Duration::from_secs(7);
/// For what only the scheduler's own watch can tell: two looks, 5 s and 3 s apart, and what the broker and this machine take.
const GONE_KNOWN_WITHIN: Duration = Duration::from_secs(15);
/// Tries to restart an agent before its executor is missed.
const RESTARTS: usize = 4;
/// For an executor that learns it was replaced.
const LEAVES_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn the_whole_way_is_exact_and_host_local() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let run = Run::start(servers, "mesos-whole-way").await?;
        let why = servers.millstream.api().why(&run.job).await?;
        let slots = why["slots"].as_array().context("no slots")?;
        ensure!(slots.len() == 3 && slots.iter().all(|slot| slot["source_tier"] == "host"), "{why}");
        run.exact(servers).await.map(drop)
    })
}

#[test]
fn a_killed_executor_is_replaced() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let run = Run::start(servers, "kill-executor").await?;
        let victim = run.victim()?;
        victim.signal(Signal::SIGKILL)?;
        servers.placed_without(&run.job, &[victim.pid]).await?;
        run.exact(servers).await.map(drop)
    })
}

/// SIGTERM is what people and init systems send: no failure and no back-off, however often.
#[test]
fn an_executor_that_is_asked_to_leave_is_no_failure() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let run = Run::start(servers, "sigterm-executor").await?;
        let (mut victim, mut left) = (run.victim()?, vec![]);
        for _ in 0..3 {
            victim.signal(Signal::SIGTERM)?;
            left.push(victim.pid);
            let now = servers.placed_without(&run.job, &left).await?;
            victim = now.into_values().next().context("no executor")?;
        }
        let why = servers.millstream.api().why(&run.job).await?;
        ensure!(why["recent_failures"].as_array().is_some_and(Vec::is_empty) && why["backoff"].is_null(), "{why}");
        let ends = why["recent_ends"].as_array().context("no ends")?;
        ensure!(ends.len() >= 3 && ends.iter().all(|end| end["cause"] == "terminated"), "{why}");
        run.exact(servers).await.map(drop)
    })
}

/// A stopped job's lag grows, and says so; a topic that is deleted stops its partitions, whatever their executor says.
#[test]
fn what_stands_still_is_shown_without_executors_and_without_a_topic() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let run = Run::start(servers, "shown-lag").await?;
        let job = run.job.clone();
        run.load.stop().await?;
        let ends = servers.kafka.end_offsets(&job)?;
        let api = servers.millstream.api();
        api.wait_caught_up(&job, &ends, CAUGHT_UP_WITHIN).await?;
        servers.kafka.tool("org.apache.kafka.tools.TopicCommand", &["--delete", "--topic", &job]).await?;
        eventually("the deleted topic is named", GONE_KNOWN_WITHIN, async || {
            let lag = api.lag(&job).await?;
            let partitions = lag["partitions"].as_array().context("no partitions")?;
            let named = |p: &Value| p["reason"].as_str().is_some_and(|reason| reason.contains("does not exist"));
            Ok(partitions.iter().all(|p| p["status"] == "stopped" && named(p)).then_some(()))
        })
        .await?;
        servers.kafka.create_topic(&job, ends.len() as i32, 3).await?;
        servers.stop(&job).await?;
        eventually("the log's ends are read without executors", GONE_KNOWN_WITHIN, async || {
            let lag = api.lag(&job).await?;
            let partitions = lag["partitions"].as_array().context("no partitions")?;
            ensure!(partitions.len() == ends.len(), "{lag}");
            Ok(partitions.iter().all(|p| p["durable"].is_i64() && p["log_end"].is_i64()).then_some(()))
        })
        .await
    })
}

#[test]
fn a_killed_agent_that_comes_back_keeps_its_executor() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let mut run = Run::start(servers, "kill-agent").await?;
        let mut kept = false;
        for _ in 0..RESTARTS {
            let agent = run.agent_of(servers, &run.victim()?.id).await?;
            let mesos = servers.mesos.as_mut().context("no Mesos")?;
            mesos.kill_agent(agent, Signal::SIGKILL)?;
            mesos.restart_agent(agent).await?;
            tokio::time::sleep(A_WHILE).await;
            mesos.wait_for_agents(3).await?;
            let after = servers.placed_without(&run.job, &[]).await?;
            kept = after == run.executors;
            if kept {
                break;
            }
            // An agent that takes longer than three reports to start is a lost one: right, but not what is asked here.
            let why = servers.millstream.api().why(&run.job).await?;
            let cause = why["recent_failures"][0]["cause"].clone();
            ensure!(cause == "silent", "before {:?}, after {after:?}: {why}", run.executors);
            run.executors = after;
        }
        ensure!(kept, "no agent of {RESTARTS} came back before its executor was missed: is this machine very busy?");
        run.exact(servers).await.map(drop)
    })
}

/// The operator says that the agent never comes back, and Mesos ends all that was on it.
#[test]
fn an_agent_that_is_marked_gone_is_replaced() -> Result<()> {
    beside(MesosOptions { agents: 4, ..MesosOptions::default() }, async |servers| {
        let run = Run::start(servers, "gone-agent").await?;
        let victim = run.victim()?;
        let agent = run.agent_of(servers, &victim.id).await?;
        servers.mesos()?.mark_agent_gone(agent).await?;
        servers.placed_without(&run.job, &[victim.pid]).await?;
        gone(&victim, LEAVES_WITHIN * 2).await?;
        run.exact(servers).await.map(drop)
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
        run.exact(servers).await.map(drop)
    })
}
