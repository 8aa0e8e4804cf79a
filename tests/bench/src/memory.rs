//! The most memory an executor takes where memory is hard to keep: Cassandra stands still, and what is fetched is compressed,
//! large, bad, or made larger by the SQL. Compare with what the job gives it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;
use millstream_bench::{executor, meter};
use millstream_testbed::{Cassandra, CassandraOptions, Kafka, KafkaOptions, start_both};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rdkafka::{
    error::KafkaError,
    producer::{BaseProducer, BaseRecord, Producer as _},
    types::RDKafkaErrorCode,
};

const KEYSPACE: &str = "bench";

/// After that nothing more is fetched: all that may wait does.
const FILLED_AFTER: Duration = Duration::from_secs(25);

/// For an executor that begins.
const BEGUN_AFTER: Duration = Duration::from_secs(6);

/// Memory of an executor in its worst cases.
#[derive(Parser)]
#[command(name = "memory")]
struct Options {
    /// What the job gives it, in MiB.
    #[arg(long, default_value_t = 256)]
    mem_mib: u64,
    /// Only the case of this name.
    #[arg(long)]
    only: Option<String>,
}

/// What is hard.
struct Case {
    name: &'static str,
    partitions: i32,
    /// Bytes of one record's value, nearly all of them alike.
    record_bytes: usize,
    /// Bytes that the producer puts into one batch before it compresses them.
    batch_bytes: usize,
    /// Bytes of all records.
    total_bytes: usize,
    v: &'static str,
    bad_record: &'static str,
}

const USUAL: Case = Case {
    name: "nothing",
    partitions: 4,
    record_bytes: 1_000,
    batch_bytes: 256 << 10,
    total_bytes: 0,
    v: "v",
    bad_record: "\"fail\"",
};

const CASES: [Case; 7] = [
    USUAL,
    Case { name: "usual records", total_bytes: 1_000 << 20, ..USUAL },
    Case { name: "40 partitions", partitions: 40, total_bytes: 1_000 << 20, ..USUAL },
    Case {
        name: "40 partitions, large batches",
        partitions: 40,
        batch_bytes: 16 << 20,
        total_bytes: 1_000 << 20,
        ..USUAL
    },
    Case { name: "large records", record_bytes: 4 << 20, batch_bytes: 8 << 20, total_bytes: 1_000 << 20, ..USUAL },
    Case { name: "large results", record_bytes: 100, total_bytes: 10 << 20, v: "repeat(v, 10000)", ..USUAL },
    Case {
        name: "dead letters",
        record_bytes: 100_000,
        total_bytes: 1_000 << 20,
        v: "CAST(CAST(v AS INT) AS TEXT)",
        bad_record: "{ dead_letter = \"letters\" }",
        ..USUAL
    },
];

fn main() -> Result<()> {
    let options = Options::parse();
    tokio::runtime::Runtime::new()?.block_on(run(options))
}

async fn run(Options { mem_mib, only }: Options) -> Result<()> {
    let properties = [("message.max.bytes".to_owned(), "20000000".to_owned())].into();
    let kafka = KafkaOptions { heap_mib: 1024, properties, ..KafkaOptions::default() };
    let (kafka, mut cassandra) = start_both(kafka, CassandraOptions::nodes(1)).await?;
    cassandra.create_keyspace(KEYSPACE).await?;
    kafka.create_topic("letters", 1, 1).await?;
    println!("{:>30}  peak of {mem_mib} MiB", "case");
    for (number, case) in CASES.iter().enumerate() {
        if only.as_deref().is_none_or(|only| only == case.name) {
            let peak = measure(&kafka, &mut cassandra, &format!("case_{number}"), case, mem_mib).await?;
            println!("{:>30}  {:>5} MiB", case.name, peak >> 20);
        }
    }
    Ok(())
}

async fn measure(kafka: &Kafka, cassandra: &mut Cassandra, name: &str, case: &Case, mem_mib: u64) -> Result<u64> {
    kafka.create_topic(name, case.partitions, 1).await?;
    cassandra.execute(&format!("CREATE TABLE {KEYSPACE}.{name} (k text PRIMARY KEY, v text)")).await?;
    let job = job(kafka, cassandra, name, case);
    let (partitions, mem) = (format!("0-{}", case.partitions - 1), mem_mib.to_string());
    let mut executor = executor::start(kafka, &job, &["--partitions", &partitions, "--mem", &mem])?;
    let pid = executor.child.id().context("just started")?;
    tokio::time::sleep(BEGUN_AFTER).await;
    // It finds all of it at once.
    let executor_pid = Pid::from_raw(pid as i32);
    kill(executor_pid, Signal::SIGSTOP)?;
    produce(kafka, name, case)?;
    cassandra.stop(1)?;
    kill(executor_pid, Signal::SIGCONT)?;
    let until = Instant::now() + FILLED_AFTER;
    let mut peak = 0;
    while Instant::now() < until {
        peak = meter::peak_bytes(pid).context("the executor ended")?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    cassandra.cont(1)?;
    executor.child.kill().await?;
    Ok(peak)
}

fn job(kafka: &Kafka, cassandra: &Cassandra, name: &str, case: &Case) -> String {
    format!(
        r#"name = "{job}"
[source.kafka]
bootstrap = ["{bootstrap}"]
topic = "{name}"
[source.columns]
k = "text"
v = "text"
[transform]
sql = "SELECT k, {v} AS v FROM input"
[sink.cassandra]
contact_points = ["{contact}"]
keyspace = "{KEYSPACE}"
table = "{name}"
[errors]
bad_record = {bad_record}
"#,
        job = name.replace('_', "-"),
        bootstrap = kafka.bootstrap(),
        contact = cassandra.address(1),
        v = case.v,
        bad_record = case.bad_record,
    )
}

/// Records that compress to a small part.
fn produce(kafka: &Kafka, topic: &str, case: &Case) -> Result<()> {
    let mut config = kafka.client();
    config.set("compression.type", "zstd").set("linger.ms", "100").set("queue.buffering.max.kbytes", "131072");
    config.set("batch.size", case.batch_bytes.to_string()).set("message.max.bytes", "20000000");
    config.set("batch.num.messages", "100000");
    let producer: BaseProducer = config.create()?;
    let mut random = 1u64;
    for number in 0..case.total_bytes / case.record_bytes {
        // One byte in about twenty says something.
        let noise: String = (0..(case.record_bytes / 40).max(1))
            .map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from(b'a' + (random >> 59) as u8 % 26)
            })
            .collect();
        let value = format!(r#"{{"k":"{number}","v":"{noise}{}"}}"#, "x".repeat(case.record_bytes - noise.len()));
        let partition = number as i32 % case.partitions;
        let mut record = BaseRecord::<(), _>::to(topic).partition(partition).payload(&value);
        while let Err((error, same)) = producer.send(record) {
            let KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) = error else { return Err(error.into()) };
            producer.poll(Duration::from_millis(10));
            record = same;
        }
    }
    producer.flush(Duration::from_secs(60)).context("cannot write the records")
}
