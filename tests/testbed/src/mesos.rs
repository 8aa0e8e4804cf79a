//! A real Mesos 1.11.0: a master, or several that elect their leader in ZooKeeper, and agents on the testbed's hosts,
//! each with its own address, rack and resources.
//!
//! Not here: TLS inside Mesos, Docker, cgroups, LAUNCH_GROUP, CNI; of modules, only a resource estimator and a QoS
//! controller of our own (see `resources/mesos/mesos-host.cpp`).

mod build;
mod flags;
mod masters;
mod operator;

use std::{fs, ops::DerefMut, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tokio::net::TcpStream;

use self::{flags::Ports, masters::Masters};
use crate::{
    cluster_dir::ClusterDir,
    hosts::{free_port, host, task_ports},
    http,
    process::{Process, eventually},
};

/// A master and three agents take 0.7 s on idle cores, an agent more 0.1 s; 200 agents on busy cores a minute.
const START_WITHIN: Duration = Duration::from_secs(180);
/// A log that is still empty catches up in a few seconds.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(20);

/// Address of all masters; their ports differ.
const LOOPBACK: &str = "127.0.0.1";

/// What cluster to start.
#[derive(Debug, Clone)]
pub struct MesosOptions {
    /// Masters: 1, or 3 with [`MesosOptions::zookeeper`].
    pub masters: usize,
    /// `zk://host:port,…/path`, where masters elect their leader and agents find it.
    pub zookeeper: Option<String>,
    /// Agents; agent I is host I.
    pub agents: usize,
    /// Resources of each agent; `%p` is a range of ports that no other cluster of this process has.
    pub resources: String,
    /// Attributes of each agent; `%d` is its number, `%r` its rack.
    pub attributes: String,
    /// Revocable resources of each agent beside those, as in `cpus:2;mem:512`; with them, [`Mesos::revoke`].
    pub oversubscribed: Option<String>,
    /// Further flags of the masters.
    pub master_flags: Vec<String>,
    /// Further flags of each agent.
    pub agent_flags: Vec<String>,
}

impl Default for MesosOptions {
    fn default() -> Self {
        MesosOptions {
            masters: 1,
            zookeeper: None,
            agents: 3,
            resources: "cpus:4;mem:4096;disk:10240;ports:[%p]".to_owned(),
            attributes: "rack:%r;broker:%d".to_owned(),
            oversubscribed: None,
            // A lost agent is known after 3 s instead of 75 s.
            master_flags: vec!["--agent_ping_timeout=1secs".to_owned(), "--max_agent_ping_timeouts=3".to_owned()],
            agent_flags: vec![],
        }
    }
}

/// A running cluster; dropping it ends and removes it, executors included.
#[derive(Debug)]
pub struct Mesos {
    masters: Masters,
    agents: Vec<Process>,
    ports: Ports,
    zookeeper: Option<String>,
    dir: ClusterDir,
}

impl Mesos {
    /// Starts masters and agents and waits until all agents are registered. The first start on a machine builds Mesos.
    pub async fn start(mut options: MesosOptions) -> Result<Self> {
        ensure!(options.masters == 1 || options.zookeeper.is_some(), "several masters need a ZooKeeper");
        let root = tokio::task::spawn_blocking(build::root).await??;
        let dir = ClusterDir::new("mesos")?;
        options.resources = options.resources.replace("%p", &task_ports());
        let hosts: Vec<String> = (1..=options.agents).map(host).collect();
        let loopback = [LOOPBACK.to_owned()];
        let masters = (0..options.masters).map(|_| free_port(&loopback)).collect::<Result<Vec<_>>>()?;
        let ports = Ports { masters, agents: free_port(&hosts)? };
        let masters = (1..=options.masters).map(|i| flags::master(&dir, &root, &options, i, &ports)).collect();
        let agents = (1..=options.agents).map(|i| flags::agent(&dir, &root, &options, i, &ports)).collect();
        let masters = Masters::new(masters);
        let mut mesos = Mesos { masters, agents, ports, zookeeper: options.zookeeper, dir };
        for i in 1..=options.masters {
            let mut master = mesos.master_process(i).await;
            master.start()?;
            master.listening(&mesos.master_address(i), START_WITHIN).await?;
        }
        if options.masters > 1 {
            mesos.masters.supervise();
        }
        mesos.wait_for_leader().await?;
        for agent in &mut mesos.agents {
            agent.start()?;
        }
        mesos.wait_for_agents(options.agents).await?;
        Ok(mesos)
    }

    /// `host:port` of the first master: the only one, or any of several, which points to the leader.
    pub fn master(&self) -> String {
        self.master_address(1)
    }

    /// `host:port` of master `i`.
    pub fn master_address(&self, i: usize) -> String {
        format!("{LOOPBACK}:{}", self.ports.masters[i - 1])
    }

    /// What a scheduler is given to find the leader: the address in ZooKeeper, or the only master's.
    pub fn location(&self) -> String {
        self.zookeeper.clone().unwrap_or_else(|| self.master())
    }

    /// The process of master `i`.
    pub async fn master_process(&self, i: usize) -> impl DerefMut<Target = Process> {
        self.masters.process(i).await
    }

    /// Starts master `i`, again on its old registry if it was killed, and waits until it listens, not until one leads.
    pub async fn start_master(&self, i: usize) -> Result<()> {
        self.master_process(i).await.start()?;
        let (what, address) = (format!("Mesos master {i} listens"), self.master_address(i));
        let listens = eventually(&what, START_WITHIN, async || Ok(TcpStream::connect(&address).await.ok()));
        self.or_logs(listens.await).await.map(drop)
    }

    /// The master that leads and has recovered its registry; none during an election.
    pub async fn leader(&self) -> Option<usize> {
        for i in 1..=self.ports.masters.len() {
            // The others redirect, and one that recovers says 503.
            if http::get(&format!("http://{}/slaves", self.master_address(i))).await.is_ok() {
                return Some(i);
            }
        }
        None
    }

    /// Waits until a master leads, and a while for the logs of the others: one that is killed before they have caught up
    /// leaves them without a majority that knows the log.
    pub async fn wait_for_leader(&self) -> Result<usize> {
        let leader = eventually("a Mesos master leads", START_WITHIN, async || Ok(self.leader().await)).await;
        let caught_up = async || Ok(self.logs_have_caught_up().await.then_some(()));
        if eventually("the masters' logs have caught up", CAUGHT_UP_WITHIN, caught_up).await.is_err() {
            tracing::warn!("the logs of some masters have not caught up");
        }
        self.or_logs(leader).await
    }

    /// Of the masters that answer.
    async fn logs_have_caught_up(&self) -> bool {
        for i in 1..=self.ports.masters.len() {
            let url = format!("http://{}/metrics/snapshot", self.master_address(i));
            let answer: Result<serde_json::Value> = http::get(&url).await;
            if answer.is_ok_and(|metrics| metrics["registrar/log/recovered"].as_f64() == Some(0.0)) {
                return false;
            }
        }
        true
    }

    /// The process of agent `i`.
    pub fn agent(&mut self, i: usize) -> &mut Process {
        &mut self.agents[i - 1]
    }

    /// Sends a signal to the process of agent `i`; its executors live on.
    pub fn kill_agent(&mut self, i: usize, signal: Signal) -> Result<()> {
        self.agent(i).signal(signal)
    }

    /// Starts agent `i` again on its old state; its executors come back to it.
    pub async fn restart_agent(&mut self, i: usize) -> Result<()> {
        self.agent(i).kill();
        self.agent(i).start()?;
        let address = format!("{}:{}", host(i), self.ports.agents);
        self.agent(i).listening(&address, START_WITHIN).await
    }

    /// Lets agent `i`, which has [`MesosOptions::oversubscribed`], kill an executor to have its revocable resources back.
    pub fn revoke(&self, i: usize, framework: &str, executor: &str) -> Result<()> {
        let file = flags::revoked(&self.dir, i);
        let unfinished = file.with_extension("new");
        fs::write(&unfinished, format!("{framework} {executor}\n"))?;
        Ok(fs::rename(unfinished, file)?)
    }

    /// Waits until the leading master counts `agents` active ones.
    pub async fn wait_for_agents(&self, agents: usize) -> Result<()> {
        let what = format!("{agents} agents registered");
        let registered = eventually(&what, START_WITHIN, async || {
            let answer = self.ask("/slaves").await?;
            let slaves = answer["slaves"].as_array().context("no list of agents")?;
            Ok((slaves.iter().filter(|slave| slave["active"] == true).count() == agents).then_some(()))
        });
        self.or_logs(registered.await).await
    }

    /// An error gets the ends of the masters' logs, which are gone once the test has failed.
    async fn or_logs<T>(&self, result: Result<T>) -> Result<T> {
        match result {
            Ok(value) => Ok(value),
            Err(error) => Err(error.context(self.masters.logs().await)),
        }
    }

    /// The folder with logs, work directories and sandboxes.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}
