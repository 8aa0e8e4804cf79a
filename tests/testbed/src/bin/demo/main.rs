//! `make demo`: the flights data set through real servers, from TOML file to checked table.
//!
//! Environment: `ONCE=1` ends after the check; `MESOS=real` takes a real Mesos instead of `millstream local`.

mod flights;
mod progress;
mod summary;

use std::{
    io::{IsTerminal as _, stderr},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use millstream_testbed::{
    Cassandra, CassandraOptions, Kafka, KafkaOptions, LocalOptions, Mesos, MesosOptions, Millstream, SchedulerOptions,
    data::DataSet, produce::produce, table,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::summary::Summary;

const HOSTS: usize = 3;
const PARTITIONS: i32 = 12;
const JOB: &str = "flights";
/// Slow machines take minutes where two idle cores take seconds.
const STREAM_WITHIN: Duration = Duration::from_secs(600);

/// Exit code of a run that was interrupted before its check, as shells give it.
const INTERRUPTED: i32 = 130;

/// What the visitor asked for.
struct Wish {
    once: bool,
    real_mesos: bool,
}

/// Everything that runs; dropping it ends it.
struct Stack {
    // Dropped in this order: the scheduler before what it stands on.
    millstream: Millstream,
    _mesos: Option<Mesos>,
    kafka: Kafka,
    cassandra: Cassandra,
}

#[tokio::main]
async fn main() {
    let filter = tracing_subscriber::EnvFilter::new("error,millstream_testbed=info");
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(std::io::stderr)
        .with_ansi(stderr().is_terminal())
        .init();
    let code = guarded().await.unwrap_or_else(|error| {
        eprintln!("demo: {error:#}");
        1
    });
    // Not a return: the runtime would wait for threads that still talk to servers that are gone.
    std::process::exit(code)
}

/// Runs the demo until it is done or a signal comes, and gives the exit code; either way all it started ends with this function.
async fn guarded() -> Result<i32> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let wish = wish()?;
    let interrupted = async {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    };
    tokio::pin!(interrupted);
    let (stack, good) = tokio::select! {
        done = run(&wish) => done?,
        () = &mut interrupted => {
            println!("\nstopping");
            return Ok(INTERRUPTED);
        }
    };
    if !wish.once {
        summary::look_next(&stack).await?;
        println!("\nall stays up until Ctrl-C (ONCE=1 ends the demo here)");
        interrupted.await;
        println!("\nstopping");
    }
    drop(stack);
    Ok(if good { 0 } else { 1 })
}

fn wish() -> Result<Wish> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let once = !matches!(variable("ONCE").as_str(), "" | "0");
    let real_mesos = match variable("MESOS").as_str() {
        "" | "local" => false,
        "real" => true,
        other => bail!("MESOS={other}: it is `real` or `local`"),
    };
    Ok(Wish { once, real_mesos })
}

/// The whole way; true when the table is exact and every task was host-local.
async fn run(wish: &Wish) -> Result<(Stack, bool)> {
    let begin = Instant::now();
    let stack = start(wish).await?;
    let started = begin.elapsed();

    let begin = Instant::now();
    let bytes = prepare(&stack).await?;
    let prepared = begin.elapsed();

    let begin = Instant::now();
    let job = flights::job_file(&stack.kafka.bootstrap(), &stack.cassandra.contact_points());
    stack.millstream.deploy(JOB, &job).await.context("cannot deploy the job")?;
    let ends = stack.kafka.end_offsets(flights::TOPIC)?;
    let placed = progress::follow(stack.millstream.api(), JOB, &ends, STREAM_WITHIN).await?;
    let streamed = begin.elapsed();

    let begin = Instant::now();
    println!("checking every field of the table against the source");
    let session = stack.cassandra.session().await?;
    let table = table::read(&session, flights::KEYSPACE, flights::TABLE).await?;
    let differences = tokio::task::spawn_blocking(move || anyhow::Ok(flights::expected()?.compare(&table))).await??;
    let checked = begin.elapsed();

    let summary = Summary {
        records: DataSet::Flights.len(),
        bytes,
        differences,
        placed,
        phases: [("start", started), ("produce", prepared), ("stream", streamed), ("check", checked)],
    };
    let good = summary.print(&stack).await?;
    Ok((stack, good))
}

async fn start(wish: &Wish) -> Result<Stack> {
    let mesos_kind = if wish.real_mesos { "Mesos 1.11 (master, 3 agents)" } else { "millstream local (3 agents)" };
    println!("starting Kafka (3 brokers), Cassandra (3 nodes) and {mesos_kind}");
    let options = KafkaOptions { brokers: HOSTS, ..Default::default() };
    let mesos = async {
        match wish.real_mesos {
            true => Mesos::start(MesosOptions { agents: HOSTS, ..Default::default() }).await.map(Some),
            false => Ok(None),
        }
    };
    let (kafka, cassandra, mesos) =
        tokio::try_join!(Kafka::start(options), Cassandra::start(CassandraOptions::nodes(HOSTS)), mesos)?;
    let millstream = match &mesos {
        Some(mesos) => {
            Millstream::scheduler(mesos, SchedulerOptions { usual_ports: true, ..Default::default() }).await?
        }
        None => Millstream::local(LocalOptions { agents: HOSTS, usual_ports: true, ..Default::default() }).await?,
    };
    Ok(Stack { millstream, _mesos: mesos, kafka, cassandra })
}

/// Makes topic and table and produces the records; gives their size in bytes.
async fn prepare(stack: &Stack) -> Result<u64> {
    println!("producing {} records to a topic of {PARTITIONS} partitions", summary::grouped(DataSet::Flights.len()));
    tokio::try_join!(
        stack.kafka.create_topic(flights::TOPIC, PARTITIONS, HOSTS as i32),
        stack.cassandra.execute(flights::CQL)
    )?;
    let client = stack.kafka.client();
    tokio::task::spawn_blocking(move || {
        let messages = flights::messages()?;
        let bytes = messages.iter().map(|m| m.value.as_ref().map_or(0, |value| value.len() as u64)).sum::<u64>();
        produce(&client, flights::TOPIC, messages)?;
        anyhow::Ok(bytes)
    })
    .await?
}
