//! A real Cassandra cluster: node I on host I in rack r1..r3 of datacenter dc1, one port on all addresses (the driver
//! assumes it), evenly interleaved tokens.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use millstream_tls::client_config;
use nix::sys::signal::Signal;
use scylla::{
    client::{session::Session, session_builder::SessionBuilder},
    policies::host_filter::AllowListHostFilter,
    statement::{Consistency, unprepared::Statement},
};

use tokio_rustls::rustls::ClientConfig;

use crate::{
    cache,
    cassandra_config::{CassandraOptions, SUPERUSER, jvm_modules, rackdc, yaml},
    cluster_dir::ClusterDir,
    hosts::{free_port, host},
    jvm,
    process::{Process, eventually},
    tools,
};

/// Three cold nodes take 16 s on two idle cores.
const START_WITHIN: Duration = Duration::from_secs(240);
/// For one answer of a running node; schema changes on a busy machine take seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A running cluster; dropping it ends and removes it.
#[derive(Debug)]
pub struct Cassandra {
    nodes: Vec<Process>,
    port: u16,
    asks_for_a_login: bool,
    tls: Option<Arc<ClientConfig>>,
    _dir: ClusterDir,
}

impl Cassandra {
    /// Starts the nodes and waits until they see each other. The first start on a machine fetches the jars.
    pub async fn start(options: CassandraOptions) -> Result<Self> {
        let jars = tokio::task::spawn_blocking(jars).await??;
        let dir = ClusterDir::new("cassandra")?;
        let hosts: Vec<String> = (1..=options.nodes).map(host).collect();
        let port = free_port(&hosts)?;
        let storage_port = free_port(&hosts)?;
        let mut nodes = vec![];
        for i in 1..=options.nodes {
            nodes.push(node(&dir, &jars, &options, i, port, storage_port)?);
        }
        let tls = options.encryption.as_ref().map(|encryption| client_config(encryption.client.clone(), None));
        let tls = tls.transpose()?.map(Arc::new);
        let mut cassandra = Cassandra { nodes, port, asks_for_a_login: options.guardrails.is_some(), tls, _dir: dir };
        for node in &mut cassandra.nodes {
            node.start()?;
        }
        cassandra.ready().await?;
        Ok(cassandra)
    }

    /// `host:port` of every node.
    pub fn contact_points(&self) -> Vec<String> {
        (1..=self.nodes.len()).map(|i| self.address(i)).collect()
    }

    /// `host:port` of node `i`.
    pub fn address(&self, i: usize) -> String {
        format!("{}:{}", host(i), self.port)
    }

    /// The process of node `i`, for signals, its pid and its log.
    pub fn node(&mut self, i: usize) -> &mut Process {
        &mut self.nodes[i - 1]
    }

    /// A new session, bound to the calling runtime.
    pub async fn session(&self) -> Result<Session> {
        let session = self.login(SessionBuilder::new().known_nodes(self.contact_points())).build().await;
        session.context("cannot connect to Cassandra")
    }

    /// Runs statements separated by `;` (no `;` inside of them), one after the other.
    pub async fn execute(&self, cql: &str) -> Result<()> {
        let session = self.session().await?;
        for statement in statements(cql) {
            let done = tokio::time::timeout(ANSWER_WITHIN, session.query_unpaged(statement.as_str(), ())).await;
            done.context("no answer")?.with_context(|| format!("statement: {statement}"))?;
        }
        Ok(())
    }

    /// Makes a keyspace that has a replica on every node, at most three.
    pub async fn create_keyspace(&self, name: &str) -> Result<()> {
        let replicas = self.nodes.len().min(3);
        self.execute(&format!(
            "CREATE KEYSPACE IF NOT EXISTS {name} WITH replication = \
             {{'class': 'NetworkTopologyStrategy', 'dc1': {replicas}}}"
        ))
        .await
    }

    /// Kills node `i` with SIGKILL.
    pub fn kill(&mut self, i: usize) {
        self.node(i).kill();
    }

    /// Stops node `i` where it stands, until [`Cassandra::cont`].
    pub fn stop(&mut self, i: usize) -> Result<()> {
        self.node(i).signal(Signal::SIGSTOP)
    }

    /// Lets a stopped node `i` go on.
    pub fn cont(&mut self, i: usize) -> Result<()> {
        self.node(i).signal(Signal::SIGCONT)
    }

    /// Starts node `i` again on its old data and waits until all nodes are there.
    pub async fn restart(&mut self, i: usize) -> Result<()> {
        self.kill(i);
        self.node(i).start()?;
        self.ready().await
    }

    fn login(&self, builder: SessionBuilder) -> SessionBuilder {
        let builder = builder.tls_context(self.tls.clone());
        if self.asks_for_a_login { builder.user(SUPERUSER, SUPERUSER) } else { builder }
    }

    async fn ready(&mut self) -> Result<()> {
        for i in 1..=self.nodes.len() {
            let address = self.address(i);
            self.nodes[i - 1].listening(&address, START_WITHIN).await?;
        }
        for i in 1..=self.nodes.len() {
            let address = self.address(i);
            let nodes = self.nodes.len();
            let what = format!("Cassandra node {i} reaches all {nodes}");
            eventually(&what, START_WITHIN, async || self.answers(&address, nodes).await.map(Some)).await?;
        }
        Ok(())
    }

    /// Whether the node at `address`, as coordinator, reaches all nodes.
    async fn answers(&self, address: &str, nodes: usize) -> Result<()> {
        let only = AllowListHostFilter::new([address])?;
        let builder = SessionBuilder::new().known_node(address).host_filter(Arc::new(only));
        let session = self.login(builder).build().await?;
        // Of this keyspace every node of three holds a replica; a single node cannot hold three.
        let cql = "SELECT status FROM system_distributed.view_build_status WHERE keyspace_name = '' AND view_name = ''";
        let mut statement = Statement::new(cql);
        statement.set_consistency(if nodes >= 3 { Consistency::All } else { Consistency::One });
        session.query_unpaged(statement, ()).await?;
        Ok(())
    }
}

/// The statements of a CQL text: separated by `;`, without comment lines.
pub fn statements(cql: &str) -> Vec<String> {
    let code: String =
        cql.lines().filter(|line| !line.trim_start().starts_with("--")).map(|l| format!("{l}\n")).collect();
    code.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

/// The jars of Cassandra, fetched when they are not in the cache. Blocks.
pub(crate) fn jars() -> Result<PathBuf> {
    tools::require(&[tools::JAVA])?;
    let pom = include_str!("../resources/cassandra/pom.xml");
    cache::entry("cassandra-5.0.9", &[pom], |dir| tools::jars(dir, pom))
}

fn node(
    dir: &ClusterDir,
    jars: &Path,
    options: &CassandraOptions,
    i: usize,
    port: u16,
    storage_port: u16,
) -> Result<Process> {
    let data = dir.path().join(format!("node{i}"));
    fs::create_dir_all(&data)?;
    fs::write(data.join("cassandra.yaml"), yaml(options, i, port, storage_port, &data))?;
    fs::write(data.join("cassandra-rackdc.properties"), rackdc(i))?;
    fs::write(data.join("logback.xml"), include_str!("../resources/cassandra/logback.xml"))?;
    let data = data.display();
    let lib = jars.join("lib");
    let jamm = fs::read_dir(&lib)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("jamm-")))
        .with_context(|| format!("no jamm jar in {}", lib.display()))?;
    let mut args = jvm::flags(options.heap_mib, options.optimised);
    args.extend(jvm_modules());
    args.extend([
        "-XX:MaxDirectMemorySize=256m".to_owned(),
        format!("-javaagent:{}", jamm.display()),
        "-Djdk.attach.allowAttachSelf=true".to_owned(),
        "-Dio.netty.tryReflectionSetAccessible=true".to_owned(),
        format!("-Dcassandra.config=file://{data}/cassandra.yaml"),
        format!("-Dcassandra.storagedir={data}"),
        format!("-Dlogback.configurationFile={data}/logback.xml"),
        "-Dcassandra-foreground=yes".to_owned(),
        // Every node is a seed and knows its tokens: there is nothing to wait for.
        "-Dcassandra.superuser_setup_delay_ms=0".to_owned(),
        "-Dcassandra.skip_wait_for_gossip_to_settle=0".to_owned(),
        "-Dcassandra.ring_delay_ms=2000".to_owned(),
        "-cp".to_owned(),
        format!("{data}:{}/*", lib.display()),
        "org.apache.cassandra.service.CassandraDaemon".to_owned(),
    ]);
    Ok(Process::new(dir, format!("node{i}"), "java", args))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cql_file_is_cut_into_statements() {
        let cql = "-- a; comment\nCREATE TABLE a (\n  k int PRIMARY KEY);\n\nDROP TABLE b;\n";
        assert_eq!(statements(cql), ["CREATE TABLE a (\n  k int PRIMARY KEY)", "DROP TABLE b"]);
    }
}
