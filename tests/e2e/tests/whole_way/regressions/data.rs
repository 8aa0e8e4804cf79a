//! Records lost to a commit, and records fetched from afar.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use millstream_e2e::{Accounts, Mesos, Servers, Shape, figure, with};
use millstream_testbed::{eventually, executors::ExecutorProcess};
use serde_json::Value;

use crate::run::{CAUGHT_UP_WITHIN, caught_up, produce_all};

/// vector#24543, #14963: the offset of a record that was refused is committed, and the record is lost. Here the partition
/// stops, says so, goes on to count its lag, and nothing is lost when the job is mended.
#[test]
fn offsets_of_rejected_records_vector_24543() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let mut accounts = Accounts::prepare(servers, "vector-24543", 100).await?;
        let job = accounts.name.clone();
        let mut messages = accounts.messages(600);
        messages[500].value = Some("{".into());
        let mut log = produce_all(servers, &job, messages).await?;
        let bad = log[500].0;
        servers.millstream.deploy(&job, &accounts.job_file(servers, "")).await?;
        let stopped = eventually("the partition stops", CAUGHT_UP_WITHIN, async || {
            let partition = lag_of(servers, &job, bad.partition).await?;
            Ok((partition["status"] == "stopped").then_some(partition))
        });
        let stopped = stopped.await?;
        ensure!(stopped["reason"].as_str().is_some_and(|reason| reason.contains(&bad.offset.to_string())), "{stopped}");
        ensure!(stopped["durable"].as_i64().is_some_and(|durable| durable <= bad.offset), "{stopped}");

        log.extend(produce_all(servers, &job, accounts.messages(300)).await?);
        let end = servers.kafka.end_offsets(&job)?[bad.partition as usize];
        let lag = eventually("the stopped partition's lag counts", CAUGHT_UP_WITHIN, async || {
            let partition = lag_of(servers, &job, bad.partition).await?;
            Ok((partition["log_end"] == end).then_some(partition))
        });
        let lag = lag.await?;
        ensure!(lag["records"] == end - lag["durable"].as_i64().context("no durable")?, "{lag}");

        // Drained, with all that can be committed: not the bad record, and nothing behind it.
        servers.stop(&job).await?;
        let committed = servers.kafka.committed_offsets(&job, &job)?[bad.partition as usize];
        ensure!(committed.is_none_or(|offset| offset <= bad.offset), "{committed:?} is committed, bad is {bad:?}");
        let mended = accounts.job_file(servers, "[errors]\nbad_record = \"skip\"\n");
        servers.millstream.deploy(&job, &mended).await?;
        caught_up(servers, &job).await?;
        let differences = accounts.compare(servers, &log).await?;
        ensure!(differences.total() == 0, "{differences}");
        servers.stop(&job).await
    })
}

async fn lag_of(servers: &Servers, job: &str, partition: i32) -> Result<Value> {
    let lag = servers.millstream.api().lag(job).await?;
    let partitions = lag["partitions"].as_array().context("no partitions")?;
    partitions.iter().find(|p| p["partition"] == partition).cloned().context("not there")
}

/// quickwit#5926: `client.rack` cannot be written down where the system places the consumer. All tasks go to one rack, then to
/// another: each time the broker of that rack serves them, which leads only a third of the partitions.
#[test]
fn static_client_rack_quickwit_5926() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let mut accounts = Accounts::prepare(servers, "quickwit-5926", 100).await?;
        let job = accounts.name.clone();
        for rack in ["r1", "r2"] {
            let placement = format!("constraints = [\"rack = {rack}\"]");
            let file = accounts.shaped_job_file(servers, &Shape { placement, ..Shape::default() });
            let before: Vec<u32> =
                servers.executors_of(&job).await.map_or_else(|_| vec![], |executors| pids(&executors));
            servers.millstream.deploy(&job, &file).await?;
            servers.placed_without(&job, &before).await?;
            produce_all(servers, &job, accounts.messages(6_000)).await?;
            caught_up(servers, &job).await?;
            let near = eventually("the bytes are told", CAUGHT_UP_WITHIN, async || {
                let health = servers.millstream.api().get("/health").await?;
                let tiers = health["locality"]["bytes_in_by_tier"].as_object().context("no tiers")?.clone();
                let all: f64 = tiers.values().filter_map(Value::as_f64).sum();
                Ok((all > 0.0).then(|| tiers["host"].as_f64().unwrap_or(0.0) / all))
            });
            let near = near.await?;
            figure(format!("tasks in {rack}: {:.1} % of their bytes came from its broker", near * 100.0));
            ensure!(near > 0.9, "only {near:.3} of the bytes came from the broker of {rack}");
        }
        servers.stop(&job).await
    })
}

fn pids(executors: &BTreeMap<String, ExecutorProcess>) -> Vec<u32> {
    executors.values().map(|executor| executor.pid).collect()
}
