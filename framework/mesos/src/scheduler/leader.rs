use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use serde::de::DeserializeOwned;

use super::{
    Config, DisconnectReason, MasterUrl,
    finder::{Ask, Finder, Found},
};

/// How long the body of an answer may take: the list of a big cluster's agents is 100 MiB.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// A page of which other masters redirect to the leader. Asked for an agent that does not exist, it is empty.
const LEADERS_PAGE: &str = "/slaves?slave_id=none";

/// Why the leading master tells nothing.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// None is found, or it refuses.
    #[error("no leading master answers")]
    NoLeader(#[source] DisconnectReason),
    /// The answer breaks off or is larger than is taken.
    #[error("the answer of the leading master {master} cannot be read")]
    Body {
        /// `http://host:port`
        master: MasterUrl,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer takes too long.
    #[error("the answer of the leading master {master} is not complete within {} s", BODY_WITHIN.as_secs())]
    Slow {
        /// `http://host:port`
        master: MasterUrl,
    },
    /// The answer is not what was expected.
    #[error("the answer of the leading master {master} is not understood")]
    Json {
        /// `http://host:port`
        master: MasterUrl,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// The master that leads now. Asks each master, or ZooKeeper and then the leader, once.
pub async fn leader(config: &Config) -> Result<MasterUrl, AskError> {
    let found = Finder::new(config.clone()).ask(&Ask::Get(LEADERS_PAGE)).await;
    found.map(|found| found.master).map_err(AskError::NoLeader)
}

/// What the leading master tells on a page such as `/slaves` or `/state`, of at most `bytes_max` bytes. Goes with the
/// session's credentials and TLS.
pub async fn get_json<T: DeserializeOwned>(config: &Config, path: &str, bytes_max: usize) -> Result<T, AskError> {
    let found = Finder::new(config.clone()).ask(&Ask::Get(path)).await.map_err(AskError::NoLeader)?;
    let Found { master, connection: _connection, answer } = found;
    let body = Limited::new(answer.into_body(), bytes_max).collect();
    let body: Bytes = match tokio::time::timeout(BODY_WITHIN, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(source)) => return Err(AskError::Body { master, source }),
        Err(_) => return Err(AskError::Slow { master }),
    };
    serde_json::from_slice(&body).map_err(|source| AskError::Json { master, source })
}
