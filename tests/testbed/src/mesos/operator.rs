//! What an operator asks and orders: `POST /api/v1` and the read-only endpoints of the leading master.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Mesos;
use crate::{hosts::host, http};

impl Mesos {
    /// GET of a path at the leading master, as JSON.
    pub async fn ask(&self, path: &str) -> Result<Value> {
        http::get(&format!("http://{}{path}", self.leading().await?)).await
    }

    /// A call of the v1 operator API at the leading master; null when it answers nothing.
    pub async fn operate(&self, call: Value) -> Result<Value> {
        let answer = http::post_json(&format!("http://{}/api/v1", self.leading().await?), &call).await;
        let text = answer.with_context(|| format!("call {}", call["type"]))?;
        if text.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&text)?) }
    }

    /// The frameworks that are registered, with their tasks, executors and outstanding offers.
    pub async fn frameworks(&self) -> Result<Vec<Value>> {
        let mut answer = self.ask("/master/frameworks").await?;
        Ok(answer["frameworks"].as_array_mut().context("no list of frameworks")?.drain(..).collect())
    }

    /// The one active framework of this name.
    pub async fn framework(&self, name: &str) -> Result<Value> {
        let named = self.frameworks().await?.into_iter().filter(|f| f["name"] == name && f["active"] == true);
        let mut named: Vec<Value> = named.collect();
        anyhow::ensure!(named.len() == 1, "{} active frameworks are called {name}", named.len());
        Ok(named.remove(0))
    }

    /// All counters and gauges of the leading master.
    pub async fn metrics(&self) -> Result<Value> {
        self.ask("/metrics/snapshot").await
    }

    /// The id that the master knows agent `i` by.
    pub async fn agent_id(&self, i: usize) -> Result<String> {
        Ok(self.agent_state(i).await?["id"].as_str().context("an agent has an id")?.to_owned())
    }

    /// What the master says of agent `i`.
    pub async fn agent_state(&self, i: usize) -> Result<Value> {
        let answer = self.ask("/slaves").await?;
        let slaves = answer["slaves"].as_array().context("no list of agents")?;
        slaves.iter().find(|slave| slave["hostname"] == host(i)).cloned().with_context(|| format!("no agent {i}"))
    }

    /// Replaces the maintenance schedule: these agents will be away from `start` on. No agent: an empty schedule.
    pub async fn plan_maintenance(&self, agents: &[usize], start: SystemTime, duration: Duration) -> Result<()> {
        let start = nanoseconds(start.duration_since(UNIX_EPOCH)?)?;
        let unavailability = json!({ "start": start, "duration": nanoseconds(duration)? });
        let window = json!({ "machine_ids": machines(agents), "unavailability": unavailability });
        let windows = if agents.is_empty() { vec![] } else { vec![window] };
        let call = json!({ "type": "UPDATE_MAINTENANCE_SCHEDULE",
            "update_maintenance_schedule": { "schedule": { "windows": windows } } });
        self.operate(call).await.map(drop)
    }

    /// Takes planned agents down: their processes are told to end.
    pub async fn start_maintenance(&self, agents: &[usize]) -> Result<()> {
        let call = json!({ "type": "START_MAINTENANCE", "start_maintenance": { "machines": machines(agents) } });
        self.operate(call).await.map(drop)
    }

    /// Brings agents that are down back up, which also removes them from the schedule.
    pub async fn stop_maintenance(&self, agents: &[usize]) -> Result<()> {
        let call = json!({ "type": "STOP_MAINTENANCE", "stop_maintenance": { "machines": machines(agents) } });
        self.operate(call).await.map(drop)
    }

    /// What the framework answered to the inverse offers of agent `i`: `ACCEPT`, `DECLINE` or, as long as it has not,
    /// `UNKNOWN`; none when the agent is not planned to be away or the framework was not asked.
    pub async fn inverse_offer_answer(&self, i: usize, framework: &str) -> Result<Option<String>> {
        let answer = self.operate(json!({ "type": "GET_MAINTENANCE_STATUS" })).await?;
        let draining = answer["get_maintenance_status"]["status"]["draining_machines"].as_array().cloned();
        let machine = draining.unwrap_or_default().into_iter().find(|machine| machine["id"]["hostname"] == host(i));
        let statuses = machine.and_then(|machine| machine["statuses"].as_array().cloned()).unwrap_or_default();
        let status = statuses.into_iter().find(|status| status["framework_id"]["value"] == framework);
        Ok(status.and_then(|status| status["status"].as_str().map(str::to_owned)))
    }

    /// DRAIN_AGENT: its tasks are killed, with at most `grace` each, and it offers nothing until it is reactivated.
    pub async fn drain_agent(&self, i: usize, grace: Duration) -> Result<()> {
        // google.protobuf.Duration, as Mesos' JSON has it.
        let grace = json!({ "seconds": grace.as_secs(), "nanos": grace.subsec_nanos() });
        let drain = json!({ "agent_id": { "value": self.agent_id(i).await? }, "max_grace_period": grace });
        self.operate(json!({ "type": "DRAIN_AGENT", "drain_agent": drain })).await.map(drop)
    }

    /// REACTIVATE_AGENT, after a drain.
    pub async fn reactivate_agent(&self, i: usize) -> Result<()> {
        self.operate_agent("REACTIVATE_AGENT", i).await
    }

    /// MARK_AGENT_GONE: the operator says that it never comes back.
    pub async fn mark_agent_gone(&self, i: usize) -> Result<()> {
        self.operate_agent("MARK_AGENT_GONE", i).await
    }

    /// Reserves free scalars of agent `i` for a role, in the operator's name.
    pub async fn reserve(&self, i: usize, role: &str, scalars: &[(&str, f64)]) -> Result<()> {
        self.reservation("RESERVE_RESOURCES", i, role, scalars).await
    }

    /// Takes such a reservation back; what is in use stays reserved, and is an error.
    pub async fn unreserve(&self, i: usize, role: &str, scalars: &[(&str, f64)]) -> Result<()> {
        self.reservation("UNRESERVE_RESOURCES", i, role, scalars).await
    }

    /// Limits what a role may be allocated; no limits lift it.
    pub async fn limit_role(&self, role: &str, limits: &[(&str, f64)]) -> Result<()> {
        let limits: serde_json::Map<String, Value> =
            limits.iter().map(|(name, value)| ((*name).to_owned(), json!({ "value": value }))).collect();
        let quota = json!({ "force": true, "quota_configs": [{ "role": role, "limits": limits }] });
        self.operate(json!({ "type": "UPDATE_QUOTA", "update_quota": quota })).await.map(drop)
    }

    /// Removes a framework with all its tasks.
    pub async fn teardown(&self, framework: &str) -> Result<()> {
        let teardown = json!({ "framework_id": { "value": framework } });
        self.operate(json!({ "type": "TEARDOWN", "teardown": teardown })).await.map(drop)
    }

    async fn leading(&self) -> Result<String> {
        if self.zookeeper.is_none() {
            return Ok(self.master());
        }
        Ok(self.master_address(self.leader().await.context("no master leads")?))
    }

    /// A call that names nothing but an agent: `X_Y` has its message in `x_y`.
    async fn operate_agent(&self, kind: &str, i: usize) -> Result<()> {
        let message = json!({ "agent_id": { "value": self.agent_id(i).await? } });
        self.operate(json!({ "type": kind, kind.to_lowercase(): message })).await.map(drop)
    }

    async fn reservation(&self, kind: &str, i: usize, role: &str, scalars: &[(&str, f64)]) -> Result<()> {
        let resource = |(name, value): &(&str, f64)| {
            json!({ "name": name, "type": "SCALAR", "scalar": { "value": value },
                "reservations": [{ "type": "DYNAMIC", "role": role }] })
        };
        let resources: Vec<Value> = scalars.iter().map(resource).collect();
        let message = json!({ "agent_id": { "value": self.agent_id(i).await? }, "resources": resources });
        self.operate(json!({ "type": kind, kind.to_lowercase(): message })).await.map(drop)
    }
}

fn machines(agents: &[usize]) -> Vec<Value> {
    agents.iter().map(|&i| json!({ "hostname": host(i), "ip": host(i) })).collect()
}

fn nanoseconds(duration: Duration) -> Result<Value> {
    Ok(json!({ "nanoseconds": i64::try_from(duration.as_nanos())? }))
}
