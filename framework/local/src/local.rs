use std::{future::Future, net::Ipv4Addr, sync::Arc, time::Duration};

use axum::{Router, middleware};
use millstream_http::{
    Limits,
    browser::{Hosts, guard},
};
use tokio::{net::TcpListener, task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    LocalOptions, OptionsError,
    cluster::{AgentIndex, AgentSpec, Answer, Cluster, Identity, OperatorCall, Refusal},
    edge::{agent_http, hub::Hub, master_http},
    options::{agent_address, parse_attributes, parse_domain, parse_resources},
};

/// Beyond the longest grace: for killed processes to be waited for, and for open connections to end.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// Why a cluster could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// An option is wrong.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// An address is taken or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// `host:port`
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A running cluster. Dropping it ends all executors at once and by force; [`Local::stop`] asks them first.
#[derive(Debug)]
pub struct Local {
    /// `http://127.0.0.1:PORT`
    pub master_url: String,
    /// `host:port` of the master.
    pub master: String,
    /// `host:port` of each agent.
    pub agents: Vec<String>,
    hub: HubHandle,
    stop: CancellationToken,
    abandoned: CancellationToken,
    tasks: JoinSet<()>,
}

struct HubHandle(Arc<Hub>);

impl std::fmt::Debug for HubHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hub")
    }
}

/// Runs a cluster until `shutdown` completes; when it returns, no executor is left.
pub async fn run(options: LocalOptions, shutdown: impl Future<Output = ()>) -> Result<(), LocalError> {
    let local = Local::start(options).await?;
    shutdown.await;
    local.stop().await;
    Ok(())
}

impl Local {
    /// Starts master and agents; they accept connections when it returns.
    pub async fn start(options: LocalOptions) -> Result<Self, LocalError> {
        if options.agents == 0 {
            return Err(OptionsError::Agents(0).into());
        }
        let total = parse_resources(&options.resources)?;
        let (master_listener, master_port) = listen(Ipv4Addr::LOCALHOST, options.port).await?;
        let (mut specs, mut listeners) = (vec![], vec![]);
        for number in 1..=options.agents {
            let attributes = parse_attributes(&options.attributes, number)?;
            let domain = options.domain.as_deref().map(|domain| parse_domain(domain, number)).transpose()?;
            let address = agent_address(number)?;
            let (listener, port) = listen(address, options.agent_port).await?;
            specs.push(AgentSpec { address: address.to_string(), port, attributes, domain, total: total.clone() });
            listeners.push(listener);
        }
        let agents: Vec<String> = specs.iter().map(|spec| format!("{}:{}", spec.address, spec.port)).collect();
        let cluster = Cluster::new(identity(master_port), options.settings.clone(), specs);
        let (stop, abandoned) = (CancellationToken::new(), CancellationToken::new());
        let prefix = uuid::Uuid::new_v4().to_string();
        let work_dir = std::path::absolute(&options.work_dir).unwrap_or(options.work_dir);
        let hub = Hub::new(cluster, work_dir, agents.clone(), prefix, abandoned.clone());

        let mut tasks = JoinSet::new();
        tasks.spawn(serve(master_listener, master_http::router(hub.clone()), stop.clone()));
        for (index, listener) in listeners.into_iter().enumerate() {
            tasks.spawn(serve(listener, agent_http::router(hub.clone(), index), stop.clone()));
        }
        tasks.spawn(tick(hub.clone(), options.allocation_interval, stop.clone()));
        let master = format!("127.0.0.1:{master_port}");
        tracing::debug!(%master, agents = agents.len(), "local cluster runs");
        Ok(Self { master_url: format!("http://{master}"), master, agents, hub: HubHandle(hub), stop, abandoned, tasks })
    }

    /// Lets an agent vanish with all that runs on it.
    pub fn lose_agent(&self, agent: AgentIndex) {
        self.hub.0.input(|cluster, now| cluster.lose_agent(now, agent));
    }

    /// Lets a lost agent come back, empty and under a new id.
    pub fn restore_agent(&self, agent: AgentIndex) {
        self.hub.0.input(|cluster, now| cluster.restore_agent(now, agent));
    }

    /// Restarts an agent's process: for `down_for` nobody can speak to it, its executors live on and subscribe again.
    pub fn restart_agent(&self, agent: AgentIndex, down_for: Duration) {
        self.hub.0.input(|cluster, now| cluster.restart_agent(now, agent, down_for));
    }

    /// Replaces the leading master: all subscriptions end, offers and filters are forgotten. For `leaderless_for` calls
    /// are answered 503; agents register again `agents_after` from now.
    pub fn fail_over(&self, leaderless_for: Duration, agents_after: Duration) {
        let master_id = uuid::Uuid::new_v4().to_string();
        self.hub.0.input(|cluster, now| cluster.fail_over(now, master_id, leaderless_for, agents_after));
    }

    /// Takes an agent's revocable resources back: kills the executors that use some, and returns how many.
    pub fn revoke(&self, agent: AgentIndex) -> usize {
        self.hub.0.input(|cluster, now| cluster.revoke(now, agent))
    }

    /// A call of the operator API, as by `POST /api/v1`.
    pub fn operate(&self, call: OperatorCall) -> Result<Answer, Refusal> {
        self.hub.0.input(|cluster, now| cluster.operate(now, call))
    }

    /// Shuts all executors down within their grace, then ends the servers. When it returns, no executor is left.
    pub async fn stop(mut self) {
        let hub = &self.hub.0;
        let grace = hub.input(|cluster, now| {
            cluster.begin_stop(now);
            cluster.longest_shutdown_grace()
        });
        if tokio::time::timeout(grace + STOP_PATIENCE, hub.wait_until_idle()).await.is_err() {
            self.abandoned.cancel();
            hub.wait_until_idle().await;
        }
        hub.close_all();
        self.stop.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_PATIENCE, ended).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.abandoned.cancel();
        self.stop.cancel();
    }
}

async fn listen(address: Ipv4Addr, port: u16) -> Result<(TcpListener, u16), LocalError> {
    let failed = |source| LocalError::Listen { address: format!("{address}:{port}"), source };
    let listener = TcpListener::bind((address, port)).await.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    Ok((listener, port))
}

async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let router = router.layer(middleware::from_fn_with_state(Hosts::default(), guard));
    // Event streams have no end.
    let limits = Limits { connection: None, ..Limits::default() };
    millstream_http::serve(listener, router, limits, None, stop).await;
}

async fn tick(hub: Arc<Hub>, interval: Duration, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => hub.input(|cluster, now| cluster.tick(now)),
            () = stop.cancelled() => return,
        }
    }
}

fn identity(port: u16) -> Identity {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Identity {
        master_id: uuid::Uuid::new_v4().to_string(),
        port,
        seed: uuid::Uuid::new_v4().as_u64_pair().0,
        started_unix_secs: since.map(|since| since.as_secs_f64()).unwrap_or_default(),
    }
}
