//! What Kafka, a person or a crash makes forgotten.

use anyhow::{Context as _, Result, ensure};
use millstream_testbed::{
    LocalOptions, Millstream, eventually,
    produce::{Message, produce},
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::stage::{Job, SOON, Stage, numbered, on_stage};

/// Waits until the broker has forgotten the group's offset.
async fn is_forgotten(stage: &Stage, name: &str) -> Result<()> {
    let gone = async || Ok(stage.kafka.committed_offsets(name, name)?.iter().all(Option::is_none).then_some(()));
    eventually("the group's offset forgotten", SOON * 4, gone).await
}

/// `offsets.retention.minutes = 1`: an idle partition under `latest` whose executor is away for longer.
#[test]
fn nothing_is_skipped_when_kafka_forgets_an_idle_commit() -> Result<()> {
    on_stage(async |stage| {
        let name = "forgotten_latest";
        stage.prepare(name, 1).await?;
        stage.produce(name, 0, [("before".into(), 0)])?;
        let executor = stage.executor(name, Job::latest(), "0")?;
        executor.durable(0, 1).await?;
        drop(executor);
        is_forgotten(stage, name).await?;
        let wanted = numbered("k", 5, |i| i);
        stage.produce(name, 0, wanted.clone())?;
        let executor = stage.executor(name, Job::latest(), "0")?;
        stage.becomes(name, &wanted).await?;
        executor.leave()
    })
}

/// Under `earliest` nothing is read again: the rows, deleted by hand, stay away.
#[test]
fn nothing_is_read_again_when_kafka_forgets_an_idle_commit() -> Result<()> {
    on_stage(async |stage| {
        let name = "forgotten_earliest";
        stage.prepare(name, 1).await?;
        stage.produce(name, 0, numbered("old", 20, |i| i))?;
        let executor = stage.executor(name, Job::default(), "0")?;
        executor.durable(0, 20).await?;
        executor.leave()?;
        is_forgotten(stage, name).await?;
        stage.cassandra.execute(&format!("TRUNCATE quiet.{name}")).await?;
        let wanted = numbered("new", 3, |i| i);
        stage.produce(name, 0, wanted.clone())?;
        let executor = stage.executor(name, Job::default(), "0")?;
        executor.durable(0, 23).await?;
        stage.becomes(name, &wanted).await?;
        executor.leave()
    })
}

/// A partition that had stopped on a bad record stays there, whatever Kafka forgot; its remedy is followed literally.
#[test]
fn a_stop_stays_when_kafka_forgets_it() -> Result<()> {
    on_stage(async |stage| {
        let name = "forgotten_stop";
        stage.prepare(name, 1).await?;
        let executor = stage.executor(name, Job::latest(), "0")?;
        executor.says(0, "running", |partition| partition["status"] == "running").await?;
        stage.produce(name, 0, [("a".into(), 1)])?;
        produce(&stage.kafka.client(), name, [Message::new("bad", "{nope")])?;
        stage.produce(name, 0, [("c".into(), 3)])?;
        let stopped = executor.stops(0, "bad record at offset 1").await?;
        ensure!(stopped["stopped_at"] == 1 && stopped["durable"] == 1, "{stopped}");
        drop(executor);
        is_forgotten(stage, name).await?;
        stage.produce(name, 0, [("d".into(), 4)])?;
        let executor = stage.executor(name, Job::latest(), "0")?;
        executor.stops(0, "bad record at offset 1").await?;
        stage.groups(name, name, &["--reset-offsets", "--to-offset", "2", "--execute"]).await?;
        let wanted = [("a", 1), ("c", 3), ("d", 4)].map(|(k, v)| (k.to_owned(), v)).into();
        stage.becomes(name, &wanted).await?;
        executor.leave()
    })
}

/// The same through a scheduler that is killed with its executor and comes back on its old state: the stop is kept, and of an idle partition nothing is skipped.
#[test]
fn a_stop_outlives_executor_and_scheduler() -> Result<()> {
    on_stage(async |stage| {
        let (name, job) = ("forgotten_all", "forgotten-all");
        stage.prepare(name, 2).await?;
        let mut millstream = Millstream::local(LocalOptions { agents: 1, ..LocalOptions::default() }).await?;
        millstream.deploy(name, &stage.job(&stage.kafka, name, Job::latest())).await?;
        let says = async |millstream: &Millstream, partition: i64, wanted: &dyn Fn(&Value) -> bool| {
            let mut last = Value::Null;
            let is = async || {
                last = millstream.api().lag(job).await?;
                let all = last["partitions"].as_array().context("no partitions")?;
                Ok(all.iter().any(|found| found["partition"] == partition && wanted(found)).then_some(()))
            };
            let waited = eventually("the partition as wanted", SOON, is).await;
            waited.with_context(|| last.to_string())
        };
        let is_stopped = |partition: &Value| {
            let reason = partition["reason"].as_str().unwrap_or_default();
            partition["status"] == "stopped" && reason.contains("bad record at offset 1")
        };
        for partition in 0..2 {
            says(&millstream, partition, &|found| found["status"] == "running").await?;
        }
        stage.produce(name, 0, [("a".into(), 1)])?;
        produce(&stage.kafka.client(), name, [Message { partition: Some(0), ..Message::new("bad", "{nope") }])?;
        stage.produce(name, 0, [("c".into(), 3)])?;
        stage.produce(name, 1, [("p".into(), 1)])?;
        says(&millstream, 0, &is_stopped).await?;
        says(&millstream, 1, &|found| found["durable"] == 1).await?;
        for executor in millstream.executors()? {
            executor.signal(Signal::SIGKILL)?;
        }
        millstream.process().kill();
        is_forgotten(stage, name).await?;
        stage.produce(name, 0, [("d".into(), 4)])?;
        stage.produce(name, 1, [("q".into(), 2)])?;
        millstream.restart().await?;
        says(&millstream, 0, &is_stopped).await?;
        let idle = [("a", 1), ("p", 1), ("q", 2)].map(|(k, v)| (k.to_owned(), v)).into();
        stage.becomes(name, &idle).await?;
        stage.groups(name, &format!("{name}:0"), &["--reset-offsets", "--to-offset", "2", "--execute"]).await?;
        let wanted = [("a", 1), ("c", 3), ("d", 4), ("p", 1), ("q", 2)].map(|(k, v)| (k.to_owned(), v)).into();
        stage.becomes(name, &wanted).await
    })
}

/// The table of blocks is emptied under a running executor: it begins the list anew and loses nothing.
#[test]
fn the_list_may_be_lost() -> Result<()> {
    on_stage(async |stage| {
        let name = "forgotten_list";
        stage.prepare(name, 1).await?;
        stage.produce(name, 0, numbered("k", 100, |i| i))?;
        let executor = stage.executor(name, Job::latest(), "0")?;
        executor.says(0, "running", |partition| partition["status"] == "running").await?;
        let delete = format!(
            "DELETE FROM quiet.millstream_epochs WHERE job = 'forgotten-list' AND topic = '{name}' AND partition = 0"
        );
        stage.cassandra.execute(&delete).await?;
        let wanted = numbered("n", 5_000, |i| i);
        stage.produce(name, 0, wanted.clone())?;
        stage.becomes(name, &wanted).await?;
        executor.leave()
    })
}

/// The scheduler's state is lost: the generation goes on from the table. It comes back older than the table: said, with a
/// remedy that works.
#[test]
fn the_schedulers_state_may_be_lost_or_old() -> Result<()> {
    on_stage(async |stage| {
        let (name, job) = ("forgotten_state", "forgotten-state");
        stage.prepare(name, 1).await?;
        stage.produce(name, 0, numbered("k", 30, |i| i))?;
        let text = |sql| stage.job(&stage.kafka, name, Job { sql, ..Job::default() });
        let options = || LocalOptions { agents: 1, ..LocalOptions::default() };
        let again = async || stage.groups(name, name, &["--reset-offsets", "--to-earliest", "--execute"]).await;

        let first = Millstream::local(options()).await?;
        first.deploy(name, &text("SELECT k, v FROM input")).await?;
        stage.becomes(name, &numbered("k", 30, |i| i)).await?;
        first.deploy(name, &text("SELECT k, v + 1000 AS v FROM input")).await?;
        let is_second = async || Ok((first.api().job(job).await?["generation"] == 2).then_some(()));
        eventually("the second generation", SOON, is_second).await?;
        again().await?;
        stage.becomes(name, &numbered("k", 30, |i| i + 1_000)).await?;
        drop(first);

        // Nothing is known of either version.
        let mut second = Millstream::local(options()).await?;
        second.deploy(name, &text("SELECT k, v + 2000 AS v FROM input")).await?;
        again().await?;
        stage.becomes(name, &numbered("k", 30, |i| i + 2_000)).await?;

        // A state of before the last change comes back.
        let (state, copy) = (second.path().join("state"), second.path().join("copy"));
        let copied = |from: &std::path::Path, to: &std::path::Path| -> Result<()> {
            let done = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status()?;
            ensure!(done.success(), "cp");
            Ok(())
        };
        second.process().kill();
        copied(&state, &copy)?;
        second.restart().await?;
        second.deploy(name, &text("SELECT k, v + 3000 AS v FROM input")).await?;
        // The version before would still obey: the next record tells that it has left.
        let has_changed = async |k: &str, v| {
            stage.produce(name, 0, [(k.to_owned(), 0)])?;
            let is = async || Ok((stage.rows(name).await?.get(k) == Some(&v)).then_some(()));
            eventually("the new version writes", SOON, is).await
        };
        let is_third = async || Ok(second.api().job(job).await?["rollout"].is_null().then_some(()));
        eventually("the change is done", SOON, is_third).await?;
        has_changed("third", 3_000).await?;
        again().await?;
        let mut wanted = numbered("k", 30, |i| i + 3_000);
        wanted.insert("third".into(), 3_000);
        stage.becomes(name, &wanted).await?;
        second.process().kill();
        for executor in second.executors()? {
            executor.signal(Signal::SIGKILL)?;
        }
        std::fs::rename(&state, second.path().join("newer"))?;
        copied(&copy, &state)?;
        second.restart().await?;
        let why = async || {
            let why = second.cli(&["why", job]).await?;
            Ok(why.contains("deploy the job again, which takes the next generation").then_some(()))
        };
        eventually("why names the older state", SOON, why).await?;
        second.deploy(name, &text("SELECT k, v + 2000 AS v FROM input")).await?;
        has_changed("fourth", 2_000).await?;
        again().await?;
        let mut wanted = numbered("k", 30, |i| i + 2_000);
        wanted.extend([("third".to_owned(), 2_000), ("fourth".to_owned(), 2_000)]);
        stage.becomes(name, &wanted).await
    })
}
