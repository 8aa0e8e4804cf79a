//! A real ZooKeeper ensemble: node I on host I, one client port on all addresses.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    authority::{Authority, Issued},
    cache,
    cluster_dir::ClusterDir,
    hosts::{free_port, host},
    jvm,
    process::{Process, eventually},
    tools,
};

/// Three nodes find each other in 2 s on two busy cores.
const START_WITHIN: Duration = Duration::from_secs(60);
/// For one four-letter word; a stopped node never answers.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Sessions are checked this often, and may be as short as a few of it.
const TICK_MS: u32 = 200;
/// Below this a busy machine ends sessions whose owner lives.
const SESSION_MIN_MS: u32 = 500;
/// As ZooKeeper's own 20 ticks of 2 s: clients that ask for long sessions get them in spite of the short tick.
const SESSION_MAX_MS: u32 = 40_000;
/// Holds a few thousand znodes many times over.
const HEAP_MIB: u32 = 64;

/// A running ensemble; dropping it ends and removes it.
#[derive(Debug)]
pub struct ZooKeeper {
    nodes: Vec<Process>,
    port: u16,
    secure: u16,
    _dir: ClusterDir,
}

impl ZooKeeper {
    /// Starts `nodes` nodes (1, or 3 that survive one of them) and waits until all of them serve. The first start on a
    /// machine fetches the jars.
    pub async fn start(nodes: usize) -> Result<Self> {
        Self::start_with(nodes, None).await
    }

    /// The same, that also speak TLS at [`ZooKeeper::secure_url`], with clients whose certificate this authority signed.
    pub async fn start_secure(nodes: usize, own: &Issued, authority: &Authority) -> Result<Self> {
        Self::start_with(nodes, Some((own, authority))).await
    }

    async fn start_with(nodes: usize, secure: Option<(&Issued, &Authority)>) -> Result<Self> {
        let jars = tokio::task::spawn_blocking(jars).await??;
        let dir = ClusterDir::new("zookeeper")?;
        let hosts: Vec<String> = (1..=nodes).map(host).collect();
        let ports = Ports {
            client: free_port(&hosts)?,
            peer: free_port(&hosts)?,
            election: free_port(&hosts)?,
            secure: free_port(&hosts)?,
        };
        let secure = |i| secure.map(|(own, authority)| secure_cfg(i, ports.secure, own, authority)).unwrap_or_default();
        let nodes = (1..=nodes).map(|i| node(&dir, &jars, nodes, i, ports, &secure(i))).collect::<Result<Vec<_>>>()?;
        let mut zookeeper = ZooKeeper { nodes, port: ports.client, secure: ports.secure, _dir: dir };
        for node in &mut zookeeper.nodes {
            node.start()?;
        }
        for i in 1..=zookeeper.nodes.len() {
            zookeeper.serves(i).await?;
        }
        Ok(zookeeper)
    }

    /// `zk://host:port,…/path`, as Mesos and Millstream take it; `path` begins with `/`.
    pub fn url(&self, path: &str) -> String {
        let hosts: Vec<String> = (1..=self.nodes.len()).map(|i| self.address(i)).collect();
        format!("zk://{}{path}", hosts.join(","))
    }

    /// The same for clients that speak TLS.
    pub fn secure_url(&self, path: &str) -> String {
        let hosts: Vec<String> = (1..=self.nodes.len()).map(|i| format!("{}:{}", host(i), self.secure)).collect();
        format!("zk://{}{path}", hosts.join(","))
    }

    /// `host:port` of node `i`.
    pub fn address(&self, i: usize) -> String {
        format!("{}:{}", host(i), self.port)
    }

    /// The process of node `i`, for signals, its pid and its log.
    pub fn node(&mut self, i: usize) -> &mut Process {
        &mut self.nodes[i - 1]
    }

    /// Kills node `i` with SIGKILL.
    pub fn kill(&mut self, i: usize) {
        self.node(i).kill();
    }

    /// Stops node `i` where it stands, until [`ZooKeeper::cont`].
    pub fn stop(&mut self, i: usize) -> Result<()> {
        self.node(i).signal(Signal::SIGSTOP)
    }

    /// Lets a stopped node `i` go on.
    pub fn cont(&mut self, i: usize) -> Result<()> {
        self.node(i).signal(Signal::SIGCONT)
    }

    /// Starts node `i` again on its old data and waits until it serves.
    pub async fn restart(&mut self, i: usize) -> Result<()> {
        self.kill(i);
        self.node(i).start()?;
        self.serves(i).await
    }

    /// The node that leads; none during an election. A single node counts as its own leader.
    pub async fn leader(&self) -> Option<usize> {
        for i in 1..=self.nodes.len() {
            if matches!(mode(&self.address(i)).await.as_deref(), Ok("leader" | "standalone")) {
                return Some(i);
            }
        }
        None
    }

    /// Waits until a node leads.
    pub async fn wait_for_leader(&self) -> Result<usize> {
        eventually("a ZooKeeper node leads", START_WITHIN, async || Ok(self.leader().await)).await
    }

    async fn serves(&mut self, i: usize) -> Result<()> {
        let address = self.address(i);
        self.nodes[i - 1].listening(&address, START_WITHIN).await?;
        let what = format!("ZooKeeper node {i} serves");
        eventually(&what, START_WITHIN, async || mode(&address).await.map(Some)).await.map(drop)
    }
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    client: u16,
    peer: u16,
    election: u16,
    secure: u16,
}

/// What the node says it is: `leader`, `follower` or `standalone`; an error when it does not serve.
async fn mode(address: &str) -> Result<String> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"srvr").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(ANSWER_WITHIN, asked).await.context("no answer")??;
    match answer.lines().find_map(|line| line.strip_prefix("Mode: ")) {
        Some(mode) => Ok(mode.trim().to_owned()),
        None => bail!("{}", answer.trim()),
    }
}

/// The jars of ZooKeeper, fetched when they are not in the cache. Blocks.
pub(crate) fn jars() -> Result<PathBuf> {
    tools::require(&[tools::JAVA])?;
    let pom = include_str!("../resources/zookeeper/pom.xml");
    let logback = include_str!("../resources/zookeeper/logback.xml");
    cache::entry("zookeeper-3.9.3", &[pom, logback], |dir| {
        fs::write(dir.join("logback.xml"), logback)?;
        tools::jars(dir, pom)
    })
}

fn node(dir: &ClusterDir, jars: &Path, nodes: usize, i: usize, ports: Ports, secure: &str) -> Result<Process> {
    let data = dir.path().join(format!("node{i}"));
    fs::create_dir_all(&data)?;
    fs::write(data.join("myid"), i.to_string())?;
    let config = data.join("zoo.cfg");
    fs::write(&config, zoo_cfg(nodes, i, ports, &data) + secure)?;
    let mut args = jvm::flags(HEAP_MIB, false);
    args.extend([
        // A killed process loses nothing that the kernel has; only the machine's end would.
        "-Dzookeeper.forceSync=no".to_owned(),
        "-Dzookeeper.preAllocSize=1024".to_owned(),
        format!("-Dlogback.configurationFile={}/logback.xml", jars.display()),
        "-cp".to_owned(),
        format!("{}/lib/*", jars.display()),
        "org.apache.zookeeper.server.quorum.QuorumPeerMain".to_owned(),
        config.display().to_string(),
    ]);
    Ok(Process::new(dir, format!("node{i}"), "java", args))
}

fn secure_cfg(i: usize, port: u16, own: &Issued, authority: &Authority) -> String {
    let (keystore, truststore) = (own.keystore.display(), authority.ca());
    format!(
        "secureClientPort={port}
secureClientPortAddress={}
serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory
ssl.clientAuth=need
ssl.keyStore.type=PEM
ssl.keyStore.location={keystore}
ssl.trustStore.type=PEM
ssl.trustStore.location={}
",
        host(i),
        truststore.display()
    )
}

fn zoo_cfg(nodes: usize, i: usize, ports: Ports, data: &Path) -> String {
    let Ports { client, peer, election, .. } = ports;
    let ensemble: String = match nodes {
        1 => String::new(),
        _ => (1..=nodes).map(|n| format!("server.{n}={}:{peer}:{election}\n", host(n))).collect(),
    };
    // Patience with followers (in ticks) as with the usual tick of 2 s: a dead one is known by its connection.
    format!(
        "dataDir={}
clientPort={client}
clientPortAddress={}
tickTime={TICK_MS}
minSessionTimeout={SESSION_MIN_MS}
maxSessionTimeout={SESSION_MAX_MS}
initLimit=100
syncLimit=50
maxClientCnxns=0
admin.enableServer=false
4lw.commands.whitelist=srvr
{ensemble}",
        data.display(),
        host(i),
    )
}
