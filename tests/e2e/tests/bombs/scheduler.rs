//! A scheduler as a user starts it, without a master, and as little HTTP as is asked of it.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use millstream_testbed::program;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    task::JoinHandle,
};

/// Of somebody who may deploy, and must not be able to do more.
const TOKEN: &str = "mst_the-token-of-whoever-sends-bombs-to-schedulers";

/// For an answer to a bomb; also on a machine that has much else to do.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(30);

const START_WITHIN: Duration = Duration::from_secs(30);

/// What "live" means.
const LIVE_WITHIN: Duration = Duration::from_secs(1);

const POLL_EVERY: Duration = Duration::from_millis(100);

/// Dropping it ends the process.
pub(crate) struct Scheduler {
    process: Child,
    pub(crate) address: String,
    _state: TempDir,
}

/// Status, Retry-After and body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("{} is no JSON: {}", self.status, self.shown()))
    }

    pub(crate) fn shown(&self) -> String {
        self.body.chars().take(300).collect()
    }
}

impl Scheduler {
    pub(crate) async fn start() -> Result<Self> {
        let state = TempDir::new()?;
        let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.to_string();
        let token = state.path().join("token");
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&token)?.write_all(TOKEN.as_bytes())?;
        let process = Command::new(program("millstream")?)
            .env("MILLSTREAM_TOKEN_FILE", &token)
            .args(["scheduler", "--master", "127.0.0.1:1", "--user", "nobody", "--listen", &address, "--state"])
            .arg(state.path())
            .arg("--executor")
            .arg(program("millstream-executor")?)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let scheduler = Scheduler { process, address, _state: state };
        let begun = Instant::now();
        while ask(&scheduler.address, "GET", "/health/live", b"").await.is_err() {
            ensure!(begun.elapsed() < START_WITHIN, "the scheduler does not listen within {START_WITHIN:?}");
            tokio::time::sleep(POLL_EVERY).await;
        }
        Ok(scheduler)
    }

    /// Still the process that was started?
    pub(crate) fn is_alive(&mut self) -> Result<bool> {
        Ok(self.process.try_wait()?.is_none())
    }

    /// Most memory that it has had, in MiB.
    pub(crate) fn memory_mib_max(&self) -> Result<usize> {
        let pid = self.process.id().context("the scheduler has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<usize>()? / 1024)
    }
}

/// One request on a connection of its own.
pub(crate) async fn ask(address: &str, method: &str, path: &str, body: &[u8]) -> Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/toml\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    // A body that is too large is answered before it has been read.
    let _ = stream.write_all(body).await;
    let mut answer = vec![];
    let read = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("no whole answer ({read:?}): {text}"))?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok(Answer { status, head: head.to_lowercase(), body: body.to_owned() })
}

/// Asks all the while whether the scheduler lives.
pub(crate) struct Pulse {
    polls: JoinHandle<()>,
    beats: Arc<AtomicUsize>,
    misses: Arc<AtomicUsize>,
}

impl Pulse {
    pub(crate) fn of(scheduler: &Scheduler) -> Pulse {
        let (beats, misses) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (address, beat, miss) = (scheduler.address.clone(), beats.clone(), misses.clone());
        let polls = tokio::spawn(async move {
            loop {
                // Once more, for a machine that has stood still itself.
                let lives = lives(&address).await || lives(&address).await;
                let count = if lives { &beat } else { &miss };
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(POLL_EVERY).await;
            }
        });
        Pulse { polls, beats, misses }
    }

    /// How often it has answered in time, and how often not.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.beats.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.polls.abort();
    }
}

async fn lives(address: &str) -> bool {
    let asked = tokio::time::timeout(LIVE_WITHIN, ask(address, "GET", "/health/live", b"")).await;
    asked.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status == 200))
}
