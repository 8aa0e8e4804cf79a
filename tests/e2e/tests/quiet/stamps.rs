//! Timestamps stay near the clock, and gaps are passed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use millstream_testbed::{
    admin::{End, transaction},
    produce::{Message, produce},
};

use crate::stage::{Job, numbered, on_stage, record};

/// As long as a block may stamp new records, and a little.
const OLD: Duration = Duration::from_secs(11);

/// One record, a delete by hand, one record, slowly: the later record wins, also over a kill in between.
#[test]
fn a_record_wins_over_a_delete_that_came_before_it() -> Result<()> {
    on_stage(async |stage| {
        let name = "stamps_slow";
        stage.prepare(name, 1).await?;
        let mut executor = stage.executor(name, Job::default(), "0")?;
        for round in 0..4 {
            stage.produce(name, 0, [("k".into(), round)])?;
            executor.durable(0, round + 1).await?;
            tokio::time::sleep(OLD).await;
            stage.cassandra.execute(&format!("DELETE FROM quiet.{name} WHERE k = 'k'")).await?;
            if round == 2 {
                drop(executor);
                stage.produce(name, 0, [("other".into(), 1)])?;
                executor = stage.executor(name, Job::default(), "0")?;
                executor.durable(0, round + 2).await?;
                break;
            }
        }
        let before_us = now_us();
        stage.produce(name, 0, [("k".into(), 9)])?;
        stage.becomes(name, &[("k".to_owned(), 9), ("other".to_owned(), 1)].into()).await?;
        let late_us = before_us - stage.written_us(name, "k").await?;
        ensure!(late_us < 10_000_000, "stamped {late_us} µs before it was produced");
        executor.leave()
    })
}

/// Records that come late, with old times of their own, after an executor was killed or has left and a row was deleted by
/// hand: they came after the delete, and win.
#[test]
fn a_late_record_wins_over_a_delete_that_came_before_it() -> Result<()> {
    on_stage(async |stage| {
        let name = "stamps_late";
        stage.prepare(name, 2).await?;
        for partition in 0..2 {
            stage.produce(name, partition, [(format!("k{partition}"), 1)])?;
        }
        let killed = stage.executor(name, Job::default(), "0")?;
        let left = stage.executor(name, Job::default(), "1")?;
        killed.durable(0, 1).await?;
        left.durable(1, 1).await?;
        // Committed, so that what follows is all there is to be read again.
        tokio::time::sleep(OLD).await;
        drop(killed);
        left.leave()?;
        stage.cassandra.execute(&format!("DELETE FROM quiet.{name} WHERE k IN ('k0', 'k1')")).await?;
        let now_ms = now_us() / 1_000;
        // Hours late, and by as much as it takes to fall into the life of the executor that left.
        for (partition, late_ms) in [(0, 3_600_000), (1, OLD.as_millis() as i64 + 1_000)] {
            let late = record(partition, (format!("k{partition}"), 2));
            let late = Message { timestamp_ms: Some(now_ms - late_ms), ..late };
            produce(&stage.kafka.client(), name, [late])?;
        }
        let executor = stage.executor(name, Job::default(), "0-1")?;
        stage.becomes(name, &[("k0".to_owned(), 2), ("k1".to_owned(), 2)].into()).await?;
        executor.leave()
    })
}

/// Aborted transactions of many sizes between single records: each record gets through, and the lag ends.
#[test]
fn gaps_of_real_transactions_are_passed() -> Result<()> {
    on_stage(async |stage| {
        let name = "stamps_gaps";
        stage.prepare(name, 1).await?;
        let executor = stage.executor(name, Job::default(), "0")?;
        let mut wanted = numbered("k", 0, |i| i);
        for (number, aborted) in [0, 1, 7, 16, 100, 1_000, 5_000].into_iter().enumerate() {
            let junk: Vec<_> = numbered("junk", aborted, |i| i).into_iter().map(|row| record(0, row)).collect();
            transaction(&stage.kafka.client(), name, &format!("{name}-{number}"), &junk, End::Abort)?;
            let row = (format!("k{number}"), number as i64);
            stage.produce(name, 0, [row.clone()])?;
            wanted.insert(row.0, row.1);
            stage.becomes(name, &wanted).await?;
        }
        executor.says(0, "no lag", |partition| partition["log_end"] == partition["durable"]).await?;
        executor.leave()
    })
}

/// Behind an open transaction the lag counts to the log's end, and says how many wait.
#[test]
fn an_open_transaction_is_no_lag_of_zero() -> Result<()> {
    on_stage(async |stage| {
        let name = "stamps_open";
        stage.prepare(name, 1).await?;
        stage.produce(name, 0, [("a".into(), 1)])?;
        let executor = stage.executor(name, Job::default(), "0")?;
        executor.durable(0, 1).await?;
        let rows: Vec<_> = numbered("open", 5, |i| i).into_iter().map(|row| record(0, row)).collect();
        let open = transaction(&stage.kafka.client(), name, name, &rows, End::Open)?;
        executor.says(0, "5 behind a transaction", |p| p["log_end"] == 6 && p["stable_end"] == 1).await?;
        drop(open);
        executor.leave()
    })
}

fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}
