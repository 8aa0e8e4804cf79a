//! `millstream scheduler` and `millstream local`

use std::{io::IsTerminal as _, path::PathBuf};

use millstream_daemon::{Config, Overrides, access, config::is_meant_for_zookeeper, reach::Reach};
use millstream_local::{Local, LocalError, LocalOptions};

use crate::{args, failure::Failure, log, output::Output, process};

/// Folder of `local` when nothing else is said: sandboxes and state in one place that can be thrown away.
const LOCAL_DIR: &str = "millstream-local";

/// Level of its log when nothing else is said.
const LOG: &str = "info";

/// Runs a scheduler until SIGINT or SIGTERM. Its tasks run on.
pub(crate) async fn scheduler(args: args::Scheduler, out: Output) -> Result<(), Failure> {
    let masters = args.master.iter().flat_map(|text| masters(text)).collect();
    let login = args.master.iter().chain(&args.state).any(|text| text.contains('@'));
    let overrides = Overrides { masters, ca: args.ca, state: args.state, ..overrides(args.serve) };
    let config = Config::load(args.config.as_deref(), overrides.clone()).map_err(|e| Failure::of(&e))?;
    let level = config.log.level.clone();
    let reload = log::start(&level, out)?.reload(level, args.config, overrides);
    if login {
        tracing::warn!("every user of this host sees a login on the command line: put it into the file of --config");
    }
    let ended = millstream_daemon::run(config, Some(reload), process::shutdown()).await.map_err(|e| Failure::of(&e));
    if ended.is_ok() {
        tracing::info!("tasks run on; the next scheduler takes them over");
    }
    ended
}

/// Runs master, agents and (unless told not to) a scheduler until SIGINT or SIGTERM. No executor is left.
pub(crate) async fn local(args: args::Local, out: Output) -> Result<(), Failure> {
    let state = args.state.as_deref().unwrap_or(LOCAL_DIR);
    if is_meant_for_zookeeper(state) {
        return Err(Failure::new("`local` keeps its state in a folder", "name one, or leave --state out"));
    }
    let dir = PathBuf::from(state);
    let options = LocalOptions {
        agents: args.agents,
        port: args.port,
        agent_port: args.agent_port,
        resources: args.resources,
        attributes: args.attributes,
        ..LocalOptions::new(dir.join("agents"))
    };
    log::start(args.serve.log.as_deref().unwrap_or(LOG), out)?;
    let cluster = Local::start(options).await.map_err(not_started)?;
    tracing::info!(master = cluster.master, agents = cluster.agents.join(","), "local cluster");
    let ended = if args.no_scheduler {
        process::shutdown().await;
        Ok(())
    } else {
        let state = Some(dir.join("scheduler").display().to_string());
        let masters = vec![cluster.master.clone()];
        let overrides = Overrides { masters, state, ..overrides(args.serve) };
        // Its executors are processes of this user, whatever is said.
        let overrides = Overrides { user: overrides.user.or_else(own_user), ..overrides };
        match Config::load(None, overrides) {
            Ok(config) => {
                let config = Config { jobs: Reach::of_oneself(config.jobs.quotas), ..config };
                show_link(&config, out);
                millstream_daemon::run(config, None, process::shutdown()).await.map_err(|e| Failure::of(&e))
            }
            Err(error) => Err(Failure::of(&error)),
        }
    };
    tracing::info!("master, agents and their tasks end");
    cluster.stop().await;
    ended
}

fn own_user() -> Option<String> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    user.map(|user| user.name)
}

/// A link that logs in, for whoever started the cluster. Only a terminal gets it: a log is read by others.
fn show_link(config: &Config, out: Output) {
    if !std::io::stderr().is_terminal() || config.http.tokens.is_some() {
        return;
    }
    let token = access::own_file().map(|file| access::own(&file));
    if let (Some(Ok(token)), Ok(url)) = (token, config.url(config.http.listen)) {
        out.note(&format!("status page: {url}/#token={token}\n"));
    }
}

fn not_started(error: LocalError) -> Failure {
    let remedy = match &error {
        LocalError::Listen { .. } => "is another cluster running here? --port and --agent-port take other ports",
        LocalError::Options(_) => "see `millstream local --help` for the forms",
    };
    Failure::new(Failure::of(&error).0.error, remedy)
}

/// The masters of one `--master`. The commas of a ZooKeeper's address stand between its own servers; a login, even where none
/// belongs, may have some too, and must not be shown in pieces.
fn masters(text: &str) -> Vec<String> {
    let is_one = text.starts_with("zk://") || text.contains('@');
    if is_one { vec![text.to_owned()] } else { text.split(',').map(str::to_owned).collect() }
}

fn overrides(serve: args::Serve) -> Overrides {
    let args::Serve { listen, url, tokens, cert, key, role, user, executor, serve_executor, log } = serve;
    Overrides { log, listen, url, tokens, cert, key, role, user, executor, serve_executor, ..Overrides::default() }
}

#[cfg(test)]
mod tests {
    #[test]
    fn commas_part_masters_but_not_the_servers_of_a_zookeeper() {
        assert_eq!(super::masters("m1:5050,m2:5050"), ["m1:5050", "m2:5050"]);
        assert_eq!(super::masters("zk://a:2181,b:2181/mesos"), ["zk://a:2181,b:2181/mesos"]);
        assert_eq!(super::masters("zk:/me:hu,sh@a:2181/mesos"), ["zk:/me:hu,sh@a:2181/mesos"]);
    }
}
