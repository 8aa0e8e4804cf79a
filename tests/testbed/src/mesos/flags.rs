//! Command lines of masters and agents.

use std::path::{Path, PathBuf};

use super::{LOOPBACK, MesosOptions};
use crate::{
    cluster_dir::ClusterDir,
    hosts::{host, rack},
    process::Process,
};

/// Masters and agents notice the loss of a master after this time instead of 10 s.
const ZK_SESSION: &str = "2secs";

/// Where everything of a cluster listens.
#[derive(Debug, Clone)]
pub(super) struct Ports {
    /// Of each master, all on one address.
    pub(super) masters: Vec<u16>,
    /// Of every agent, each on its own address.
    pub(super) agents: u16,
}

/// Master `i`, counted from 1.
pub(super) fn master(dir: &ClusterDir, root: &Path, options: &MesosOptions, i: usize, ports: &Ports) -> Process {
    let name = if options.masters == 1 { "master".to_owned() } else { format!("master{i}") };
    let mut flags = vec![
        format!("--ip={LOOPBACK}"),
        format!("--port={}", ports.masters[i - 1]),
        format!("--hostname={LOOPBACK}"),
        format!("--work_dir={}/{name}", dir.path().display()),
        "--registry=replicated_log".to_owned(),
        "--allocation_interval=200ms".to_owned(),
    ];
    if let Some(zookeeper) = &options.zookeeper {
        flags.push(format!("--zk={zookeeper}"));
        flags.push(format!("--quorum={}", options.masters / 2 + 1));
        flags.push(format!("--zk_session_timeout={ZK_SESSION}"));
    }
    flags.extend(options.master_flags.iter().cloned());
    // Tests look at counters more often than the two times a second that are allowed by default.
    Process::new(dir, name, root.join("bin/mesos-master"), flags)
        .env("LIBPROCESS_METRICS_SNAPSHOT_ENDPOINT_RATE_LIMIT", "")
}

/// Estimates and corrections of oversubscribed resources, every 15 s by default.
const OVERSUBSCRIBED_EVERY: &str = "200ms";

/// The file in which agent `i` finds the executors it is to kill.
pub(super) fn revoked(dir: &ClusterDir, i: usize) -> PathBuf {
    dir.path().join(format!("agent{i}.revoked"))
}

/// Agent `i`, counted from 1.
pub(super) fn agent(dir: &ClusterDir, root: &Path, options: &MesosOptions, i: usize, ports: &Ports) -> Process {
    let work = dir.path().join(format!("agent{i}"));
    let (host, root_dir, work) = (host(i), root.display(), work.display());
    let attributes = options.attributes.replace("%d", &i.to_string()).replace("%r", &rack(i));
    let master = match &options.zookeeper {
        Some(zookeeper) => zookeeper.clone(),
        None => format!("{LOOPBACK}:{}", ports.masters[0]),
    };
    let mut flags = vec![
        format!("--master={master}"),
        format!("--ip={host}"),
        format!("--port={}", ports.agents),
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
    if options.zookeeper.is_some() {
        flags.push(format!("--zk_session_timeout={ZK_SESSION}"));
    }
    if let Some(oversubscribed) = &options.oversubscribed {
        flags.extend([
            format!("--resource_estimator={oversubscribed}"),
            format!("--oversubscribed_resources_interval={OVERSUBSCRIBED_EVERY}"),
            format!("--qos_controller={}", revoked(dir, i).display()),
            format!("--qos_correction_interval_min={OVERSUBSCRIBED_EVERY}"),
        ]);
    }
    flags.extend(options.agent_flags.iter().cloned());
    Process::new(dir, format!("agent{i}"), root.join("bin/mesos-agent"), flags)
}
