//! `millstream validate --live`, as a person runs it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use millstream_testbed::program;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{CASSANDRA_PASSWORD, KAFKA_PASSWORD, KEYSPACE, Stage};

/// Whoever is kept out is told within this time.
const KEPT_OUT_WITHIN: Duration = Duration::from_secs(10);
/// And what starts the process, on a machine that is busy with other tests.
const BUSY: Duration = Duration::from_secs(10);

/// Secrets that the job names; each is in the environment.
pub(crate) const SECRETS: [(&str, &str); 3] = [
    ("MILLSTREAM_SECRET_KAFKA", KAFKA_PASSWORD),
    ("MILLSTREAM_SECRET_CASSANDRA", CASSANDRA_PASSWORD),
    ("MILLSTREAM_SECRET_WRONG", "canary-wrong-77d0"),
];

/// How a job speaks to its source: the listener, and its options.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) bootstrap: String,
    pub(crate) options: Vec<(String, String)>,
}

impl Source {
    /// `options` are lines of TOML.
    pub(crate) fn new(bootstrap: String, options: &[(&str, &str)]) -> Source {
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Source { bootstrap, options }
    }

    /// The same with another value, or without it.
    pub(crate) fn but(&self, name: &str, value: Option<&str>) -> Source {
        let mut other = self.clone();
        other.options.retain(|(known, _)| known != name);
        other.options.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        other
    }

    /// The same at another listener.
    pub(crate) fn at(&self, bootstrap: String) -> Source {
        Source { bootstrap, ..self.clone() }
    }
}

/// A string of TOML.
pub(crate) fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

/// A job file. `sink` are further lines of [sink.cassandra], and sections below it.
pub(crate) fn job(name: &str, source: &Source, contact: &str, sink: &str) -> String {
    let options: String = source.options.iter().map(|(name, value)| format!("{name:?} = {value}\n")).collect();
    format!(
        r#"name = "{name}"
[source.kafka]
bootstrap = ["{}"]
topic = "orders"
start = "earliest"
[source.kafka.options]
{options}
[source.columns]
k = "text"
v = "int"
[transform]
sql = "SELECT k, v FROM input"
[errors]
bad_record = {{ dead_letter = "orders.dead" }}
[sink.cassandra]
contact_points = ["{contact}"]
keyspace = "{KEYSPACE}"
table = "orders"
{sink}
"#,
        source.bootstrap
    )
}

/// What a check has said.
pub(crate) struct Said {
    pub(crate) ok: bool,
    pub(crate) text: String,
    pub(crate) took: Duration,
}

pub(crate) async fn validate(job: &str) -> Result<Said> {
    let dir = TempDir::new()?;
    let file = dir.path().join("job.toml");
    std::fs::write(&file, job)?;
    let begun = Instant::now();
    let mut command = Command::new(program("millstream")?);
    command.args(["validate", "--live"]).arg(&file).envs(SECRETS).kill_on_drop(true);
    let output = command.output().await?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Ok(Said { ok: output.status.success(), text, took: begun.elapsed() })
}

/// The job is let in everywhere.
pub(crate) async fn let_in(what: &str, job: &str) -> Result<()> {
    let said = validate(job).await?;
    ensure!(said.ok, "{what} is kept out after {:?}: {}", said.took, said.text);
    Ok(())
}

/// It is kept out soon, with these words and no secret.
pub(crate) async fn kept_out(what: &str, job: &str, words: &[&str]) -> Result<()> {
    let said = validate(job).await.context(what.to_owned())?;
    ensure!(!said.ok, "{what} is let in: {}", said.text);
    let missing: Vec<_> = words.iter().filter(|word| !said.text.contains(**word)).collect();
    ensure!(missing.is_empty(), "{what}: nothing of {missing:?} in: {}", said.text);
    for (_, secret) in SECRETS {
        ensure!(!said.text.contains(secret), "{what} tells {secret}: {}", said.text);
    }
    ensure!(said.took < KEPT_OUT_WITHIN + BUSY, "{what}: only after {:?}: {}", said.took, said.text);
    if said.took > KEPT_OUT_WITHIN {
        millstream_e2e::figure(format!("{what}: {:?}", said.took));
    }
    Ok(())
}

impl Stage {
    /// The lines that Cassandra lets in.
    pub(crate) fn sink(&self) -> String {
        self.login("ada", "MILLSTREAM_SECRET_CASSANDRA") + &self.tls(&self.authority.ca(), Some(&self.client), "")
    }

    pub(crate) fn login(&self, user: &str, password: &str) -> String {
        format!("username = \"{user}\"\npassword = {{ env = \"{password}\" }}\n")
    }

    pub(crate) fn tls(&self, ca: &Path, own: Option<&millstream_testbed::Issued>, more: &str) -> String {
        let file = |key: &str, path: &Path| format!("{key} = {{ file = {} }}\n", quoted(path));
        let own = own.map(|own| file("cert", &own.cert) + &file("key", &own.key)).unwrap_or_default();
        format!("[sink.cassandra.tls]\n{}{own}{more}\n", file("ca", ca))
    }
}
