//! A million records from a real Kafka into a real Cassandra, against the clock: rows/s, CPU-seconds per million of the executor
//! and of the servers, peak memory. Everything runs on this machine, so compare ratios and CPU-seconds, and quote the core count.

mod load;
mod run;

use anyhow::{Result, ensure};
use clap::Parser;
use millstream_testbed::{Cassandra, CassandraOptions, Kafka, KafkaOptions, start_both};

/// JVMs compile what is hot during the first rows; those are not counted.
const WARM_UP: u64 = 200_000;
const PARTITIONS: i32 = 8;

/// Benchmark of the whole way, Kafka → SQL → Cassandra.
#[derive(Parser)]
#[command(name = "bench")]
struct Options {
    /// Records of a measured run.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Measured runs.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Devices: Cassandra partitions that a run writes to.
    #[arg(long, default_value_t = 256)]
    devices: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    println!("starting one Kafka broker and one Cassandra node");
    let kafka = KafkaOptions { heap_mib: 512, optimised: true, ..KafkaOptions::default() };
    let cassandra = CassandraOptions { heap_mib: 1024, optimised: true, ..CassandraOptions::nodes(1) };
    let (mut kafka, mut cassandra) = start_both(kafka, cassandra).await?;
    cassandra.create_keyspace(run::KEYSPACE).await?;

    println!("warming up with {WARM_UP} rows");
    measure(&mut kafka, &mut cassandra, "warm-up", WARM_UP, options.devices).await?;

    println!("{}", run::Figures::head());
    for run in 1..=options.runs {
        let figures =
            measure(&mut kafka, &mut cassandra, &format!("run-{run}"), options.records, options.devices).await?;
        println!("{figures}");
    }
    let cores = std::thread::available_parallelism()?;
    println!(
        "on {cores} cores, servers included; CPU in seconds per million records; peak is the executor's resident memory"
    );
    Ok(())
}

/// One run on a topic and a table of its own, checked row by row count.
async fn measure(
    kafka: &mut Kafka,
    cassandra: &mut Cassandra,
    name: &str,
    records: u64,
    devices: u64,
) -> Result<run::Figures> {
    kafka.create_topic(name, PARTITIONS, 1).await?;
    load::produce(kafka, name, records, devices).await?;
    let table = name.replace('-', "_");
    cassandra.execute(&run::table_cql(&table)).await?;
    let figures = run::execute(kafka, cassandra, name, &table, records).await?;
    let rows = load::count(cassandra, &table, devices).await?;
    ensure!(rows == records, "{rows} rows in {table}, {records} expected");
    Ok(figures)
}
