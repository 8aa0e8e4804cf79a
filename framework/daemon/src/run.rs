//! The whole life of a scheduler process.

use std::{future::Future, net::SocketAddr, sync::Arc};

use millstream_mesos::scheduler::{Config as SessionConfig, Credentials, DisconnectReason};
use millstream_scheduler::{RestoreError, State};
use millstream_topology::{SettingError, settings};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    Config, ConfigError,
    driver::{Driver, Vitals},
    http::{self, Api},
    metrics::Metrics,
    store::{Redb, StateStore, StoreError},
};

/// Requests that wait for the driver; further ones wait in their handlers.
const ASKS_AHEAD: usize = 64;

/// Why a scheduler does not start, or ends though nobody asked for it.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Settings that cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The secret for the master is missing.
    #[error("the secret for the Mesos master is missing")]
    Secret(#[source] SettingError),
    /// The state store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored state cannot be taken over.
    #[error("the stored state cannot be taken over")]
    Restore(#[source] RestoreError),
    /// The API cannot listen.
    #[error("cannot listen on {address}; is another scheduler running there? --listen takes another address")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The API has broken down.
    #[error("the HTTP API has broken down")]
    Http(#[source] std::io::Error),
    /// The master has ended the subscription for good, for example because another scheduler took over.
    #[error(
        "the scheduler's session at the Mesos master is over; only one scheduler may use a state folder's framework"
    )]
    Session(#[source] DisconnectReason),
}

/// Runs a scheduler on the configured folder and address until `shutdown`. Its tasks run on; the next one takes them over.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
    // What is wrong with the settings is said before anything is opened.
    config.scheduler_settings(config.http.listen)?;
    let store = Redb::open(&config.state.dir)?;
    let address = config.http.listen;
    let listener = TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })?;
    serve(config, Arc::new(store), listener, shutdown).await
}

/// The same on a store and a listener that the caller owns.
pub async fn serve(
    config: Config,
    store: Arc<dyn StateStore>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let address = listener.local_addr().map_err(RunError::Http)?;
    let settings = config.scheduler_settings(address)?;
    let session = session(&config)?;
    let state = State::restore(settings, store.load()?).map_err(RunError::Restore)?;
    tracing::info!(%address, masters = config.mesos.masters.join(","), framework = state.framework_id(), "scheduler starts");

    let (metrics, vitals) = (Arc::new(Metrics::new()), Arc::new(Vitals::default()));
    let (asks, asked) = mpsc::channel(ASKS_AHEAD);
    let api = Api::new(asks, metrics.clone(), vitals.clone(), session.credentials.clone());
    let driver = Driver::new(state, store, metrics, vitals, session);
    let stop = CancellationToken::new();
    let server = http::serve(listener, api, stop.clone());
    let ended = tokio::select! {
        ended = driver.run(asked) => ended,
        ended = server => ended.map_err(RunError::Http),
        () = shutdown => Ok(()),
    };
    stop.cancel();
    tracing::info!("scheduler ends; its tasks run on");
    ended
}

fn session(config: &Config) -> Result<SessionConfig, RunError> {
    let mut session = SessionConfig::new(&config.mesos.masters);
    if let (Some(principal), Some(secret)) = (&config.mesos.principal, &config.mesos.secret) {
        let secret = settings::resolve(secret).map_err(RunError::Secret)?;
        session.credentials = Some(Credentials { principal: principal.clone(), secret });
    }
    Ok(session)
}
