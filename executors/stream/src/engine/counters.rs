//! What a task has done, and for how long.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use millstream_protocol::{BadRecordCounts, TaskReport};
use millstream_spec::Tier;

/// Steps of the way of a record, in order: labels of busy and blocked time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Taking records from librdkafka.
    Poll,
    /// JSON → Arrow.
    Decode,
    /// SQL.
    Sql,
    /// Arrow → CQL cells, keys, grouping.
    Encode,
    /// Requests to Cassandra, from first to last answer.
    Write,
    /// Offset commits.
    Commit,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Stage; 6] = [Stage::Poll, Stage::Decode, Stage::Sql, Stage::Encode, Stage::Write, Stage::Commit];

    /// Metric label.
    pub fn label(self) -> &'static str {
        match self {
            Stage::Poll => "poll",
            Stage::Decode => "decode",
            Stage::Sql => "sql",
            Stage::Encode => "encode",
            Stage::Write => "write",
            Stage::Commit => "commit",
        }
    }
}

/// Counters of one task.
#[derive(Debug, Default)]
pub struct TaskCounters {
    records: AtomicU64,
    rows: AtomicU64,
    bytes_in: AtomicU64,
    bytes_by_tier: [AtomicU64; TIERS.len()],
    bytes_out: AtomicU64,
    skipped: AtomicU64,
    dead_lettered: AtomicU64,
    busy_nanos: [AtomicU64; Stage::ALL.len()],
}

/// All tiers, in the order of their declaration.
pub const TIERS: [Tier; 5] = [Tier::Host, Tier::Rack, Tier::Zone, Tier::Region, Tier::Any];

impl TaskCounters {
    /// Records of a batch were consumed.
    pub fn consumed(&self, records: u64, bytes: u64) {
        self.records.fetch_add(records, Relaxed);
        self.bytes_in.fetch_add(bytes, Relaxed);
    }

    /// Consumed bytes came from a broker this near.
    pub fn consumed_from(&self, tier: Tier, bytes: u64) {
        self.bytes_by_tier[tier as usize].fetch_add(bytes, Relaxed);
    }

    /// A row was acknowledged.
    pub fn row_written(&self, bytes: usize) {
        self.rows.fetch_add(1, Relaxed);
        self.bytes_out.fetch_add(bytes as u64, Relaxed);
    }

    /// A bad record was dealt with.
    pub fn bad_record(&self, dead_lettered: bool) {
        if dead_lettered { &self.dead_lettered } else { &self.skipped }.fetch_add(1, Relaxed);
    }

    /// Time was spent for the task.
    pub fn busy(&self, stage: Stage, time: Duration) {
        self.busy_nanos[stage as usize].fetch_add(time.as_nanos() as u64, Relaxed);
    }

    /// As a report, still without partitions.
    pub fn report(&self, task_id: &str) -> TaskReport {
        let bytes_in_by_tier: Vec<_> =
            TIERS.iter().zip(&self.bytes_by_tier).map(|(tier, n)| (*tier, n.load(Relaxed))).collect();
        TaskReport {
            task_id: task_id.to_owned(),
            partitions: vec![],
            records: self.records.load(Relaxed),
            rows: self.rows.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_in_by_tier,
            bytes_out: self.bytes_out.load(Relaxed),
            bad_records: BadRecordCounts {
                skipped: self.skipped.load(Relaxed),
                dead_lettered: self.dead_lettered.load(Relaxed),
            },
            stage_busy_secs: Stage::ALL
                .iter()
                .zip(&self.busy_nanos)
                .map(|(stage, nanos)| (stage.label().to_owned(), nanos.load(Relaxed) as f64 / 1e9))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_adds_up() {
        let counters = TaskCounters::default();
        counters.consumed(3, 300);
        counters.consumed(1, 50);
        counters.consumed_from(Tier::Host, 300);
        counters.consumed_from(Tier::Any, 50);
        counters.row_written(20);
        counters.bad_record(true);
        counters.busy(Stage::Sql, Duration::from_millis(250));
        let report = counters.report("t");
        assert_eq!((report.records, report.bytes_in, report.rows, report.bytes_out), (4, 350, 1, 20));
        assert_eq!(report.bytes_in_by_tier[0], (Tier::Host, 300));
        assert_eq!(report.bytes_in_by_tier[4], (Tier::Any, 50));
        assert_eq!((report.bad_records.skipped, report.bad_records.dead_lettered), (0, 1));
        assert_eq!(report.stage_busy_secs[2], ("sql".to_owned(), 0.25));
    }
}
