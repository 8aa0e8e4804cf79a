//! Follows a job until it has caught up, with a line per second.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use millstream_testbed::Api;
use serde_json::Value;

use crate::summary::grouped;

/// Where a task was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) host: String,
    /// How far its records come.
    pub(crate) source_tier: String,
    /// How far the nearest replica of the ring is.
    pub(crate) sink_tier: String,
}

impl Placed {
    pub(crate) fn is_host_local(&self) -> bool {
        self.source_tier == "host" && self.sink_tier == "host"
    }
}

/// Shows the job's progress until its rows are durable up to `ends`; gives every task that was seen.
pub(crate) async fn follow(api: &Api, job: &str, ends: &[i64], within: Duration) -> Result<BTreeMap<String, Placed>> {
    let begin = Instant::now();
    let mut line = Line { live: std::io::stdout().is_terminal() };
    let mut placed = BTreeMap::new();
    let (mut done_before, mut at_before) = (0, Instant::now());
    loop {
        let (lag, why) = tokio::try_join!(api.lag(job), api.why(job))?;
        placed.extend(tasks(&why));
        let partitions = lag["partitions"].as_array().cloned().unwrap_or_default();
        let done: i64 = partitions.iter().filter_map(|partition| partition["durable"].as_i64()).sum();
        let rate = (done - done_before) as f64 / at_before.elapsed().as_secs_f64();
        (done_before, at_before) = (done, Instant::now());
        line.show(&text(begin.elapsed(), done, ends.iter().sum(), rate, &lag, &why))?;
        if let Some(stopped) = partitions.iter().find(|partition| partition["status"] == "stopped") {
            line.end()?;
            bail!("partition {} needs a person: {}", stopped["partition"], stopped["reason"]);
        }
        if done >= ends.iter().sum() {
            line.end()?;
            // The last look: every task must have been seen where it ended.
            placed.extend(tasks(&api.why(job).await?));
            return Ok(placed);
        }
        if begin.elapsed() > within {
            line.end()?;
            bail!("the job has not caught up within {within:?}; the reasons: {why}");
        }
        tokio::time::sleep(Duration::from_secs(1).saturating_sub(at_before.elapsed())).await;
    }
}

fn tasks(why: &Value) -> BTreeMap<String, Placed> {
    let slots = why["slots"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    slots
        .filter(|slot| slot["state"] == "placed")
        .map(|slot| {
            let (source_tier, sink_tier) = (text(&slot["source_tier"]), text(&slot["sink_tier"]));
            (text(&slot["task"]), Placed { host: text(&slot["host"]), source_tier, sink_tier })
        })
        .collect()
}

fn text(elapsed: Duration, done: i64, all: i64, rate: f64, lag: &Value, why: &Value) -> String {
    let slots = why["slots"].as_array().map_or(0, Vec::len);
    let placed = tasks(why);
    let mut by_tier: BTreeMap<&str, usize> = BTreeMap::new();
    placed.values().for_each(|task| *by_tier.entry(task.source_tier.as_str()).or_default() += 1);
    let tiers: Vec<String> = by_tier.iter().map(|(tier, count)| format!("{count} {tier}")).collect();
    let lag = match (lag["unknown"].as_u64(), lag["total_records"].as_u64(), lag["max_ms"].as_u64()) {
        (Some(0), Some(records), Some(ms)) => {
            format!("lag {} records, {:.1} s", grouped(records as usize), ms as f64 / 1e3)
        }
        _ => "lag unknown yet".to_owned(),
    };
    format!(
        "{:4.0} s  tasks {}/{slots} ({})  {:>7} of {} rows  {:>7} records/s  {lag}",
        elapsed.as_secs_f64(),
        placed.len(),
        if tiers.is_empty() { "waiting".to_owned() } else { tiers.join(", ") },
        grouped(done as usize),
        grouped(all as usize),
        grouped(rate.max(0.0) as usize),
    )
}

/// A line that is written over on a terminal, and one below the other elsewhere.
struct Line {
    live: bool,
}

impl Line {
    fn show(&mut self, text: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        match self.live {
            true => write!(out, "\r\x1b[2K{text}")?,
            false => writeln!(out, "{text}")?,
        }
        Ok(out.flush()?)
    }

    fn end(&mut self) -> Result<()> {
        if self.live {
            writeln!(std::io::stdout().lock())?;
        }
        Ok(())
    }
}
