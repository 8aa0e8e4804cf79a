//! Millstream itself, as a user starts it: the scheduler against a Mesos, or `millstream local` with agents of its own.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    api::Api,
    cluster_dir::ClusterDir,
    executors::{ExecutorProcess, executors_below},
    hosts::{free_port, free_port_or, host, task_ports},
    process::{Process, eventually},
    programs::program,
    tools,
};

/// From start to a subscription; a master that has just started says 503 for a while.
const START_WITHIN: Duration = Duration::from_secs(60);

/// How `millstream local` is started.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// Agents; agent I is host I.
    pub agents: usize,
    /// Listen on the ports of the documentation (5050 and 7070) where they are free.
    pub usual_ports: bool,
    /// Further arguments.
    pub args: Vec<String>,
    /// Variables for the process.
    pub env: Vec<(String, String)>,
}

impl Default for LocalOptions {
    fn default() -> Self {
        LocalOptions { agents: 3, usual_ports: false, args: vec![], env: vec![] }
    }
}

/// How `millstream scheduler` is started.
#[derive(Debug, Clone, Default)]
pub struct SchedulerOptions {
    /// Listen on the port of the documentation (7070) where it is free.
    pub usual_ports: bool,
    /// Where it finds the master; none for [`crate::Mesos::location`].
    pub master: Option<String>,
    /// `zk://host:port,…/path` of a state that several schedulers share; none for a folder of its own.
    pub state: Option<String>,
    /// Further arguments.
    pub args: Vec<String>,
    /// Variables for the process.
    pub env: Vec<(String, String)>,
}

/// A running scheduler (with a Mesos of its own, when local); dropping it ends it and its executors.
#[derive(Debug)]
pub struct Millstream {
    process: Process,
    api: Api,
    master: String,
    /// Where its executors' sandboxes are.
    sandboxes: PathBuf,
    dir: ClusterDir,
}

/// All schedulers of the testbed know it: several may stand in for one another.
const TOKEN: &str = "mst_the-token-of-all-schedulers-of-the-testbed";

fn token_in(dir: &ClusterDir) -> Result<PathBuf> {
    let file = dir.path().join("token");
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file)?.write_all(TOKEN.as_bytes())?;
    Ok(file)
}

fn own_token() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let settings = || set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    let file = set("MILLSTREAM_TOKEN_FILE").or_else(|| settings().map(|settings| settings.join("millstream/token")));
    file.unwrap_or_else(|| PathBuf::from("millstream-token"))
}

/// Where a scheduler and what belongs to it are.
struct Place {
    master: String,
    listen: u16,
    sandboxes: PathBuf,
    /// People ask it as well: the token is their own.
    is_theirs: bool,
}

impl Millstream {
    /// Starts `millstream local` and waits until it is ready for jobs.
    pub async fn local(options: LocalOptions) -> Result<Self> {
        let dir = ClusterDir::new("local")?;
        let loopback = ["127.0.0.1".to_owned()];
        let (master, listen) = match options.usual_ports {
            true => (free_port_or(5050, &loopback)?, free_port_or(7070, &loopback)?),
            false => (free_port(&loopback)?, free_port(&loopback)?),
        };
        // Other clusters on this machine have the same hosts.
        let hosts: Vec<String> = (1..=options.agents).map(host).collect();
        let agent_port = if options.usual_ports { free_port_or(5051, &hosts)? } else { free_port(&hosts)? };
        let mut args = vec!["local".to_owned(), "--agent-port".to_owned(), agent_port.to_string()];
        if !options.usual_ports {
            args.extend(["--resources".to_owned(), format!("cpus:4;mem:4096;disk:10240;ports:[{}]", task_ports())]);
        }
        args.extend(["--agents".to_owned(), options.agents.to_string(), "--port".to_owned(), master.to_string()]);
        args.extend(["--state".to_owned(), dir.path().join("state").display().to_string()]);
        args.extend(["--listen".to_owned(), format!("127.0.0.1:{listen}")]);
        args.extend(options.args);
        let place = Place {
            master: format!("127.0.0.1:{master}"),
            listen,
            sandboxes: dir.path().to_owned(),
            is_theirs: options.usual_ports,
        };
        let mut local = Self::new(dir, "local", args, options.env, place)?;
        local.restart().await?;
        Ok(local)
    }

    /// Starts `millstream scheduler` against the Mesos at `mesos` and waits until it is ready for jobs.
    pub async fn scheduler(mesos: &crate::Mesos, options: SchedulerOptions) -> Result<Self> {
        let mut scheduler = Self::prepared(mesos, options)?;
        scheduler.restart().await?;
        Ok(scheduler)
    }

    /// Starts one of several schedulers and waits until it listens: it leads, or stands by.
    pub async fn candidate(mesos: &crate::Mesos, options: SchedulerOptions) -> Result<Self> {
        let mut scheduler = Self::prepared(mesos, options)?;
        scheduler.start_process().await?;
        Ok(scheduler)
    }

    fn prepared(mesos: &crate::Mesos, options: SchedulerOptions) -> Result<Self> {
        let dir = ClusterDir::new("scheduler")?;
        let loopback = ["127.0.0.1".to_owned()];
        let listen = if options.usual_ports { free_port_or(7070, &loopback)? } else { free_port(&loopback)? };
        let state = options.state.unwrap_or_else(|| dir.path().join("state").display().to_string());
        let master = options.master.unwrap_or_else(|| mesos.location());
        let mut args = vec!["scheduler".to_owned()];
        args.extend(["--master".to_owned(), master.clone(), "--state".to_owned(), state]);
        args.extend(["--listen".to_owned(), format!("127.0.0.1:{listen}")]);
        args.extend(["--executor".to_owned(), program("millstream-executor")?.display().to_string()]);
        // The tests' machines have no other user.
        if nix::unistd::geteuid().is_root() && !options.args.iter().any(|arg| arg == "--user") {
            args.extend(["--user".to_owned(), "root".to_owned()]);
        }
        args.extend(options.args);
        let place = Place { master, listen, sandboxes: mesos.path().to_owned(), is_theirs: options.usual_ports };
        Self::new(dir, "scheduler", args, options.env, place)
    }

    fn new(dir: ClusterDir, name: &str, args: Vec<String>, env: Vec<(String, String)>, place: Place) -> Result<Self> {
        program("millstream-executor")?;
        let mut process = Process::new(&dir, name, program("millstream")?, args);
        for (variable, value) in env {
            process = process.env(&variable, value);
        }
        let token = if place.is_theirs { own_token() } else { token_in(&dir)? };
        process = process.env("MILLSTREAM_TOKEN_FILE", token.display().to_string());
        let api = Api::new(format!("http://127.0.0.1:{}", place.listen), token);
        Ok(Millstream { process, api, master: place.master, sandboxes: place.sandboxes, dir })
    }

    /// Kills the process if it runs (SIGKILL), starts it on its old state, and waits until it is ready for jobs.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.kill();
        self.start_process().await?;
        let ready = eventually("the scheduler is subscribed", START_WITHIN, async || {
            Ok((self.api.get("/health").await?["status"] == "ok").then_some(()))
        });
        let ready = ready.await;
        ready.with_context(|| format!("log:\n{}", self.process.log_tail(20)))
    }

    /// Starts the process, unless it runs, and waits until it listens.
    pub async fn start_process(&mut self) -> Result<()> {
        self.process.start()?;
        let address = self.api.url().trim_start_matches("http://").to_owned();
        self.process.listening(&address, START_WITHIN).await
    }

    /// Its process: signals, pid, log.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Its HTTP API.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Where it finds the Mesos master: `host:port`, `https://…` or `zk://…`.
    pub fn master(&self) -> &str {
        &self.master
    }

    /// A folder that ends with it, for job files.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Its executors that run now, by id.
    pub fn executors(&self) -> Result<Vec<ExecutorProcess>> {
        executors_below(&self.sandboxes)
    }

    /// Runs the command line with `--scheduler` set and gives its standard output; a failure is an error with its text.
    pub async fn cli(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(program("millstream")?);
        command.args(args).env("MILLSTREAM_SCHEDULER", self.api.url());
        command.env("MILLSTREAM_TOKEN_FILE", self.api.token_file());
        tokio::task::spawn_blocking(move || tools::run(&mut command)).await?
    }

    /// Writes a job file and deploys it with the command line.
    pub async fn deploy(&self, name: &str, toml: &str) -> Result<String> {
        let file = self.dir.path().join(format!("{name}.toml"));
        std::fs::write(&file, toml)?;
        self.cli(&["deploy", &file.display().to_string()]).await
    }
}
