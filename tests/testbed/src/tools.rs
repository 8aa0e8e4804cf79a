//! Programs of the machine that the testbed needs, and a clear word when one is missing or fails.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

/// A program of the machine and the Debian package that brings it.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// What is looked for in `PATH`.
    pub program: &'static str,
    /// The Debian package.
    pub package: &'static str,
}

/// Runs Kafka and Cassandra; 17 is the newest that Cassandra 5.0 knows.
pub const JAVA: Tool = Tool { program: "java", package: "openjdk-17-jre-headless" };
/// Brings their jars.
pub const MAVEN: Tool = Tool { program: "mvn", package: "maven" };
/// Fetches the Mesos library and Schemathesis, and runs the executors and fetcher that stand in for Mesos' own.
pub const PYTHON: Tool = Tool { program: "python3", package: "python3 python3-pip" };
/// Compiles the `main()` of Mesos.
pub const CXX: Tool = Tool { program: "g++", package: "g++" };
/// Compiles its stand-in libraries.
pub const CC: Tool = Tool { program: "gcc", package: "gcc" };

/// Fails with one line per tool that is not in `PATH`.
pub fn require(tools: &[Tool]) -> Result<()> {
    let missing: Vec<String> = tools
        .iter()
        .filter(|tool| find(tool.program).is_none())
        .map(|tool| format!("{} is missing: apt-get install {}", tool.program, tool.package))
        .collect();
    if missing.is_empty() { Ok(()) } else { bail!("{}", missing.join("\n")) }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Runs a command to its end; its output becomes part of the error when it fails. Blocks.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start {program}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{program} failed ({}):\n{}{}", output.status, tail(&stdout, 20), tail(&stderr, 20));
    }
    Ok(stdout)
}

/// Fills `dir/lib` with the jars that `pom` names and all they need. Blocks.
pub(crate) fn jars(dir: &Path, pom: &str) -> Result<()> {
    require(&[MAVEN, JAVA])?;
    std::fs::write(dir.join("pom.xml"), pom)?;
    let goal = ["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=lib"];
    run(Command::new("mvn").args(goal).current_dir(dir))?;
    Ok(())
}

/// The last `lines` lines of a text, each ended.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| format!("{line}\n")).collect()
}
