//! Messages of older versions load for ever, and unknown is never shown as zero.

use millstream_protocol::{PartitionReport, PartitionStatus, Report, TaskData};

#[test]
fn version_1_messages_load() {
    let task: TaskData = serde_json::from_str(r#"{"version":1,"partitions":[0,3],"later":true}"#).unwrap();
    assert_eq!(task.partitions, [0, 3]);
    let report = r#"{"version":1,"sequence":7,"metrics_url":"http://127.0.1.1:4000","tasks":[{"task_id":"j.0.1","records":5,"rows":5,
        "bytes_in":100,"bytes_in_by_tier":[["host",100]],"bytes_out":90,"bad_records":{"skipped":0,"dead_lettered":1},
        "stage_busy_secs":[["decode",0.5]],"partitions":[{"partition":0,"position":10,"durable":8,"log_end":12,"lag_ms":40,"status":"running"}]}]}"#;
    let report: Report = serde_json::from_str(report).unwrap();
    assert_eq!(report.tasks[0].partitions[0].lag_records(), Some(4));
    assert_eq!(report.tasks[0].partitions[0].reason, None);
}

#[test]
fn lag_is_unknown_until_both_ends_are_known() {
    let mut partition = PartitionReport {
        partition: 0,
        position: Some(5),
        durable: Some(5),
        log_end: None,
        stable_end: None,
        lag_ms: None,
        status: PartitionStatus::Starting,
        reason: None,
        stopped_at: None,
    };
    assert_eq!(partition.lag_records(), None);
    partition.log_end = Some(9);
    assert_eq!(partition.lag_records(), Some(4));
    partition.durable = Some(11); // the log end is older news than the position
    assert_eq!(partition.lag_records(), Some(0));
}
