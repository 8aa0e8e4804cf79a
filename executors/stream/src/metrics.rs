//! Every metric of the executor, in one place. docs/metrics.md is tested against [`CATALOGUE`].

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use millstream_protocol::{Partition, PartitionReport, PartitionStatus, TaskReport};
use millstream_spec::Tier;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::engine::Stage;

/// One metric as it is documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// As Prometheus sees it.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// One line.
    pub help: &'static str,
    /// Labels of its own, besides those every metric has ([`COMMON_LABELS`]).
    pub labels: &'static [&'static str],
}

/// Labels of every metric.
pub const COMMON_LABELS: [&str; 2] = ["job", "topic"];

const fn entry(name: &'static str, kind: &'static str, help: &'static str, labels: &'static [&'static str]) -> Entry {
    Entry { name, kind, help, labels }
}

/// All metrics of the executor.
pub const CATALOGUE: [Entry; 26] = [
    entry("millstream_records_total", "counter", "Records consumed from Kafka", &["partition"]),
    entry(
        "millstream_input_bytes_total",
        "counter",
        "Bytes of keys and values consumed, by how near the serving broker is",
        &["tier"],
    ),
    entry("millstream_filtered_records_total", "counter", "Records that WHERE left out", &[]),
    entry(
        "millstream_bad_records_total",
        "counter",
        "Records that could not be turned into a row, by reason and what became of them",
        &["reason", "outcome"],
    ),
    entry(
        "millstream_dead_letters_cut_total",
        "counter",
        "Dead letters that are not whole, by the last part that was left out; record: it was gone from Kafka",
        &["kind"],
    ),
    entry("millstream_rows_total", "counter", "Rows acknowledged by Cassandra, by kind of write", &["kind"]),
    entry(
        "millstream_cut_batches_total",
        "counter",
        "Batches whose rows would take too much memory: their partitions go on in smaller ones",
        &[],
    ),
    entry(
        "millstream_superseded_rows_total",
        "counter",
        "Rows not sent because a later row of the same batch overwrites them",
        &[],
    ),
    entry("millstream_output_bytes_total", "counter", "Bytes of values acknowledged by Cassandra", &[]),
    entry(
        "millstream_write_requests_total",
        "counter",
        "Requests planned for Cassandra; rows of one partition share one",
        &[],
    ),
    entry(
        "millstream_write_retries_total",
        "counter",
        "Failed requests to Cassandra that are tried again, by error",
        &["error"],
    ),
    entry(
        "millstream_write_latency_seconds",
        "histogram",
        "Time from a request to Cassandra to its acknowledgement",
        &[],
    ),
    entry("millstream_write_requests_in_flight", "gauge", "Requests on their way to Cassandra", &[]),
    entry(
        "millstream_write_requests_limit",
        "gauge",
        "Requests that may be on their way at once; adapts to latency and errors",
        &[],
    ),
    entry("millstream_buffered_bytes", "gauge", "Bytes of rows that are not durable yet", &[]),
    entry("millstream_paused", "gauge", "1 while reading waits for Cassandra", &[]),
    entry(
        "millstream_lag_records",
        "gauge",
        "Records between what is durable and the log end; absent while unknown",
        &["partition"],
    ),
    entry(
        "millstream_lag_seconds",
        "gauge",
        "Age of the oldest record that is not durable; absent while unknown",
        &["partition"],
    ),
    entry(
        "millstream_committed_offset",
        "gauge",
        "Lowest offset that is not durable: what is committed to Kafka",
        &["partition"],
    ),
    entry("millstream_partitions", "gauge", "Partitions by status", &["status"]),
    entry(
        "millstream_commits_total",
        "counter",
        "Offset commits by result; a failed one only causes replay",
        &["result"],
    ),
    entry("millstream_timestamp_blocks_total", "counter", "Timestamp blocks asked for, by result", &["result"]),
    entry("millstream_stage_busy_seconds_total", "counter", "Time spent working, by stage", &["stage"]),
    entry("millstream_stage_blocked_seconds_total", "counter", "Time the pump waited for the sink", &["stage"]),
    entry("millstream_reports_total", "counter", "Reports made for the scheduler", &[]),
    entry("millstream_resident_memory_bytes", "gauge", "Resident memory of the executor", &[]),
];

/// What became of a bad record: metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its partition stopped.
    Stopped,
    /// Counted and passed over.
    Skipped,
    /// Written to the dead-letter topic.
    DeadLettered,
}

macro_rules! label_sets {
    ($($name:ident { $($label:ident: $ty:ty),+ })*) => {$(
        #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
        struct $name {
            $($label: $ty),+
        }
    )*};
}

label_sets! {
    OfPartition { partition: Partition }
    OfTier { tier: String }
    OfBad { reason: String, outcome: String }
    OfKind { kind: String }
    OfError { error: String }
    OfStatus { status: String }
    OfResult { result: String }
    OfStage { stage: String }
}

type Seconds = Counter<f64, AtomicU64>;

/// The metrics, bumped once per batch or request, never per record.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    records: Family<OfPartition, Counter>,
    input_bytes: Family<OfTier, Counter>,
    filtered: Counter,
    bad: Family<OfBad, Counter>,
    letters_cut: Family<OfKind, Counter>,
    rows: Family<OfKind, Counter>,
    cut: Counter,
    superseded: Counter,
    output_bytes: Counter,
    requests: Counter,
    retries: Family<OfError, Counter>,
    /// Latency of requests, in seconds.
    pub write_latency: Histogram,
    in_flight: Gauge,
    limit: Gauge,
    buffered: Gauge,
    paused: Gauge,
    lag_records: Family<OfPartition, Gauge>,
    lag_seconds: Family<OfPartition, Gauge<f64, AtomicU64>>,
    committed: Family<OfPartition, Gauge>,
    partitions: Family<OfStatus, Gauge>,
    commits: Family<OfResult, Counter>,
    blocks: Family<OfResult, Counter>,
    busy: Family<OfStage, Seconds>,
    blocked: Family<OfStage, Seconds>,
    reports: Counter,
    memory: Gauge,
    /// Sum of consumed records, for progress lines.
    all_records: AtomicU64,
}

impl Metrics {
    /// For one job and topic.
    pub fn new(job: &str, topic: &str) -> Self {
        let labels = [("job".into(), job.to_owned().into()), ("topic".into(), topic.to_owned().into())];
        let metrics = Metrics {
            registry: Registry::with_labels(labels.into_iter()),
            records: Family::default(),
            input_bytes: Family::default(),
            filtered: Counter::default(),
            bad: Family::default(),
            letters_cut: Family::default(),
            rows: Family::default(),
            cut: Counter::default(),
            superseded: Counter::default(),
            output_bytes: Counter::default(),
            requests: Counter::default(),
            retries: Family::default(),
            write_latency: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            in_flight: Gauge::default(),
            limit: Gauge::default(),
            buffered: Gauge::default(),
            paused: Gauge::default(),
            lag_records: Family::default(),
            lag_seconds: Family::default(),
            committed: Family::default(),
            partitions: Family::default(),
            commits: Family::default(),
            blocks: Family::default(),
            busy: Family::default(),
            blocked: Family::default(),
            reports: Counter::default(),
            memory: Gauge::default(),
            all_records: AtomicU64::new(0),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let mut registry = std::mem::take(&mut self.registry);
        macro_rules! register {
            ($($name:literal => $metric:expr),* $(,)?) => {$(
                let entry = CATALOGUE.iter().find(|entry| entry.name == $name).expect("every metric is in the catalogue");
                // The library adds `_total` to counters itself.
                registry.register(entry.name.trim_end_matches("_total"), entry.help, $metric.clone());
            )*};
        }
        register! {
            "millstream_records_total" => self.records,
            "millstream_input_bytes_total" => self.input_bytes,
            "millstream_filtered_records_total" => self.filtered,
            "millstream_bad_records_total" => self.bad,
            "millstream_dead_letters_cut_total" => self.letters_cut,
            "millstream_rows_total" => self.rows,
            "millstream_cut_batches_total" => self.cut,
            "millstream_superseded_rows_total" => self.superseded,
            "millstream_output_bytes_total" => self.output_bytes,
            "millstream_write_requests_total" => self.requests,
            "millstream_write_retries_total" => self.retries,
            "millstream_write_latency_seconds" => self.write_latency,
            "millstream_write_requests_in_flight" => self.in_flight,
            "millstream_write_requests_limit" => self.limit,
            "millstream_buffered_bytes" => self.buffered,
            "millstream_paused" => self.paused,
            "millstream_lag_records" => self.lag_records,
            "millstream_lag_seconds" => self.lag_seconds,
            "millstream_committed_offset" => self.committed,
            "millstream_partitions" => self.partitions,
            "millstream_commits_total" => self.commits,
            "millstream_timestamp_blocks_total" => self.blocks,
            "millstream_stage_busy_seconds_total" => self.busy,
            "millstream_stage_blocked_seconds_total" => self.blocked,
            "millstream_reports_total" => self.reports,
            "millstream_resident_memory_bytes" => self.memory,
        }
        self.registry = registry;
        self
    }

    /// In Prometheus' text format.
    pub fn render(&self) -> String {
        self.memory.set(resident_bytes().unwrap_or(0));
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Records consumed by this process.
    pub fn records_so_far(&self) -> u64 {
        self.all_records.load(Relaxed)
    }

    pub(crate) fn consumed(&self, records: usize, filtered: usize) {
        self.all_records.fetch_add(records as u64, Relaxed);
        self.filtered.inc_by(filtered as u64);
    }

    pub(crate) fn consumed_of(&self, partition: Partition, records: u64) {
        self.records.get_or_create(&OfPartition { partition }).inc_by(records);
    }

    pub(crate) fn consumed_from(&self, tier: Tier, bytes: u64) {
        self.input_bytes.get_or_create(&OfTier { tier: tier_label(tier).into() }).inc_by(bytes);
    }

    pub(crate) fn bad_record(&self, reason: &str, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Stopped => "stopped",
            Outcome::Skipped => "skipped",
            Outcome::DeadLettered => "dead_lettered",
        };
        self.bad.get_or_create(&OfBad { reason: reason.into(), outcome: outcome.into() }).inc();
    }

    pub(crate) fn letter_cut(&self, left_out: &str) {
        self.letters_cut.get_or_create(&OfKind { kind: left_out.into() }).inc();
    }

    /// A batch made too much.
    pub(crate) fn cut(&self) {
        self.cut.inc();
    }

    pub(crate) fn planned(&self, requests: usize, superseded: usize) {
        self.requests.inc_by(requests as u64);
        self.superseded.inc_by(superseded as u64);
    }

    pub(crate) fn written(&self, is_delete: bool, rows: usize, bytes: usize) {
        let kind = if is_delete { "delete" } else { "upsert" };
        self.rows.get_or_create(&OfKind { kind: kind.into() }).inc_by(rows as u64);
        self.output_bytes.inc_by(bytes as u64);
    }

    pub(crate) fn retried(&self, error: &str) {
        self.retries.get_or_create(&OfError { error: error.into() }).inc();
    }

    pub(crate) fn sink(&self, in_flight: usize, limit: usize) {
        self.in_flight.set(in_flight as i64);
        self.limit.set(limit as i64);
    }

    pub(crate) fn pump(&self, buffered: u64, is_paused: bool) {
        self.buffered.set(buffered as i64);
        self.paused.set(is_paused.into());
    }

    pub(crate) fn committed(&self, ok: bool) {
        self.commits.get_or_create(&OfResult { result: if ok { "ok" } else { "error" }.into() }).inc();
    }

    /// The group's offset was not what this executor had committed, and is again.
    pub(crate) fn commit_repaired(&self) {
        self.commits.get_or_create(&OfResult { result: "repaired".into() }).inc();
    }

    /// A person has moved the group's offset.
    pub(crate) fn commit_moved(&self) {
        self.commits.get_or_create(&OfResult { result: "moved".into() }).inc();
    }

    pub(crate) fn block(&self, result: &'static str) {
        self.blocks.get_or_create(&OfResult { result: result.into() }).inc();
    }

    pub(crate) fn busy(&self, stage: Stage, time: Duration) {
        self.busy.get_or_create(&OfStage { stage: stage.label().into() }).inc_by(time.as_secs_f64());
    }

    pub(crate) fn blocked(&self, time: Duration) {
        self.blocked.get_or_create(&OfStage { stage: Stage::Poll.label().into() }).inc_by(time.as_secs_f64());
    }

    /// Once per report: lag and status as the scheduler is told.
    pub(crate) fn reported(&self, tasks: &[TaskReport]) {
        self.reports.inc();
        let partitions: Vec<&PartitionReport> = tasks.iter().flat_map(|task| &task.partitions).collect();
        for partition in &partitions {
            let labels = OfPartition { partition: partition.partition };
            match partition.lag_records() {
                Some(lag) => drop(self.lag_records.get_or_create(&labels).set(lag as i64)),
                None => drop(self.lag_records.remove(&labels)),
            }
            match partition.lag_ms {
                Some(lag_ms) => drop(self.lag_seconds.get_or_create(&labels).set(lag_ms as f64 / 1e3)),
                None => drop(self.lag_seconds.remove(&labels)),
            }
            if let Some(durable) = partition.durable {
                self.committed.get_or_create(&labels).set(durable);
            }
        }
        for (status, label) in STATUSES {
            let count = partitions.iter().filter(|partition| partition.status == status).count();
            self.partitions.get_or_create(&OfStatus { status: label.into() }).set(count as i64);
        }
    }

    /// A partition has left.
    pub(crate) fn forget(&self, partition: Partition) {
        let labels = OfPartition { partition };
        self.lag_records.remove(&labels);
        self.lag_seconds.remove(&labels);
        self.committed.remove(&labels);
    }
}

const STATUSES: [(PartitionStatus, &str); 5] = [
    (PartitionStatus::Starting, "starting"),
    (PartitionStatus::Running, "running"),
    (PartitionStatus::Stalled, "stalled"),
    (PartitionStatus::Stopped, "stopped"),
    (PartitionStatus::Draining, "draining"),
];

fn tier_label(tier: Tier) -> &'static str {
    match tier {
        Tier::Host => "host",
        Tier::Rack => "rack",
        Tier::Zone => "zone",
        Tier::Region => "region",
        Tier::Any => "any",
    }
}

/// Resident set in bytes, where /proc tells it.
pub fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<i64>().ok().map(|kb| kb * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each name once, every one registered, base units, and the text as Prometheus wants it.
    #[test]
    fn the_catalogue_is_what_is_rendered() {
        let metrics = Metrics::new("flights", "t");
        metrics.consumed_of(3, 5);
        metrics.consumed_from(Tier::Host, 50);
        metrics.bad_record("overflow", Outcome::Skipped);
        metrics.letter_cut("value");
        metrics.written(false, 2, 20);
        metrics.retried("unavailable");
        metrics.committed(true);
        metrics.block("written");
        metrics.busy(Stage::Sql, Duration::from_millis(1_500));
        metrics.blocked(Duration::from_millis(500));
        let partition = PartitionReport {
            partition: 3,
            position: Some(9),
            durable: Some(5),
            log_end: Some(9),
            stable_end: None,
            lag_ms: Some(1_500),
            status: PartitionStatus::Running,
            reason: None,
            stopped_at: None,
        };
        let task =
            TaskReport { partitions: vec![partition.clone()], ..crate::engine::TaskCounters::default().report("t") };
        metrics.reported(&[task]);
        let text = metrics.render();
        for entry in CATALOGUE {
            assert!(
                text.contains(&format!("# TYPE {} {}", entry.name.trim_end_matches("_total"), entry.kind)),
                "{}",
                entry.name
            );
            assert!(entry.kind != "counter" || entry.name.ends_with("_total"), "{}", entry.name);
            for label in entry.labels {
                assert!(
                    text.lines().any(|l| l.starts_with(entry.name) && l.contains(&format!("{label}=\""))),
                    "{} {label}",
                    entry.name
                );
            }
        }
        let common = r#"job="flights",topic="t""#;
        assert!(text.contains(&format!("millstream_lag_records{{{common},partition=\"3\"}} 4")), "{text}");
        assert!(text.contains(&format!("millstream_lag_seconds{{{common},partition=\"3\"}} 1.5")), "{text}");
        assert!(text.contains(&format!("millstream_stage_busy_seconds_total{{{common},stage=\"sql\"}} 1.5")), "{text}");
        // Unknown is absent, never 0.
        let unknown = PartitionReport { log_end: None, lag_ms: None, ..partition };
        let task = TaskReport { partitions: vec![unknown], ..crate::engine::TaskCounters::default().report("t") };
        metrics.reported(&[task]);
        assert!(!metrics.render().contains("millstream_lag_records{"));
    }
}
