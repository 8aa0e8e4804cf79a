//! What Kafka, a person or a crash makes forgotten.

use anyhow::{Result, ensure};
use millstream_testbed::{
    eventually,
    produce::{Message, produce},
};

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
