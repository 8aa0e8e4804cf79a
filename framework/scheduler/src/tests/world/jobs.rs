//! The job of the tests, and what its executors report.

use millstream_placement::{JobTopology, Place, Replicas};
use millstream_protocol::*;
use millstream_spec as spec;
use serde_json::json;

use super::{JOB, Running};
use crate::*;

/// In a job's SQL: its tasks fail at once, stop at a record, or never get further than waiting for Cassandra.
pub(in crate::tests) const FAILS: &str = "fails";
pub(in crate::tests) const STOPS: &str = "stops";
pub(in crate::tests) const STALLS: &str = "stalls";

/// The job with this SQL.
pub(in crate::tests) fn job_that(sql: &str) -> spec::JobSpec {
    let mut spec = job();
    spec.transform.sql = format!("SELECT id AS {sql} FROM input");
    spec
}

pub(super) fn does(told: &ExecutorData, what: &str) -> bool {
    told.job.transform.sql.contains(what)
}

pub(super) fn task_report(id: &str, task: &Running) -> TaskReport {
    let (status, reason) = match &task.told {
        told if does(told, STOPS) => (PartitionStatus::Stopped, Some("bad record".to_owned())),
        told if does(told, STALLS) => (PartitionStatus::Stalled, Some("Cassandra: no host".to_owned())),
        _ => (PartitionStatus::Running, None),
    };
    let partition = |partition: &i32| PartitionReport {
        partition: *partition,
        position: Some(10),
        durable: Some(7),
        log_end: Some(12),
        stable_end: None,
        lag_ms: Some(40),
        status,
        reason: reason.clone(),
        stopped_at: None,
    };
    TaskReport {
        task_id: id.into(),
        partitions: task.partitions.iter().map(partition).collect(),
        records: 10,
        rows: 7,
        bytes_in: 1_000,
        bytes_in_by_tier: vec![(spec::Tier::Host, 1_000)],
        bytes_out: 2_000,
        bad_records: BadRecordCounts::default(),
        stage_busy_secs: vec![],
    }
}

pub(in crate::tests) fn settings() -> Settings {
    let framework = FrameworkSettings { role: "stream".into(), ..FrameworkSettings::default() };
    Settings { framework, executor: ExecutorProgram::Path("/opt/millstream-executor".into()), ..Settings::default() }
}

/// A job of one task per partition with 0.5 CPUs and 256 MiB each, that waits at most 5 s for its host.
pub(in crate::tests) fn job() -> spec::JobSpec {
    serde_json::from_value(json!({
        "name": JOB,
        "source": { "bootstrap": ["127.0.1.1:9092"], "topic": "flights", "group": "flights" },
        "columns": [{ "name": "id", "type": "int", "path": ["id"] }],
        "transform": { "sql": "SELECT id FROM input" },
        "sink": { "contact_points": ["127.0.1.1:9042"], "keyspace": "demo", "table": "flights" },
        "tasks": { "cpus": 0.5, "mem_bytes": 256 << 20 },
    }))
    .expect("a job")
}

/// Leaders go round the three hosts.
pub(in crate::tests) fn topology(partitions: i32) -> JobTopology {
    let place = |i: i32| Place {
        hosts: vec![format!("host-{i}"), format!("127.0.1.{i}")],
        rack: Some(format!("r{i}")),
        ..Place::default()
    };
    let replicas = |p: i32| Replicas { leader: Some(place(p % 3 + 1)), in_sync_followers: vec![] };
    JobTopology { partitions: (0..partitions).map(|p| (p, replicas(p))).collect(), ..JobTopology::default() }
}
