use std::time::Duration;

use millstream_tls::Trouble;

use crate::TransportError;

/// Why there is no event stream (any more).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DisconnectReason {
    /// The list of masters is empty.
    #[error("no master is configured")]
    NoMasters,
    /// No connection or no answer.
    #[error("master {master} is unreachable: {detail}")]
    Unreachable {
        /// `host:port`
        master: String,
        /// Why.
        detail: String,
    },
    /// By https, a master that cannot be trusted, or that speaks no TLS.
    #[error("master {master} cannot be used: {detail}")]
    Untrusted {
        /// `host:port`
        master: String,
        /// Why, and what to do.
        detail: String,
    },
    /// https without a CA.
    #[error("master {master} is an https one, and no CA is given to know it by; give the PEM file of its CA")]
    NoCa {
        /// `host:port`
        master: String,
    },
    /// ZooKeeper does not say who leads: it is unreachable, or does not let us in.
    #[error("ZooKeeper at {servers} does not say which master leads: {detail}")]
    ZooKeeper {
        /// `host:port,…`
        servers: String,
        /// Why.
        detail: String,
    },
    /// ZooKeeper says that no master leads.
    #[error("no master leads, says ZooKeeper at {servers}: {detail}")]
    NoLeader {
        /// `host:port,…`
        servers: String,
        /// Why.
        detail: String,
    },
    /// ZooKeeper says that another master leads; it is subscribed to at once.
    #[error("another master leads now")]
    LeaderChanged,
    /// No 200 to SUBSCRIBE, or an answer to a call that says the same. 503 and 404: electing, recovering or starting.
    #[error("master {master} answered {status}: {message}")]
    Refused {
        /// `host:port`
        master: String,
        /// HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// A 307 that leads nowhere.
    #[error("master {master} redirects to {}, which is no http(s) host:port", location.as_deref().unwrap_or("nowhere"))]
    BadRedirect {
        /// `host:port`
        master: String,
        /// As it came.
        location: Option<String>,
    },
    /// A 307 from https down to http: the framework's secret would travel in the clear.
    #[error(
        "master {master} redirects from https down to {location}, which is not followed; let all masters speak https"
    )]
    Downgrade {
        /// `host:port`
        master: String,
        /// As it came.
        location: String,
    },
    /// The masters point at each other.
    #[error("redirected too often, last to {master}")]
    TooManyRedirects {
        /// `host:port`
        master: String,
    },
    /// The master closed the stream.
    #[error("the master closed the event stream")]
    Closed,
    /// The stream broke or was no RecordIO.
    #[error("the event stream broke: {detail}")]
    Broken {
        /// Why.
        detail: String,
    },
    /// The master was silent for too long.
    #[error("no heartbeat for {} s", .0.as_secs_f64())]
    Silent(Duration),
    /// A call's answer said that the stream is not valid any more.
    #[error("the master does not know this event stream any more")]
    Stale,
    /// A call got no answer: nobody knows whether it was done.
    #[error("a call got no answer: {detail}")]
    Unanswered {
        /// Why.
        detail: String,
    },
    /// The master sent ERROR: the subscription is over for good (another scheduler took over, framework removed, …).
    #[error("the master ended the framework's subscription: {0}")]
    Error(String),
}

impl DisconnectReason {
    pub(super) fn unanswered(error: &TransportError) -> Self {
        Self::Unanswered { detail: detail(error) }
    }

    pub(super) fn unreachable(master: &str, error: &TransportError) -> Self {
        let (master, detail) = (master.to_owned(), detail(error));
        match error {
            TransportError::Untrusted { remedy, source, .. } => {
                Self::Untrusted { master, detail: format!("{remedy} ({source})") }
            }
            // By TLS 1.3 a server refuses a certificate after the handshake.
            TransportError::Broken { source, .. } if Trouble::of(source) == Some(Trouble::Refused) => {
                Self::Untrusted { master, detail: format!("{} ({detail})", Trouble::Refused.with_remedy()) }
            }
            _ => Self::Unreachable { master, detail },
        }
    }

    /// Will not pass by itself: wrong credentials or certificates, a framework the master does not accept, ERROR.
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::Refused { status, .. } => matches!(status, 400 | 401 | 403),
            Self::NoMasters | Self::Untrusted { .. } | Self::NoCa { .. } | Self::Downgrade { .. } | Self::Error(_) => {
                true
            }
            _ => false,
        }
    }
}

/// The error and its cause.
fn detail(error: &TransportError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}
