//! Schemathesis: asks an API all that its OpenAPI document allows, and much that it does not, and compares the answers with
//! what the document says.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::{api::Api, cache, tools};

const REQUIREMENTS: &str = include_str!("../resources/schemathesis/requirements.txt");
const HOOKS: &str = include_str!("../resources/schemathesis/hooks.py");

/// What is asked of it.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// What it compares, by its own names.
    pub checks: &'a [&'a str],
    /// For all of it; it ends earlier when it has no more to ask.
    pub within: Duration,
    /// Requests for one operation at most, of each kind.
    pub examples: u32,
    /// Name and file of a job, which is asked for and sent instead of made-up ones.
    pub job: Option<(&'a str, &'a str)>,
    /// Further arguments.
    pub args: &'a [&'a str],
}

/// Asks an API; an error tells how it differs from its document. `folder` takes settings and leftovers. Blocks.
pub fn compare(api: &Api, folder: &Path, asked: &Asked<'_>) -> Result<String> {
    let root = root()?;
    let token = fs::read_to_string(api.token_file()).context("no token")?;
    let settings = folder.join("schemathesis.toml");
    // In a file, not in an argument: everybody sees those.
    let mut text = format!("[headers]\nAuthorization = \"Bearer {}\"\n", token.trim());
    let mut command = Command::new("python3");
    if let Some((name, job)) = asked.job {
        text += &format!("[parameters]\nname = {name:?}\n");
        let file = folder.join("job.toml");
        fs::write(&file, job)?;
        command.env("MILLSTREAM_JOB", file);
    }
    fs::write(&settings, text)?;
    command
        .env("PYTHONPATH", root.join("lib"))
        .env("SCHEMATHESIS_HOOKS", root.join("hooks.py"))
        .current_dir(folder)
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(&settings)
        .args(["run", &format!("{}/api/v1/openapi.json", api.url()), "--no-color", "--generation-deterministic"])
        .args(["--max-time", &asked.within.as_secs().to_string(), "--max-examples", &asked.examples.to_string()])
        .args(["--checks", &asked.checks.join(","), "--warnings", "off"])
        .args(asked.args);
    let output = command.output().context("cannot start python3")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // All of it: what differs stands in the middle.
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}

/// Schemathesis and what it needs, made when it is not in the cache. Blocks.
fn root() -> Result<PathBuf> {
    tools::require(&[tools::PYTHON])?;
    cache::entry("schemathesis", &[REQUIREMENTS, HOOKS], |dir| {
        fs::write(dir.join("requirements.txt"), REQUIREMENTS)?;
        fs::write(dir.join("hooks.py"), HOOKS)?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target", "lib"];
        tools::run(Command::new("python3").args(pip).args(["-r", "requirements.txt"]).current_dir(dir)).map(drop)
    })
}
