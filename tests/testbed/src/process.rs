//! One server process: started, signalled, killed and started again as tests like.

use std::{
    fs::File,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{sys::signal::Signal, unistd::Pid};

use crate::{
    cluster_dir::{ClusterDir, MARK},
    tools::tail,
};

/// How often a condition is looked at while waiting for it.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A server of a cluster, running or not. Dropping it kills the process.
#[derive(Debug)]
pub struct Process {
    name: String,
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    log: PathBuf,
    mark: String,
    child: Option<Child>,
    /// Of the last process that ended by itself.
    ended_with: Option<ExitStatus>,
}

impl Process {
    /// A process of the cluster in `dir`, not yet started; it writes `NAME.log` there.
    pub(crate) fn new(
        dir: &ClusterDir,
        name: impl Into<String>,
        program: impl Into<PathBuf>,
        args: Vec<String>,
    ) -> Self {
        let name = name.into();
        let log = dir.path().join(format!("{name}.log"));
        Process {
            name,
            program: program.into(),
            args,
            env: vec![],
            log,
            mark: dir.name().to_owned(),
            child: None,
            ended_with: None,
        }
    }

    /// Adds a variable to its environment.
    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Starts it; a running one stays as it is.
    pub fn start(&mut self) -> Result<()> {
        if self.is_running() {
            return Ok(());
        }
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        // A server started from within a Mesos task, or beside somebody's settings, must not take those for its own.
        for (variable, _) in std::env::vars_os() {
            let name = variable.to_string_lossy();
            if name.starts_with("MESOS_") || name.starts_with("LIBPROCESS_") {
                command.env_remove(&variable);
            }
        }
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env(MARK, &self.mark)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C in a terminal is for the owner, which then ends its servers in order.
            .process_group(0);
        self.child = Some(command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?);
        self.ended_with = None;
        Ok(())
    }

    /// Starts it again when it has ended by itself; not when it was killed here, or never started.
    pub(crate) fn restart_if_ended(&mut self) -> Result<()> {
        if self.is_running() || self.ended_with.is_none() { Ok(()) } else { self.start() }
    }

    /// The name that its log has.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its process id; none when it does not run.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether it runs (a stopped one does).
    pub fn is_running(&mut self) -> bool {
        let Some(child) = &mut self.child else { return false };
        match child.try_wait() {
            Ok(None) => true,
            ended => {
                self.ended_with = ended.ok().flatten();
                self.child = None;
                false
            }
        }
    }

    /// Sends a signal; fails when it does not run.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if !self.is_running() {
            bail!("{} does not run", self.name);
        }
        let pid = self.pid().context("a running process has an id")?;
        Ok(nix::sys::signal::kill(Pid::from_raw(pid as i32), signal)?)
    }

    /// Kills it with SIGKILL and waits for its end; nothing when it does not run. Blocks for milliseconds.
    pub fn kill(&mut self) {
        self.ended_with = None;
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self, within: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            let child = self.child.as_mut().with_context(|| format!("{} does not run", self.name))?;
            if let Some(status) = child.try_wait()? {
                self.child = None;
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} still runs after {within:?}", self.name);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until something listens on `address`; fails early, with the end of the log, when the process ends.
    pub async fn listening(&mut self, address: &str, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        while tokio::net::TcpStream::connect(address).await.is_err() {
            if !self.is_running() {
                let status = self.ended_with.map(|status| status.to_string()).unwrap_or_default();
                bail!("{} ended ({status}) before it was ready; its log ends with\n{}", self.name, self.log_tail(20));
            }
            if Instant::now() > deadline {
                bail!(
                    "{} does not listen on {address} after {within:?}; its log ends with\n{}",
                    self.name,
                    self.log_tail(20)
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// The file that holds its output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of its output.
    pub fn log_tail(&self, lines: usize) -> String {
        tail(&String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()), lines)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Looks at `condition` until it gives something; `what` names it in the error.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut condition: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        let last = match condition().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if Instant::now() > deadline {
            let message = format!("{what}: not within {within:?}");
            return Err(match last {
                Some(error) => error.context(message),
                None => anyhow::anyhow!(message),
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
