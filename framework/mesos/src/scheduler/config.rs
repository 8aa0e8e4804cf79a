use std::time::Duration;

use hyper::{HeaderMap, header};

use crate::connection;

/// Where the masters are and how to speak to them.
#[derive(Debug, Clone)]
pub struct Config {
    /// `host:port` of each master; any of them leads to the leader.
    pub masters: Vec<String>,
    /// For HTTP Basic.
    pub credentials: Option<Credentials>,
    /// How long to wait for what.
    pub timings: Timings,
}

impl Config {
    /// Those masters, no credentials, the usual timings.
    pub fn new(masters: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { masters: masters.into_iter().map(Into::into).collect(), credentials: None, timings: Timings::default() }
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
