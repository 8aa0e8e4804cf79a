use std::{path::PathBuf, time::Duration};

use millstream_mesos_types::{ExecutorId, FrameworkId};
use millstream_tls::ClientFiles;

use crate::Tls;

/// Mesos' own default of `--executor_shutdown_grace_period`.
const DEFAULT_SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// Mesos' own default of `--recovery_timeout`.
const DEFAULT_RECOVERY_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// Mesos' own default of the executor library.
const DEFAULT_SUBSCRIPTION_BACKOFF_MAX: Duration = Duration::from_secs(2);

/// What the agent tells an executor through `MESOS_*` variables. The only place that reads them.
#[derive(Clone)]
pub struct Environment {
    /// `MESOS_FRAMEWORK_ID`
    pub framework_id: FrameworkId,
    /// `MESOS_EXECUTOR_ID`
    pub executor_id: ExecutorId,
    /// `MESOS_AGENT_ENDPOINT`, `host:port`
    pub agent_endpoint: String,
    /// `MESOS_SANDBOX` or else `MESOS_DIRECTORY`: the working directory.
    pub sandbox: PathBuf,
    /// `MESOS_CHECKPOINT`: the executor is to outlive a restart of its agent.
    pub checkpoint: bool,
    /// `MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD`: time between SHUTDOWN and the end by force.
    pub shutdown_grace: Duration,
    /// `MESOS_RECOVERY_TIMEOUT`: how long to wait for an agent that is away.
    pub recovery_timeout: Duration,
    /// `MESOS_SUBSCRIPTION_BACKOFF_MAX`: longest pause between attempts to subscribe.
    pub subscription_backoff_max: Duration,
    /// `MESOS_EXECUTOR_AUTHENTICATION_TOKEN`: a secret, never shown.
    pub token: Option<String>,
    /// `LIBPROCESS_SSL_ENABLED` with `LIBPROCESS_SSL_CA_FILE`, and `…_CERT_FILE` and `…_KEY_FILE` (Mesos' docs/ssl.md), which an
    /// agent that speaks TLS leaves to its executors: the agent is spoken to by https.
    pub tls: Option<Tls>,
}

/// What is missing or unreadable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// Not started by a Mesos agent.
    #[error("{0} is not set: an executor is started by a Mesos agent")]
    Missing(&'static str),
    /// TLS without somebody to trust.
    #[error(
        "LIBPROCESS_SSL_ENABLED is set, and LIBPROCESS_SSL_CA_FILE is not: name the authority of the agents' certificates in the agents' environment"
    )]
    NoCa,
    /// Files for TLS that cannot be used.
    #[error("the agent speaks TLS (LIBPROCESS_SSL_ENABLED), and {0}")]
    Tls(String),
    /// Not as Mesos writes durations.
    #[error("{name}={value:?} is no duration such as 5secs or 15mins")]
    Duration {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment")
            .field("framework_id", &self.framework_id.value)
            .field("executor_id", &self.executor_id.value)
            .field("agent_endpoint", &self.agent_endpoint)
            .field("sandbox", &self.sandbox)
            .field("checkpoint", &self.checkpoint)
            .field("shutdown_grace", &self.shutdown_grace)
            .field("recovery_timeout", &self.recovery_timeout)
            .field("subscription_backoff_max", &self.subscription_backoff_max)
            .field("has_token", &self.token.is_some())
            .field("has_tls", &self.tls.is_some())
            .finish()
    }
}

impl Environment {
    /// Reads the process's environment.
    pub fn from_process() -> Result<Self, EnvironmentError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads variables through `lookup`; an empty one counts as not set.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let get = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let need = |name: &'static str| get(name).ok_or(EnvironmentError::Missing(name));
        let duration = |name: &'static str, default| match get(name) {
            None => Ok(default),
            Some(value) => parse_duration(&value).ok_or(EnvironmentError::Duration { name, value }),
        };
        Ok(Self {
            framework_id: FrameworkId::new(need("MESOS_FRAMEWORK_ID")?),
            executor_id: ExecutorId::new(need("MESOS_EXECUTOR_ID")?),
            agent_endpoint: need("MESOS_AGENT_ENDPOINT")?,
            sandbox: need("MESOS_SANDBOX").or_else(|_| need("MESOS_DIRECTORY"))?.into(),
            checkpoint: get("MESOS_CHECKPOINT").is_some_and(|value| value == "1" || value == "true"),
            shutdown_grace: duration("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", DEFAULT_SHUTDOWN_GRACE)?,
            recovery_timeout: duration("MESOS_RECOVERY_TIMEOUT", DEFAULT_RECOVERY_TIMEOUT)?,
            subscription_backoff_max: duration("MESOS_SUBSCRIPTION_BACKOFF_MAX", DEFAULT_SUBSCRIPTION_BACKOFF_MAX)?,
            token: get("MESOS_EXECUTOR_AUTHENTICATION_TOKEN"),
            tls: tls(&get)?,
        })
    }
}

/// Files to speak TLS with, if the agent does.
fn tls(get: &impl Fn(&str) -> Option<String>) -> Result<Option<Tls>, EnvironmentError> {
    if !get("LIBPROCESS_SSL_ENABLED").is_some_and(|value| value == "1" || value == "true") {
        return Ok(None);
    }
    let file = |name: &str| get(name).map(PathBuf::from);
    let ca = file("LIBPROCESS_SSL_CA_FILE").ok_or(EnvironmentError::NoCa)?;
    let own = file("LIBPROCESS_SSL_CERT_FILE").zip(file("LIBPROCESS_SSL_KEY_FILE"));
    Tls::read(&ClientFiles { ca, own }).map(Some).map_err(|error| EnvironmentError::Tls(error.to_string()))
}

/// A duration as Mesos prints it: `1.5mins`.
fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = text.split_at(split);
    let unit_secs = match unit {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "secs" => 1.0,
        "mins" => 60.0,
        "hrs" => 3_600.0,
        "days" => 86_400.0,
        "weeks" => 604_800.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit_secs).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Environment, EnvironmentError> {
        Environment::from_lookup(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    const LEAST: [(&str, &str); 4] = [
        ("MESOS_FRAMEWORK_ID", "f"),
        ("MESOS_EXECUTOR_ID", "e"),
        ("MESOS_AGENT_ENDPOINT", "127.0.1.1:5051"),
        ("MESOS_DIRECTORY", "/s"),
    ];

    #[test]
    fn what_is_not_said_is_as_in_mesos() {
        let env = read(&LEAST).unwrap();
        assert_eq!(env.sandbox, PathBuf::from("/s"));
        assert!(!env.checkpoint && env.token.is_none());
        assert_eq!((env.shutdown_grace.as_secs(), env.recovery_timeout.as_secs()), (5, 900));
    }

    #[test]
    fn everything_said_is_read_and_the_token_is_never_shown() {
        let more = [
            ("MESOS_SANDBOX", "/box"),
            ("MESOS_CHECKPOINT", "1"),
            ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "1.5mins"),
            ("MESOS_RECOVERY_TIMEOUT", "2hrs"),
            ("MESOS_SUBSCRIPTION_BACKOFF_MAX", "500ms"),
            ("MESOS_EXECUTOR_AUTHENTICATION_TOKEN", "hush"),
        ];
        let env = read(&[&LEAST[..], &more].concat()).unwrap();
        assert_eq!(env.sandbox, PathBuf::from("/box"));
        assert!(env.checkpoint);
        assert_eq!(env.shutdown_grace, Duration::from_secs(90));
        assert_eq!(env.recovery_timeout, Duration::from_secs(7_200));
        assert_eq!(env.subscription_backoff_max, Duration::from_millis(500));
        assert!(!format!("{env:?}").contains("hush"));
    }

    #[test]
    fn an_agent_that_speaks_tls_says_so() {
        let with = |more: &[(&str, &str)]| read(&[&LEAST[..], more].concat());
        let (on, ca) = (("LIBPROCESS_SSL_ENABLED", "1"), ("LIBPROCESS_SSL_CA_FILE", "/ca"));
        assert!(with(&[("LIBPROCESS_SSL_ENABLED", "false"), ca]).unwrap().tls.is_none());
        assert_eq!(with(&[on]).unwrap_err(), EnvironmentError::NoCa);
        let error = with(&[on, ca]).unwrap_err().to_string();
        assert!(error.contains("/ca cannot be read"), "{error}");
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (index, (name, _)) in LEAST.iter().enumerate() {
            let mut variables = LEAST.to_vec();
            variables.remove(index);
            assert!(read(&variables).unwrap_err().to_string().contains(name));
        }
        let variables = [&LEAST[..], &[("MESOS_RECOVERY_TIMEOUT", "soon")]].concat();
        assert!(matches!(read(&variables), Err(EnvironmentError::Duration { name: "MESOS_RECOVERY_TIMEOUT", .. })));
    }
}
