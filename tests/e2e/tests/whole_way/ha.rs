//! Unkillable: three masters, three ZooKeeper nodes, two schedulers; whoever leads is killed, over and over, under load.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use millstream_e2e::{Servers, alone_and_quick, figure};
use millstream_testbed::{MesosOptions, Millstream, SchedulerOptions, ZooKeeper, eventually};
use nix::sys::signal::Signal;
use zookeeper_client::{Acls, Client, CreateMode, Error};

use crate::run::{A_WHILE, Run, framework_id, slots};

/// In turn: the leading master, the leading scheduler, the leading ZooKeeper node; the last two at the same moment. Then the
/// leading scheduler is paused.
const KILLS: usize = 20;
/// A new leader knows all of it by then: where the tasks are, and, from the executors' reports, how far they have come.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// For elections on a busy machine: sessions of 2 s, and then some.
const LEADS_WITHIN: Duration = Duration::from_secs(40);
/// The scheduler's session with ZooKeeper; 6 s by default.
const SETTINGS: &str = "[state]\nsession_timeout = \"2s\"\nzookeeper_login = { env = \"HA_LOGIN\" }\n";

/// Of the schedulers at ZooKeeper.
const LOGIN: &str = "schedulers:of the tests";

/// Who is killed next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Master,
    Scheduler,
    ZooKeeper,
}

#[test]
fn leaders_of_every_kind_are_killed_twenty_times_and_no_executor_notices() -> Result<()> {
    alone_and_quick(async |data| {
        let zookeeper = ZooKeeper::start(3).await?;
        let options = MesosOptions { masters: 3, zookeeper: Some(zookeeper.url("/mesos")), ..MesosOptions::default() };
        let mesos = millstream_testbed::Mesos::start(options).await?;
        let settings = tempfile::Builder::new().suffix(".toml").tempfile()?;
        std::fs::write(settings.path(), SETTINGS)?;
        let candidate = || SchedulerOptions {
            state: Some(zookeeper.url("/millstream")),
            args: vec!["--config".to_owned(), settings.path().display().to_string()],
            env: vec![("HA_LOGIN".to_owned(), LOGIN.to_owned())],
            ..SchedulerOptions::default()
        };
        let first = Millstream::candidate(&mesos, candidate()).await?;
        let second = Millstream::candidate(&mesos, candidate()).await?;
        let mut others = Others { zookeeper, standby: second };
        killed_in_turn(&mut data.with(Some(mesos), first), &mut others).await?;
        strangers_are_kept_out(&others.zookeeper).await
    })
}

/// Who has no login, or another one, can neither read where the leader is nor say so.
async fn strangers_are_kept_out(zookeeper: &ZooKeeper) -> Result<()> {
    let url = zookeeper.url("/millstream");
    let servers = url.trim_start_matches("zk://").trim_end_matches("/millstream").to_owned();
    for login in [None, Some("schedulers:guessed"), Some("others:of the tests")] {
        let stranger = Client::connect(&servers).await?;
        if let Some(login) = login {
            stranger.auth("digest", login.as_bytes()).await?;
        }
        for folder in ["", "/leader", "/records", "/journal"] {
            let node = format!("/millstream{folder}");
            let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
            ensure!(stranger.list_children(&node).await == Err(Error::NoAuth), "{login:?} lists {node}");
            ensure!(stranger.set_data(&node, b"x", None).await == Err(Error::NoAuth), "{login:?} writes {node}");
            let made = stranger.create(&format!("{node}/x"), b"", &open).await;
            ensure!(matches!(made, Err(Error::NoAuth)), "{login:?} makes a node below {node}");
            ensure!(stranger.delete(&node, None).await.is_err(), "{login:?} deletes {node}");
            ensure!(
                stranger.set_acl(&node, &Acls::anyone_all(), None).await == Err(Error::NoAuth),
                "{login:?} opens {node}"
            );
        }
    }
    let known = Client::connect(&servers).await?;
    known.auth("digest", LOGIN.as_bytes()).await?;
    let records = known.list_children("/millstream/records").await?;
    ensure!(!records.is_empty(), "no records");
    for record in records {
        let (rights, _) = known.get_acl(&format!("/millstream/records/{record}")).await?;
        ensure!(rights.iter().all(|right| right.scheme() == "digest"), "{record}: {rights:?}");
    }
    Ok(())
}

/// What a [`Servers`] does not hold: its scheduler is the one that leads.
struct Others {
    zookeeper: ZooKeeper,
    standby: Millstream,
}

async fn killed_in_turn(servers: &mut Servers, others: &mut Others) -> Result<()> {
    leader_in_front(servers, others).await?;
    let run = Run::start(servers, "ha").await?;
    let framework = framework_id(servers).await?;
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    let turn = [Part::Master, Part::Scheduler, Part::ZooKeeper];
    let mut rounds: Vec<Vec<Part>> = (0..KILLS - 2).map(|kill| vec![turn[kill % turn.len()]]).collect();
    rounds.push(vec![Part::Master, Part::Scheduler]);
    for (number, parts) in rounds.into_iter().enumerate() {
        slowest =
            slowest.max(round(servers, others, &run, &parts).await.with_context(|| format!("{number}: {parts:?}"))?);
        ensure!(framework_id(servers).await? == framework, "round {number}: another framework id");
    }
    paused(servers, others).await?;
    ensure!(framework_id(servers).await? == framework, "another framework id after a pause");
    figure(format!(
        "{KILLS} kills and a pause in {:.0} s; slowest answer {slowest:.1?} after it led",
        begun.elapsed().as_secs_f64()
    ));
    let after = servers.placed_without(&run.job, &[]).await?;
    ensure!(after == run.executors, "executors before {:?}, after {after:?}", run.executors);
    let produced = run.exact(servers).await?;
    figure(format!("the table is exact after {produced} records, and no executor was restarted"));
    Ok(())
}

/// Kills, waits for new leaders, and starts again what died. Gives the time from a scheduler's lead to its full answers.
async fn round(servers: &mut Servers, others: &mut Others, run: &Run, parts: &[Part]) -> Result<Duration> {
    let killed = Instant::now();
    let mut master = None;
    let mut node = None;
    for part in parts {
        match part {
            Part::Master => {
                let leader = servers.mesos()?.wait_for_leader().await?;
                servers.mesos()?.master_process(leader).await.kill();
                master = Some(leader);
            }
            Part::Scheduler => servers.millstream.process().kill(),
            Part::ZooKeeper => {
                let leader = others.zookeeper.wait_for_leader().await?;
                others.zookeeper.kill(leader);
                node = Some(leader);
            }
        }
    }
    // In front before anything is healed: the new leaders must manage without the old ones.
    leader_in_front(servers, others).await?;
    let leads = Instant::now();
    answers(servers, run).await?;
    let answered = leads.elapsed();
    if parts.contains(&Part::Scheduler) {
        ensure!(answered <= ANSWERS_WITHIN, "`why` and `lag` were answered {answered:.1?} after it led");
    }
    subscribed(servers).await?;
    figure(format!(
        "{parts:?}: leads after {:.1?}, answers {answered:.1?} later, subscribed {:.1?} after the kill",
        leads.duration_since(killed),
        killed.elapsed()
    ));
    heal(servers, others, master, node).await?;
    Ok(if parts.contains(&Part::Scheduler) { answered } else { Duration::ZERO })
}

/// The leading scheduler stands still until the other leads, and wakes up in the belief that it still does.
async fn paused(servers: &mut Servers, others: &mut Others) -> Result<()> {
    servers.millstream.process().signal(Signal::SIGSTOP)?;
    let leads = eventually("the other scheduler leads", LEADS_WITHIN, async || {
        Ok(others.standby.api().get("/api/v1/jobs").await.is_ok().then_some(()))
    });
    let leads = leads.await;
    servers.millstream.process().signal(Signal::SIGCONT)?;
    leads?;
    std::mem::swap(&mut servers.millstream, &mut others.standby);
    tokio::time::sleep(A_WHILE).await;
    ensure!(others.standby.api().get("/api/v1/jobs").await.is_err(), "both schedulers believe that they lead");
    others.standby.start_process().await?;
    subscribed(servers).await
}

/// Waits until one scheduler leads, that is, answers the API itself, and puts it in front.
async fn leader_in_front(servers: &mut Servers, others: &mut Others) -> Result<()> {
    let second = eventually("a scheduler leads", LEADS_WITHIN, async || {
        // One that stands by redirects, which is no success here.
        if servers.millstream.process().is_running() && servers.millstream.api().get("/api/v1/jobs").await.is_ok() {
            return Ok(Some(false));
        }
        Ok(others.standby.api().get("/api/v1/jobs").await.is_ok().then_some(true))
    });
    let second = second.await.with_context(|| {
        format!("logs:\n{}\n{}", servers.millstream.process().log_tail(15), others.standby.process().log_tail(15))
    })?;
    if second {
        std::mem::swap(&mut servers.millstream, &mut others.standby);
    }
    Ok(())
}

/// Waits until `why` places every task and `lag` knows every partition.
async fn answers(servers: &Servers, run: &Run) -> Result<()> {
    eventually("`why` and `lag` are answered", LEADS_WITHIN, async || {
        let placed = slots(servers, &run.job).await?.iter().filter(|slot| slot["task_state"] == "TASK_RUNNING").count();
        let lag = servers.millstream.api().lag(&run.job).await?;
        let known = lag["unknown"] == 0 && lag["partitions"].as_array().is_some_and(|all| !all.is_empty());
        Ok((placed == run.executors.len() && known).then_some(()))
    })
    .await
}

async fn subscribed(servers: &Servers) -> Result<()> {
    eventually("the leading scheduler is subscribed", LEADS_WITHIN, async || {
        Ok((servers.millstream.api().get("/health").await?["status"] == "ok").then_some(()))
    })
    .await
}

/// Starts what was killed, and a scheduler that ended itself because its session with ZooKeeper was over.
async fn heal(servers: &mut Servers, others: &mut Others, master: Option<usize>, node: Option<usize>) -> Result<()> {
    if let Some(node) = node {
        others.zookeeper.restart(node).await?;
    }
    let mesos = servers.mesos()?;
    if let Some(master) = master {
        mesos.start_master(master).await?;
    }
    mesos.wait_for_leader().await?;
    mesos.wait_for_agents(3).await?;
    servers.millstream.start_process().await?;
    others.standby.start_process().await?;
    subscribed(servers).await
}
