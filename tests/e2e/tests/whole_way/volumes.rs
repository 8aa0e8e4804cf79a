//! Persistent volumes: reserved and made with the first launch, found again by the next task, given back in the end.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use millstream_e2e::{Mesos, Servers, Shape, observer::MILLSTREAM, with};
use millstream_testbed::{eventually, executors::ExecutorProcess};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::run::{Run, slots};

/// The role that Millstream has by default.
const ROLE: &str = MILLSTREAM;
const SIZE_MIB: f64 = 64.0;
/// Offers of what is given up are asked for at once; its task must have ended before.
pub(crate) const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn a_volume_outlives_its_task_and_is_given_back_with_the_job() -> Result<()> {
    with(Mesos::Real, async |servers| {
        // Long enough for the way back to the volume on a busy machine.
        let placement = "max_share_per_host = 0.5\nmax_wait = \"30s\"".to_owned();
        let shape = Shape { volume: Some(format!("{SIZE_MIB}MiB")), placement, ..Shape::default() };
        let run = Run::start_shaped(servers, "volume", &shape).await?;
        let made = volumes(servers).await?;
        ensure!(made.len() == 3 && made.iter().all(|volume| volume["scalar"]["value"] == SIZE_MIB), "{made:?}");
        eventually("all operations are acknowledged", GIVEN_BACK_WITHIN, async || {
            Ok(operations(servers).await?.is_empty().then_some(()))
        })
        .await?;

        let victim = run.victim()?;
        let (agent, slot) = (run.agent_of(servers, &victim.id).await?, slot_of(servers, &run.job, &victim.id).await?);
        let volume = volume_in(&victim, slot)?;
        let work_dir = servers.mesos()?.path().join(format!("agent{agent}"));
        ensure!(volume.starts_with(&work_dir), "the volume is at {}", volume.display());
        fs::write(volume.join("kept"), &victim.id)?;
        victim.signal(Signal::SIGKILL)?;
        let executors = servers.placed_without(&run.job, &[victim.pid]).await?;
        let slots = slots(servers, &run.job).await?;
        let next = slots.iter().find(|it| it["slot"] == slot).and_then(|it| it["executor"].as_str());
        let next = executors.get(next.context("no executor")?).context("it has no process")?;
        ensure!(volume_in(next, slot)? == volume, "{} has another volume: {slots:?}", next.id);
        ensure!(fs::read_to_string(Path::new(&next.sandbox).join(format!("volume-{slot}/kept")))? == victim.id);
        ensure!(volumes(servers).await? == made, "other volumes than before");

        let job = run.job.clone();
        run.exact(servers).await?;
        ensure!(volume.join("kept").exists() && volumes(servers).await? == made, "a stopped job keeps its volumes");
        servers.millstream.cli(&["delete", &job]).await?;
        eventually("all is given back", GIVEN_BACK_WITHIN, async || {
            Ok((reserved(servers).await?.is_empty() && operations(servers).await?.is_empty()).then_some(()))
        })
        .await?;
        ensure!(!volume.exists(), "{} is still there", volume.display());
        Ok(())
    })
}

/// What is reserved for Millstream on all agents.
pub(crate) async fn reserved(servers: &Servers) -> Result<Vec<Value>> {
    let agents = servers.mesos()?.ask("/slaves").await?;
    let agents = agents["slaves"].as_array().context("no list of agents")?;
    Ok(agents.iter().filter_map(|agent| agent["reserved_resources_full"][ROLE].as_array()).flatten().cloned().collect())
}

async fn volumes(servers: &Servers) -> Result<Vec<Value>> {
    let reserved = reserved(servers).await?;
    let mut volumes: Vec<Value> =
        reserved.into_iter().filter(|resource| resource["disk"]["persistence"]["id"].is_string()).collect();
    volumes.sort_by_key(|volume| volume["disk"]["persistence"]["id"].to_string());
    Ok(volumes)
}

/// Those that the master or an agent still keeps: without an end, or with one that is not acknowledged.
pub(crate) async fn operations(servers: &Servers) -> Result<Vec<Value>> {
    let mut answer = servers.mesos()?.operate(json!({ "type": "GET_OPERATIONS" })).await?;
    Ok(answer["get_operations"]["operations"].as_array_mut().map(std::mem::take).unwrap_or_default())
}

async fn slot_of(servers: &Servers, job: &str, executor: &str) -> Result<u64> {
    let slots = slots(servers, job).await?;
    let slot = slots.iter().find(|slot| slot["executor"] == executor).context("no slot of the executor")?;
    slot["slot"].as_u64().context("a slot has a number")
}

/// Where the volume is that the executor finds in its sandbox.
fn volume_in(executor: &ExecutorProcess, slot: u64) -> Result<PathBuf> {
    let place = Path::new(&executor.sandbox).join(format!("volume-{slot}"));
    fs::canonicalize(&place).with_context(|| format!("no volume at {}", place.display()))
}
