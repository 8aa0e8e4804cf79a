//! `millstream scheduler` and `millstream local`

use std::path::{Path, PathBuf};

use millstream_daemon::{Config, Overrides};
use millstream_local::{Local, LocalError, LocalOptions};

use crate::{args, failure::Failure, output::Output, process};

/// Folder of `local` when nothing else is said: sandboxes and state in one place that can be thrown away.
const LOCAL_DIR: &str = "millstream-local";

/// Runs a scheduler until SIGINT or SIGTERM. Its tasks run on.
pub(crate) async fn scheduler(args: args::Scheduler, out: Output) -> Result<(), Failure> {
    let config = config(args.config.as_deref(), args.serve, args.master)?;
    process::log(out.json);
    millstream_daemon::run(config, process::shutdown()).await.map_err(|e| Failure::of(&e))
}

/// Runs master, agents and (unless told not to) a scheduler until SIGINT or SIGTERM. No executor is left.
pub(crate) async fn local(args: args::Local, out: Output) -> Result<(), Failure> {
    let dir = args.serve.state.clone().unwrap_or_else(|| PathBuf::from(LOCAL_DIR));
    let options = LocalOptions {
        agents: args.agents,
        port: args.port,
        agent_port: args.agent_port,
        resources: args.resources,
        attributes: args.attributes,
        ..LocalOptions::new(dir.join("agents"))
    };
    process::log(out.json);
    let cluster = Local::start(options).await.map_err(not_started)?;
    tracing::info!(master = cluster.master, agents = cluster.agents.join(","), "local cluster");
    let ended = if args.no_scheduler {
        process::shutdown().await;
        Ok(())
    } else {
        let serve = args::Serve { state: Some(dir.join("scheduler")), ..args.serve };
        match config(None, serve, vec![cluster.master.clone()]) {
            Ok(config) => millstream_daemon::run(config, process::shutdown()).await.map_err(|e| Failure::of(&e)),
            Err(failure) => Err(failure),
        }
    };
    cluster.stop().await;
    ended
}

fn not_started(error: LocalError) -> Failure {
    let remedy = match &error {
        LocalError::Listen { .. } => "is another cluster running here? --port and --agent-port take other ports",
        LocalError::Options(_) => "see `millstream local --help` for the forms",
    };
    Failure::new(Failure::of(&error).0.error, remedy)
}

fn config(file: Option<&Path>, serve: args::Serve, masters: Vec<String>) -> Result<Config, Failure> {
    let args::Serve { state, listen, role, user, executor } = serve;
    let overrides = Overrides { masters, state, listen, role, user, executor };
    Config::load(file, overrides).map_err(|e| Failure::of(&e))
}
