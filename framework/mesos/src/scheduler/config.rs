use std::time::Duration;

use hyper::{HeaderMap, header};
use millstream_tls::{ClientFiles, PemError};

use super::{Masters, MastersError, Scheme, ZooKeeperTls};
use crate::{Tls, connection};

/// Where the masters are and how to speak to them.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the masters are.
    pub masters: Masters,
    /// For https; then also to the leader that ZooKeeper names.
    pub tls: Option<Tls>,
    /// For the ZooKeeper that names the leader.
    pub zookeeper_tls: Option<ZooKeeperTls>,
    /// For HTTP Basic.
    pub credentials: Option<Credentials>,
    /// How long to wait for what.
    pub timings: Timings,
}

/// Why settings of masters cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The masters are not understood.
    #[error(transparent)]
    Masters(#[from] MastersError),
    /// The CA file, or the certificate, cannot be used.
    #[error(transparent)]
    Tls(#[from] PemError),
    /// https without a CA.
    #[error("{master} is an https one, and no CA is given to know it by; give the PEM file of its CA")]
    NoCa {
        /// `https://host:port`
        master: String,
    },
}

impl Config {
    /// Those masters, no TLS, no credentials, the usual timings.
    pub fn new(masters: Masters) -> Self {
        Self { masters, tls: None, zookeeper_tls: None, credentials: None, timings: Timings::default() }
    }

    /// Masters as [`Masters::parse`] reads them, and the files to know their certificates by. With them, a
    /// master written without a scheme is spoken to by https, as is the leader that ZooKeeper names.
    pub fn read<T: AsRef<str>>(masters: &[T], files: Option<&ClientFiles>) -> Result<Self, ConfigError> {
        let masters = Masters::parse(masters, Scheme::of(files.is_some()))?;
        if let (Masters::List(list), None) = (&masters, files)
            && let Some(master) = list.iter().find(|master| master.scheme == Scheme::Https)
        {
            return Err(ConfigError::NoCa { master: master.to_string() });
        }
        let tls = files.map(Tls::read).transpose()?;
        Ok(Self { tls, ..Self::new(masters) })
    }

    /// Headers that every call carries.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(Credentials { principal, secret }) = &self.credentials {
            headers.insert(header::AUTHORIZATION, connection::basic(principal, secret));
        }
        headers
    }
}

/// A principal and its secret. `FrameworkInfo.principal` is set to it when it is none.
#[derive(Clone)]
pub struct Credentials {
    /// Who.
    pub principal: String,
    /// Never logged.
    pub secret: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("principal", &self.principal).finish_non_exhaustive()
    }
}

/// How long to wait for what.
#[derive(Debug, Clone)]
pub struct Timings {
    /// For a connection, and for an answer to begin.
    pub answer: Duration,
    /// Heartbeats missed before the connection is given up.
    pub missed_heartbeats: u32,
    /// First pause before subscribing again; doubles, with jitter.
    pub backoff_min: Duration,
    /// Longest pause, jitter included.
    pub backoff_max: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(10),
            missed_heartbeats: 5,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(15),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_needs_a_ca() {
        let error = Config::read(&["a:5050", "https://b:5050"], None).unwrap_err().to_string();
        assert!(error.starts_with("https://b:5050 is an https one"), "{error}");
        let files = ClientFiles { ca: "/nowhere.pem".into(), own: None };
        assert!(matches!(Config::read(&["a:5050"], Some(&files)), Err(ConfigError::Tls(_))));
        assert!(matches!(Config::read(&["a"], None), Err(ConfigError::Masters(_))));
    }
}
