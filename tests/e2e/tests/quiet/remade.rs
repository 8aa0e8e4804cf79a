//! Topics and tables that are made anew.

use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use millstream_testbed::{eventually, table};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::stage::{Job, SOON, numbered, on_stage};

/// Deleted under a running job: said within seconds; made anew: read from its beginning, above the old rows.
#[test]
fn a_topic_made_anew_is_read_from_its_beginning() -> Result<()> {
    on_stage(async |stage| {
        let name = "remade_topic";
        stage.prepare(name, 1).await?;
        stage.produce(name, 0, numbered("k", 40, |i| i))?;
        let executor = stage.executor(name, Job::latest(), "0")?;
        executor.says(0, "running", |partition| partition["status"] == "running").await?;
        stage.kafka.delete_topic(name).await?;
        executor.stops(0, "there is no topic `remade_topic`").await?;
        stage.kafka.create_topic(name, 1, 1).await?;
        let wanted = numbered("k", 60, |i| 1_000 + i);
        stage.produce(name, 0, wanted.clone())?;
        stage.becomes(name, &wanted).await?;
        executor.leave()
    })
}

/// Made anew with fewer partitions: what is missing is named, and its remedy followed.
#[test]
fn a_topic_made_anew_with_fewer_partitions_gets_them_again() -> Result<()> {
    on_stage(async |stage| {
        let name = "remade_fewer";
        stage.prepare(name, 2).await?;
        let executor = stage.executor(name, Job::default(), "0-1")?;
        executor.says(1, "running", |partition| partition["status"] == "running").await?;
        stage.kafka.delete_topic(name).await?;
        stage.kafka.create_topic(name, 1, 1).await?;
        let wanted = numbered("k", 10, |i| i);
        stage.produce(name, 0, wanted.clone())?;
        stage.becomes(name, &wanted).await?;
        let stopped = executor.stops(1, "there is no partition 1 in topic `remade_fewer`").await?;
        ensure!(
            stopped["reason"].as_str().is_some_and(|text| text.contains("give it 2 partitions again")),
            "{stopped}"
        );
        stage.kafka.grow_topic(name, 2).await?;
        let more = numbered("q", 10, |i| i);
        stage.produce(name, 1, more.clone())?;
        stage.becomes(name, &wanted.into_iter().chain(more).collect()).await?;
        executor.leave()
    })
}

/// Deleted and made anew within a moment, grown beyond what was committed, while nobody looked.
#[test]
fn a_topic_made_anew_and_grown_is_told_by_its_id() -> Result<()> {
    on_stage(async |stage| {
        let name = "remade_grown";
        stage.prepare(name, 1).await?;
        stage.produce(name, 0, numbered("k", 20, |i| i))?;
        let executor = stage.executor(name, Job::default(), "0")?;
        executor.durable(0, 20).await?;
        drop(executor);
        stage.kafka.delete_topic(name).await?;
        stage.kafka.create_topic(name, 1, 1).await?;
        let wanted = numbered("k", 30, |i| 1_000 + i);
        stage.produce(name, 0, wanted.clone())?;
        // As an executor that still ran would have: the old offset, after Kafka had forgotten it.
        let executor = stage.executor(name, Job::default(), "0")?;
        stage.becomes(name, &wanted).await?;
        executor.leave()
    })
}

/// 1 → 3 under `latest`: records that came before the new partitions were discovered are read.
#[test]
fn partitions_that_come_later_are_read_from_their_beginning() -> Result<()> {
    on_stage(async |stage| {
        let name = "remade_partitions";
        stage.prepare(name, 1).await?;
        stage.produce(name, 0, numbered("old", 5, |i| i))?;
        let executor = stage.executor(name, Job::latest(), "0")?;
        executor.says(0, "running", |partition| partition["status"] == "running").await?;
        drop(executor);
        stage.kafka.grow_topic(name, 3).await?;
        let (first, second) = (numbered("p", 10, |i| i), numbered("q", 10, |i| i));
        stage.produce(name, 1, first.clone())?;
        stage.produce(name, 2, second.clone())?;
        let executor = stage.executor(name, Job::latest(), "0-2")?;
        stage.becomes(name, &first.into_iter().chain(second).collect()).await?;
        executor.leave()
    })
}

/// A column dropped and added again under load: what was on its way is written again, younger than the drop.
#[test]
fn a_column_dropped_and_added_again_is_filled() -> Result<()> {
    on_stage(async |stage| {
        let name = "remade_column";
        stage.prepare(name, 1).await?;
        let job = Job { sql: "SELECT k, v, 'x' || k AS c FROM input", ..Job::default() };
        let executor = stage.executor(name, job, "0")?;
        executor.says(0, "running", |partition| partition["status"] == "running").await?;
        stage.produce(name, 0, numbered("a", 2_000, |i| i))?;
        executor.durable(0, 2_000).await?;
        stage.cassandra.execute(&format!("ALTER TABLE quiet.{name} DROP c")).await?;
        stage.produce(name, 0, numbered("b", 2_000, |i| i))?;
        executor.stops(0, "has no column `c`").await?;
        stage.cassandra.execute(&format!("ALTER TABLE quiet.{name} ADD c text")).await?;
        stage.produce(name, 0, numbered("c", 500, |i| i))?;
        executor.durable(0, 4_500).await?;
        // It looks at the schema every few seconds, and then writes again what was on its way.
        let missing = async || {
            let filled = stage.filled(name).await?;
            anyhow::Ok((0..2_000).filter(|i| !filled.contains(&format!("b{i}"))).count())
        };
        let filled = eventually("c of all rows", SOON, async || Ok((missing().await? == 0).then_some(())));
        ensure!(filled.await.is_ok(), "{} of 2,000 rows have no c", missing().await?);
        executor.leave()
    })
}

/// `DROP … USING TIMESTAMP` with a time to come hides what is written until then: it is waited for, and said.
#[test]
fn a_column_dropped_with_a_time_to_come_is_waited_for() -> Result<()> {
    on_stage(async |stage| {
        let name = "remade_later";
        stage.prepare(name, 1).await?;
        stage.produce(name, 0, numbered("a", 10, |i| i))?;
        let job = || Job { sql: "SELECT k, v, 'x' || k AS c FROM input", ..Job::default() };
        let executor = stage.executor(name, job(), "0")?;
        executor.durable(0, 10).await?;
        let until = SystemTime::now() + Duration::from_secs(25);
        let until_us = until.duration_since(SystemTime::UNIX_EPOCH)?.as_micros();
        stage.cassandra.execute(&format!("ALTER TABLE quiet.{name} DROP c USING TIMESTAMP {until_us}")).await?;
        stage.cassandra.execute(&format!("ALTER TABLE quiet.{name} ADD c text")).await?;
        stage.produce(name, 0, numbered("b", 10, |i| i))?;
        let waits = |partition: &Value| {
            let reason = partition["reason"].as_str().unwrap_or_default();
            partition["status"] == "stalled" && reason.contains("was dropped with a timestamp that lies")
        };
        executor.says(0, "waits for the time of the drop", waits).await?;
        // Whoever begins meanwhile waits as well.
        executor.signal(Signal::SIGKILL)?;
        drop(executor);
        let executor = stage.executor(name, job(), "0")?;
        executor.says(0, "waits for the time of the drop", waits).await?;
        executor.durable(0, 20).await?;
        let filled = async || {
            let filled = stage.filled(name).await?;
            anyhow::Ok((0..10).all(|i| filled.contains(&format!("b{i}"))).then_some(()))
        };
        ensure!(SystemTime::now() > until, "written while it is hidden");
        eventually("c of the new rows", SOON, filled).await?;
        executor.leave()
    })
}

/// Dropped and made again between two records, before anybody looks: the first write is refused, not made with other bytes.
#[test]
fn a_table_made_again_at_once_gets_none_of_the_old_type() -> Result<()> {
    on_stage(async |stage| {
        let name = "remade_at_once";
        let executor = stage.after_ten(name).await?;
        stage.remake_table(name, "k text PRIMARY KEY, v text").await?;
        stage.produce(name, 0, [("b".into(), 1_952_805_748)])?;
        executor.ends().await?;
        ensure!(stage.texts(name).await?.is_empty(), "{:?}", stage.texts(name).await?);
        Ok(())
    })
}

/// An idle job says that its table is gone, or does not fit any more.
#[test]
fn a_table_that_is_gone_shows_on_an_idle_job() -> Result<()> {
    on_stage(async |stage| {
        let name = "remade_idle";
        let executor = stage.after_ten(name).await?;
        stage.cassandra.execute(&format!("ALTER TABLE quiet.{name} DROP v")).await?;
        executor.stops(0, "no column `v`").await?;
        stage.cassandra.execute(&format!("ALTER TABLE quiet.{name} ADD v int")).await?;
        executor.says(0, "running again", |partition| partition["status"] == "running").await?;
        stage.cassandra.execute(&format!("DROP TABLE quiet.{name}")).await?;
        executor.stops(0, name).await?;
        Ok(())
    })
}

/// Dropped and made again with another type, idle and under load: no cell gets bytes of the old type.
#[test]
fn a_table_made_again_with_another_type_gets_none_of_the_old() -> Result<()> {
    on_stage(async |stage| {
        let name = "remade_table";
        let executor = stage.after_ten(name).await?;
        stage.cassandra.execute(&format!("DROP TABLE quiet.{name}")).await?;
        stage.produce(name, 0, [("b".into(), 1_952_805_748)])?;
        executor.stops(0, "remade_table").await?;
        stage.cassandra.execute(&format!("CREATE TABLE quiet.{name} (k text PRIMARY KEY, v text)")).await?;
        stage.produce(name, 0, [("c".into(), 1_952_805_748)])?;
        // Started anew it sees that the transform does not fit any more, and says so; here nobody starts it again.
        executor.ends().await?;
        let executor = stage.executor(name, Job::default(), "0")?;
        executor.stops(0, "").await?;
        ensure!(stage.texts(name).await?.is_empty(), "{:?}", stage.texts(name).await?);
        Ok(())
    })
}

/// Made again with columns that take any bytes, and then as it was: what went to the one in between is written again.
#[test]
fn what_went_to_another_table_is_written_again() -> Result<()> {
    on_stage(async |stage| {
        let name = "remade_bytes";
        let executor = stage.after_ten(name).await?;
        stage.remake_table(name, "k blob PRIMARY KEY, v blob").await?;
        let wanted = numbered("b", 10, |i| i);
        stage.produce(name, 0, wanted.clone())?;
        executor.ends().await?;
        let executor = stage.executor(name, Job::default(), "0")?;
        executor.stops(0, "column `k`").await?;
        stage.cassandra.execute(&format!("DROP TABLE quiet.{name}")).await?;
        stage.prepare_table(name).await?;
        // All since the table was last known to be itself; a few seconds of rows before that may come again as well.
        let there = async || {
            let rows = stage.rows(name).await?;
            Ok(wanted.iter().all(|(k, v)| rows.get(k) == Some(v)).then_some(()))
        };
        eventually("the rows that went astray", SOON, there).await?;
        executor.leave()
    })
}

/// Keys name their types as well: a text never becomes the bytes of a number.
#[test]
fn a_table_made_again_with_other_keys_gets_none_of_the_old() -> Result<()> {
    on_stage(async |stage| {
        let name = "remade_keys";
        let executor = stage.after_ten(name).await?;
        stage.remake_table(name, "k int PRIMARY KEY, v int").await?;
        stage.produce(name, 0, [("four".into(), 4)])?;
        executor.ends().await?;
        let session = stage.cassandra.session().await?;
        let keys = table::select(&session, &format!("SELECT k FROM quiet.{name}")).await?;
        ensure!(keys.is_empty(), "{keys:?}");
        Ok(())
    })
}
