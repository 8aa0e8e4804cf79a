//! How many records the executors of a job have read, those that are gone included: what shows that nothing was read
//! twice.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use millstream_testbed::{Api, http};
use tokio::task::JoinHandle;

/// What is read between the last look and the end of an executor is not counted: at the tests' load, 50 records.
const LOOK_EVERY: Duration = Duration::from_millis(25);

const RECORDS: &str = "millstream_records_total{";

/// Reads the executors' own counters many times a second until it is dropped.
pub struct Reads {
    /// Records by executor, as of the last look at each.
    seen: Arc<Mutex<BTreeMap<String, u64>>>,
    task: JoinHandle<()>,
}

impl Reads {
    /// Starts to look at the executors of `job`, which `api` lists.
    pub fn start(api: &Api, job: &str) -> Self {
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let (api, job, shared) = (api.clone(), job.to_owned(), seen.clone());
        let task = tokio::spawn(async move {
            loop {
                // A scheduler or an executor that ends just now.
                let _ = look(&api, &job, &shared).await;
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Reads { seen, task }
    }

    /// Records that were read in all, a few less for each executor that has ended; and the number of executors.
    pub fn total(&self) -> (u64, usize) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        (seen.values().sum(), seen.len())
    }
}

impl Drop for Reads {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look(api: &Api, job: &str, seen: &Mutex<BTreeMap<String, u64>>) -> Result<()> {
    let targets = api.get("/api/v1/sd").await?;
    for target in targets.as_array().context("no targets")?.iter().filter(|t| t["labels"]["millstream_job"] == job) {
        let (Some(address), Some(executor)) =
            (target["targets"][0].as_str(), target["labels"]["millstream_executor"].as_str())
        else {
            continue;
        };
        let Ok(text) = http::text(&format!("http://{address}/metrics")).await else { continue };
        seen.lock().unwrap_or_else(PoisonError::into_inner).insert(executor.to_owned(), records(&text));
    }
    Ok(())
}

fn records(metrics: &str) -> u64 {
    let values = metrics.lines().filter(|line| line.starts_with(RECORDS)).filter_map(|line| line.rsplit(' ').next());
    values.filter_map(|value| value.parse::<f64>().ok()).sum::<f64>() as u64
}

#[cfg(test)]
mod tests {
    #[test]
    fn partitions_are_summed_and_other_metrics_are_not() {
        let text = "# TYPE millstream_records_total counter\nmillstream_records_total{job=\"a\",partition=\"0\"} 5\n\
                    millstream_records_total{job=\"a\",partition=\"1\"} 7\nmillstream_rows_total{kind=\"upsert\"} 9\n";
        assert_eq!(super::records(text), 12);
    }
}
