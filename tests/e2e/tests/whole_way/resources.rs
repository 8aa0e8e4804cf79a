//! What Millstream takes from offers: reservations first, ports for its endpoints, no more than its quota.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use millstream_e2e::{Accounts, Mesos, Servers, Shape, beside, figure, observer::MILLSTREAM, with};
use millstream_testbed::{MesosOptions, eventually};
use serde_json::{Value, json};

use crate::run::{nothing_is_used, slots};

/// The role that Millstream has by default.
const ROLE: &str = MILLSTREAM;
const SOON: Duration = Duration::from_secs(30);
/// The default overhead of an executor.
const EXECUTOR_CPUS: f64 = 0.1;

/// All tasks and executors that are alive, with the resources that they were given.
async fn taken(servers: &Servers) -> Result<Vec<Value>> {
    let mesos = servers.mesos()?;
    let tasks = mesos.operate(json!({ "type": "GET_TASKS" })).await?;
    let executors = mesos.operate(json!({ "type": "GET_EXECUTORS" })).await?;
    let tasks = tasks["get_tasks"]["tasks"].as_array().cloned().unwrap_or_default();
    let executors = executors["get_executors"]["executors"].as_array().cloned().unwrap_or_default();
    Ok(tasks.into_iter().chain(executors.into_iter().map(|mut executor| executor["executor_info"].take())).collect())
}

fn scalars<'a>(taken: &'a [Value], name: &'a str) -> impl Iterator<Item = &'a Value> {
    let resources = taken.iter().flat_map(|taken| taken["resources"].as_array().into_iter().flatten());
    resources.filter(move |resource| resource["name"] == name)
}

/// Sums of a scalar: what of it is reserved for the role, and what is not.
fn sums(taken: &[Value], name: &str) -> (f64, f64) {
    let (mut reserved, mut free) = (0.0, 0.0);
    for resource in scalars(taken, name) {
        let ours =
            resource["reservations"].as_array().and_then(|all| all.last()).is_some_and(|last| last["role"] == ROLE);
        let sum = if ours { &mut reserved } else { &mut free };
        *sum += resource["scalar"]["value"].as_f64().unwrap_or(0.0);
    }
    (whole(reserved), whole(free))
}

/// Mesos counts in thousandths.
fn whole(sum: f64) -> f64 {
    (sum * 1_000.0).round() / 1_000.0
}

#[test]
fn static_reservations_of_the_role_are_used_first() -> Result<()> {
    let resources = format!("cpus({ROLE}):1;mem({ROLE}):512;cpus:3;mem:3584;disk:1024;ports:[%p]");
    beside(MesosOptions { resources, ..MesosOptions::default() }, async |servers| {
        let accounts = Accounts::prepare(servers, "reserved-static", 10).await?;
        let shape = Shape { cpus: 0.5, ..Shape::default() };
        servers.millstream.deploy(&accounts.name, &accounts.shaped_job_file(servers, &shape)).await?;
        servers.placed_without(&accounts.name, &[]).await?;
        let taken = taken(servers).await?;
        let (cpus, mem) = (sums(&taken, "cpus"), sums(&taken, "mem"));
        figure(format!("cpus reserved and free {cpus:?}, mem {mem:?}"));
        ensure!(cpus == (whole(3.0 * (0.5 + EXECUTOR_CPUS)), 0.0) && mem.1 == 0.0, "cpus {cpus:?}, mem {mem:?}");
        servers.stop(&accounts.name).await?;

        // More than is reserved: first that, then the rest.
        let shape = Shape { cpus: 2.0, ..Shape::default() };
        servers.millstream.deploy(&accounts.name, &accounts.shaped_job_file(servers, &shape)).await?;
        servers.placed_without(&accounts.name, &[]).await?;
        let cpus = sums(&self::taken(servers).await?, "cpus");
        figure(format!("larger tasks: cpus reserved and free {cpus:?}"));
        ensure!(cpus == (3.0, whole(3.0 * (1.0 + EXECUTOR_CPUS))), "cpus {cpus:?}");
        servers.stop(&accounts.name).await
    })
}

#[test]
fn dynamic_reservations_of_the_role_are_used_first_and_stay() -> Result<()> {
    beside(MesosOptions::default(), async |servers| {
        let reservation = [("cpus", 1.0), ("mem", 512.0)];
        servers.mesos()?.reserve(2, ROLE, &reservation).await?;
        let accounts = Accounts::prepare(servers, "reserved-dynamic", 10).await?;
        let placement = "constraints = [\"rack = r2\"]".to_owned();
        let shape = Shape { tasks: 1, cpus: 0.5, placement, ..Shape::default() };
        servers.millstream.deploy(&accounts.name, &accounts.shaped_job_file(servers, &shape)).await?;
        servers.placed_without(&accounts.name, &[]).await?;
        let cpus = sums(&taken(servers).await?, "cpus");
        ensure!(cpus == (whole(0.5 + EXECUTOR_CPUS), 0.0), "cpus reserved and free {cpus:?}");
        servers.stop(&accounts.name).await?;
        nothing_is_used(servers).await?;
        let reserved = &servers.mesos()?.agent_state(2).await?["reserved_resources"][ROLE];
        ensure!(reserved["cpus"] == 1.0, "the reservation is gone: {reserved}");
        servers.mesos()?.unreserve(2, ROLE, &reservation).await
    })
}

#[test]
fn a_quota_limit_is_kept_and_why_says_what_is_missing() -> Result<()> {
    const LIMIT: f64 = 1.0;
    beside(MesosOptions::default(), async |servers| {
        servers.mesos()?.limit_role(ROLE, &[("cpus", LIMIT)]).await?;
        let accounts = Accounts::prepare(servers, "quota", 10).await?;
        let job = accounts.name.as_str();
        let placement = "max_wait = \"0s\"".to_owned();
        let shape = Shape { cpus: 0.5, placement, ..Shape::default() };
        servers.millstream.deploy(job, &accounts.shaped_job_file(servers, &shape)).await?;
        eventually("one task runs within the limit", SOON, async || {
            Ok((servers.millstream.api().job(job).await?["running"] == 1).then_some(()))
        })
        .await?;
        let texts = eventually("`why` says what is missing", SOON, async || {
            let slots = slots(servers, job).await?;
            let waiting = slots.iter().filter(|slot| slot["state"] == "waiting");
            let texts: Vec<String> = waiting.map(|slot| slot["text"].as_str().unwrap_or_default().to_owned()).collect();
            Ok((texts.len() == 2 && texts.iter().all(|text| text.contains("cpus"))).then_some(texts))
        });
        let texts = match texts.await {
            Ok(texts) => texts,
            Err(error) => return Err(error.context(servers.millstream.api().why(job).await?.to_string())),
        };
        figure(format!("under a quota: {}", texts[0]));
        let used = servers.mesos()?.framework(MILLSTREAM).await?["used_resources"]["cpus"].as_f64();
        ensure!(used.is_some_and(|cpus| cpus <= LIMIT), "{used:?} cpus are used, {LIMIT} are allowed");
        servers.mesos()?.limit_role(ROLE, &[]).await?;
        servers.millstream.api().wait_running(job, SOON).await?;
        servers.stop(job).await
    })
}

#[test]
fn the_endpoint_of_an_executor_has_one_of_the_offered_ports() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let accounts = Accounts::prepare(servers, "ports", 10).await?;
        servers.millstream.deploy(&accounts.name, &accounts.job_file(servers, "")).await?;
        let executors = servers.placed_without(&accounts.name, &[]).await?;
        let ports = eventually("every executor has said where it listens", SOON, async || {
            let targets = servers.millstream.api().get("/api/v1/sd").await?;
            let addresses = targets.as_array().context("no targets")?.iter().filter_map(|t| t["targets"][0].as_str());
            let ports: Vec<u64> = addresses.filter_map(|address| address.rsplit_once(':')?.1.parse().ok()).collect();
            Ok((ports.len() == executors.len()).then_some(ports))
        })
        .await?;
        let taken = taken(servers).await?;
        let ranges =
            scalars(&taken, "ports").flat_map(|ports| ports["ranges"]["range"].as_array().into_iter().flatten());
        let ranges: Vec<(u64, u64)> =
            ranges.filter_map(|range| Some((range["begin"].as_u64()?, range["end"].as_u64()?))).collect();
        let ours = |port: &u64| ranges.iter().any(|(begin, end)| (begin..=end).contains(&port));
        ensure!(ports.iter().all(ours), "ports {ports:?}, taken from offers {ranges:?}");
        servers.stop(&accounts.name).await
    })
}
