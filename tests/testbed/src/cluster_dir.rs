//! The folder of one cluster, and the promise that nothing outlives it.

use std::{
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::{Context, Result};

/// Every process of a cluster carries the name of its folder in this variable.
pub(crate) const MARK: &str = "MILLSTREAM_TESTBED";

/// Ends every process of the cluster (those that carry the mark, and what Mesos started in a sandbox below the folder:
/// executors outlive their agents on purpose), then removes the folder. It waits for the end of its standard input,
/// which comes when the owner lets go or dies, by whatever signal.
const GUARDIAN: &str = r#"
trap '' HUP INT TERM
cat >/dev/null
pattern="^(MILLSTREAM_TESTBED=$2\$|MESOS_(DIRECTORY|SANDBOX)=(.*/)?$2/)"
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  pids=$(grep -lzsE "$pattern" /proc/[0-9]*/environ | cut -d/ -f3)
  [ -n "$pids" ] || break
  kill -9 $pids 2>/dev/null
  sleep 0.05
done
[ -n "$3" ] || rm -rf "$1/$2"
"#;

/// A temporary folder for the data and logs of one cluster. Dropping it (or the owner's death, even by SIGKILL) ends all
/// processes of the cluster and removes the folder; with `MILLSTREAM_KEEP=1` the folder stays.
#[derive(Debug)]
pub(crate) struct ClusterDir {
    path: PathBuf,
    name: String,
    guardian: Child,
    /// The guardian acts when this closes.
    leash: Option<ChildStdin>,
}

impl ClusterDir {
    /// Makes the folder `millstream-KIND-…` and starts its guardian.
    pub(crate) fn new(kind: &str) -> Result<Self> {
        let path = tempfile::Builder::new().prefix(&format!("millstream-{kind}-")).tempdir()?.keep();
        let name = path.file_name().context("a folder has a name")?.to_string_lossy().into_owned();
        let parent = path.parent().context("a temporary folder has a parent")?;
        let mut guardian = Command::new("sh")
            .args(["-c", GUARDIAN, "guardian"])
            .arg(parent)
            .arg(&name)
            .arg(std::env::var_os("MILLSTREAM_KEEP").unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start sh")?;
        let leash = guardian.stdin.take();
        Ok(ClusterDir { path, name, guardian, leash })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The value of [`MARK`] for processes of this cluster.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for ClusterDir {
    fn drop(&mut self) {
        self.leash = None;
        let _ = self.guardian.wait();
    }
}

/// Processes of any testbed cluster that run now: `(pid, program and its last arguments)`.
pub fn leftovers() -> io::Result<Vec<(u32, String)>> {
    let mut found = vec![];
    let mark = format!("{MARK}=millstream-");
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may end while it is looked at, or belong to somebody else.
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else { continue };
        let ours = environment.split(|&byte| byte == 0).any(|variable| {
            let variable = String::from_utf8_lossy(variable);
            variable.starts_with(&mark)
                || ["MESOS_SANDBOX=", "MESOS_DIRECTORY="]
                    .iter()
                    .any(|name| variable.starts_with(name) && variable.contains("/millstream-"))
        });
        if ours {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let program = line.split(' ').next().unwrap_or_default();
            // A JVM's command line is long; what it runs comes last.
            let end: Vec<&str> = line.split_whitespace().rev().take(2).collect();
            found.push((pid, format!("{program} … {}", end.into_iter().rev().collect::<Vec<_>>().join(" "))));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(variable: &str, value: String) -> Child {
        Command::new("sleep").arg("60").env(variable, value).spawn().unwrap()
    }

    #[test]
    fn dropping_ends_marked_processes_and_sandboxed_ones_and_removes_the_folder() {
        let dir = ClusterDir::new("test").unwrap();
        let path = dir.path().to_owned();
        let mut marked = sleeper(MARK, dir.name().to_owned());
        let mut executor = sleeper("MESOS_SANDBOX", format!("{}/agent1/run/1", path.display()));
        let mut stranger = sleeper(MARK, format!("{}x", dir.name()));
        drop(dir);
        assert!(!marked.wait().unwrap().success());
        assert!(!executor.wait().unwrap().success());
        assert!(stranger.try_wait().unwrap().is_none());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn the_death_of_the_owner_is_enough() {
        let mut dir = ClusterDir::new("test").unwrap();
        let mut marked = sleeper(MARK, dir.name().to_owned());
        // What the kernel does to the pipe when the owner is killed.
        drop(dir.leash.take());
        assert!(!marked.wait().unwrap().success());
    }
}
