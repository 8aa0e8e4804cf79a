//! Jobs that run as users of their own.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _};

use anyhow::{Context, Result, ensure};
use millstream_e2e::{Accounts, Servers, alone, figure};
use millstream_testbed::{MesosOptions, Millstream, SchedulerOptions, executors::ExecutorProcess};

use crate::run::{caught_up, produce_all};

/// There on every machine, and nobody's.
const USER: &str = "nobody";

/// Two jobs on one agent, one of which names a user: two processes of two users. What is not allowed is refused.
#[test]
fn a_job_runs_as_the_user_it_may_name_and_shares_nothing_with_others() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        figure("users of jobs are not tested: agents become other users only when they are root's");
        return Ok(());
    }
    alone(async |data| {
        let mesos = millstream_testbed::Mesos::start(MesosOptions { agents: 1, ..MesosOptions::default() }).await?;
        // Temporary folders are their owner's alone; real agents' work folders are not.
        fs::set_permissions(mesos.path(), fs::Permissions::from_mode(0o755))?;
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("millstream.toml");
        fs::write(&config, format!("[jobs]\nusers = [{{ jobs = \"of-user\", users = [{USER:?}] }}]\n"))?;
        let args = vec!["--serve-executor".to_owned(), "--config".to_owned(), config.display().to_string()];
        let scheduler = Millstream::scheduler(&mesos, SchedulerOptions { args, ..SchedulerOptions::default() }).await?;
        two_jobs(&data.with(Some(mesos), scheduler)).await
    })
}

async fn two_jobs(servers: &Servers) -> Result<()> {
    let other = Accounts::prepare(servers, "of-nobody-else", 10).await?;
    let text = other.job_file(servers, "").replace("max_share_per_host = 0.5", "");
    servers.millstream.deploy(&other.name, &text).await?;
    let as_user = |text: &str, user: &str| text.replace("[tasks]\n", &format!("[tasks]\nuser = {user:?}\n"));
    let refused = servers.millstream.deploy(&other.name, &as_user(&text, USER)).await;
    let refused = refused.err().context("a user that is not listed is allowed")?.to_string();
    ensure!(refused.contains("may not run as the user nobody"), "{refused}");

    let mut own = Accounts::prepare(servers, "of-user", 10).await?;
    let log = produce_all(servers, "of-user", own.messages(500)).await?;
    let text = own.job_file(servers, "").replace("max_share_per_host = 0.5", "");
    servers.millstream.deploy("of-user", &text).await?;
    let uids = async |job: &str| -> Result<BTreeSet<u32>> {
        servers.placed_without(job, &[]).await?.values().map(uid).collect()
    };
    ensure!(uids("of-user").await? == BTreeSet::from([0]), "before it names one");
    // A change like any other: task by task, onto executors of the user.
    servers.millstream.deploy("of-user", &as_user(&text, USER)).await?;
    let id = nix::unistd::User::from_name(USER)?.context("no such user")?.uid.as_raw();
    millstream_testbed::eventually("all of it runs as its user", millstream_e2e::servers::PLACED_WITHIN, async || {
        Ok((uids("of-user").await? == BTreeSet::from([id])).then_some(()))
    })
    .await?;
    ensure!(uids(&other.name).await? == BTreeSet::from([0]), "the other job became somebody else");
    caught_up(servers, "of-user").await?;
    let differences = own.compare(servers, &log).await?;
    ensure!(differences.total() == 0, "{differences}");
    servers.stop("of-user").await?;
    servers.stop(&other.name).await
}

/// Whose process it is: real, effective, saved and of files, all the same.
fn uid(executor: &ExecutorProcess) -> Result<u32> {
    let status = fs::read_to_string(format!("/proc/{}/status", executor.pid))?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).context("no Uid")?;
    let all: BTreeSet<u32> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    ensure!(all.len() == 1, "{line}");
    all.into_iter().next().context("no uid")
}
