//! Settings: one typed tree, one committed file of defaults (`default.toml`), unknown keys refused.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use millstream_mesos::scheduler::{Config as SessionConfig, ConfigError as SessionConfigError, ZooKeeperUrl};
use millstream_placement::Distances;
use millstream_scheduler::{ExecutorProgram, FrameworkSettings, Settings};
use millstream_spec::{Setting, units};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::{chain, program::Program, zookeeper::address};

/// The committed defaults, as text.
pub const DEFAULTS: &str = include_str!("../default.toml");

/// Name of the executor's program.
const EXECUTOR: &str = "millstream-executor";

/// Shorter ones end at every pause of a virtual machine, longer ones leave tasks without a scheduler.
const SESSION_TIMEOUT_MS: std::ops::RangeInclusive<u64> = 1_000..=300_000;

/// All settings of a scheduler.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The masters and who we are to them.
    pub mesos: Mesos,
    /// Where the state is kept.
    pub state: StatePlace,
    /// API, status page and metrics.
    pub http: Http,
    /// The program Mesos starts.
    pub executor: Executor,
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

/// `[http]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The same for other hosts; empty to make it from the address.
    pub url: String,
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
    /// `--role`
    pub role: Option<String>,
    /// `--user`
    pub user: Option<String>,
    /// `--executor`
    pub executor: Option<PathBuf>,
    /// `--serve-executor`
    pub serve_executor: bool,
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
    #[error("{} is refused: {}", path.display(), source.message())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<toml::de::Error>,
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

impl Config {
    /// Defaults, then the file, then the command line.
    pub fn load(file: Option<&Path>, overrides: Overrides) -> Result<Config, ConfigError> {
        let text = match file {
            None => String::new(),
            Some(path) => {
                std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?
            }
        };
        let mut config = Config::parse(&text).map_err(|source| ConfigError::Parse {
            path: file.unwrap_or(Path::new("default.toml")).to_owned(),
            source,
        })?;
        config.apply(overrides)?;
        config.check()?;
        Ok(config)
    }

    /// Defaults, then this text.
    pub fn parse(text: &str) -> Result<Config, Box<toml::de::Error>> {
        let mut tree: toml::Table = DEFAULTS.parse()?;
        merge(&mut tree, text.parse()?);
        Ok(toml::Value::Table(tree).try_into()?)
    }

    /// The command line wins.
    pub fn apply(&mut self, overrides: Overrides) -> Result<(), ConfigError> {
        if !overrides.masters.is_empty() {
            self.mesos.masters = overrides.masters;
        }
        self.mesos.ca = overrides.ca.or(self.mesos.ca.take());
        match overrides.state {
            Some(state) if is_meant_for_zookeeper(&state) => {
                let refused = |problem| ConfigError::Value { key: "--state", problem };
                self.state.zookeeper = Some(address::parse(&state).map_err(refused)?);
            }
            Some(dir) => (self.state.dir, self.state.zookeeper) = (dir.into(), None),
            None => {}
        }
        self.http.listen = overrides.listen.unwrap_or(self.http.listen);
        self.http.url = overrides.url.unwrap_or_else(|| std::mem::take(&mut self.http.url));
        self.mesos.role = overrides.role.unwrap_or_else(|| std::mem::take(&mut self.mesos.role));
        self.mesos.user = overrides.user.unwrap_or_else(|| std::mem::take(&mut self.mesos.user));
        self.executor.path = overrides.executor.unwrap_or_else(|| std::mem::take(&mut self.executor.path));
        self.executor.serve |= overrides.serve_executor;
        Ok(())
    }

    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key, problem: &str| Err(ConfigError::Value { key, problem: problem.into() });
        self.session()?;
        if is_meant_for_zookeeper(&self.state.dir.to_string_lossy()) {
            return refuse("state.dir", "a ZooKeeper is no folder; name it as `zookeeper` in [state]");
        }
        if !SESSION_TIMEOUT_MS.contains(&self.state.session_timeout_ms) {
            return refuse(
                "state.session_timeout",
                "from 1s to 5min, and within ZooKeeper's own limits (2 to 20 ticks)",
            );
        }
        if !self.http.url.is_empty() && !self.http.url.starts_with("http://") && !self.http.url.starts_with("https://")
        {
            return refuse("http.url", "write it as http://HOST:PORT");
        }
        if self.mesos.role.is_empty() || self.mesos.role.contains(|c: char| c.is_whitespace() || c == '\\') {
            return refuse("mesos.role", "a role is a name without spaces, as in `millstream` or `streams/prod`");
        }
        if self.mesos.principal.is_some() != self.mesos.secret.is_some() {
            return refuse("mesos.principal", "principal and secret go together");
        }
        // Mesos' own smallest resources.
        if !(0.01..=1_000.0).contains(&self.executor.cpus) {
            return refuse("executor.cpus", "an executor takes 0.01 CPUs or more");
        }
        if self.executor.mem_bytes < 32 << 20 {
            return refuse("executor.mem", "an executor takes 32MiB or more");
        }
        if self.offers.launches_max == 0 {
            return refuse("offers.launches_max", "0 would launch nothing, ever");
        }
        Ok(())
    }

    /// What else must be right for a scheduler whose API listens at `address`.
    pub fn check_at(&self, address: SocketAddr) -> Result<(), ConfigError> {
        if self.executor.serve || self.state.zookeeper.is_some() {
            self.url(address)?;
        }
        self.executor_path().map(drop)
    }

    /// Where the masters are and how to speak to them; without credentials.
    pub fn session(&self) -> Result<SessionConfig, ConfigError> {
        SessionConfig::read(&self.mesos.masters, self.mesos.ca.as_deref()).map_err(|error| {
            let problem = match &error {
                SessionConfigError::NoCa { master } => format!(
                    "{master} can only be known by the authority that signed its certificate; give that one's PEM file with \
                     --ca or as `ca` in [mesos] (the system's own authorities are not asked)"
                ),
                error => chain(error),
            };
            let key = if matches!(error, SessionConfigError::Masters(_)) { "mesos.masters" } else { "mesos.ca" };
            ConfigError::Value { key, problem }
        })
    }

    /// Settings of the decisions.
    /// `address` is where the API listens, `served` the program that agents fetch from there, if they do.
    pub fn scheduler_settings(&self, address: SocketAddr, served: Option<&Program>) -> Result<Settings, ConfigError> {
        let executor = match served {
            Some(program) => {
                let uri = format!("{}{}", self.url(address)?, program.url_path());
                ExecutorProgram::Fetched { uri, sha256: program.sha256().to_owned() }
            }
            None => ExecutorProgram::Path(self.executor_path()?.to_string_lossy().into_owned()),
        };
        Ok(Settings {
            framework: self.framework_settings(address),
            executor,
            executor_port: self.executor.port == ExecutorPort::Offered,
            executor_log: self.executor.log.clone(),
            executor_cpus_milli: (self.executor.cpus * 1_000.0).round() as u64,
            executor_mem_bytes: self.executor.mem_bytes,
            grace_ms: self.executor.grace_ms,
            decline_secs: self.offers.decline_ms as f64 / 1_000.0,
            launches_max: self.offers.launches_max,
            distances: self.distances,
        })
    }

    /// URL of the API for other hosts, without a slash at its end.
    pub fn url(&self, address: SocketAddr) -> Result<String, ConfigError> {
        match self.http.url.trim_end_matches('/') {
            // The address "any" leads nowhere from elsewhere.
            "" if address.ip().is_unspecified() => {
                let problem = "agents or other schedulers must reach this one, and the address it listens on leads nowhere from \
                               elsewhere; say `url` or --url";
                Err(ConfigError::Value { key: "http.url", problem: problem.into() })
            }
            "" => Ok(format!("http://{address}")),
            url => Ok(url.to_owned()),
        }
    }

    fn framework_settings(&self, address: SocketAddr) -> FrameworkSettings {
        FrameworkSettings {
            name: self.mesos.name.clone(),
            user: if self.mesos.user.is_empty() { this_user() } else { self.mesos.user.clone() },
            role: self.mesos.role.clone(),
            principal: self.mesos.principal.clone(),
            hostname: None,
            webui_url: self.url(address).ok(),
            failover_timeout_secs: self.mesos.failover_timeout_ms as f64 / 1_000.0,
        }
    }

    /// The configured path as it is (agents may have it elsewhere than this host), or the program beside this one.
    pub fn executor_path(&self) -> Result<PathBuf, ConfigError> {
        if !self.executor.path.as_os_str().is_empty() {
            // A relative one would be looked for in the sandbox; it is meant from here.
            return Ok(std::path::absolute(&self.executor.path).unwrap_or_else(|_| self.executor.path.clone()));
        }
        let program = std::env::current_exe().unwrap_or_default();
        let dir = program.parent().unwrap_or(Path::new(".")).to_owned();
        Some(dir.join(EXECUTOR)).filter(|path| path.is_file()).ok_or(ConfigError::NoExecutor { dir })
    }
}

/// `zk:/place` is a place in ZooKeeper with a slash too few, and hardly ever a folder of that name.
pub fn is_meant_for_zookeeper(state: &str) -> bool {
    state.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("zk:"))
}

fn this_user() -> String {
    // The environment is enough for a default: who wants another says so.
    std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .ok()
        .filter(|user| !user.is_empty())
        .unwrap_or("root".into())
}

fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(over)) if key != "secret" => merge(base, over),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    units::parse_duration_ms(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    units::parse_size_bytes(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn zookeeper<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ZooKeeperUrl>, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "" => Ok(None),
        text => address::parse(text).map(Some).map_err(D::Error::custom),
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Setting>, D::Error> {
    let setting = Setting::deserialize(deserializer)
        .map_err(|_| D::Error::custom("a secret is only named here: { env = \"X\" } or { file = \"/path\" }"))?;
    match setting {
        Setting::Value(_) => {
            Err(D::Error::custom("a plain secret is refused: { env = \"X\" } or { file = \"/path\" }"))
        }
        named => Ok(Some(named)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_defaults_are_complete() {
        let config = Config::parse("").expect("defaults");
        config.check().expect("usable");
        assert_eq!((config.mesos.failover_timeout_ms, config.executor.mem_bytes), (1_209_600_000, 64 << 20));
        assert_eq!(config.distances, Distances::default());
    }

    #[test]
    fn a_file_overrides_single_keys_and_the_command_line_both() {
        let mut config = Config::parse("[mesos]\nrole = \"prod\"\nmasters = [\"m1:5050\"]").expect("settings");
        config.apply(Overrides { role: Some("test".into()), ..Overrides::default() }).expect("overrides");
        assert_eq!((config.mesos.role.as_str(), config.mesos.name.as_str()), ("test", "millstream"));
        assert_eq!(config.mesos.masters, ["m1:5050"]);
    }

    #[test]
    fn unknown_keys_and_plain_secrets_are_refused() {
        for (text, part) in [
            ("[mesos]\nmaster = \"m1:5050\"", "unknown field `master`"),
            ("[web]\nport = 1", "unknown field `web`"),
            ("[mesos]\nsecret = \"hunter2\"", "only named here"),
            ("[mesos]\nsecret = { value = \"hunter2\" }", "refused"),
            ("[executor]\ngrace = \"soon\"", "number"),
            ("[state]\nzookeeper = \"zk://user:hunter2@a:2181/x\"", "login"),
            ("[state]\nzookeeper = \"a:2181\"", "zk://"),
        ] {
            let error = Config::parse(text).expect_err(text).to_string();
            assert!(error.contains(part) && !error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn state_is_a_folder_or_a_zookeeper_and_the_command_line_chooses() {
        let state = |text: &str, state: Option<&str>| {
            let mut config = Config::parse(text).expect("settings");
            config.apply(Overrides { state: state.map(str::to_owned), ..Overrides::default() }).map(|()| config.state)
        };
        let zookeeper = "[state]\nzookeeper = \"zk://a:2181/millstream\"";
        assert_eq!(state("", None).expect("defaults").zookeeper, None);
        assert_eq!(
            state(zookeeper, None).expect("a file").zookeeper.map(|zk| zk.path().to_owned()),
            Some("/millstream".into())
        );
        let folder = state(zookeeper, Some("/var/lib/millstream")).expect("a folder");
        assert_eq!((folder.zookeeper, folder.dir), (None, "/var/lib/millstream".into()));
        let other = state(zookeeper, Some("zk://b:2181,c:2181/other")).expect("another one").zookeeper;
        assert_eq!(other.map(|zk| zk.servers().to_owned()), Some("b:2181,c:2181".into()));
        for wrong in ["zk://b:2181", "zk:/b:2181/x", "zk:b:2181/x", "ZK://b:2181/x"] {
            let error = state("", Some(wrong)).expect_err(wrong).to_string();
            assert!(error.starts_with("--state: ") && error.contains("zk://HOST:PORT,HOST:PORT/millstream"), "{error}");
        }
        assert_eq!(state("", Some("./zk:")).expect("a folder").zookeeper, None);
        let config = Config::parse("[state]\ndir = \"zk:/b:2181/x\"").expect("settings");
        let error = config.check().expect_err("no folder").to_string();
        assert!(error.starts_with("state.dir: ") && error.contains("`zookeeper`"), "{error}");
    }

    #[test]
    fn https_to_the_masters_needs_a_ca_and_both_ways_to_name_it_are_said() {
        let config = |ca: Option<&str>| {
            let mut config = Config::parse("[mesos]\nmasters = [\"https://m1:5050\"]").expect("settings");
            config.apply(Overrides { ca: ca.map(Into::into), ..Overrides::default() }).expect("overrides");
            config.check().expect_err("no CA, or none that can be read").to_string()
        };
        let error = config(None);
        assert!(
            error.starts_with("mesos.ca: https://m1:5050") && error.contains("--ca or as `ca` in [mesos]"),
            "{error}"
        );
        let error = config(Some("/nowhere.pem"));
        assert!(error.contains("/nowhere.pem cannot be read"), "{error}");
    }

    #[test]
    fn an_address_that_leads_nowhere_needs_a_url() {
        let config = |url: &str| Config::parse(&format!("[http]\nurl = \"{url}\"")).expect("settings");
        let any = "0.0.0.0:7070".parse().expect("an address");
        assert_eq!(
            config("").url("10.0.0.1:7070".parse().expect("an address")).expect("it leads here"),
            "http://10.0.0.1:7070"
        );
        assert_eq!(config("http://s1.example:7070/").url(any).expect("said"), "http://s1.example:7070");
        let error = config("").url(any).expect_err("nowhere").to_string();
        assert!(error.contains("http.url") && error.contains("--url"), "{error}");
        assert_eq!(config("").framework_settings(any).webui_url, None);
    }
}
