//! `testbed`: the real servers for a developer's hands.

use std::io::{IsTerminal as _, stderr};

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use millstream_testbed::{Cassandra, CassandraOptions, Kafka, KafkaOptions, Mesos, MesosOptions, ZooKeeper};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Starts the real Kafka, Cassandra, ZooKeeper and Mesos on this machine.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts servers, prints their addresses and stops them at Ctrl-C.
    Up(Up),
    /// Waits up to 10 s until no process of a testbed is left; lists them and fails otherwise.
    Leftovers,
}

#[derive(Debug, clap::Args)]
struct Up {
    /// Kafka brokers (0, 1 or 3).
    #[arg(long, default_value_t = 1)]
    kafka: usize,
    /// Cassandra nodes (0, 1 or 3).
    #[arg(long, default_value_t = 1)]
    cassandra: usize,
    /// Mesos agents (0: no Mesos).
    #[arg(long, default_value_t = 0)]
    mesos: usize,
    /// Mesos masters (1, or 3 that elect their leader in ZooKeeper).
    #[arg(long, default_value_t = 1)]
    masters: usize,
    /// ZooKeeper nodes (0, 1 or 3); several masters have 3 at least.
    #[arg(long, default_value_t = 0)]
    zookeeper: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::new("error,millstream_testbed=info");
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(stderr().is_terminal())
        .init();
    match Cli::parse().command {
        Command::Up(wanted) => up(wanted).await?,
        Command::Leftovers => leftovers().await?,
    }
    // Not a return: the runtime would wait for threads that may still be fetching jars.
    std::process::exit(0)
}

async fn up(wanted: Up) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let servers = async {
        tokio::try_join!(
            optional(wanted.kafka, Kafka::start(KafkaOptions { brokers: wanted.kafka, ..Default::default() })),
            optional(wanted.cassandra, Cassandra::start(CassandraOptions::nodes(wanted.cassandra))),
            coordinated(&wanted),
        )
    };
    tokio::select! {
        servers = servers => {
            let (kafka, cassandra, (zookeeper, mesos)) = servers?;
            if let Some(kafka) = &kafka {
                println!("kafka      {}", kafka.bootstrap());
            }
            if let Some(cassandra) = &cassandra {
                println!("cassandra  {}", cassandra.contact_points().join(","));
            }
            if let Some(zookeeper) = &zookeeper {
                println!("zookeeper  {}", zookeeper.url("/"));
            }
            if let Some(mesos) = &mesos {
                println!("mesos      {}  (state: http://{}/state)", mesos.location(), mesos.master());
            }
            println!("Ctrl-C stops them");
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        }
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

async fn coordinated(wanted: &Up) -> Result<(Option<ZooKeeper>, Option<Mesos>)> {
    let several = wanted.mesos > 0 && wanted.masters > 1;
    let nodes = if several { wanted.zookeeper.max(3) } else { wanted.zookeeper };
    let zookeeper = optional(nodes, ZooKeeper::start(nodes)).await?;
    let options = MesosOptions {
        masters: wanted.masters,
        zookeeper: zookeeper.as_ref().filter(|_| several).map(|zookeeper| zookeeper.url("/mesos")),
        agents: wanted.mesos,
        ..Default::default()
    };
    let mesos = optional(wanted.mesos, Mesos::start(options)).await?;
    Ok((zookeeper, mesos))
}

async fn optional<T>(count: usize, start: impl Future<Output = Result<T>>) -> Result<Option<T>> {
    if count == 0 { Ok(None) } else { start.await.map(Some) }
}

async fn leftovers() -> Result<()> {
    for _ in 0..100 {
        if millstream_testbed::leftovers()?.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let left: Vec<String> =
        millstream_testbed::leftovers()?.iter().map(|(pid, line)| format!("{pid} {line}")).collect();
    bail!("still running:\n{}", left.join("\n"))
}
