//! The whole way on `millstream local`, with the real Kafka and Cassandra.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use millstream_e2e::{Accounts, Load, Mesos, Servers, with};
use millstream_testbed::{
    consume::read_topic,
    produce::{Message, Position},
};
use nix::sys::signal::Signal;

use crate::run::{caught_up, produce_all};

const GROUPS_TOOL: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

/// Upserts, deletes and hidden records, 30 to a row: the table is their fold, every task is on the host of its records.
#[test]
fn the_whole_way_is_exact_and_host_local() -> Result<()> {
    with(Mesos::Local, async |servers| {
        let mut accounts = Accounts::prepare(servers, "whole-way", 1_000).await?;
        let messages = accounts.messages(30_000);
        let log = produce_all(servers, &accounts.name, messages).await?;
        servers.millstream.deploy(&accounts.name, &accounts.job_file(servers, "")).await?;
        caught_up(servers, &accounts.name).await?;
        let differences = accounts.compare(servers, &log).await?;
        ensure!(differences.total() == 0, "{differences}");

        let why = servers.millstream.api().why(&accounts.name).await?;
        let slots = why["slots"].as_array().context("no slots")?;
        ensure!(slots.len() == 3 && slots.iter().all(|slot| slot["source_tier"] == "host"), "{why}");
        servers.stop(&accounts.name).await
    })
}

/// One record in 1,000 is bad, in several ways: the dead letters are exactly those, the table is the fold of the rest.
#[test]
fn dead_letters_are_exactly_the_bad_records() -> Result<()> {
    with(Mesos::Local, async |servers| {
        let mut accounts = Accounts::prepare(servers, "bad-records", 1_000).await?;
        servers.kafka.create_topic("bad-records-dead", 2, 3).await?;
        let bad =
            ["{", "not json", "[1]", r#"{"version":null}"#, r#"{"version":1.5}"#, r#"{"version":1,"balance":"x"}"#];
        let mut messages = accounts.messages(20_000);
        for (i, message) in messages.iter_mut().enumerate().filter(|(i, _)| i % 1_000 == 7) {
            message.value = Some(bad[i / 1_000 % bad.len()].into());
        }
        let log = produce_all(servers, &accounts.name, messages).await?;
        let more = "[errors]\nbad_record = { dead_letter = \"bad-records-dead\" }\n";
        servers.millstream.deploy(&accounts.name, &accounts.job_file(servers, more)).await?;
        caught_up(servers, &accounts.name).await?;
        let differences = accounts.compare(servers, &log).await?;
        ensure!(differences.total() == 0, "{differences}");

        let mut wanted: Vec<&(Position, Message)> = log
            .iter()
            .filter(|(_, m)| m.value.as_ref().is_some_and(|v| bad.iter().any(|b| b.as_bytes() == v)))
            .collect();
        wanted.sort_by_key(|(position, _)| *position);
        ensure!(wanted.len() == 20);
        let client = servers.kafka.client();
        let letters = tokio::task::spawn_blocking(move || read_topic(&client, "bad-records-dead")).await??;
        let mut found = vec![];
        for letter in &letters {
            let number = |name: &str| -> Result<i64> {
                Ok(letter.header(name).with_context(|| format!("no header {name}"))?.parse()?)
            };
            let position =
                Position { partition: number("millstream.partition")? as i32, offset: number("millstream.offset")? };
            ensure!(letter.header("millstream.reason").is_some_and(|reason| !reason.is_empty()));
            found.push((position, letter.value.clone()));
        }
        found.sort();
        let wanted: Vec<_> = wanted.into_iter().map(|(position, message)| (*position, message.value.clone())).collect();
        ensure!(found == wanted, "letters {found:?}\nwanted {wanted:?}");
        servers.stop(&accounts.name).await
    })
}

/// Kafka's own tool sees the job's lag under its group: 0 when it has caught up, all that came after it was stopped.
#[test]
fn the_kafka_tool_sees_the_lag() -> Result<()> {
    with(Mesos::Local, async |servers| {
        let mut accounts = Accounts::prepare(servers, "seen-lag", 100).await?;
        let (before, after) = (accounts.messages(5_000), accounts.messages(1_234));
        produce_all(servers, &accounts.name, before).await?;
        servers.millstream.deploy(&accounts.name, &accounts.job_file(servers, "")).await?;
        caught_up(servers, &accounts.name).await?;
        servers.stop(&accounts.name).await?;
        ensure!(group_lag(servers, &accounts.name).await? == 0);
        produce_all(servers, &accounts.name, after).await?;
        ensure!(group_lag(servers, &accounts.name).await? == 1_234);
        Ok(())
    })
}

/// The sum of the column LAG.
async fn group_lag(servers: &Servers, group: &str) -> Result<i64> {
    let text = servers.kafka.tool(GROUPS_TOOL, &["--describe", "--group", group]).await?;
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let header = rows.iter().position(|row| row.contains(&"LAG")).with_context(|| format!("no column LAG:\n{text}"))?;
    let column = rows[header].iter().position(|name| *name == "LAG").context("the column is there")?;
    let rows = rows[header + 1..].iter().filter(|row| row.len() > column);
    rows.map(|row| row[column].parse::<i64>().with_context(|| format!("lag {:?}:\n{text}", row[column]))).sum()
}

/// An executor dies at work: it is replaced, the table is exact.
#[test]
fn a_killed_executor_is_replaced() -> Result<()> {
    with(Mesos::Local, async |servers| {
        let accounts = Accounts::prepare(servers, "local-kill", 500).await?;
        let job = accounts.name.clone();
        servers.millstream.deploy(&job, &accounts.job_file(servers, "")).await?;
        let load = Load::start(servers, accounts)?;
        let executors = servers.placed_without(&job, &[]).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let victim = executors.values().next().context("no executor")?;
        victim.signal(Signal::SIGKILL)?;
        servers.placed_without(&job, &[victim.pid]).await?;
        let (accounts, log) = load.stop().await?;
        caught_up(servers, &job).await?;
        let differences = accounts.compare(servers, &log).await?;
        ensure!(differences.total() == 0, "{differences}");
        servers.stop(&job).await
    })
}
