//! Settings: one typed tree, one committed file of defaults (`default.toml`), unknown keys refused.

mod load;
pub(crate) mod read;
mod settings;

use std::{net::SocketAddr, path::PathBuf};

use millstream_mesos::scheduler::ZooKeeperUrl;
use millstream_placement::Distances;
use millstream_spec::Setting;
use serde::Deserialize;

use crate::reach::Reach;
pub use load::is_meant_for_zookeeper;
use read::{duration, secret, size, zookeeper};

/// The committed defaults, as text.
pub const DEFAULTS: &str = include_str!("../default.toml");

/// Name of the executor's program.
const EXECUTOR: &str = "millstream-executor";

/// All settings of a scheduler.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The masters and who we are to them.
    pub mesos: Mesos,
    /// Where the state is kept.
    pub state: StatePlace,
    /// How ZooKeeper is spoken to, for the state and for the masters.
    pub zookeeper: TlsFiles,
    /// API, status page and metrics.
    pub http: Http,
    /// The program Mesos starts.
    pub executor: Executor,
    /// What is logged.
    pub log: Log,
    /// What jobs may reach, and how much of them there may be.
    pub jobs: Reach,
    /// Manners.
    pub offers: Offers,
    /// Cost of a byte by tier.
    pub distances: Distances,
}

/// `[mesos]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mesos {
    /// `host:port` or `https://host:port` of each master, or one `zk://[user:password@]host:port,…/mesos`.
    pub masters: Vec<String>,
    /// PEM file of the authorities that sign the masters' certificates. Needed for https, and with it masters are spoken to
    /// by https unless they say `http://`; the system's own authorities are not asked.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// PEM file of the certificate that is shown to masters that ask for one, and those that lead to its authority.
    #[serde(default)]
    pub cert: Option<PathBuf>,
    /// PEM file of its private key.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// Shown in Mesos' pages.
    pub name: String,
    /// The role whose resources are used.
    pub role: String,
    /// Unix user of executors; empty for this process's.
    pub user: String,
    /// For HTTP Basic.
    #[serde(default)]
    pub principal: Option<String>,
    /// Its secret, never a plain value.
    #[serde(default, deserialize_with = "secret")]
    pub secret: Option<Setting>,
    /// How long a disconnected framework and its tasks are kept, in milliseconds.
    #[serde(rename = "failover_timeout", deserialize_with = "duration")]
    pub failover_timeout_ms: u64,
}

/// `[state]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatePlace {
    /// Folder of the state store of a single scheduler.
    pub dir: PathBuf,
    /// ZooKeeper of several schedulers of which one leads; none for a single one.
    #[serde(deserialize_with = "zookeeper")]
    pub zookeeper: Option<ZooKeeperUrl>,
    /// `user:password` there, never a plain value; none for nodes that are open to all.
    #[serde(default, deserialize_with = "secret")]
    pub zookeeper_login: Option<Setting>,
    /// How long ZooKeeper waits for a silent scheduler before another one leads, in milliseconds.
    #[serde(rename = "session_timeout", deserialize_with = "duration")]
    pub session_timeout_ms: u64,
}

impl StatePlace {
    /// Where the state is, for people.
    pub fn place(&self) -> String {
        match &self.zookeeper {
            Some(zookeeper) => zookeeper.to_string(),
            None => self.dir.display().to_string(),
        }
    }
}

/// `[zookeeper]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// PEM file of the authorities that sign the servers' certificates; with it they are spoken to by TLS, and never without.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// PEM file of the certificate that is shown to servers that ask for one, and those that lead to its authority.
    #[serde(default)]
    pub cert: Option<PathBuf>,
    /// PEM file of its private key.
    #[serde(default)]
    pub key: Option<PathBuf>,
}

/// `[http]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The same for other hosts; empty to make it from the address.
    pub url: String,
    /// File of tokens; none for the user's own token, which is enough on loopback.
    #[serde(default)]
    pub tokens: Option<PathBuf>,
    /// PEM file of the certificate, and those that lead to its authority.
    #[serde(default)]
    pub cert: Option<PathBuf>,
    /// PEM file of its private key.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// TLS ends in front of it: off loopback it then speaks plain HTTP.
    pub behind_proxy: bool,
    /// Further names by which it is asked.
    pub hosts: Vec<String>,
    /// File of the audit log; none for one beside the state.
    #[serde(default)]
    pub audit: Option<PathBuf>,
}

/// `[executor]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Executor {
    /// Path on the agents; empty for the one beside this program.
    pub path: PathBuf,
    /// Do agents fetch it from the scheduler? Then `path` is on this host.
    pub serve: bool,
    /// Where its metrics port comes from.
    pub port: ExecutorPort,
    /// CPUs it takes besides its tasks.
    pub cpus: f64,
    /// Memory it takes besides its tasks, in bytes.
    #[serde(rename = "mem", deserialize_with = "size")]
    pub mem_bytes: u64,
    /// `RUST_LOG` of executors.
    pub log: String,
    /// Token that executors tell their metrics for, never a plain value; none for all who ask.
    #[serde(default, deserialize_with = "secret")]
    pub metrics_token: Option<Setting>,
    /// Time between KILL and the end by force, in milliseconds.
    #[serde(rename = "grace", deserialize_with = "duration")]
    pub grace_ms: u64,
}

/// Where the port of an executor's metrics comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutorPort {
    /// From the offer, like CPUs and memory.
    Offered,
    /// Any that is free on the host, whether agents offer ports or not.
    Any,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace` of our own parts, or a list as `RUST_LOG` has it.
    pub level: String,
}

/// `[offers]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offers {
    /// For how long useless offers are refused, in milliseconds.
    #[serde(rename = "decline", deserialize_with = "duration")]
    pub decline_ms: u64,
    /// Most launches at once.
    pub launches_max: usize,
}

/// What the command line says; what it does not say stays as configured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// `--master`; empty keeps the configured ones.
    pub masters: Vec<String>,
    /// `--ca`
    pub ca: Option<PathBuf>,
    /// `--state`: a folder, or `zk://…`
    pub state: Option<String>,
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--url`
    pub url: Option<String>,
    /// `--tokens`
    pub tokens: Option<PathBuf>,
    /// `--cert`
    pub cert: Option<PathBuf>,
    /// `--key`
    pub key: Option<PathBuf>,
    /// `--role`
    pub role: Option<String>,
    /// `--user`
    pub user: Option<String>,
    /// `--executor`
    pub executor: Option<PathBuf>,
    /// `--serve-executor`
    pub serve_executor: bool,
    /// `--log`
    pub log: Option<String>,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not as it should be.
    #[error("{}, {place}: {problem}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The line, or the table.
        place: String,
        /// Why.
        problem: String,
    },
    /// A value that cannot work.
    #[error("{key}: {problem}")]
    Value {
        /// Dotted key.
        key: &'static str,
        /// Why.
        problem: String,
    },
    /// The executor's program cannot be found.
    #[error("there is no {EXECUTOR} beside this program ({}); build it, or say where it is with --executor", dir.display())]
    NoExecutor {
        /// Where it was looked for.
        dir: PathBuf,
    },
}
