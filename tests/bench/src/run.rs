//! One run of the executor without Mesos (`millstream-executor standalone`), watched from outside.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use millstream_bench::{executor, meter};
use millstream_testbed::{Cassandra, Kafka};

pub(crate) const KEYSPACE: &str = "bench";
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The table of a run.
pub(crate) fn table_cql(table: &str) -> String {
    format!(
        "CREATE TABLE {KEYSPACE}.{table} (device text, seq bigint, at timestamp, temperature double, fahrenheit double, humidity int, \
         voltage float, status text, firmware text, site text, line text, PRIMARY KEY (device, seq))"
    )
}

fn job(kafka: &Kafka, cassandra: &Cassandra, topic: &str, table: &str) -> String {
    format!(
        r#"name = "{topic}"
[source.kafka]
bootstrap = ["{bootstrap}"]
topic = "{topic}"
[source.columns]
device = {{ type = "text", required = true }}
seq = {{ type = "bigint", required = true }}
at = "timestamp"
temperature = "double"
humidity = "int"
voltage = "float"
status = "text"
firmware = "text"
site = "text"
line = "text"
[transform]
sql = """
SELECT device, seq, at, temperature, temperature * 1.8 + 32 AS fahrenheit, humidity, voltage, status, firmware, site, line
FROM input WHERE temperature > 0
"""
[sink.cassandra]
contact_points = ["{contact}"]
keyspace = "{KEYSPACE}"
table = "{table}"
[tasks]
count = 1
cpus = 1
mem = "128MiB"
"#,
        bootstrap = kafka.bootstrap(),
        contact = cassandra.address(1),
    )
}

/// What one run cost.
pub(crate) struct Figures {
    records: u64,
    secs: f64,
    client_cpu_secs: f64,
    kafka_cpu_secs: f64,
    cassandra_cpu_secs: f64,
    peak_bytes: u64,
}

impl Figures {
    pub(crate) fn head() -> &'static str {
        "  rows/s  executor CPU  Kafka CPU  Cassandra CPU  executor peak"
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millions = self.records as f64 / 1e6;
        write!(
            f,
            "{:>8.0}  {:>12.2}  {:>9.2}  {:>13.2}  {:>9.0} MiB",
            self.records as f64 / self.secs,
            self.client_cpu_secs / millions,
            self.kafka_cpu_secs / millions,
            self.cassandra_cpu_secs / millions,
            self.peak_bytes as f64 / (1024.0 * 1024.0),
        )
    }
}

/// Runs the executor over the whole topic and measures it, start-up included.
pub(crate) async fn execute(
    kafka: &mut Kafka,
    cassandra: &mut Cassandra,
    topic: &str,
    table: &str,
    records: u64,
) -> Result<Figures> {
    let kafka_pid = kafka.broker(1).pid().context("Kafka runs")?;
    let cassandra_pid = cassandra.node(1).pid().context("Cassandra runs")?;
    let servers = || anyhow::Ok((meter::cpu_secs(kafka_pid)?, meter::cpu_secs(cassandra_pid)?));
    let (kafka_before, cassandra_before) = servers()?;
    let start = Instant::now();
    let partitions = format!("0-{}", crate::PARTITIONS - 1);
    let arguments = ["--until-caught-up", "--partitions", &partitions];
    let mut executor = executor::start(kafka, &job(kafka, cassandra, topic, table), &arguments)?;
    let pid = executor.child.id().context("just started")?;
    let (mut client_cpu_secs, mut peak_bytes) = (0.0, 0);
    let status = loop {
        if let Some(status) = executor.child.try_wait()? {
            break status;
        }
        // An ended process can no longer be asked, so the last look before its end counts.
        client_cpu_secs = meter::cpu_secs(pid).unwrap_or(client_cpu_secs);
        peak_bytes = meter::peak_bytes(pid).unwrap_or(peak_bytes);
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let secs = start.elapsed().as_secs_f64();
    ensure!(status.success(), "the executor failed: {status}");
    let (kafka_after, cassandra_after) = servers()?;
    Ok(Figures {
        records,
        secs,
        client_cpu_secs,
        kafka_cpu_secs: kafka_after - kafka_before,
        cassandra_cpu_secs: cassandra_after - cassandra_before,
        peak_bytes,
    })
}
