//! One run of an executor: sandbox, processes, end.
//!
//! The group's leader is a guardian, a shell that waits for the end of its input, which only this process holds open, and
//! then ends the whole group. So nothing is left of a container when its task is dropped or this process dies, even by
//! SIGKILL; and as an executor joins the group before it runs, there is no moment at which it could escape. (Out of reach
//! are processes that leave the group on purpose.)

use std::{
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use millstream_mesos_types::CommandInfo;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::fetch::fetch;
use crate::cluster::Start;

/// Signals meant for the executor's group must not end the guardian.
const GUARDIAN: &str = "trap '' TERM INT HUP QUIT USR1 USR2; read -r _; kill -KILL 0";

/// What a real agent tells executors by default.
const RECOVERY_TIMEOUT: &str = "15mins";
const SUBSCRIPTION_BACKOFF_MAX: &str = "2secs";

/// Starts an executor and waits for its end: its wait(2) status, or why it could not be started. Ends it by force when
/// `destroy` is cancelled; whatever else is left of its group ends with it.
pub(super) async fn run(
    start: &Start,
    sandbox: &Path,
    agent_endpoint: &str,
    destroy: CancellationToken,
    started: impl FnOnce(u32),
) -> Result<i32, String> {
    let command = start.executor.command.clone().unwrap_or_default();
    let mut executor = tokio::select! {
        prepared = prepare(&command, sandbox) => prepared?,
        () = destroy.cancelled() => return Err("destroyed before it was started".into()),
    };
    executor.envs(environment(start, sandbox, agent_endpoint));
    let variables = command.environment.iter().flat_map(|environment| &environment.variables);
    executor.envs(variables.map(|variable| (&variable.name, variable.value.as_deref().unwrap_or_default())));

    let mut guardian = spawn_guardian().map_err(|error| format!("cannot start the guardian: {error}"))?;
    // Held until the end of this function: a pid that has not been waited for is not used again.
    let group = guardian.id().and_then(|pid| i32::try_from(pid).ok()).ok_or("the guardian ended at once")?;
    let ended = match executor.process_group(group).spawn() {
        Err(error) => Err(format!("cannot start {:?}: {error}", command.value.unwrap_or_default())),
        Ok(mut child) => {
            child.id().map(started);
            let ended = tokio::select! {
                ended = child.wait() => ended,
                () = destroy.cancelled() => {
                    kill_group(group);
                    child.wait().await
                }
            };
            ended.map(|status| status.into_raw()).map_err(|error| format!("cannot wait for the executor: {error}"))
        }
    };
    kill_group(group);
    // It has been killed; its status says nothing.
    let _ = guardian.wait().await;
    ended
}

fn spawn_guardian() -> std::io::Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", GUARDIAN])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

fn kill_group(group: i32) {
    // ESRCH: all have ended already.
    let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
}

/// Sandbox with all that is to be fetched, and the command without its own environment.
async fn prepare(command: &CommandInfo, sandbox: &Path) -> Result<Command, String> {
    // A laptop's master and agents run all as the user who started them.
    if let Some(user) = &command.user {
        return Err(format!("`millstream local` runs nothing as another user: {user} is asked for"));
    }
    let failed = |error: std::io::Error| format!("cannot prepare the sandbox {}: {error}", sandbox.display());
    tokio::fs::create_dir_all(sandbox).await.map_err(failed)?;
    for uri in &command.uris {
        fetch(uri, sandbox).await?;
    }
    let value = command.value.as_deref().unwrap_or_default();
    let mut process = if command.shell.unwrap_or(true) {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", value]);
        shell
    } else {
        // A relative path is one in the sandbox.
        let program = if value.contains('/') { sandbox.join(value) } else { PathBuf::from(value) };
        let mut process = Command::new(program);
        if let Some((name, arguments)) = command.arguments.split_first() {
            process.arg0(name).args(arguments);
        }
        process
    };
    process.env_clear().envs(std::env::vars_os().filter(|(name, _)| is_passed_on(&name.to_string_lossy())));
    let output = |name| std::fs::File::create(sandbox.join(name)).map_err(failed);
    process.current_dir(sandbox).stdin(Stdio::null()).stdout(output("stdout")?).stderr(output("stderr")?);
    Ok(process)
}

/// Variables of this process that executors get as well. Others are not theirs: they may hold secrets.
fn is_passed_on(name: &str) -> bool {
    const NAMES: [&str; 8] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR"];
    const BEGINNINGS: [&str; 3] = ["LC_", "RUST_", "MILLSTREAM_SECRET_"];
    NAMES.contains(&name) || BEGINNINGS.iter().any(|of| name.starts_with(of))
}

/// What an agent tells its executors.
fn environment(start: &Start, sandbox: &Path, agent_endpoint: &str) -> Vec<(&'static str, String)> {
    let sandbox = sandbox.display().to_string();
    let framework = start.framework.id.as_ref().map(|id| id.value.clone()).unwrap_or_default();
    let mut variables = vec![
        ("MESOS_FRAMEWORK_ID", framework),
        ("MESOS_EXECUTOR_ID", start.executor.executor_id.value.clone()),
        ("MESOS_SLAVE_ID", start.agent_id.value.clone()),
        ("MESOS_SLAVE_PID", format!("slave(1)@{agent_endpoint}")),
        ("MESOS_AGENT_ENDPOINT", agent_endpoint.to_owned()),
        ("MESOS_DIRECTORY", sandbox.clone()),
        ("MESOS_SANDBOX", sandbox),
        ("MESOS_CHECKPOINT", if start.framework.checkpoint { "1" } else { "0" }.to_owned()),
        ("MESOS_HTTP_COMMAND_EXECUTOR", "0".to_owned()),
        ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", duration_text(start.shutdown_grace)),
    ];
    if start.framework.checkpoint {
        variables.push(("MESOS_RECOVERY_TIMEOUT", RECOVERY_TIMEOUT.to_owned()));
        variables.push(("MESOS_SUBSCRIPTION_BACKOFF_MAX", SUBSCRIPTION_BACKOFF_MAX.to_owned()));
    }
    variables
}

/// As Mesos writes durations.
fn duration_text(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}
