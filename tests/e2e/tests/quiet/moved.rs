//! Offsets that a person or another executor moves.

use anyhow::{Context as _, Result, ensure};
use millstream_testbed::eventually;
use nix::sys::signal::Signal;

use crate::stage::{Job, SOON, numbered, on_stage};

/// While the job runs: a person is obeyed within seconds, and rows are written again, above a delete made in between.
#[test]
fn a_person_who_moves_the_offset_is_obeyed() -> Result<()> {
    on_stage(async |stage| {
        let name = "moved_running";
        stage.prepare(name, 1).await?;
        let wanted = numbered("k", 50, |i| i);
        stage.produce(name, 0, wanted.clone())?;
        let executor = stage.executor(name, Job::default(), "0")?;
        executor.durable(0, 50).await?;
        stage.cassandra.execute(&format!("TRUNCATE quiet.{name}")).await?;
        for i in 0..50 {
            stage.cassandra.execute(&format!("DELETE FROM quiet.{name} WHERE k = 'k{i}'")).await?;
        }
        stage.groups(name, name, &["--reset-offsets", "--to-earliest", "--execute"]).await?;
        stage.becomes(name, &wanted).await?;
        executor.durable(0, 50).await?;
        let committed = async || Ok((stage.kafka.committed_offsets(name, name)? == [Some(50)]).then_some(()));
        eventually("the offset committed again", SOON, committed).await?;
        executor.leave()
    })
}

/// A zombie wakes up on a quiet topic and commits what it knows: Kafka's tools show no lag for long.
#[test]
fn a_commit_that_a_zombie_moves_back_is_made_again() -> Result<()> {
    on_stage(async |stage| {
        let name = "moved_back";
        let zombie = stage.after_ten(name).await?;
        zombie.signal(Signal::SIGSTOP)?;
        let owner = stage.executor(name, Job::default(), "0")?;
        stage.produce(name, 0, numbered("b", 10, |i| i))?;
        owner.durable(0, 20).await?;
        zombie.signal(Signal::SIGCONT)?;
        zombie.durable(0, 20).await?;
        drop(zombie);
        let committed = async || Ok((stage.kafka.committed_offsets(name, name)? == [Some(20)]).then_some(()));
        eventually("the commit of the owner", SOON, committed).await?;
        owner.leave()
    })
}

/// A zombie wakes up, begins younger timestamps below what the idle owner has read, writes an old record again, and dies:
/// the owner finds out, and the last record wins.
#[test]
fn what_a_zombie_wrote_again_does_not_stay() -> Result<()> {
    on_stage(async |stage| {
        let name = "moved_below";
        stage.prepare(name, 1).await?;
        stage.produce(name, 0, (0..10).map(|i| ("k".to_owned(), i)))?;
        let owner = stage.executor(name, Job::default(), "0")?;
        owner.durable(0, 10).await?;
        // What it would do, by hand: an epoch from record 3 on, and record 5 under it.
        let mut epoch = stage.newest_epoch(name).await?;
        let anchor_us = epoch["anchor_us"].as_i64().context("no number")? + 1_000_000;
        epoch.insert("epoch".into(), (epoch["epoch"].as_i64().context("no number")? + 1).into());
        epoch.extend([("from_offset".into(), 3.into()), ("anchor_us".into(), anchor_us.into())]);
        epoch.insert("reason".into(), "cut".into());
        let row = serde_json::to_string(&epoch)?.replace('\'', "''");
        stage.cassandra.execute(&format!("INSERT INTO quiet.millstream_epochs JSON '{row}' IF NOT EXISTS")).await?;
        let written_us = anchor_us + 2;
        let update = format!("UPDATE quiet.{name} USING TIMESTAMP {written_us} SET v = 5 WHERE k = 'k'");
        stage.cassandra.execute(&update).await?;
        stage.becomes(name, &[("k".to_owned(), 9)].into()).await?;
        owner.leave()
    })
}

/// The scheduler's state was lost and the text changed: the generation goes on from the table, and a reset of the group
/// writes every row anew.
#[test]
fn a_changed_text_without_memory_writes_above_the_old_rows() -> Result<()> {
    on_stage(async |stage| {
        let name = "moved_text";
        stage.prepare(name, 1).await?;
        stage.produce(name, 0, numbered("k", 30, |i| i))?;
        let executor = stage.executor(name, Job::default(), "0")?;
        executor.durable(0, 30).await?;
        executor.leave()?;
        stage.groups(name, name, &["--reset-offsets", "--to-earliest", "--execute"]).await?;
        let changed = Job { sql: "SELECT k, v + 1000 AS v FROM input", ..Job::default() };
        let executor = stage.executor(name, changed, "0")?;
        stage.becomes(name, &numbered("k", 30, |i| i + 1_000)).await?;
        executor.leave()
    })
}

/// Records gone before they were read: the stop names them, and its remedy goes on without them.
#[test]
fn a_gap_is_named_and_its_remedy_works() -> Result<()> {
    on_stage(async |stage| {
        let name = "moved_gap";
        stage.after_ten(name).await?.leave()?;
        stage.produce(name, 0, numbered("b", 10, |i| i))?;
        stage.kafka.delete_records(name, 15).await?;
        let executor = stage.executor(name, Job::default(), "0")?;
        let stopped = executor.stops(0, "5 records in [10, 15) are gone").await?;
        ensure!(
            stopped["reason"].as_str().is_some_and(|text| text.contains("set the group's offset to 15")),
            "{stopped}"
        );
        stage.groups(name, name, &["--reset-offsets", "--to-offset", "15", "--execute"]).await?;
        let mut wanted = numbered("a", 10, |i| i);
        wanted.extend((5..10).map(|i| (format!("b{i}"), i)));
        stage.becomes(name, &wanted).await?;
        executor.leave()
    })
}

/// A person sets an offset that retention passes before the executor begins: said, and the remedy goes on.
#[test]
fn an_offset_below_the_log_is_named_and_its_remedy_works() -> Result<()> {
    on_stage(async |stage| {
        let name = "moved_under";
        stage.after_ten(name).await?.leave()?;
        stage.cassandra.execute(&format!("TRUNCATE quiet.{name}")).await?;
        stage.groups(name, name, &["--reset-offsets", "--to-offset", "3", "--execute"]).await?;
        stage.kafka.delete_records(name, 6).await?;
        let executor = stage.executor(name, Job::default(), "0")?;
        let stopped = executor.stops(0, "the group's offset was set to 3, and the log starts at 6").await?;
        ensure!(stopped["reason"].as_str().is_some_and(|text| text.contains("at least 6")), "{stopped}");
        stage.groups(name, name, &["--reset-offsets", "--to-offset", "6", "--execute"]).await?;
        stage.becomes(name, &(6..10).map(|i| (format!("a{i}"), i)).collect()).await?;
        executor.leave()
    })
}

/// A person sets an offset beyond the end, in a way that Kafka's tool would not.
#[test]
fn an_offset_beyond_the_end_is_named_and_its_remedy_works() -> Result<()> {
    on_stage(async |stage| {
        let name = "moved_beyond";
        stage.after_ten(name).await?.leave()?;
        stage.kafka.commit(name, name, 0, 50)?;
        let executor = stage.executor(name, Job::default(), "0")?;
        let stopped = executor.stops(0, "offset 50 is beyond the log end 10").await?;
        ensure!(stopped["reason"].as_str().is_some_and(|text| text.contains("at most 10")), "{stopped}");
        stage.groups(name, name, &["--reset-offsets", "--to-offset", "10", "--execute"]).await?;
        stage.produce(name, 0, [("b".into(), 1)])?;
        let mut wanted = numbered("a", 10, |i| i);
        wanted.insert("b".into(), 1);
        stage.becomes(name, &wanted).await?;
        executor.leave()
    })
}
