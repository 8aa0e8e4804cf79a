//! What the parts of a scheduler are given of the settings.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use millstream_mesos::scheduler::{Config as SessionConfig, ConfigError as SessionConfigError, ZooKeeperTls};
use millstream_scheduler::{ExecutorProgram, FrameworkSettings, Settings};
use millstream_tls::ClientFiles;
use millstream_topology::settings;

use super::{Config, ConfigError, EXECUTOR, ExecutorPort, Mesos, TlsFiles};
use crate::{access, chain, program::Program};

impl Config {
    /// Where the masters are and how to speak to them; without credentials.
    pub fn session(&self) -> Result<SessionConfig, ConfigError> {
        let Mesos { masters, ca, cert, key, .. } = &self.mesos;
        let files = files("mesos.cert", ca, cert, key)?;
        let session = SessionConfig::read(masters, files.as_ref()).map_err(|error| {
            let problem = match &error {
                SessionConfigError::NoCa { master } => format!(
                    "{master} can only be known by the authority that signed its certificate; give that one's PEM file with \
                     --ca or as `ca` in [mesos] (the system's own authorities are not asked)"
                ),
                error => chain(error),
            };
            let key = if matches!(error, SessionConfigError::Masters(_)) { "mesos.masters" } else { "mesos.ca" };
            ConfigError::Value { key, problem }
        })?;
        Ok(SessionConfig { zookeeper_tls: self.zookeeper_tls()?, ..session })
    }

    /// How to speak TLS to ZooKeeper, if it is to be. Reads files.
    pub fn zookeeper_tls(&self) -> Result<Option<ZooKeeperTls>, ConfigError> {
        let TlsFiles { ca, cert, key } = &self.zookeeper;
        let files = files("zookeeper.cert", ca, cert, key)?;
        let refused = |error| ConfigError::Value { key: "zookeeper.ca", problem: chain(&error) };
        files.as_ref().map(ZooKeeperTls::read).transpose().map_err(refused)
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
            metrics_sha256: self.metrics_sha256()?,
            executor_cpus_milli: (self.executor.cpus * 1_000.0).round() as u64,
            executor_mem_bytes: self.executor.mem_bytes,
            grace_ms: self.executor.grace_ms,
            decline_secs: self.offers.decline_ms as f64 / 1_000.0,
            launches_max: self.offers.launches_max,
            distances: self.distances,
        })
    }

    /// What executors know of the token for their metrics. Reads a file.
    fn metrics_sha256(&self) -> Result<Option<String>, ConfigError> {
        let Some(token) = &self.executor.metrics_token else { return Ok(None) };
        let refused = |problem| ConfigError::Value { key: "executor.metrics_token", problem };
        let token = settings::resolve(token).map_err(|error| refused(format!("{error}; {}", error.remedy())))?;
        if token.len() < access::TOKEN_BYTES {
            let problem = "it is too short to be one: `millstream token` makes tokens, or `openssl rand -hex 32`";
            return Err(refused(problem.into()));
        }
        Ok(Some(access::hash(&token)))
    }

    /// File of the audit log; none for the process's log.
    pub fn audit_file(&self) -> Option<PathBuf> {
        let beside = || self.state.zookeeper.is_none().then(|| self.state.dir.join("audit.jsonl"));
        self.http.audit.clone().or_else(beside)
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
            "" if self.http.cert.is_none() => Ok(format!("http://{address}")),
            "" => Ok(format!("https://{address}")),
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

/// Files of a client of TLS; none when no authority is named. `at` is the key of the certificate.
fn files(
    at: &'static str,
    ca: &Option<PathBuf>,
    cert: &Option<PathBuf>,
    key: &Option<PathBuf>,
) -> Result<Option<ClientFiles>, ConfigError> {
    let refuse = |problem: &str| Err(ConfigError::Value { key: at, problem: problem.into() });
    if cert.is_some() != key.is_some() {
        return refuse("certificate and key go together: say `cert` and `key`");
    }
    match ca {
        Some(ca) => Ok(Some(ClientFiles { ca: ca.clone(), own: cert.clone().zip(key.clone()) })),
        None if cert.is_some() => refuse("it is shown to servers whose authority is known: say `ca` as well"),
        None => Ok(None),
    }
}

fn this_user() -> String {
    // The environment is enough for a default: who wants another says so.
    std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .ok()
        .filter(|user| !user.is_empty())
        .unwrap_or_else(|| nix::unistd::geteuid().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executors_get_the_hash_of_the_token_for_their_metrics() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("token");
        let config = Config::parse(&format!("[executor]\nmetrics_token = {{ file = {file:?} }}")).expect("settings");
        let said = || config.metrics_sha256().map_err(|error| error.to_string());
        assert!(said().expect_err("not there").contains("executor.metrics_token"));
        std::fs::write(&file, "hunter2\n").expect("written");
        let error = said().expect_err("short");
        assert!(error.contains("too short") && !error.contains("hunter2"), "{error}");
        let token = "0123456789abcdef0123456789abcdef";
        std::fs::write(&file, format!("{token}\n")).expect("written");
        assert_eq!(said(), Ok(Some(access::hash(token))));
        assert_eq!(Config::parse("").expect("defaults").metrics_sha256().expect("none"), None);
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
