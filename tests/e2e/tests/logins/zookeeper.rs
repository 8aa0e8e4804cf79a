//! A scheduler whose state is in a ZooKeeper that speaks TLS with those it knows.

use std::{
    fs::File,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use millstream_testbed::{Authority, Issued, ZooKeeper, eventually, program};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Whoever is kept out is told within this time, on a machine that is busy with other tests.
const SAID_WITHIN: Duration = Duration::from_secs(20);

const LOGIN: &str = "schedulers:canary-zookeeper-51e2";
const OTHER_LOGIN: &str = "schedulers:canary-other-0c44";

/// A process that is never subscribed: there is no master.
struct Scheduler {
    process: Child,
    dir: TempDir,
}

impl Scheduler {
    fn start(state: &str, login: &str, tls: &str) -> Result<Scheduler> {
        let dir = TempDir::new()?;
        let settings = dir.path().join("settings.toml");
        let text = format!("[state]\nzookeeper = \"{state}\"\nzookeeper_login = {{ env = \"LOGIN\" }}\n{tls}");
        std::fs::write(&settings, text)?;
        let log = File::create(dir.path().join("log"))?;
        let process = Command::new(program("millstream")?)
            .args(["scheduler", "--master", "127.0.0.1:1", "--user", "nobody", "--listen", "127.0.0.1:0", "--config"])
            .arg(&settings)
            .arg("--executor")
            .arg(program("millstream-executor")?)
            .env("LOGIN", login)
            .env("MILLSTREAM_TOKEN_FILE", dir.path().join("token"))
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .kill_on_drop(true)
            .spawn()?;
        Ok(Scheduler { process, dir })
    }

    fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.dir.path().join("log"))?)
    }

    async fn says(&mut self, what: &str, words: &str) -> Result<()> {
        let begun = Instant::now();
        let said = async || Ok(self.log()?.contains(words).then_some(()));
        eventually(what, SAID_WITHIN, said)
            .await
            .with_context(|| format!("{words:?} is not in:\n{}", self.log().unwrap_or_default()))?;
        millstream_e2e::figure(format!("{what}: {:.1?}", begun.elapsed()));
        Ok(())
    }

    async fn stays_out(mut self, what: &str, words: &str) -> Result<()> {
        self.says(what, words).await?;
        let log = self.log()?;
        ensure!(!log.contains("leading"), "{what} leads: {log}");
        for secret in [LOGIN, OTHER_LOGIN] {
            let password = secret.split_once(':').expect("user:password").1;
            ensure!(!log.contains(password), "{what} tells {password}");
        }
        let _ = self.process.kill().await;
        Ok(())
    }
}

fn tls(ca: &Path, own: Option<&Issued>) -> String {
    let own = own.map(|own| format!("cert = {:?}\nkey = {:?}\n", own.cert, own.key)).unwrap_or_default();
    format!("[zookeeper]\nca = {ca:?}\n{own}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_in_zookeeper_by_tls_is_for_those_who_are_right() -> Result<()> {
    let (authority, stranger) = (Authority::new()?, Authority::new()?);
    let server = authority.issue("server", &["127.0.1.1"])?;
    let client = authority.issue("client", &["client"])?;
    let strange = stranger.issue("strange", &["client"])?;
    let zookeeper = ZooKeeper::start_secure(1, &server, &authority).await?;
    let (secure, plain) = (zookeeper.secure_url("/millstream"), zookeeper.url("/millstream"));
    let right = tls(&authority.ca(), Some(&client));
    let mut leader = Scheduler::start(&secure, LOGIN, &right)?;
    leader.says("TLS, certificate and login", "leading").await?;
    let cases = [
        (
            "an unknown authority",
            &secure,
            LOGIN,
            tls(&stranger.ca(), Some(&client)),
            "not signed by the given authority",
        ),
        ("no certificate", &secure, LOGIN, tls(&authority.ca(), None), "refused the handshake"),
        ("a foreign certificate", &secure, LOGIN, tls(&authority.ca(), Some(&strange)), "refused the handshake"),
        ("no TLS", &secure, LOGIN, String::new(), "[zookeeper]"),
        ("TLS to a plain port", &plain, LOGIN, right.clone(), "not in the election"),
        ("another login", &secure, OTHER_LOGIN, right.clone(), "zookeeper_login"),
        ("an authority that is not there", &secure, LOGIN, tls(Path::new("/nowhere.pem"), None), "/nowhere.pem"),
        ("half a certificate", &secure, LOGIN, format!("[zookeeper]\ncert = {:?}\n", client.cert), "go together"),
    ];
    for (what, state, login, tls, words) in cases {
        Scheduler::start(state, login, &tls)?.stays_out(what, words).await?;
    }
    ensure!(leader.process.try_wait()?.is_none(), "the leader has ended: {}", leader.log()?);
    Ok(())
}
