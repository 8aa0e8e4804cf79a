//! How far write times are from when records were made, on partitions that are fast, slow, and quiet after a burst, side by side:
//! within 10 s, for as long as it runs. Prints the conditional writes that this took.

use std::{
    collections::BTreeMap,
    fmt,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Result, ensure};
use clap::Parser;
use futures_util::TryStreamExt as _;
use millstream_bench::executor;
use millstream_testbed::{
    Cassandra, CassandraOptions, Kafka, KafkaOptions,
    produce::{LogProducer, Message},
    start_both,
};
use scylla::client::session::Session;

const KEYSPACE: &str = "bench";
const NAME: &str = "slow";

/// Keys of the fast partition: each is written again after so many records, and looked at before that.
const FAST_KEYS: u64 = 100_000;

/// Records of the burst.
const BURST: u64 = 100_000;

/// Between two looks at the whole table.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A record is to be written with a time this near to when it was made.
const NEAR: Duration = Duration::from_secs(10);

/// Write times on partitions of unlike speed.
#[derive(Parser)]
#[command(name = "slow")]
struct Options {
    /// How long it runs.
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Records per second of the fast partition.
    #[arg(long, default_value_t = 5_000)]
    rate: u64,
    /// Seconds between two records of the slow partition, and of the quiet one after its burst.
    #[arg(long, default_value_t = 60)]
    pause: u64,
}

/// The partitions, in order.
const KINDS: [&str; 3] = ["fast", "slow", "quiet"];

/// How far write times were from the times at which records were made, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Range {
    rows: u64,
    min_ms: i64,
    max_ms: i64,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10} looks  {:>8} ms to {:>6} ms", self.rows, self.min_ms, self.max_ms)
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    tokio::runtime::Runtime::new()?.block_on(run(options))
}

async fn run(options: Options) -> Result<()> {
    println!("starting one Kafka broker and one Cassandra node");
    let cassandra = CassandraOptions { heap_mib: 1024, optimised: true, ..CassandraOptions::nodes(1) };
    let kafka = KafkaOptions { optimised: true, ..KafkaOptions::default() };
    let (kafka, cassandra) = start_both(kafka, cassandra).await?;
    cassandra.create_keyspace(KEYSPACE).await?;
    cassandra.execute(&format!("CREATE TABLE {KEYSPACE}.{NAME} (k text PRIMARY KEY, made bigint)")).await?;
    kafka.create_topic(NAME, KINDS.len() as i32, 1).await?;
    let executor = executor::start(&kafka, &job(&kafka, &cassandra), &["--partitions", "0-2"])?;
    let end = Instant::now() + Duration::from_secs_f64(options.minutes * 60.0);
    let is_over = AtomicBool::new(false);
    let session = cassandra.session().await?;
    let seen = std::thread::scope(|scope| {
        let producers = [
            scope.spawn(|| fast(&kafka, options.rate, &is_over)),
            scope.spawn(|| slow(&kafka, 1, 0, options.pause, &is_over)),
            scope.spawn(|| slow(&kafka, 2, BURST, options.pause, &is_over)),
        ];
        let seen = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(watch(&session, end)));
        is_over.store(true, Relaxed);
        for producer in producers {
            producer.join().expect("a producer does not panic")?;
        }
        seen
    })?;
    drop(executor);
    for (kind, range) in &seen {
        println!("{kind:>6}: {range}");
    }
    for (partition, kind) in KINDS.iter().enumerate() {
        println!("{kind:>6}: {} conditional writes", epochs(&session, partition as i32).await?);
    }
    ensure!(seen.len() == KINDS.len(), "not all partitions were written");
    let near_ms = NEAR.as_millis() as i64;
    let far = seen.values().any(|range| range.min_ms < -near_ms || range.max_ms > near_ms);
    ensure!(!far, "a write time is further than {near_ms} ms from when its record was made");
    Ok(())
}

fn job(kafka: &Kafka, cassandra: &Cassandra) -> String {
    format!(
        r#"name = "{NAME}"
[source.kafka]
bootstrap = ["{bootstrap}"]
topic = "{NAME}"
[source.columns]
k = "text"
made = "bigint"
[transform]
sql = "SELECT k, made FROM input"
[sink.cassandra]
contact_points = ["{contact}"]
keyspace = "{KEYSPACE}"
table = "{NAME}"
"#,
        bootstrap = kafka.bootstrap(),
        contact = cassandra.address(1),
    )
}

fn now_ms() -> i64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as i64)
}

fn message(partition: usize, number: u64) -> Message {
    let kind = KINDS[partition];
    let value = format!(r#"{{"k":"{kind}-{number}","made":{}}}"#, now_ms());
    Message { partition: Some(partition as i32), ..Message::new(format!("{kind}-{number}"), value) }
}

/// At an even rate, in small steps.
fn fast(kafka: &Kafka, rate: u64, is_over: &AtomicBool) -> Result<()> {
    let producer = LogProducer::new(&kafka.client(), NAME)?;
    let (begin, mut number) = (Instant::now(), 0);
    while !is_over.load(Relaxed) {
        let wanted = (begin.elapsed().as_secs_f64() * rate as f64) as u64;
        producer.produce((number..wanted).map(|number| message(0, number % FAST_KEYS)))?;
        number = wanted;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// A burst, and then one record after each pause.
fn slow(kafka: &Kafka, partition: usize, burst: u64, pause_secs: u64, is_over: &AtomicBool) -> Result<()> {
    let producer = LogProducer::new(&kafka.client(), NAME)?;
    producer.produce((0..burst).map(|number| message(partition, number)))?;
    let mut number = burst;
    while !is_over.load(Relaxed) {
        producer.produce([message(partition, number)])?;
        number += 1;
        let until = Instant::now() + Duration::from_secs(pause_secs);
        while Instant::now() < until && !is_over.load(Relaxed) {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(())
}

/// Looks at every row again and again, until the end.
async fn watch(session: &Session, end: Instant) -> Result<BTreeMap<String, Range>> {
    let mut seen = BTreeMap::new();
    while Instant::now() < end {
        tokio::time::sleep(LOOK_EVERY).await;
        let cql = format!("SELECT k, made, writetime(made) FROM {KEYSPACE}.{NAME}");
        let mut rows = session.query_iter(cql, ()).await?.rows_stream::<(String, i64, i64)>()?;
        while let Some((k, made, written_us)) = rows.try_next().await? {
            let kind = k.split('-').next().unwrap_or_default().to_owned();
            let range = seen.entry(kind).or_insert(Range { rows: 0, min_ms: i64::MAX, max_ms: i64::MIN });
            let after_ms = written_us / 1_000 - made;
            range.rows += 1;
            range.min_ms = range.min_ms.min(after_ms);
            range.max_ms = range.max_ms.max(after_ms);
        }
    }
    Ok(seen)
}

async fn epochs(session: &Session, partition: i32) -> Result<i64> {
    let cql = format!(
        "SELECT count(*) FROM {KEYSPACE}.millstream_epochs WHERE job = '{NAME}' AND topic = '{NAME}' AND partition = {partition}"
    );
    Ok(session.query_unpaged(cql, ()).await?.into_rows_result()?.first_row::<(i64,)>()?.0)
}
