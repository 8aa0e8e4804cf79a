//! One job that speaks TLS and logs in everywhere; its secrets are nowhere but where they are used.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use millstream_testbed::{LocalOptions, Millstream, consume, eventually, produce::Message, produce::produce, table};

use crate::{CASSANDRA_PASSWORD, KAFKA_PASSWORD, KEYSPACE, Stage, live, on_stage};

const SOON: Duration = Duration::from_secs(90);

#[test]
fn secrets_of_a_job_under_every_login_are_found_nowhere() -> Result<()> {
    on_stage(async |stage| {
        let mut env: Vec<(String, String)> =
            live::SECRETS.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        env.push(("RUST_LOG".to_owned(), "debug".to_owned()));
        let mut millstream = Millstream::local(LocalOptions { agents: 1, env, ..LocalOptions::default() }).await?;
        let job = live::job("orders", &stage.by_scram(), &stage.cassandra.address(1), &stage.sink());
        millstream.deploy("orders", &job).await?;
        millstream.api().wait_running("orders", SOON).await?;
        let records = [("a", r#"{"k":"a","v":1}"#), ("b", "no JSON"), ("c", r#"{"k":"c","v":3}"#)];
        produce(&stage.kafka.client(), "orders", records.map(|(key, value)| Message::new(key, value)))?;
        rows(stage, 2).await?;
        letter(stage).await?;
        ensure_nowhere(stage, &mut millstream).await
    })
}

async fn rows(stage: &Stage, wanted: usize) -> Result<()> {
    let session = stage.cassandra.session().await?;
    eventually("the rows", SOON, async || {
        let table = table::read(&session, KEYSPACE, "orders").await?;
        Ok((table.rows.len() == wanted).then_some(()))
    })
    .await
}

async fn letter(stage: &Stage) -> Result<()> {
    eventually("the dead letter", SOON, async || {
        Ok((!consume::read_topic(&stage.kafka.client(), "orders.dead")?.is_empty()).then_some(()))
    })
    .await
}

async fn ensure_nowhere(stage: &Stage, millstream: &mut Millstream) -> Result<()> {
    let key = fs::read_to_string(&stage.client.key)?;
    let line = key.lines().nth(1).context("a key has lines")?.to_owned();
    let token = fs::read_to_string(millstream.api().token_file())?.trim().to_owned();
    let secrets = [KAFKA_PASSWORD.to_owned(), CASSANDRA_PASSWORD.to_owned(), line, token];
    let mut seen = 0;
    let mut look = |place: &str, bytes: &[u8]| -> Result<()> {
        seen += 1;
        for secret in &secrets {
            let is_there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            ensure!(!is_there, "{secret} is in {place}");
        }
        Ok(())
    };
    // State, logs, sandboxes: all that is below its folder, but the file of the token itself.
    for file in files_below(millstream.path())? {
        if file != millstream.api().token_file() {
            look(&file.display().to_string(), &fs::read(&file)?)?;
        }
    }
    for path in [
        "/",
        "/health",
        "/metrics",
        "/api/v1/jobs",
        "/api/v1/jobs/orders",
        "/api/v1/jobs/orders/why",
        "/api/v1/jobs/orders/lag",
        "/api/v1/sd",
        "/api/v1/state",
    ] {
        look(path, millstream.api().text(path).await?.as_bytes())?;
    }
    let master = format!("http://{}", millstream.master());
    look("the master's state", millstream_testbed::http::text(&format!("{master}/state")).await?.as_bytes())?;
    for record in consume::read_topic(&stage.kafka.client(), "orders.dead")? {
        look("the dead letters", format!("{record:?}").as_bytes())?;
    }
    for target in millstream.api().get("/api/v1/sd").await?.as_array().into_iter().flatten() {
        for address in target["targets"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str) {
            look(
                "an executor's metrics",
                millstream_testbed::http::text(&format!("http://{address}/metrics")).await?.as_bytes(),
            )?;
        }
    }
    let executors = millstream.executors()?;
    ensure!(!executors.is_empty(), "no executor runs");
    let mut own = vec![millstream.process().pid().context("it runs")?];
    own.extend(executors.iter().map(|executor| executor.pid));
    for process in processes()? {
        look(
            &format!("the arguments of {process}"),
            &fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default(),
        )?;
    }
    for pid in own {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).context("a limit")?;
        ensure!(core.split_whitespace().nth(4) == Some("0"), "{pid} leaves its memory behind: {core}");
    }
    ensure!(seen > 20, "only {seen} places were looked at");
    millstream_e2e::figure(format!("{seen} places, none of {} secrets in them", secrets.len()));
    Ok(())
}

fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![];
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let kind = fs::symlink_metadata(&path)?.file_type();
        if kind.is_dir() {
            found.extend(files_below(&path)?);
        } else if kind.is_file()
            && !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("millstream"))
        {
            found.push(path);
        }
    }
    Ok(found)
}

/// All but those of the tests' own servers, which are told their passwords.
fn processes() -> Result<Vec<u32>> {
    let pids = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(pids.collect())
}
