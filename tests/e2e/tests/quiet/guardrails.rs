//! What Cassandra refuses by a setting, to an ordinary role: no row is to blame for it.

use anyhow::{Result, ensure};
use millstream_testbed::{Cassandra, CassandraOptions, Kafka, KafkaOptions};

use crate::stage::{Job, Stage, numbered};

/// Both are settings that an operator may change under a running job.
const GUARDRAILS: &str = "column_value_size_warn_threshold: 1KiB
column_value_size_fail_threshold: 2KiB
write_consistency_levels_disallowed: [ONE]";

const LOGIN: &str = "username = \"ordinary\"\npassword = { env = \"QUIET_PASSWORD\" }";
const PASSWORD: [(&str, &str); 1] = [("QUIET_PASSWORD", "secret")];

#[test]
fn a_guardrail_skips_no_good_rows() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let options = CassandraOptions { guardrails: Some(GUARDRAILS), ..CassandraOptions::nodes(1) };
        let (kafka, cassandra) = tokio::try_join!(Kafka::start(KafkaOptions::default()), Cassandra::start(options))?;
        let stage = Stage { kafka, cassandra };
        stage.cassandra.create_keyspace("quiet").await?;
        let roles = "CREATE ROLE ordinary WITH PASSWORD = 'secret' AND LOGIN = true;
            GRANT ALL ON KEYSPACE quiet TO ordinary";
        stage.cassandra.execute(roles).await?;
        every_row_is_too_large(&stage).await?;
        one_row_is_too_large(&stage).await?;
        the_consistency_is_forbidden(&stage).await
    })
}

/// All rows break the same limit: a few are given up, then the limit is named. A version that makes smaller rows goes on.
async fn every_row_is_too_large(stage: &Stage) -> Result<()> {
    let name = "guard_all";
    stage.prepare(name, 1).await?;
    let job = |sql| Job { sql, errors: "\"skip\"", sink: LOGIN, ..Job::default() };
    let executor = stage.executor_with(name, job("SELECT k, v, repeat('x', 5000) AS c FROM input"), &PASSWORD)?;
    let wanted = numbered("k", 400, |i| i);
    stage.produce(name, 0, wanted.clone())?;
    executor
        .stops(0, "Cassandra refuses row after row for the same limit: Guardrail column_value_size violated")
        .await?;
    ensure!(executor.skipped() <= 10, "{} rows were given up", executor.skipped());
    drop(executor);
    stage.groups(name, name, &["--reset-offsets", "--to-earliest", "--execute"]).await?;
    let executor = stage.executor_with(name, job("SELECT k, v, repeat('x', 50) AS c FROM input"), &PASSWORD)?;
    stage.becomes(name, &wanted).await?;
    executor.leave()
}

/// One row of many: it is bad, and the others are written.
async fn one_row_is_too_large(stage: &Stage) -> Result<()> {
    let name = "guard_one";
    stage.prepare(name, 1).await?;
    let sql = "SELECT k, v, CASE WHEN v = 7 THEN repeat('x', 5000) ELSE 'x' END AS c FROM input";
    let executor =
        stage.executor_with(name, Job { sql, errors: "\"skip\"", sink: LOGIN, ..Job::default() }, &PASSWORD)?;
    let mut wanted = numbered("k", 400, |i| i);
    stage.produce(name, 0, wanted.clone())?;
    wanted.remove("k7");
    stage.becomes(name, &wanted).await?;
    executor.durable(0, 400).await?;
    ensure!(executor.skipped() == 1, "{} rows were given up", executor.skipped());
    executor.leave()
}

/// A consistency that nobody may write at: the job's trouble from the first row on.
async fn the_consistency_is_forbidden(stage: &Stage) -> Result<()> {
    let name = "guard_consistency";
    stage.prepare(name, 1).await?;
    let sink = "username = \"ordinary\"\npassword = { env = \"QUIET_PASSWORD\" }\nconsistency = \"one\"";
    let executor = stage.executor_with(name, Job { errors: "\"skip\"", sink, ..Job::default() }, &PASSWORD)?;
    let wanted = numbered("k", 20, |i| i);
    stage.produce(name, 0, wanted.clone())?;
    executor.stops(0, "Provided values [ONE] are not allowed").await?;
    ensure!(executor.skipped() == 0, "{} rows were given up", executor.skipped());
    drop(executor);
    let executor = stage.executor_with(name, Job { sink: LOGIN, ..Job::default() }, &PASSWORD)?;
    stage.becomes(name, &wanted).await?;
    executor.leave()
}
