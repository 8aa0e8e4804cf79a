//! Offsets that a person or another executor moves.

use anyhow::{Result, ensure};
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
        stage.prepare(name, 1).await?;
        stage.produce(name, 0, numbered("a", 10, |i| i))?;
        let zombie = stage.executor(name, Job::default(), "0")?;
        zombie.durable(0, 10).await?;
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
        stage.prepare(name, 1).await?;
        stage.produce(name, 0, numbered("a", 10, |i| i))?;
        let executor = stage.executor(name, Job::default(), "0")?;
        executor.durable(0, 10).await?;
        executor.leave()?;
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
