//! Three minutes of everything at once, and a checker that knows only the log.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use millstream_e2e::accounts::scatter;
use millstream_testbed::produce::{LogProducer, Message};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::stage::{Executor, Job, Stage};

const PARTITIONS: i32 = 4;
const KEYS: u64 = 500;
const LASTS: Duration = Duration::from_secs(180);
/// Records of one burst, between two faults.
const BURST: u64 = 400;

/// Same seed, same storm (as far as a machine repeats anything).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 += 1;
        scatter(self.0) % n
    }
}

/// What the log says, folded as it is produced: the last record of a key counts.
struct Log {
    producer: LogProducer,
    rows: BTreeMap<String, i64>,
    next: i64,
}

impl Log {
    fn burst(&mut self, random: &mut Random, count: u64) -> Result<()> {
        let mut messages = vec![];
        for _ in 0..count {
            let key = format!("k{}", random.below(KEYS));
            self.next += 1;
            messages.push(match random.below(12) {
                0 => {
                    self.rows.remove(&key);
                    Message::tombstone(key)
                }
                _ => {
                    self.rows.insert(key.clone(), self.next);
                    Message::new(key.clone(), json!({ "k": key, "v": self.next }).to_string())
                }
            });
        }
        // A key's records go to one partition, so that they have an order.
        self.producer.produce(messages).map(drop)
    }
}

/// Executors are killed, paused and doubled, each of them reading all partitions; Kafka and Cassandra stand still; offsets are
/// forgotten and moved back; in the end the table is the fold of the log.
#[test]
fn a_storm_leaves_the_table_exact() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let mut stage = Stage::start().await?;
        let name = "storm";
        stage.prepare(name, PARTITIONS).await?;
        let seed = std::env::var("STORM_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(9);
        let mut random = Random(seed << 32);
        let producer = LogProducer::new(&stage.kafka.client(), name)?;
        let mut log = Log { producer, rows: BTreeMap::new(), next: 0 };
        // `_key` keys the row, so that a record without a value deletes it.
        let job = Job { sql: "SELECT _key AS k, v FROM input", ..Job::default() };
        let start = |stage: &Stage| stage.executor(name, job, "0-3");
        let mut executors: Vec<Executor> = vec![start(&stage)?];
        let (begin, mut faults) = (Instant::now(), 0);
        while begin.elapsed() < LASTS {
            log.burst(&mut random, BURST)?;
            let pause = Duration::from_millis(random.below(2_000));
            match random.below(9) {
                0..=2 => drop(executors.swap_remove(random.below(executors.len() as u64) as usize)),
                3 => executors.push(start(&stage)?),
                4 | 5 => {
                    let paused = &executors[random.below(executors.len() as u64) as usize];
                    paused.signal(Signal::SIGSTOP)?;
                    let another = start(&stage)?;
                    log.burst(&mut random, BURST)?;
                    tokio::time::sleep(pause * 6).await;
                    paused.signal(Signal::SIGCONT)?;
                    executors.push(another);
                }
                6 => {
                    stage.cassandra.stop(1)?;
                    tokio::time::sleep(pause * 2).await;
                    stage.cassandra.cont(1)?;
                }
                7 => {
                    stage.kafka.stop(1)?;
                    tokio::time::sleep(pause * 2).await;
                    stage.kafka.cont(1)?;
                }
                _ => {
                    // All the way: a person who moves it forward in the middle of a replay wants records to be left out.
                    stage.groups(name, name, &["--reset-offsets", "--to-earliest", "--execute"]).await?;
                }
            }
            faults += 1;
            while executors.len() > 2 {
                drop(executors.remove(0));
            }
            if executors.is_empty() {
                executors.push(start(&stage)?);
            }
            tokio::time::sleep(pause).await;
        }
        executors.truncate(1);
        log.burst(&mut random, BURST)?;
        ensure!(faults > 30, "{faults} faults are no storm");
        stage.becomes(name, &log.rows).await
    })
}
