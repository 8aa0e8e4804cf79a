//! What the visitor reads at the end.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use millstream_testbed::{oracle::Differences, program};

use crate::{JOB, Stack, progress::Placed};

/// What happened.
pub(crate) struct Summary {
    pub(crate) records: usize,
    pub(crate) bytes: u64,
    pub(crate) differences: Differences,
    pub(crate) placed: BTreeMap<String, Placed>,
    pub(crate) phases: [(&'static str, Duration); 4],
}

impl Summary {
    /// Prints all; true when the table is exact and every task was host-local.
    pub(crate) async fn print(&self, stack: &Stack) -> Result<bool> {
        let api = stack.millstream.api();
        let (health, lag) = tokio::try_join!(api.get("/health"), api.lag(JOB))?;
        let by_tier: BTreeMap<String, u64> = serde_json::from_value(health["locality"]["bytes_in_by_tier"].clone())?;
        let all: u64 = by_tier.values().sum();
        let local = by_tier.get("host").copied().unwrap_or(0);
        let lag_zero = lag["unknown"] == 0 && lag["total_records"] == 0;
        let host_local = self.placed.values().filter(|task| task.is_host_local()).count();
        let streamed = self.phases[2].1.as_secs_f64();

        println!();
        println!("records      {} ({:.1} MB)", grouped(self.records), self.bytes as f64 / 1e6);
        println!("rows         {}", grouped(self.differences.rows));
        println!("fields       {} compared", grouped(self.differences.fields));
        println!("mismatches   {}", grouped(self.differences.total()));
        println!("tasks        {} of {} host-local", host_local, self.placed.len());
        for (task, Placed { host, source_tier, sink_tier }) in &self.placed {
            println!("             {task} on {host}: records from {source_tier}, rows to {sink_tier}");
        }
        println!("local bytes  {:.1} % of what was read came from a broker on the task's host", percent(local, all));
        println!("lag          {} records, {} ms", lag["total_records"], lag["max_ms"]);
        println!("rate         {} rows/s, first offer to last row", grouped((self.records as f64 / streamed) as usize));
        let phases: Vec<String> =
            self.phases.iter().map(|(name, took)| format!("{name} {:.1} s", took.as_secs_f64())).collect();
        println!("elapsed      {}", phases.join(", "));
        if self.differences.total() > 0 {
            println!("\nNOT EXACT: {}", self.differences);
        }
        let rows = self.differences.rows == self.records;
        Ok(rows
            && self.differences.total() == 0
            && lag_zero
            && !self.placed.is_empty()
            && host_local == self.placed.len())
    }
}

/// Prints where to look as long as all is up.
pub(crate) async fn look_next(stack: &Stack) -> Result<()> {
    let url = stack.millstream.api().url();
    let targets = stack.millstream.api().get("/api/v1/sd").await?;
    let program = program("millstream")?;
    let millstream = program.display();
    println!("\nlook next");
    let token = std::fs::read_to_string(stack.millstream.api().token_file())?;
    println!("  status page        {url}/#token={}", token.trim());
    println!("  scheduler metrics  curl -H 'Authorization: Bearer {}' {url}/metrics", token.trim());
    for target in targets.as_array().into_iter().flatten() {
        println!("  executor metrics   http://{}/metrics", target["targets"][0].as_str().unwrap_or("?"));
    }
    println!("  Mesos              http://{}/state", stack.millstream.master());
    println!("  Kafka              {}", stack.kafka.bootstrap());
    println!("  Cassandra          {}", stack.cassandra.contact_points().join(","));
    println!("  job file           {}", stack.millstream.path().join("flights.toml").display());
    println!("  commands           {millstream} jobs --scheduler {url}");
    for command in ["why flights", "lag flights", "stop flights"] {
        println!("                     {millstream} {command} --scheduler {url}");
    }
    Ok(())
}

fn percent(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 * 100.0 / all as f64 }
}

/// 336776 as `336,776`.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(["0", "999", "1,000", "336,776"], [0, 999, 1000, 336_776].map(grouped)[..]);
    }
}
