use std::time::Duration;

use millstream_mesos_types::{Attribute, DomainInfo};

use super::Amounts;

/// The timers of the cluster, Mesos' own by default.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Between heartbeats to schedulers.
    pub heartbeat: Duration,
    /// First pause before an unacknowledged status update is sent again; doubles.
    pub update_retry_min: Duration,
    /// Longest such pause.
    pub update_retry_max: Duration,
    /// An executor must have subscribed within this time.
    pub registration_timeout: Duration,
    /// Time between SHUTDOWN and the end by force, for executors that don't say.
    pub shutdown_grace: Duration,
    /// After the restart of an agent's process its executors must have subscribed again within this time.
    pub executor_reregistration_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(15),
            update_retry_min: Duration::from_secs(10),
            update_retry_max: Duration::from_secs(600),
            registration_timeout: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(5),
            executor_reregistration_timeout: Duration::from_secs(2),
        }
    }
}

/// What tells one cluster from another.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The master's id: every other id begins with it.
    pub master_id: String,
    /// Port of the master on 127.0.0.1.
    pub port: u16,
    /// Makes the uuids of updates that agents make themselves.
    pub seed: u64,
    /// Seconds since the epoch at `now` = 0.
    pub started_unix_secs: f64,
}

/// An agent to begin with.
#[derive(Debug, Clone)]
pub struct AgentSpec {
    /// Where it listens; also its host name.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
    /// Its region and zone.
    pub domain: Option<DomainInfo>,
    /// All it has.
    pub total: Amounts,
}
