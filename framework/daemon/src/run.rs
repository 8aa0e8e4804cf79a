//! The whole life of a scheduler process.

use std::{future::Future, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use millstream_http::{browser::Hosts, process::raise_open_files};
use millstream_mesos::scheduler::{Config as SessionConfig, Credentials, DisconnectReason};
use millstream_scheduler::RestoreError;
use millstream_tls::{Certificate, PemError};
use millstream_topology::{SettingError, settings};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Config, ConfigError,
    access::{self, TokenError, Tokens},
    chain,
    election::{Alone, Election},
    http::{self, Api, Door, Gate, Journal, Role},
    metrics::Metrics,
    program::Program,
    store::{Redb, StateStore, StoreError},
    terms::Terms,
    zookeeper::ZooKeeper,
};

/// Why a scheduler does not start, or ends though nobody asked for it.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Settings that cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The secret for the master is missing.
    #[error("the secret for the Mesos master is missing")]
    Secret(#[source] SettingError),
    /// The login at ZooKeeper is missing.
    #[error("the login at ZooKeeper is missing")]
    Login(#[source] SettingError),
    /// The state store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The executor's program cannot be served.
    #[error("the executor {} cannot be read; build it, or say where it is with --executor", path.display())]
    Program {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
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
    /// The API cannot say where it listens.
    #[error("the HTTP API has broken down")]
    Http(#[source] std::io::Error),
    /// Nobody could log in.
    #[error("the tokens cannot be used")]
    Tokens(#[from] TokenError),
    /// Nobody's home, so there is no place for a token.
    #[error("there is no place for a token: set HOME or MILLSTREAM_TOKEN_FILE, or name a file of tokens with --tokens")]
    NoTokenPlace,
    /// TLS cannot be spoken.
    #[error("the certificate cannot be used")]
    Certificate(#[from] PemError),
    /// What is done could not be written down.
    #[error("the audit log {} cannot be written", path.display())]
    Audit {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The master has ended the subscription for good, for example because another scheduler took over.
    #[error(
        "the scheduler's session at the Mesos master is over; only one scheduler may use a state folder's framework"
    )]
    Session(#[source] DisconnectReason),
}

/// What else SIGHUP reads again, which belongs to the program: its log. Says what it did, or why it stays as it was; none when
/// there is nothing new. May block.
pub type Reload = Arc<dyn Fn() -> Option<Result<String, String>> + Send + Sync>;

/// Runs a scheduler on the configured folder (or ZooKeeper) and address until `shutdown`. Its tasks run on; the next one
/// takes them over. `log` is read again at SIGHUP.
pub async fn run(
    config: Config,
    log: Option<Reload>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    let address = config.http.listen;
    // What is wrong with the settings is said before anything is opened.
    config.check_at(address)?;
    raise_open_files();
    let Some(zookeeper) = config.state.zookeeper.clone() else {
        let store = Redb::open(&config.state.dir)?;
        let election = Arc::new(Alone(Arc::new(store)));
        return boxed(config, log, election, listen(address).await?, shutdown.boxed()).await;
    };
    let listener = listen(address).await?;
    let url = config.url(listener.local_addr().map_err(RunError::Http)?)?;
    let timeout = Duration::from_millis(config.state.session_timeout_ms);
    let login = config.state.zookeeper_login.as_ref().map(settings::resolve).transpose().map_err(RunError::Login)?;
    let election = ZooKeeper::new(zookeeper, config.zookeeper_tls()?, timeout, url, login);
    boxed(config, log, Arc::new(election), listener, shutdown.boxed()).await
}

async fn listen(address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })
}

/// The same without rivals, on a store and a listener that the caller owns.
pub async fn serve(
    config: Config,
    store: Arc<dyn StateStore>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    serve_elected(config, Arc::new(Alone(store)), listener, shutdown).await
}

/// The same as one of several, of which an election chooses the leader.
pub async fn serve_elected(
    config: Config,
    election: Arc<dyn Election>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    boxed(config, None, election, listener, shutdown.boxed()).await
}

/// On the heap: so the whole scheduler is compiled here, and not again in each program that runs one.
fn boxed(
    config: Config,
    log: Option<Reload>,
    election: Arc<dyn Election>,
    listener: TcpListener,
    shutdown: BoxFuture<'static, ()>,
) -> BoxFuture<'static, Result<(), RunError>> {
    life(config, log, election, listener, shutdown).boxed()
}

async fn life(
    config: Config,
    log: Option<Reload>,
    election: Arc<dyn Election>,
    listener: TcpListener,
    shutdown: BoxFuture<'static, ()>,
) -> Result<(), RunError> {
    let address = listener.local_addr().map_err(RunError::Http)?;
    let program = served(&config).await?;
    let settings = config.scheduler_settings(address, program.as_ref())?;
    let session = session(&config)?;
    let state = config.state.place();
    tracing::info!(%address, masters = %session.masters, state, "scheduler starts");

    let metrics = Arc::new(Metrics::new());
    let (roles, role) = watch::channel(Role::Starting);
    let reach = config.jobs.clone();
    let api = Api::new(role, config.url(address).ok(), metrics.clone(), session.clone(), program, reach, state);
    let stop = CancellationToken::new();
    let door = door(&config, address, api.program_path()).await?;
    let reload = reload(door.gate.clone(), door.certificate.clone(), log);
    let server = http::serve(listener, api, door, stop.clone());
    let terms = Terms { settings, session, metrics, roles, election };
    let ended = tokio::select! {
        ended = terms.run(shutdown) => ended,
        () = server => Ok(()),
        () = reload => Ok(()),
    };
    stop.cancel();
    tracing::info!("scheduler ends");
    ended
}

/// Who may ask, by which name, and how.
async fn door(config: &Config, address: SocketAddr, program: Option<String>) -> Result<Door, RunError> {
    let http = config.http.clone();
    let journal = config.audit_file();
    let names = config.url(address).ok().and_then(|url| Some(url.parse::<axum::http::Uri>().ok()?.host()?.to_owned()));
    let opened = tokio::task::spawn_blocking(move || {
        let tokens = match &http.tokens {
            Some(file) => Tokens::read(file)?,
            None => Tokens::of_admin(&access::own(&access::own_file().ok_or(RunError::NoTokenPlace)?)?),
        };
        let certificate = http.cert.zip(http.key).map(|(cert, key)| Certificate::read(&cert, &key)).transpose()?;
        let journal = match journal {
            Some(path) => Journal::open(&path).map_err(|source| RunError::Audit { path, source })?,
            None => Journal::log(),
        };
        let hosts = Hosts::new(http.hosts.into_iter().chain(names));
        Ok(Door { gate: Gate::new(tokens, http.tokens, journal, program), hosts, certificate })
    });
    opened.await.expect("reading files does not panic")
}

/// Reads tokens, certificate and the log's level again at each SIGHUP, each for itself; one that cannot be used stays as it
/// was.
async fn reload(gate: Gate, certificate: Option<Certificate>, log: Option<Reload>) {
    let Ok(mut hangups) = signal(SignalKind::hangup()) else { return std::future::pending().await };
    while hangups.recv().await.is_some() {
        let (gate, certificate, log) = (gate.clone(), certificate.clone(), log.clone());
        let renewed = tokio::task::spawn_blocking(move || {
            let said = |what: &str, renewed| said(gate.journal(), what, renewed);
            said("tokens", gate.renew().map_err(|error| chain(&error)));
            if let Some(certificate) = certificate {
                said("certificate", certificate.renew().map_err(|error| chain(&error)));
            }
            match log.and_then(|log| log()) {
                Some(Ok(level)) => said(&format!("log level: {level}"), Ok(())),
                Some(Err(error)) => said("log level", Err(error)),
                None => {}
            }
        });
        if renewed.await.is_err() {
            return;
        }
    }
}

fn said(journal: &Journal, what: &str, renewed: Result<(), String>) {
    journal.reload(what, renewed.as_ref().err().map(String::as_str));
    match renewed {
        Ok(()) => tracing::info!(what, "read again"),
        Err(error) => tracing::error!(what, error, "it stays as it was: see the file and send SIGHUP again"),
    }
}

/// The executor's program, if agents fetch it from here.
async fn served(config: &Config) -> Result<Option<Program>, RunError> {
    if !config.executor.serve {
        return Ok(None);
    }
    let path = config.executor_path()?;
    let opened = tokio::task::spawn_blocking({
        let path = path.clone();
        move || Program::open(&path)
    });
    let program = opened.await.expect("reading a file does not panic");
    let program = program.map_err(|source| RunError::Program { path, source })?;
    tracing::info!(sha256 = program.sha256(), bytes = program.size(), "executor served");
    Ok(Some(program))
}

/// Where the masters are and who we are to them: the one place that knows the session's settings.
fn session(config: &Config) -> Result<SessionConfig, RunError> {
    let mut session = config.session()?;
    if let (Some(principal), Some(secret)) = (&config.mesos.principal, &config.mesos.secret) {
        let secret = settings::resolve(secret).map_err(RunError::Secret)?;
        session.credentials = Some(Credentials { principal: principal.clone(), secret });
    }
    Ok(session)
}
