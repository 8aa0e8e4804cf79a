//! A real Mesos 1.11.0: one master and agents on the testbed's hosts, each with its own address, rack and resources.
//!
//! Not here: TLS inside Mesos, Docker, cgroups, LAUNCH_GROUP, CNI, modules (see `resources/mesos/mesos-host.cpp`).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use crate::{
    cache,
    cluster_dir::ClusterDir,
    hosts::{free_port, host, rack},
    http,
    process::{Process, eventually},
    tools,
};

/// A master and three agents take 0.7 s on idle cores.
const START_WITHIN: Duration = Duration::from_secs(60);

/// What cluster to start.
#[derive(Debug, Clone)]
pub struct MesosOptions {
    /// Agents; agent I is host I.
    pub agents: usize,
    /// Resources of each agent.
    pub resources: String,
    /// Attributes of each agent; `%d` is its number, `%r` its rack.
    pub attributes: String,
    /// Further flags of the master.
    pub master_flags: Vec<String>,
    /// Further flags of each agent.
    pub agent_flags: Vec<String>,
}

impl Default for MesosOptions {
    fn default() -> Self {
        MesosOptions {
            agents: 3,
            resources: "cpus:4;mem:4096;disk:10240;ports:[31000-31099]".to_owned(),
            attributes: "rack:%r;broker:%d".to_owned(),
            // A lost agent is known after 3 s instead of 75 s.
            master_flags: vec!["--agent_ping_timeout=1secs".to_owned(), "--max_agent_ping_timeouts=3".to_owned()],
            agent_flags: vec![],
        }
    }
}

/// A running cluster; dropping it ends and removes it, executors included.
#[derive(Debug)]
pub struct Mesos {
    master: Process,
    agents: Vec<Process>,
    port: u16,
    agent_port: u16,
    dir: ClusterDir,
}

impl Mesos {
    /// Starts master and agents and waits until all agents are registered. The first start on a machine builds Mesos.
    pub async fn start(options: MesosOptions) -> Result<Self> {
        let root = tokio::task::spawn_blocking(root).await??;
        let dir = ClusterDir::new("mesos")?;
        let hosts: Vec<String> = (1..=options.agents).map(host).collect();
        let (port, agent_port) = (free_port(&["127.0.0.1".to_owned()])?, free_port(&hosts)?);
        let master = master(&dir, &root, &options, port);
        let agents = (1..=options.agents).map(|i| agent(&dir, &root, &options, i, port, agent_port)).collect();
        let mut mesos = Mesos { master, agents, port, agent_port, dir };
        mesos.master.start()?;
        let address = mesos.master();
        mesos.master.listening(&address, START_WITHIN).await?;
        for agent in &mut mesos.agents {
            agent.start()?;
        }
        mesos.wait_for_agents(options.agents).await?;
        Ok(mesos)
    }

    /// `host:port` of the master.
    pub fn master(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The master's process.
    pub fn master_process(&mut self) -> &mut Process {
        &mut self.master
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
        let address = format!("{}:{}", host(i), self.agent_port);
        self.agent(i).listening(&address, START_WITHIN).await
    }

    /// Waits until the master counts `agents` active ones.
    pub async fn wait_for_agents(&self, agents: usize) -> Result<()> {
        eventually(&format!("{agents} agents registered"), START_WITHIN, async || {
            let answer = http::get(&format!("http://{}/slaves", self.master())).await?;
            let slaves = answer["slaves"].as_array().context("no list of agents")?;
            Ok((slaves.iter().filter(|slave| slave["active"] == true).count() == agents).then_some(()))
        })
        .await
    }

    /// The folder with logs, work directories and sandboxes.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// The built Mesos, made when it is not in the cache. Blocks.
pub(crate) fn root() -> Result<PathBuf> {
    tools::require(&[tools::PYTHON, tools::CC, tools::CXX])?;
    let sources = [
        ("build.sh", include_str!("../resources/mesos/build.sh")),
        ("fetch.py", include_str!("../resources/mesos/fetch.py")),
        ("stubs.py", include_str!("../resources/mesos/stubs.py")),
        ("mesos-host.cpp", include_str!("../resources/mesos/mesos-host.cpp")),
        ("mesos-executor.py", include_str!("../resources/mesos/mesos-executor.py")),
        ("mesos-fetcher.py", include_str!("../resources/mesos/mesos-fetcher.py")),
    ];
    let libraries = include_str!("../resources/mesos/libraries.sh");
    let recipe: Vec<&str> = sources.iter().map(|(_, text)| *text).collect();
    let ensure_libraries = || tools::run(Command::new("bash").args(["-c", libraries]));
    let root = cache::entry("mesos-1.11.0", &recipe, |dir| {
        ensure_libraries()?;
        for (name, text) in sources {
            fs::write(dir.join(name), text)?;
        }
        tools::run(Command::new("bash").arg("build.sh").current_dir(dir)).map(drop)
    })?;
    ensure_libraries()?;
    Ok(root)
}

fn master(dir: &ClusterDir, root: &Path, options: &MesosOptions, port: u16) -> Process {
    let mut flags = vec![
        "--ip=127.0.0.1".to_owned(),
        format!("--port={port}"),
        "--hostname=127.0.0.1".to_owned(),
        format!("--work_dir={}/master", dir.path().display()),
        "--registry=replicated_log".to_owned(),
        "--allocation_interval=200ms".to_owned(),
    ];
    flags.extend(options.master_flags.iter().cloned());
    Process::new(dir, "master", root.join("bin/mesos-master"), flags)
}

fn agent(dir: &ClusterDir, root: &Path, options: &MesosOptions, i: usize, master: u16, port: u16) -> Process {
    let work = dir.path().join(format!("agent{i}"));
    let (host, root_dir, work) = (host(i), root.display(), work.display());
    let attributes = options.attributes.replace("%d", &i.to_string()).replace("%r", &rack(i));
    let mut flags = vec![
        format!("--master=127.0.0.1:{master}"),
        format!("--ip={host}"),
        format!("--port={port}"),
        format!("--hostname={host}"),
        format!("--work_dir={work}"),
        format!("--runtime_dir={work}/run"),
        format!("--fetcher_cache_dir={work}/fetch"),
        format!("--launcher_dir={root_dir}/libexec"),
        "--launcher=posix".to_owned(),
        "--isolation=posix/cpu,posix/mem,filesystem/posix".to_owned(),
        "--no-systemd_enable_support".to_owned(),
        "--no-hostname_lookup".to_owned(),
        "--registration_backoff_factor=200ms".to_owned(),
        format!("--attributes={attributes}"),
        format!("--resources={}", options.resources),
    ];
    flags.extend(options.agent_flags.iter().cloned());
    Process::new(dir, format!("agent{i}"), root.join("bin/mesos-agent"), flags)
}
