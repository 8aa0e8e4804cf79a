//! A small client of the scheduler's HTTP API: JSON as it comes, the way a stranger's script sees it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use hyper::Method;
use serde_json::Value;

use crate::{http, process::eventually};

/// The API at an address.
#[derive(Debug, Clone)]
pub struct Api {
    url: String,
    /// File of the token.
    token: PathBuf,
}

impl Api {
    /// At `http://host:port`, with the token in this file, which may be there only once the scheduler runs.
    pub fn new(url: String, token: PathBuf) -> Self {
        Api { url, token }
    }

    /// File of the token.
    pub fn token_file(&self) -> &Path {
        &self.token
    }

    /// `http://host:port`
    pub fn url(&self) -> &str {
        &self.url
    }

    /// GET of a path, as JSON.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let text = self.text(path).await?;
        serde_json::from_str(&text).with_context(|| format!("{path} does not answer in JSON: {text}"))
    }

    /// GET of a path, as it comes.
    pub async fn text(&self, path: &str) -> Result<String> {
        self.send(Method::GET, path).await
    }

    async fn send(&self, method: Method, path: &str) -> Result<String> {
        let token = std::fs::read_to_string(&self.token).with_context(|| self.token.display().to_string())?;
        http::send_as(token.trim(), method, &format!("{}{path}", self.url), "").await
    }

    /// One job at a glance.
    pub async fn job(&self, job: &str) -> Result<Value> {
        self.get(&format!("/api/v1/jobs/{job}")).await
    }

    /// Lag by partition.
    pub async fn lag(&self, job: &str) -> Result<Value> {
        self.get(&format!("/api/v1/jobs/{job}/lag")).await
    }

    /// Where each task is, and why.
    pub async fn why(&self, job: &str) -> Result<Value> {
        self.get(&format!("/api/v1/jobs/{job}/why")).await
    }

    /// Drains the job; returns at once.
    pub async fn stop(&self, job: &str) -> Result<()> {
        self.send(Method::POST, &format!("/api/v1/jobs/{job}/stop")).await.map(drop)
    }

    /// Waits until all tasks of the job run.
    pub async fn wait_running(&self, job: &str, within: Duration) -> Result<()> {
        eventually(&format!("all tasks of {job} run"), within, async || {
            let view = self.job(job).await?;
            Ok((view["slots"] != 0 && view["running"] == view["slots"]).then_some(()))
        })
        .await
        .with_context(|| format!("scheduler {}", self.url))
    }

    /// Waits until the job's rows are durable up to the log ends `ends` of its topic, by partition; a partition that
    /// needs a person is an error at once.
    pub async fn wait_caught_up(&self, job: &str, ends: &[i64], within: Duration) -> Result<()> {
        let mut stopped = None;
        let mut last = Value::Null;
        let caught_up = eventually(&format!("{job} has caught up with its topic"), within, async || {
            last = self.lag(job).await?;
            stopped = self.stopped(&last);
            Ok((stopped.is_some() || durable_up_to(&last, ends)).then_some(()))
        })
        .await;
        caught_up.with_context(|| format!("last seen: {last}"))?;
        match stopped {
            Some(reason) => bail!("{job} needs a person: {reason}"),
            None => Ok(()),
        }
    }

    fn stopped(&self, lag: &Value) -> Option<String> {
        let partitions = lag["partitions"].as_array()?;
        let stopped = partitions.iter().find(|partition| partition["status"] == "stopped")?;
        Some(format!("partition {}: {}", stopped["partition"], stopped["reason"]))
    }
}

/// Whether every partition is durable up to its log end. An empty partition has nothing to be durable.
fn durable_up_to(lag: &Value, ends: &[i64]) -> bool {
    ends.iter().enumerate().filter(|(_, end)| **end > 0).all(|(partition, end)| {
        let partitions = lag["partitions"].as_array().into_iter().flatten();
        let durable = partitions.filter(|p| p["partition"] == partition).filter_map(|p| p["durable"].as_i64()).next();
        durable.is_some_and(|durable| durable >= *end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_is_not_caught_up() {
        let lag = serde_json::json!({ "partitions": [{ "partition": 0, "durable": 5 }, { "partition": 1, "durable": null }] });
        assert!(durable_up_to(&lag, &[5, 0]));
        assert!(!durable_up_to(&lag, &[6, 0]));
        assert!(!durable_up_to(&lag, &[5, 1]));
        assert!(!durable_up_to(&lag, &[5, 0, 1]));
    }
}
