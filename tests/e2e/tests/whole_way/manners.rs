//! Beside others: a second framework that wants everything gets what it should, and soon.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use millstream_e2e::{Accounts, Greedy, Observer, Servers, Shape, beside, figure};
use millstream_testbed::{MesosOptions, eventually};

use crate::run::nothing_is_used;

const AGENTS: usize = 4;
const CPUS_PER_AGENT: f64 = 2.0;
const CPUS: f64 = AGENTS as f64 * CPUS_PER_AGENT;
/// Of the testbed's master.
const ALLOCATION_CYCLE: Duration = Duration::from_millis(200);
/// For what should come in the next allocations, on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// How long a job waits while its manners are watched.
const WATCHED: Duration = Duration::from_secs(12);

fn cluster() -> MesosOptions {
    MesosOptions {
        agents: AGENTS,
        resources: format!("cpus:{CPUS_PER_AGENT};mem:2048;disk:1024;ports:[%p]"),
        ..MesosOptions::default()
    }
}

/// Six tasks of which an agent carries one: two wait for ever. They take any place at once.
fn too_big() -> Shape {
    let placement = "goal = \"any\"\nmax_wait = \"0s\"".to_owned();
    Shape { tasks: 6, cpus: 1.5, placement, ..Shape::default() }
}

#[test]
fn a_greedy_framework_beside_an_idle_millstream_gets_all_offers_within_two_allocation_cycles() -> Result<()> {
    beside(cluster(), async |servers| {
        let observer = Observer::start(&servers.mesos()?.master());
        feast(servers, "beside a scheduler that has never had a job").await?;

        let accounts = Accounts::prepare(servers, "manners-idle", 10).await?;
        servers.millstream.deploy(&accounts.name, &accounts.job_file(servers, "")).await?;
        servers.placed_without(&accounts.name, &[]).await?;
        servers.stop(&accounts.name).await?;
        nothing_is_used(servers).await?;
        feast(servers, "beside a scheduler whose job was stopped").await?;

        let manners = observer.manners()?;
        figure(&manners);
        manners.are_good()
    })
}

/// Starts a greedy framework and waits until it has the whole cluster.
async fn feast(servers: &Servers, when: &str) -> Result<()> {
    let mesos = servers.mesos()?;
    let runs = async || mesos.metrics().await?["allocator/mesos/allocation_runs"].as_f64().context("no counter");
    let before = runs().await?;
    let greedy = Greedy::start(&mesos.master()).await?;
    let took = greedy.gets(CPUS, SOON).await?;
    let cycles = runs().await? - before;
    figure(format!(
        "greedy has all {CPUS} cpus {} ms after its SUBSCRIBE, {cycles} allocation runs ({when})",
        took.as_millis()
    ));
    // The clock is for idle machines, the master's own count for busy ones.
    ensure!(took <= ALLOCATION_CYCLE * 2 || cycles <= 2.0, "it took {took:?} and {cycles} allocation runs");
    Ok(())
}

#[test]
fn a_greedy_framework_beside_a_waiting_millstream_gets_its_fair_share() -> Result<()> {
    beside(cluster(), async |servers| {
        let accounts = Accounts::prepare(servers, "manners-waiting", 10).await?;
        let job = accounts.name.as_str();
        let observer = Observer::start(&servers.mesos()?.master());
        servers.millstream.deploy(job, &accounts.shaped_job_file(servers, &too_big())).await?;
        let running = async || anyhow::Ok(servers.millstream.api().job(job).await?["running"].as_u64().unwrap_or(0));
        let all = async || Ok((running().await? == AGENTS as u64).then_some(()));
        eventually("each agent has a task", SOON, all).await?;

        // All that the waiting job cannot use is the other's.
        let rest = CPUS - millstream_cpus(servers).await?;
        let greedy = Greedy::start(&servers.mesos()?.master()).await?;
        let took = greedy.gets(rest - 0.001, SOON).await?;
        figure(format!("greedy has all {rest:.1} cpus that a waiting job left, after {} ms", took.as_millis()));
        servers.stop(job).await?;
        nothing_is_used(servers).await?;
        greedy.gets(CPUS, SOON).await?;

        // The greedy one has everything, and lets go: now both want all of it.
        servers.millstream.deploy(job, &accounts.shaped_job_file(servers, &too_big())).await?;
        tokio::time::sleep(WATCHED).await;
        ensure!(running().await? == 0, "there was no room");
        let released = Instant::now();
        greedy.release().await?;
        eventually("Millstream gets a place", SOON, async || Ok((running().await? > 0).then_some(()))).await?;
        greedy.gets(CPUS / 2.0, SOON).await?;
        tokio::time::sleep(WATCHED / 2).await;
        let (theirs, ours) = (greedy.cpus(), millstream_cpus(servers).await?);
        figure(format!("both want all {CPUS} cpus: greedy {theirs:.1}, Millstream {ours:.1}"));
        figure(format!("settled within {:.1} s", released.elapsed().as_secs_f64()));
        ensure!(theirs >= CPUS / 2.0 && ours > 0.0);

        let manners = observer.manners()?;
        figure(&manners);
        manners.are_good()?;
        servers.stop(job).await
    })
}

async fn millstream_cpus(servers: &Servers) -> Result<f64> {
    let framework = servers.mesos()?.framework("millstream").await?;
    framework["used_resources"]["cpus"].as_f64().context("no cpus")
}
