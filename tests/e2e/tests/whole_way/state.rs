//! A state in the real ZooKeeper and in a folder, backed up, restored and moved by the program itself.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use millstream_testbed::{ZooKeeper, program};
use serde_json::Value;
use zookeeper_client::{Acls, Client, CreateMode};

/// Records of every kind, as release 0.1 stored them.
const BACKUP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../framework/daemon/tests/backups/1.jsonl");
const LOGIN: &str = "schedulers:of the tests";
const SETTINGS: &str = "[state]\nsession_timeout = \"2s\"\nzookeeper_login = { env = \"STATE_LOGIN\" }\n";

/// Who types commands.
struct Person {
    settings: PathBuf,
}

impl Person {
    fn types(&self, args: &[&str]) -> Result<Output> {
        let mut command = Command::new(program("millstream")?);
        command.arg("state").args(args).arg("--config").arg(&self.settings).env("STATE_LOGIN", LOGIN);
        Ok(command.output()?)
    }

    fn does(&self, args: &[&str]) -> Result<String> {
        let output = self.types(args)?;
        ensure!(output.status.success(), "{args:?}: {}", text(&output));
        Ok(text(&output))
    }

    fn is_refused(&self, args: &[&str], part: &str) -> Result<()> {
        let output = self.types(args)?;
        ensure!(!output.status.success() && text(&output).contains(part), "{args:?}, {part}: {}", text(&output));
        Ok(())
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The records of a backup, but for the number that leaps.
fn records(file: &Path) -> Result<Vec<Value>> {
    let lines = std::fs::read_to_string(file)?;
    let lines = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    Ok(lines.into_iter().filter(|line| line["key"].is_string() && line["key"] != "counter").collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_goes_from_a_backup_to_zookeeper_to_a_folder_and_back() -> Result<()> {
    let zookeeper = ZooKeeper::start(1).await?;
    let url = zookeeper.url("/teams/millstream");
    let dir = tempfile::tempdir()?;
    let at = |name: &str| dir.path().join(name).display().to_string();
    let person = Person { settings: dir.path().join("settings.toml") };
    std::fs::write(&person.settings, SETTINGS)?;

    person.is_refused(&["backup", &at("no"), "--state", &url], "there is no state in zk://")?;
    let client = client(&zookeeper, "/teams/millstream").await?;
    ensure!(client.check_stat("/teams").await?.is_none(), "a look makes nothing");

    person.does(&["restore", BACKUP, "--state", &url])?;
    person.is_refused(&["restore", BACKUP, "--state", &url], "framework framework-1")?;
    for node in ["/teams/millstream/records", "/teams/millstream/records/framework"] {
        let (rights, _) = client.get_acl(node).await?;
        ensure!(rights.iter().all(|right| right.scheme() == "digest"), "{node} is open: {rights:?}");
    }
    person.does(&["backup", &at("first"), "--state", &url])?;
    ensure!(records(Path::new(&at("first")))? == records(Path::new(BACKUP))?);

    person.does(&["move", "--from", &url, "--to", &at("folder")])?;
    person.does(&["move", "--from", &url, "--to", &at("folder")])?;
    ensure!(client.check_stat("/teams/millstream/records/moved").await?.is_some());
    person.does(&["backup", &at("second"), "--state", &at("folder")])?;
    ensure!(records(Path::new(&at("second")))? == records(Path::new(BACKUP))?);
    person.does(&["move", "--from", &at("folder"), "--to", &url])?;
    ensure!(client.check_stat("/teams/millstream/records/moved").await?.is_none());
    ensure!(client.check_stat("/teams/millstream/records/unfinished").await?.is_none());

    whatever_is_damaged_is_replaced_by_force(&person, &client, &url, &at("third")).await?;
    a_leader_keeps_all_others_off(&person, &client, &url).await
}

async fn client(zookeeper: &ZooKeeper, path: &str) -> Result<Client> {
    let url = zookeeper.url(path);
    let servers = url.strip_prefix("zk://").and_then(|url| url.strip_suffix(path)).context("a URL")?;
    let client = Client::connect(servers).await?;
    client.auth("digest", LOGIN.as_bytes()).await?;
    Ok(client)
}

async fn whatever_is_damaged_is_replaced_by_force(
    person: &Person,
    client: &Client,
    url: &str,
    backup: &str,
) -> Result<()> {
    let closed = CreateMode::Persistent.with_acls(Acls::creator_all());
    client.set_data("/teams/millstream/records/framework", b"{\"id\":\"x\"}\n#0000000000000000", None).await?;
    client.create("/teams/millstream/records/nobody%", b"x", &closed).await?;
    person.is_refused(&["restore", BACKUP, "--state", url], "damaged:")?;
    person.does(&["restore", BACKUP, "--state", url, "--force"])?;
    // A batch that counts and cannot be read.
    client.create("/teams/millstream/journal/000000", b"+not a piece", &closed).await?;
    client.create("/teams/millstream/journal/commit", b"1", &closed).await?;
    person.is_refused(&["backup", backup, "--state", url], "damaged:")?;
    person.does(&["restore", BACKUP, "--state", url, "--force"])?;
    ensure!(client.list_children("/teams/millstream/journal").await?.is_empty());
    person.does(&["backup", backup, "--state", url])?;
    ensure!(records(Path::new(backup))? == records(Path::new(BACKUP))?);
    Ok(())
}

async fn a_leader_keeps_all_others_off(person: &Person, client: &Client, url: &str) -> Result<()> {
    let leader = CreateMode::EphemeralSequential.with_acls(Acls::creator_all());
    let lock = "/teams/millstream/leader/_c_00000000-0000-0000-0000-000000000000-scheduler-";
    client.create(lock, b"https://s1.example:7070", &leader).await?;
    for args in [
        vec!["backup", "nowhere.jsonl", "--state", url],
        vec!["restore", BACKUP, "--state", url, "--force"],
        vec!["move", "--from", url, "--to", "/nowhere"],
    ] {
        person.is_refused(&args, "https://s1.example:7070")?;
    }
    Ok(())
}
