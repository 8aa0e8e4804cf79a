//! `millstream lag`

use std::fmt::Write as _;

use millstream_daemon::api::{LagView, PartitionLag, counted, plural};

use super::word;
use crate::table::{Table, UNKNOWN, alike, count, duration, named_partitions};

pub(super) fn text(lag: &LagView) -> String {
    if lag.partitions.is_empty() {
        return format!(
            "{0}: topic {1}: no task, no lag: it is stopped, or has just begun; see `millstream why {0}`\n",
            lag.job, lag.topic
        );
    }
    let mut table = Table::new(&[">PARTITION", "HOST", ">POSITION", ">DURABLE", ">END", ">LAG", ">BEHIND", "STATUS"]);
    for p in &lag.partitions {
        table.row([
            p.partition.to_string(),
            p.host.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
            count(p.position),
            count(p.durable),
            count(p.log_end),
            count(p.records),
            duration(p.ms),
            p.status.as_ref().map_or_else(|| UNKNOWN.to_owned(), word),
        ]);
    }
    let mut reasons = String::new();
    let said = lag.partitions.iter().filter_map(|p| Some((p.reason.as_ref()?, p.partition)));
    for (reason, numbers) in alike(said) {
        let _ = writeln!(reasons, "{}: {reason}", named_partitions(&numbers));
    }
    for p in &lag.partitions {
        if let Some(records) = p.behind_transaction.filter(|records| *records > 0) {
            let _ = writeln!(
                reasons,
                "partition {}: {} behind an open transaction",
                p.partition,
                counted(records as usize, "record")
            );
        }
    }
    // Without any report, as just after another scheduler has taken over, the sum is no sum.
    let known = lag.unknown < lag.partitions.len();
    let total = count(known.then_some(lag.total_records));
    let noun = plural(lag.total_records as usize, "record");
    let mut out = format!("{}: topic {}: {total} {noun} behind", lag.job, lag.topic);
    if lag.max_ms > 0 {
        let _ = write!(out, ", the oldest {} old", duration(Some(lag.max_ms)));
    }
    if lag.unknown > 0 {
        let partitions = counted(lag.partitions.len(), "partition");
        let _ = write!(out, "; {} of {partitions} not known yet", lag.unknown);
    }
    out.push('\n');
    out + &table.render() + &reasons + &help(lag)
}

/// What a person can do about a record that stops its partition.
fn help(lag: &LagView) -> String {
    let is_bad = |p: &PartitionLag| p.reason.as_ref().is_some_and(|reason| reason.starts_with("bad record"));
    if !lag.partitions.iter().any(is_bad) {
        return String::new();
    }
    "help: mend the job ([source.columns], or `bad_record` in [errors]) and deploy it, or move the offset of its group past \
         the record; it goes on by itself\n"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_no_zero() {
        let known = PartitionLag {
            partition: 0,
            task: Some("flights-0".into()),
            host: Some("127.0.1.1".into()),
            position: Some(1_200),
            durable: Some(1_000),
            log_end: Some(4_321),
            records: Some(3_321),
            ms: Some(2_300),
            status: Some(millstream_protocol::PartitionStatus::Stalled),
            reason: Some("cassandra does not answer".into()),
            behind_transaction: Some(0),
            stopped_at: None,
        };
        let unknown = PartitionLag {
            partition: 1,
            task: None,
            host: None,
            position: None,
            durable: None,
            log_end: None,
            records: None,
            ms: None,
            status: None,
            reason: None,
            behind_transaction: None,
            stopped_at: None,
        };
        let view = LagView {
            job: "flights".into(),
            topic: "flights".into(),
            partitions: vec![known, unknown],
            total_records: 3_321,
            max_ms: 2_300,
            unknown: 1,
        };
        let expected = "\
flights: topic flights: 3,321 records behind, the oldest 2.3 s old; 1 of 2 partitions not known yet
PARTITION  HOST       POSITION  DURABLE    END    LAG  BEHIND  STATUS
        0  127.0.1.1     1,200    1,000  4,321  3,321   2.3 s  stalled
        1  -                 -        -      -      -       -  -
partition 0: cassandra does not answer
";
        assert_eq!(super::text(&view), expected);
        let alike = |partition, reason: &str| PartitionLag {
            partition,
            reason: Some(reason.into()),
            ..view.partitions[0].clone()
        };
        let partitions = vec![alike(0, "cassandra is away"), alike(1, "another"), alike(2, "cassandra is away")];
        let text = super::text(&LagView { partitions, ..view.clone() });
        assert!(text.ends_with("stalled\npartitions 0,2: cassandra is away\npartition 1: another\n"), "{text}");
        let waiting = PartitionLag { behind_transaction: Some(5), reason: None, ..view.partitions[0].clone() };
        let text = super::text(&LagView { partitions: vec![waiting], ..view.clone() });
        assert!(text.ends_with("stalled\npartition 0: 5 records behind an open transaction\n"), "{text}");
        let partitions = vec![view.partitions[1].clone()];
        let nothing = LagView { partitions, total_records: 0, max_ms: 0, unknown: 1, ..view };
        let expected = "\
flights: topic flights: - records behind; 1 of 1 partition not known yet
PARTITION  HOST  POSITION  DURABLE  END  LAG  BEHIND  STATUS
        1  -            -        -    -    -       -  -
";
        assert_eq!(super::text(&nothing), expected);
    }
}
