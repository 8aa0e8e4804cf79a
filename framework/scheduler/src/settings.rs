use millstream_mesos_types::{Capability, FrameworkInfo};
use millstream_placement::Distances;

/// What does not change while the scheduler runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Who subscribes.
    pub framework: FrameworkSettings,
    /// Program of the executor.
    pub executor: ExecutorProgram,
    /// `RUST_LOG` of executors. No other variable is ever handed down: secrets are looked up by the executor in the
    /// environment its agent gives it (`--executor_environment_variables`), and never travel through Mesos (invariant 7).
    pub executor_log: String,
    /// SHA-256, in hex, of the token that executors tell their metrics for; none for all who ask.
    pub metrics_sha256: Option<String>,
    /// CPUs of an executor besides its tasks, in thousandths.
    pub executor_cpus_milli: u64,
    /// Memory of an executor besides its tasks, in bytes.
    pub executor_mem_bytes: u64,
    /// Each executor takes a port of the offer for its HTTP endpoint; agents that offer none are refused. Else it listens on
    /// any free one, which some other task may count on.
    pub executor_port: bool,
    /// Time between KILL or SHUTDOWN and the end by force: flush, commit and report must fit in, in milliseconds.
    pub grace_ms: u64,
    /// Filter of useless offers, in seconds. Long, because REVIVE clears it when something new is wanted.
    pub decline_secs: f64,
    /// Most launches of one step.
    pub launches_max: usize,
    /// Cost of a byte by tier.
    pub distances: Distances,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            framework: FrameworkSettings::default(),
            executor: ExecutorProgram::Path("millstream-executor".into()),
            executor_log: "info".into(),
            metrics_sha256: None,
            executor_cpus_milli: 100,
            executor_mem_bytes: 64 << 20,
            executor_port: true,
            grace_ms: 10_000,
            decline_secs: 120.0,
            launches_max: 200,
            distances: Distances::default(),
        }
    }
}

/// How agents get the executor's program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecutorProgram {
    /// It lies on every agent.
    Path(String),
    /// Agents fetch it into the sandbox, and keep it in their cache under this URI.
    Fetched {
        /// Where from; another program has another URI.
        uri: String,
        /// SHA-256 of its bytes in hex, checked before it is started.
        sha256: String,
    },
}

/// Who subscribes; the part of [`FrameworkInfo`] an operator chooses.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameworkSettings {
    /// Shown in Mesos' pages.
    pub name: String,
    /// Unix user the executors run as. Explicit: Mesos' default is the scheduler's user, which agents may not have.
    pub user: String,
    /// The role whose resources are used.
    pub role: String,
    /// Must equal the name of HTTP Basic.
    pub principal: Option<String>,
    /// Host of the scheduler.
    pub hostname: Option<String>,
    /// The status page.
    pub webui_url: Option<String>,
    /// Seconds a disconnected framework and its tasks are kept.
    pub failover_timeout_secs: f64,
}

impl Default for FrameworkSettings {
    fn default() -> Self {
        FrameworkSettings {
            name: "millstream".into(),
            user: "root".into(),
            role: "*".into(),
            principal: None,
            hostname: None,
            webui_url: None,
            failover_timeout_secs: FAILOVER_TIMEOUT_MIN_SECS,
        }
    }
}

/// Shortest `failover_timeout`: a week. A scheduler may be away over a long weekend, and 0 would kill every task at the
/// first disconnect (dcos-flink-service#44).
pub const FAILOVER_TIMEOUT_MIN_SECS: f64 = 7.0 * 86_400.0;

/// What the framework understands. `GPU_RESOURCES` is missing on purpose: with it, GPU agents' offers come to a framework
/// that has no use for them.
const CAPABILITIES: [&str; 5] =
    ["MULTI_ROLE", "PARTITION_AWARE", "TASK_KILLING_STATE", "RESERVATION_REFINEMENT", "REGION_AWARE"];

/// The FrameworkInfo of SUBSCRIBE, all but the id.
pub fn framework_info(settings: &FrameworkSettings) -> FrameworkInfo {
    FrameworkInfo {
        user: settings.user.clone(),
        name: settings.name.clone(),
        id: None,
        failover_timeout: settings.failover_timeout_secs.max(FAILOVER_TIMEOUT_MIN_SECS),
        checkpoint: true,
        roles: vec![settings.role.clone()],
        capabilities: CAPABILITIES.iter().map(|kind| Capability { kind: (*kind).into() }).collect(),
        hostname: settings.hostname.clone(),
        principal: settings.principal.clone(),
        webui_url: settings.webui_url.clone(),
        labels: None,
        offer_filters: Default::default(),
    }
}
