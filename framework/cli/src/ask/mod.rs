//! Commands that ask the scheduler.

mod jobs;
mod lag;
mod why;

use std::path::Path;

use millstream_daemon::api::{
    ChangeView, DeployOutcome, Deployed, JobDetail, Jobs, LagView, PlanView, Stopped, WhyView,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{args, client::Client, failure::Failure, job_file, login::Login, output::Output};

fn client(remote: &args::Remote) -> Result<Client, Failure> {
    Client::new(&remote.scheduler, Login::new(remote.scheduler_ca.clone())?)
}

pub(crate) async fn plan(args: &args::File, out: Output) -> Result<(), Failure> {
    let (_, text) = checked(&args.file)?;
    let path = format!("/api/v1/plan?{}", named(&args.file));
    let answer = client(&args.remote)?.post(&path, text).await?;
    print(out, answer, |plan: PlanView| would_change(plan.change.as_ref()) + plan.text.trim_end() + "\n")
}

pub(crate) async fn deploy(args: &args::Deploy, out: Output) -> Result<(), Failure> {
    let args::Deploy { file: args::File { file, remote }, force } = args;
    let (job, text) = checked(file)?;
    let force = if *force { "&force=true" } else { "" };
    let path = format!("/api/v1/jobs/{job}?{}{force}", named(file));
    let answer = client(remote)?.put(&path, text).await?;
    print(out, answer, |deployed: Deployed| {
        let what = match deployed.outcome {
            DeployOutcome::Started => "starts",
            DeployOutcome::Unchanged => "is already so, nothing changes",
            DeployOutcome::TextOnly => "only its text differs: stored, nothing restarts",
            DeployOutcome::Updating => "its tasks drain, then it starts as now written",
            DeployOutcome::Rolling => "changes task by task, and goes back if the new version fails",
        };
        let warnings: String = deployed.warnings.iter().map(|w| format!("warning: {w}\n")).collect();
        let diff = changed(deployed.change.as_ref());
        let Deployed { job, generation, .. } = deployed;
        format!(
            "{diff}{warnings}{job}: {what} (generation {generation})\nsee `millstream why {job}` and `millstream lag {job}`\n"
        )
    })
}

pub(crate) async fn jobs(args: &args::Remote, out: Output) -> Result<(), Failure> {
    let answer = client(args)?.get("/api/v1/jobs").await?;
    print(out, answer, |jobs: Jobs| jobs::text(&jobs))
}

/// The file as text that can be deployed again, and nothing else.
pub(crate) async fn show(args: &args::Show, out: Output) -> Result<(), Failure> {
    let answer = client(&args.job.remote)?.get(&format!("/api/v1/jobs/{}", args.job.job)).await?;
    if out.json {
        out.value(&answer);
        return Ok(());
    }
    let JobDetail { job, toml, previous_toml } = typed(answer)?;
    let text = if args.previous { previous_toml } else { Some(toml) };
    let text = text.ok_or_else(|| {
        Failure::new(format!("{} has not been changed", job.name), "without --previous it is shown as deployed")
    })?;
    out.file(&text);
    Ok(())
}

pub(crate) async fn why(args: &args::Job, out: Output) -> Result<(), Failure> {
    let answer = client(&args.remote)?.get(&format!("/api/v1/jobs/{}/why", args.job)).await?;
    print(out, answer, |why: WhyView| why::text(&why))
}

pub(crate) async fn lag(args: &args::Job, out: Output) -> Result<(), Failure> {
    let answer = client(&args.remote)?.get(&format!("/api/v1/jobs/{}/lag", args.job)).await?;
    print(out, answer, |lag: LagView| lag::text(&lag))
}

pub(crate) async fn stop(args: &args::Job, out: Output) -> Result<(), Failure> {
    let path = format!("/api/v1/jobs/{}/stop", args.job);
    let answer = client(&args.remote)?.post(&path, String::new()).await?;
    print(out, answer, |stopped: Stopped| match stopped.changed {
        true => format!("{0}: drains: flushes, commits, leaves\nsee `millstream why {0}`\n", stopped.job),
        false => format!("{}: is stopped, or on its way, already\n", stopped.job),
    })
}

pub(crate) async fn delete(args: &args::Job, out: Output) -> Result<(), Failure> {
    client(&args.remote)?.delete(&format!("/api/v1/jobs/{}", args.job)).await?;
    if out.json {
        out.value(&serde_json::json!({ "job": args.job, "deleted": true }));
    } else {
        out.text(&format!("{}: forgotten; its rows stay where they are, and its group's offsets in Kafka: deployed again, it goes on there\n", args.job));
    }
    Ok(())
}

/// A change of a deployed job, with a line of its own below.
fn changed(change: Option<&ChangeView>) -> String {
    change.map_or_else(String::new, |change| format!("{}\n", change.diff))
}

/// The same before it happens.
fn would_change(change: Option<&ChangeView>) -> String {
    changed(change) + &change.map_or_else(String::new, |change| format!("{}\n\n", change.effect))
}

/// The file's name as a query: the scheduler's findings name it.
fn named(file: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let escape = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    format!("file={}", file.display().to_string().bytes().map(escape).collect::<String>())
}

/// The file's job name and text, after the checks that need no scheduler: their findings point into the file.
fn checked(path: &Path) -> Result<(String, String), Failure> {
    let text = job_file::read(path)?;
    let checked = job_file::check(path, &text).map_err(|d| Failure::refused(&d))?;
    Ok((checked.file.spec.name.to_string(), text))
}

/// Prints the answer as it came, or as text.
fn print<T: DeserializeOwned>(out: Output, answer: Value, text: impl FnOnce(T) -> String) -> Result<(), Failure> {
    if out.json {
        out.value(&answer);
        return Ok(());
    }
    out.text(&text(typed(answer)?));
    Ok(())
}

fn typed<T: DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    serde_json::from_value(answer).map_err(|e| {
        Failure::new(
            format!("the scheduler's answer is not understood: {e}"),
            "are both programs of the same version? --json prints the answer as it is",
        )
    })
}

/// How `serde` spells a value of an enum without fields: the same word everywhere.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => crate::table::UNKNOWN.to_owned(),
    }
}
