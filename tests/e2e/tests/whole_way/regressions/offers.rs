//! Offers kept, refused and asked for in the wrong way.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use millstream_e2e::{Accounts, Greedy, Mesos, Observer, Servers, Shape, figure, with};
use millstream_testbed::eventually;

use crate::run::slots;

const AGENTS: f64 = 3.0;
const CPUS: f64 = 12.0;
const SOON: Duration = Duration::from_secs(20);
/// How long a job that fits nowhere is watched.
const WATCHED: Duration = Duration::from_secs(8);
/// REVIVE may have to wait for 5 s, then one allocation and one launch.
const REVIVED_WITHIN: Duration = Duration::from_secs(15);

/// No agent has so much.
fn fits_nowhere() -> Shape {
    Shape { cpus: 9.0, ..Shape::default() }
}

/// Deploys it, and waits until it is refused everywhere.
async fn waiting(servers: &Servers, name: &str, shape: &Shape, word: &str) -> Result<Vec<String>> {
    let accounts = Accounts::prepare(servers, name, 10).await?;
    servers.millstream.deploy(name, &accounts.shaped_job_file(servers, shape)).await?;
    refused(servers, name, word).await
}

/// Waits until every task has seen offers, or has learnt otherwise that no agent has what `word` names; gives what `why` says.
async fn refused(servers: &Servers, name: &str, word: &str) -> Result<Vec<String>> {
    let said = eventually("every task says why it waits", SOON, async || {
        let slots = slots(servers, name).await?;
        let texts: Vec<String> =
            slots.iter().map(|slot| slot["text"].as_str().unwrap_or_default().to_owned()).collect();
        Ok((texts.len() == 3 && texts.iter().all(|text| text.contains(word))).then_some(texts))
    });
    match said.await {
        Ok(texts) => Ok(texts),
        Err(error) => Err(error.context(servers.millstream.api().why(name).await?.to_string())),
    }
}

/// mesos/storm#132, Singularity#1532: a framework that waits keeps the offers it cannot use, and others starve.
#[test]
fn offer_hoarding_storm_132() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let observer = Observer::start(&servers.mesos()?.master());
        waiting(servers, "storm-132", &fits_nowhere(), "cpus").await?;
        let greedy = Greedy::start(&servers.mesos()?.master()).await?;
        greedy.gets(CPUS, SOON).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let manners = observer.manners()?;
        figure(&manners);
        manners.are_good()?;
        ensure!(greedy.cpus() == CPUS, "only {} cpus are left to the other", greedy.cpus());
        servers.stop("storm-132").await
    })
}

/// spark#10924, spark#17031, FLINK-14158: with filters of seconds the same useless offers come for ever.
#[test]
fn short_decline_filters_spark_10924() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let observer = Observer::start(&servers.mesos()?.master());
        waiting(servers, "spark-10924", &fits_nowhere(), "cpus").await?;
        tokio::time::sleep(WATCHED).await;
        let manners = observer.manners()?;
        figure(&manners);
        // All agents twice: once, and once more for a REVIVE. Unfiltered, they would come 40 times.
        let sent = manners.count("offers/sent");
        ensure!(sent as f64 <= 2.0 * AGENTS, "{sent} offers were sent: {manners}");
        servers.stop("spark-10924").await
    })
}

/// marathon#2181, marathon#1935, storm#134: REVIVE is lost, or the last decline overtakes it, and a new want waits for the old
/// filters (2 minutes here) to end.
#[test]
fn revive_lost_marathon_2181() -> Result<()> {
    with(Mesos::Real, async |servers| {
        let observer = Observer::start(&servers.mesos()?.master());
        let nowhere = Accounts::prepare(servers, "marathon-2181-nowhere", 10).await?;
        let fits = Accounts::prepare(servers, "marathon-2181-fits", 10).await?;
        let files = (nowhere.shaped_job_file(servers, &fits_nowhere()), fits.job_file(servers, ""));
        let mut slowest = Duration::ZERO;
        for round in 0..4 {
            let deploy_nowhere = servers.millstream.deploy(&nowhere.name, &files.0);
            let deploy_fits = servers.millstream.deploy(&fits.name, &files.1);
            if round % 2 == 0 {
                // One want after the other: all agents are refused for long when the second one comes.
                deploy_nowhere.await?;
                refused(servers, &nowhere.name, "cpus").await?;
                deploy_fits.await?;
            } else {
                // Both at once: the first one's declines meet the second one's REVIVE.
                tokio::try_join!(deploy_nowhere, deploy_fits)?;
            }
            let begun = Instant::now();
            servers.millstream.api().wait_running(&fits.name, REVIVED_WITHIN).await?;
            slowest = slowest.max(begun.elapsed());
            servers.stop(&fits.name).await?;
            servers.stop(&nowhere.name).await?;
        }
        figure(format!("a new want among refused offers ran after {:.1} s at most", slowest.as_secs_f64()));
        let manners = observer.manners()?;
        figure(&manners);
        manners.are_good()
    })
}

/// marathon#1090 and many like it: nothing starts, and nobody says why.
#[test]
fn no_word_why_marathon_1090() -> Result<()> {
    with(Mesos::Real, async |servers| {
        for (name, shape, word) in [
            ("marathon-1090-cpus", fits_nowhere(), "cpus"),
            ("marathon-1090-mem", Shape { mem_mib: 100_000, ..Shape::default() }, "memory"),
            (
                "marathon-1090-rack",
                Shape { placement: "constraints = [\"rack = r9\"]".into(), ..Shape::default() },
                "rack = r9",
            ),
        ] {
            let texts = waiting(servers, name, &shape, word).await?;
            figure(format!("{name}: {}", texts[0]));
            let cli = servers.millstream.cli(&["why", name]).await?;
            ensure!(cli.contains(word), "{cli}");
            servers.stop(name).await?;
        }
        Ok(())
    })
}
