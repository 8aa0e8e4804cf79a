//! The same engine without Mesos: for benchmarks, tests, and a look at a job on one's own machine.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use futures_util::{FutureExt as _, future::LocalBoxFuture};
use millstream_protocol::{
    ExecutorData, Location, Partition, PartitionStatus, REPORT_INTERVAL_MS, Report, TaskReport, VERSION,
};
use millstream_spec::JobSpec;
use millstream_topology::{
    blocks::{begun, connect_with_table},
    cassandra::{Near, connect},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, interval},
};

use crate::{engine::Engine, http, metrics::Metrics};

/// For the end: as long as a drain under Mesos gets by default.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);

/// The task's id in reports.
const TASK: &str = "standalone";

/// What is asked for on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Job file.
    pub job: PathBuf,
    /// Partitions to consume.
    pub partitions: Vec<Partition>,
    /// Leave when nothing is left to do.
    pub until_caught_up: bool,
    /// Generation of the job; none to go on from what the table knows, as a deploy does.
    pub generation: Option<u64>,
    /// Memory in bytes instead of the job's.
    pub mem_bytes: Option<u64>,
    /// Where the metrics endpoint listens, and the host for locality.
    pub address: String,
    /// Make the table of timestamp blocks, as the scheduler would.
    pub create_blocks_table: bool,
}

impl Options {
    /// Reads the arguments after `standalone`.
    pub fn parse(arguments: &[String]) -> anyhow::Result<Options> {
        let mut options = Options {
            job: PathBuf::new(),
            partitions: vec![],
            until_caught_up: false,
            generation: None,
            mem_bytes: None,
            address: "127.0.0.1".into(),
            create_blocks_table: false,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--job" => options.job = value()?.into(),
                "--partitions" => options.partitions = parse_partitions(value()?)?,
                "--generation" => options.generation = Some(value()?.parse().context("--generation is a number")?),
                "--mem" => {
                    let mib: u64 = value()?.parse().context("--mem is a number of MiB")?;
                    options.mem_bytes = Some(mib << 20);
                }
                "--address" => options.address = value()?.clone(),
                "--until-caught-up" => options.until_caught_up = true,
                "--create-blocks-table" => options.create_blocks_table = true,
                other => bail!("unknown argument `{other}`"),
            }
        }
        if options.job.as_os_str().is_empty() || options.partitions.is_empty() {
            bail!("--job and --partitions are needed");
        }
        Ok(options)
    }
}

/// `0-7,9`
fn parse_partitions(text: &str) -> anyhow::Result<Vec<Partition>> {
    let number = |text: &str| {
        let number: Partition = text.trim().parse().with_context(|| format!("`{text}` is no partition"))?;
        anyhow::ensure!(number >= 0, "`{text}` is no partition");
        Ok(number)
    };
    let mut partitions = vec![];
    for part in text.split(',') {
        match part.split_once('-') {
            Some((first, last)) => partitions.extend(number(first)?..=number(last)?),
            None => partitions.push(number(part)?),
        }
    }
    partitions.sort_unstable();
    partitions.dedup();
    Ok(partitions)
}

/// Runs until SIGINT, SIGTERM, a failure, or the end that was asked for. On the heap, as [`crate::executor::run`].
pub fn run(options: Options) -> LocalBoxFuture<'static, anyhow::Result<()>> {
    run_job(options).boxed_local()
}

async fn run_job(options: Options) -> anyhow::Result<()> {
    let job = read_job(&options.job)?;
    let mem_bytes = options.mem_bytes.unwrap_or(job.tasks.mem_bytes);
    let generation = generation(&options, &job).await?;
    let metrics = Arc::new(Metrics::new(&job.name.0, &job.source.topic));
    let metrics_url = http::serve(&options.address, None, None, metrics.clone()).await.context("metrics endpoint")?;
    let location = Location { host: options.address.clone(), address: options.address.clone(), ..Location::default() };
    let data = ExecutorData { version: VERSION, job, generation, location, metrics_port: None, metrics_sha256: None };
    let engine = Engine::new(data, metrics.clone());
    engine.add_task(TASK, &options.partitions, &[], mem_bytes);

    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut ticks = interval(Duration::from_millis(REPORT_INTERVAL_MS));
    let mut sequence = 0;
    let mut failure = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let tasks = engine.reports();
                let done = options.until_caught_up && tasks.iter().all(is_over);
                print(sequence, &metrics_url, tasks);
                sequence += 1;
                if done {
                    break;
                }
            }
            reason = engine.failed() => {
                failure = Some(reason);
                break;
            }
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
    }
    // After a failure no write will be acknowledged any more; under Mesos tasks fail at once, too.
    let within = if failure.is_none() { DRAIN_WITHIN } else { Duration::ZERO };
    let mut draining = pin!(engine.drain_task(TASK, Instant::now() + within));
    let drained = loop {
        tokio::select! {
            drained = &mut draining => break drained,
            _ = ticks.tick() => {
                print(sequence, &metrics_url, engine.reports());
                sequence += 1;
            }
        }
    };
    engine.close().await;
    tracing::info!(?drained, records = metrics.records_so_far(), "standalone ends");
    match failure {
        Some(reason) => bail!(reason),
        None => Ok(()),
    }
}

/// The generation to run by, and the table of blocks where it is to be made.
async fn generation(options: &Options, job: &JobSpec) -> anyhow::Result<u64> {
    if let (Some(generation), false) = (options.generation, options.create_blocks_table) {
        return Ok(generation);
    }
    let session = match options.create_blocks_table {
        true => connect_with_table(&job.sink).await?,
        false => connect(&job.sink, &Near::default()).await?,
    };
    if let Some(generation) = options.generation {
        return Ok(generation);
    }
    let begun = begun(&session, job).await?;
    Ok(begun.map_or(1, |begun| if begun.meaning == job.meaning() { begun.generation } else { begun.generation + 1 }))
}

fn read_job(path: &Path) -> anyhow::Result<JobSpec> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    if path.extension().is_some_and(|extension| extension == "json") {
        return serde_json::from_str(&text).with_context(|| format!("{} is no parsed job", path.display()));
    }
    match millstream_spec::parse(&path.display().to_string(), &text) {
        Ok(file) => Ok(file.spec),
        Err(diagnostics) => bail!("the job file is refused\n{}", diagnostics.render(false)),
    }
}

/// Every partition has nothing left to do, or can't.
fn is_over(task: &TaskReport) -> bool {
    task.partitions.iter().all(|p| {
        p.status == PartitionStatus::Stopped || (p.status == PartitionStatus::Running && p.lag_records() == Some(0))
    })
}

fn print(sequence: u64, metrics_url: &str, tasks: Vec<TaskReport>) {
    let report = Report { version: VERSION, sequence, metrics_url: metrics_url.to_owned(), tasks };
    if let Ok(line) = serde_json::to_string(&report) {
        // Whoever read it may have gone.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> anyhow::Result<Options> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read() {
        let options = parse("--job j.json --partitions 5,0-2,1 --until-caught-up --mem 64 --generation 3").unwrap();
        assert_eq!(options.partitions, [0, 1, 2, 5]);
        assert_eq!((options.mem_bytes, options.generation, options.until_caught_up), (Some(64 << 20), Some(3), true));
    }

    #[test]
    fn what_is_missing_or_wrong_is_refused() {
        for line in
            ["", "--job j", "--partitions 0", "--job j --partitions x", "--job j --partitions 1 --what", "--job"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
