//! Executors whose wall clock is wrong.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::stage::{Executor, Job, Stage, numbered, on_stage};

/// An executor whose clock is `off` seconds from the truth.
fn executor_off(stage: &Stage, name: &str, off: i64) -> Result<(Executor, tempfile::TempDir)> {
    let folder = tempfile::tempdir()?;
    let library = folder.path().join("clock.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/quiet/clock.c");
    let made = Command::new("gcc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
    ensure!(made.context("gcc")?.success(), "{source} does not compile");
    let variables = [("LD_PRELOAD", library.to_str().context("no text")?), ("MILLSTREAM_TEST_CLOCK", &off.to_string())];
    Ok((stage.executor_with(name, Job::default(), &variables)?, folder))
}

/// An hour behind, on a table that is filled: Cassandra's own clock is what timestamps go by.
#[test]
fn a_clock_behind_writes_above_what_is_there() -> Result<()> {
    on_stage(async |stage| {
        let name = "clock_behind";
        stage.prepare(name, 1).await?;
        for i in 0..20 {
            let fill = format!("INSERT INTO quiet.{name} (k, v) VALUES ('k{i}', -1)");
            stage.cassandra.execute(&fill).await?;
        }
        let wanted = numbered("k", 20, |i| i);
        stage.produce(name, 0, wanted.clone())?;
        let (executor, _library) = executor_off(stage, name, -3_600)?;
        stage.becomes(name, &wanted).await?;
        executor.leave()
    })
}

/// An hour ahead: nothing is written that would hide what people do by hand later; with the clock set right it goes on.
#[test]
fn a_clock_ahead_is_named_and_its_remedy_works() -> Result<()> {
    on_stage(async |stage| {
        let name = "clock_ahead";
        stage.prepare(name, 1).await?;
        let wanted = numbered("k", 20, |i| i);
        stage.produce(name, 0, wanted.clone())?;
        let (executor, _library) = executor_off(stage, name, 3_600)?;
        executor.stops(0, "check the clocks of this host and of the Cassandra nodes").await?;
        ensure!(stage.rows(name).await?.is_empty(), "rows of the future");
        drop(executor);
        let executor = stage.executor(name, Job::default(), "0")?;
        stage.becomes(name, &wanted).await?;
        executor.leave()
    })
}
