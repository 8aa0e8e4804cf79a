//! Many real Mesos agents and a job of many tasks that do little: time until all of them run, CPU and memory of scheduler
//! and master, and the calls the scheduler has made. Everything runs on this machine; what grows with the cluster shows.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Parser;
use millstream_bench::meter;
use millstream_testbed::{
    Cassandra, CassandraOptions, Kafka, KafkaOptions, Mesos, MesosOptions, Millstream, SchedulerOptions, eventually,
    start_both,
};
use serde_json::Value;

const JOB: &str = "agents";
/// Tasks one agent has room for, so that they spread over most of the cluster: locality would pile them up at the one broker.
const TASKS_PER_AGENT: usize = 3;
const TASK_CPUS: f64 = 0.1;
/// The least that Mesos lets a task have.
const TASK_MEM_MIB: u32 = 32;
/// The default overhead of an executor.
const EXECUTOR_CPUS: f64 = 0.1;
const EXECUTOR_MEM_MIB: u32 = 64;
/// For hundreds of executors that all start at once on a few cores.
const RUNNING_WITHIN: Duration = Duration::from_secs(900);
/// How long the calls of a cluster at rest are counted.
const REST: Duration = Duration::from_secs(30);

/// Many agents, many small tasks.
#[derive(Debug, Parser)]
#[command(name = "agents")]
struct Options {
    /// Mesos agents; each takes 20 MiB, and its executor as much again.
    #[arg(long, default_value_t = 200)]
    agents: usize,
    /// Tasks, and partitions of the topic; three fit on an agent.
    #[arg(long, default_value_t = 500)]
    tasks: usize,
    /// Print figures every few seconds until all tasks run.
    #[arg(long)]
    watch: bool,
}

/// Everything that runs; dropping it ends it, the scheduler first.
struct Stack {
    millstream: Millstream,
    mesos: Mesos,
    cassandra: Cassandra,
    kafka: Kafka,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let begun = Instant::now();
    println!("starting {} agents, one Kafka broker, one Cassandra node", options.agents);
    let mut stack = start(&options).await?;
    println!("all of it is there after {:.1} s", begun.elapsed().as_secs_f64());

    let before = Costs::of(&mut stack).await?;
    let deployed = Instant::now();
    let file = job(&stack, options.tasks);
    stack.millstream.deploy(JOB, &file).await?;
    running(&mut stack, &options, deployed).await?;
    println!("{} tasks run after {:.1} s", options.tasks, deployed.elapsed().as_secs_f64());
    let after = Costs::of(&mut stack).await?;
    let calls = calls(&stack).await?;
    println!("until then  {}", after.since(&before, deployed.elapsed()));
    println!("calls       {}", shown(&calls));
    println!("tasks       {}", shown(&lives(&stack).await?));

    let rested = Instant::now();
    tokio::time::sleep(REST).await;
    let rest = Costs::of(&mut stack).await?;
    let later = self::calls(&stack).await?;
    println!("at rest     {}", rest.since(&after, rested.elapsed()));
    println!("calls       {}", shown(&grown(&calls, &later)));
    memory(&mut stack, options.agents).await?;
    println!("on {} cores, servers included", std::thread::available_parallelism()?);
    Ok(())
}

async fn start(options: &Options) -> Result<Stack> {
    let cpus = TASKS_PER_AGENT as f64 * TASK_CPUS + EXECUTOR_CPUS;
    let mem = TASKS_PER_AGENT as u32 * TASK_MEM_MIB + EXECUTOR_MEM_MIB;
    let cluster = MesosOptions {
        agents: options.agents,
        resources: format!("cpus:{cpus};mem:{mem};disk:1024;ports:[%p]"),
        ..MesosOptions::default()
    };
    let kafka = KafkaOptions { heap_mib: 512, ..KafkaOptions::default() };
    let servers = start_both(kafka, CassandraOptions::nodes(1));
    let ((kafka, cassandra), mesos) = tokio::try_join!(servers, Mesos::start(cluster))?;
    kafka.create_topic(JOB, options.tasks as i32, 1).await?;
    cassandra.create_keyspace("bench").await?;
    cassandra.execute("CREATE TABLE bench.agents (id text PRIMARY KEY, version bigint)").await?;
    let millstream = Millstream::scheduler(&mesos, SchedulerOptions::default()).await?;
    Ok(Stack { millstream, mesos, cassandra, kafka })
}

fn job(stack: &Stack, tasks: usize) -> String {
    format!(
        r#"name = "{JOB}"
[source.kafka]
bootstrap = ["{bootstrap}"]
topic = "{JOB}"
[source.columns]
version = "bigint"
[transform]
sql = "SELECT _key AS id, version FROM input"
[sink.cassandra]
contact_points = ["{contact}"]
keyspace = "bench"
table = "agents"
[tasks]
count = {tasks}
cpus = {TASK_CPUS}
mem = "{TASK_MEM_MIB}MiB"
[placement]
goal = "any"
"#,
        bootstrap = stack.kafka.bootstrap(),
        contact = stack.cassandra.address(1),
    )
}

async fn running(stack: &mut Stack, options: &Options, since: Instant) -> Result<()> {
    let mut shown = Instant::now();
    let (api, wanted) = (stack.millstream.api().clone(), options.tasks);
    let what = format!("{wanted} tasks run");
    let all = eventually(&what, RUNNING_WITHIN, async || {
        let view = api.job(JOB).await?;
        if options.watch && shown.elapsed() > Duration::from_secs(5) {
            shown = Instant::now();
            let secs = since.elapsed().as_secs_f64();
            println!("{secs:>6.1} s  {} run, {} start, {} wait", view["running"], view["launching"], view["waiting"]);
        }
        Ok((view["running"] == wanted).then_some(()))
    });
    let all = all.await;
    all.with_context(|| format!("log:\n{}", stack.millstream.process().log_tail(20)))
}

/// CPU seconds so far.
struct Costs {
    scheduler: f64,
    master: f64,
}

impl Costs {
    async fn of(stack: &mut Stack) -> Result<Self> {
        let scheduler = stack.millstream.process().pid().context("the scheduler runs")?;
        let master = stack.mesos.master_process(1).await.pid().context("the master runs")?;
        Ok(Costs { scheduler: meter::cpu_secs(scheduler)?, master: meter::cpu_secs(master)? })
    }

    fn since(&self, before: &Costs, time: Duration) -> String {
        let (scheduler, master) = (self.scheduler - before.scheduler, self.master - before.master);
        format!("scheduler {scheduler:.2} CPU-s, master {master:.2} CPU-s in {:.1} s", time.as_secs_f64())
    }
}

/// Calls of the framework by kind, as the master has counted them.
async fn calls(stack: &Stack) -> Result<BTreeMap<String, u64>> {
    let snapshot = stack.mesos.metrics().await?;
    let counters = snapshot.as_object().context("no counters")?.iter();
    let calls = counters.filter_map(|(name, value)| {
        let (_, call) = name.strip_prefix("master/frameworks/millstream/")?.split_once("/calls/")?;
        Some((call.to_owned(), Value::as_f64(value)? as u64))
    });
    Ok(calls.collect())
}

/// Tasks that were launched, and ends of tasks by cause: on a busy machine more are launched than are wanted.
async fn lives(stack: &Stack) -> Result<BTreeMap<String, u64>> {
    let text = stack.millstream.api().text("/metrics").await?;
    let lives = text.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("millstream_scheduler_")?.rsplit_once(' ')?;
        let what = match name.split_once('{')? {
            ("launches_total", _) => "launched",
            ("task_ends_total", labels) => labels.split("cause=\"").nth(1)?.split('"').next()?,
            _ => return None,
        };
        Some((what.to_owned(), value.parse::<f64>().ok()? as u64))
    });
    Ok(lives.collect())
}

fn grown(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    after.iter().map(|(call, count)| (call.clone(), count - before.get(call).copied().unwrap_or(0))).collect()
}

fn shown(calls: &BTreeMap<String, u64>) -> String {
    let made: Vec<String> =
        calls.iter().filter(|(_, count)| **count > 0).map(|(call, count)| format!("{call} {count}")).collect();
    if made.is_empty() { "none".to_owned() } else { made.join(", ") }
}

async fn memory(stack: &mut Stack, agents: usize) -> Result<()> {
    let mib = |bytes: u64| bytes >> 20;
    let executors = stack.millstream.executors()?;
    let of_executors: u64 = executors.iter().filter_map(|executor| meter::proportional_bytes(executor.pid)).sum();
    let of_agents: u64 =
        (1..=agents).filter_map(|i| stack.mesos.agent(i).pid()).filter_map(meter::proportional_bytes).sum();
    let scheduler = stack.millstream.process().pid().and_then(meter::peak_bytes).context("the scheduler runs")?;
    let master = stack.mesos.master_process(1).await.pid().and_then(meter::peak_bytes).context("the master runs")?;
    println!(
        "memory      scheduler {} MiB at most, master {} MiB at most, {} executors {} MiB, {agents} agents {} MiB",
        mib(scheduler),
        mib(master),
        executors.len(),
        mib(of_executors),
        mib(of_agents),
    );
    Ok(())
}
