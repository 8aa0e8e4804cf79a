//! One broker that forgets offsets after a minute, one Cassandra node, and executors without a Mesos.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    process::{Child, Stdio},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use millstream_testbed::{
    Cassandra, CassandraOptions, Kafka, KafkaOptions, eventually,
    executors::standalone,
    produce::{Message, produce},
    table,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tokio::{
    runtime::Runtime,
    sync::{OnceCell, Semaphore},
};

pub(crate) const GROUPS_TOOL: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
/// For anything that should take a second, on a machine that is busy with other tests.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// Tests at the same time: they wait more than they work.
const AT_ONCE: usize = 6;
const KEYSPACE: &str = "quiet";
/// An executor's log, beside its job file.
const LOG: &str = "log";
/// Its last lines are shown when a test fails.
const LOG_LINES: usize = 20;

/// The servers of all tests of this binary.
pub(crate) struct Stage {
    pub(crate) kafka: Kafka,
    pub(crate) cassandra: Cassandra,
}

/// Runs a test on the shared servers.
pub(crate) fn on_stage(test: impl AsyncFnOnce(&Stage) -> Result<()>) -> Result<()> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    static STAGE: OnceCell<Stage> = OnceCell::const_new();
    static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);
    RUNTIME.get_or_init(|| Runtime::new().expect("threads can be started")).block_on(async {
        let _turn = TURNS.acquire().await?;
        test(STAGE.get_or_try_init(Stage::start).await?).await
    })
}

impl Stage {
    /// Servers of one's own, for who stops them.
    pub(crate) async fn start() -> Result<Stage> {
        let properties = [("offsets.retention.minutes", "1"), ("offsets.retention.check.interval.ms", "5000")];
        let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let kafka = Kafka::start(KafkaOptions { properties, ..Default::default() });
        let (kafka, cassandra) = tokio::try_join!(kafka, Cassandra::start(CassandraOptions::nodes(1)))?;
        cassandra.create_keyspace(KEYSPACE).await?;
        let stage = Stage { kafka, cassandra };
        // The first executor makes the table of blocks: Cassandra does not bear several that change the schema at once.
        stage.prepare("first", 1).await?;
        let first = stage.executor("first", Job::default(), "0")?;
        first.says(0, "running", |partition| partition["status"] == "running").await?;
        first.leave()?;
        Ok(stage)
    }

    /// Makes topic and table of this name: `k text PRIMARY KEY, v int`.
    pub(crate) async fn prepare(&self, name: &str, partitions: i32) -> Result<()> {
        self.kafka.create_topic(name, partitions, 1).await?;
        self.prepare_table(name).await
    }

    /// The table alone.
    pub(crate) async fn prepare_table(&self, name: &str) -> Result<()> {
        self.cassandra.execute(&format!("CREATE TABLE {KEYSPACE}.{name} (k text PRIMARY KEY, v int, c text)")).await
    }

    /// Makes topic and table, and starts an executor that has written `a0` to `a9` there.
    pub(crate) async fn after_ten(&self, name: &str) -> Result<Executor> {
        self.prepare(name, 1).await?;
        self.produce(name, 0, numbered("a", 10, |i| i))?;
        let executor = self.executor(name, Job::default(), "0")?;
        executor.durable(0, 10).await?;
        Ok(executor)
    }

    /// Drops a table and makes it again with other columns.
    pub(crate) async fn remake_table(&self, name: &str, columns: &str) -> Result<()> {
        let remake = format!("DROP TABLE {KEYSPACE}.{name}; CREATE TABLE {KEYSPACE}.{name} ({columns})");
        self.cassandra.execute(&remake).await
    }

    /// Records `{k, v}` into one partition.
    pub(crate) fn produce(
        &self,
        topic: &str,
        partition: i32,
        rows: impl IntoIterator<Item = (String, i64)>,
    ) -> Result<()> {
        let messages = rows.into_iter().map(|row| record(partition, row));
        produce(&self.kafka.client(), topic, messages).map(drop)
    }

    /// The newest epoch of a topic's first partition, as a JSON value for each column.
    pub(crate) async fn newest_epoch(&self, topic: &str) -> Result<serde_json::Map<String, Value>> {
        let session = self.cassandra.session().await?;
        let columns =
            "job, epoch, generation, meaning, topic_id, group_id, from_offset, len, anchor_us, topic, partition";
        let rows = table::select(&session, &format!("SELECT {columns} FROM {KEYSPACE}.millstream_epochs")).await?;
        let names = columns.split(", ").map(str::to_owned);
        let epochs = rows.into_iter().map(|row| names.clone().zip(row).collect::<serde_json::Map<_, _>>());
        let of_topic = epochs.filter(|epoch| epoch["topic"] == topic && epoch["partition"] == 0);
        of_topic.max_by_key(|epoch| epoch["epoch"].as_i64()).context("no epoch")
    }

    /// The table as it is: key → value.
    pub(crate) async fn rows(&self, name: &str) -> Result<BTreeMap<String, i64>> {
        let session = self.cassandra.session().await?;
        let table = table::read(&session, KEYSPACE, name).await?;
        let at = |name: &str| table.columns.iter().position(|column| column == name).context("no such column");
        let (k, v) = (at("k")?, at("v")?);
        let rows = table.rows.iter().filter_map(|row| Some((row[k].as_str()?.to_owned(), row[v].as_i64()?)));
        Ok(rows.collect())
    }

    /// Keys of the rows whose `c` is `x` and the key.
    pub(crate) async fn filled(&self, name: &str) -> Result<BTreeSet<String>> {
        let session = self.cassandra.session().await?;
        let table = table::read(&session, KEYSPACE, name).await?;
        let at = |name: &str| table.columns.iter().position(|column| column == name).context("no such column");
        let (k, c) = (at("k")?, at("c")?);
        let keys = table.rows.iter().filter_map(|row| Some((row[k].as_str()?, row[c].as_str()?)));
        Ok(keys.filter(|(k, c)| *c == format!("x{k}")).map(|(k, _)| k.to_owned()).collect())
    }

    /// The values `v` that are text.
    pub(crate) async fn texts(&self, name: &str) -> Result<Vec<String>> {
        let session = self.cassandra.session().await?;
        let rows = table::select(&session, &format!("SELECT v FROM {KEYSPACE}.{name}")).await?;
        Ok(rows.iter().filter_map(|row| row[0].as_str().map(str::to_owned)).collect())
    }

    /// The write time of `v` in a row, in microseconds since the epoch.
    pub(crate) async fn written_us(&self, name: &str, k: &str) -> Result<i64> {
        let session = self.cassandra.session().await?;
        let cql = format!("SELECT writetime(v) AS v, k FROM {KEYSPACE}.{name}");
        table::select(&session, &cql)
            .await?
            .into_iter()
            .find(|row| row[1] == k)
            .and_then(|row| row[0].as_i64())
            .context("no such row")
    }

    /// Waits until the table is this.
    pub(crate) async fn becomes(&self, name: &str, wanted: &BTreeMap<String, i64>) -> Result<()> {
        let is = async || Ok((self.rows(name).await? == *wanted).then_some(()));
        let waited = eventually("the table", SOON, is).await;
        if waited.is_err() {
            let rows = self.rows(name).await?;
            let wrong: Vec<_> = wanted.iter().filter(|(k, v)| rows.get(*k) != Some(v)).take(5).collect();
            let extra: Vec<_> = rows.iter().filter(|(k, _)| !wanted.contains_key(*k)).take(5).collect();
            ensure!(false, "{name}: wanted and not there {wrong:?}, there and not wanted {extra:?}");
        }
        Ok(())
    }

    /// `kafka-consumer-groups --group GROUP --topic TOPIC ARGS`, as a person would.
    pub(crate) async fn groups(&self, group: &str, topic: &str, args: &[&str]) -> Result<String> {
        let mut all = vec!["--group", group, "--topic", topic];
        all.extend(args);
        self.kafka.tool(GROUPS_TOOL, &all).await
    }

    /// A job from topic `name` into table `name`, with these changes.
    pub(crate) fn job(&self, kafka: &Kafka, name: &str, job: Job) -> String {
        let bootstrap: Vec<String> = kafka.bootstrap().split(',').map(str::to_owned).collect();
        let contact = self.cassandra.contact_points();
        let Job { start, sql, errors, sink } = job;
        format!(
            r#"name = "{}"
[source.kafka]
bootstrap = {bootstrap:?}
topic = "{name}"
group = "{name}"
start = "{start}"
[source.columns]
k = "text"
v = "int"
[transform]
sql = "{sql}"
[sink.cassandra]
contact_points = {contact:?}
keyspace = "{KEYSPACE}"
table = "{name}"
{sink}
[errors]
bad_record = {errors}
"#,
            name.replace('_', "-")
        )
    }

    /// Starts an executor of a job on these partitions.
    pub(crate) fn executor(&self, name: &str, job: Job, partitions: &str) -> Result<Executor> {
        self.executor_on(&self.kafka, name, job, partitions)
    }

    /// The same on brokers of one's own.
    pub(crate) fn executor_on(&self, kafka: &Kafka, name: &str, job: Job, partitions: &str) -> Result<Executor> {
        Executor::start(kafka, &self.job(kafka, name, job), name, partitions, &[])
    }

    /// The same with variables of one's own.
    pub(crate) fn executor_with(&self, name: &str, job: Job, variables: &[(&str, &str)]) -> Result<Executor> {
        Executor::start(&self.kafka, &self.job(&self.kafka, name, job), name, "0", variables)
    }
}

/// A record `{k, v}`.
pub(crate) fn record(partition: i32, (k, v): (String, i64)) -> Message {
    Message { partition: Some(partition), ..Message::new(k.clone(), json!({ "k": k, "v": v }).to_string()) }
}

/// What tests change of a job.
#[derive(Clone, Copy)]
pub(crate) struct Job {
    pub(crate) start: &'static str,
    pub(crate) sql: &'static str,
    /// `bad_record`, as TOML.
    pub(crate) errors: &'static str,
    /// More lines of its sink.
    pub(crate) sink: &'static str,
}

impl Default for Job {
    fn default() -> Self {
        Job { start: "earliest", sql: "SELECT k, v FROM input", errors: "\"fail\"", sink: "" }
    }
}

impl Job {
    /// Begins at the log's end.
    pub(crate) fn latest() -> Job {
        Job { start: "latest", ..Job::default() }
    }
}

/// A running executor, and what it reported last. Dropping it kills it.
pub(crate) struct Executor {
    child: Child,
    report: Arc<Mutex<Value>>,
    folder: tempfile::TempDir,
}

impl Executor {
    fn start(kafka: &Kafka, job: &str, name: &str, partitions: &str, variables: &[(&str, &str)]) -> Result<Executor> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join(format!("{name}.toml"));
        std::fs::write(&file, job)?;
        let mut child = standalone(kafka, &file)?
            .args(["--partitions", partitions])
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.path().join(LOG))?)
            .process_group(0)
            .spawn()
            .context("millstream-executor")?;
        let report = Arc::<Mutex<Value>>::default();
        let (out, latest) = (child.stdout.take().context("no output")?, report.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Ok(value) = serde_json::from_str(&line) {
                    *latest.lock().expect("nobody panics with it") = value;
                }
            }
        });
        Ok(Executor { child, report, folder })
    }

    /// What it says of a partition; null before it has said anything.
    pub(crate) fn partition(&self, number: i64) -> Value {
        let report = self.report.lock().expect("nobody panics with it");
        let partitions = report["tasks"][0]["partitions"].as_array();
        let found = partitions.and_then(|all| all.iter().find(|partition| partition["partition"] == number));
        found.cloned().unwrap_or_default()
    }

    /// Bad records it has passed over.
    pub(crate) fn skipped(&self) -> i64 {
        let report = self.report.lock().expect("nobody panics with it");
        report["tasks"][0]["bad_records"]["skipped"].as_i64().unwrap_or_default()
    }

    /// Waits until a partition is as wanted.
    pub(crate) async fn says(&self, number: i64, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let is = async || Ok(Some(self.partition(number)).filter(|partition| wanted(partition)));
        eventually(what, SOON, is).await.with_context(|| format!("{}\n{}", self.partition(number), self.log_tail()))
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    /// Waits until all below is durable.
    pub(crate) async fn durable(&self, number: i64, offset: i64) -> Result<Value> {
        self.says(number, &format!("all below {offset} durable"), |partition| partition["durable"] == offset).await
    }

    /// Waits until it is stopped for a reason that holds this.
    pub(crate) async fn stops(&self, number: i64, reason: &str) -> Result<Value> {
        let wanted = |partition: &Value| {
            partition["status"] == "stopped" && partition["reason"].as_str().is_some_and(|text| text.contains(reason))
        };
        self.says(number, &format!("stopped: {reason}"), wanted).await
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(self.child.id() as i32), signal)?)
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ends(mut self) -> Result<()> {
        eventually("the executor ends", SOON, async || Ok(self.child.try_wait()?)).await.map(drop)
    }

    /// SIGTERM: it drains.
    pub(crate) fn leave(mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `{prefix}0 … {prefix}{count-1}`, each with a value.
pub(crate) fn numbered(prefix: &str, count: i64, value: impl Fn(i64) -> i64) -> BTreeMap<String, i64> {
    (0..count).map(|i| (format!("{prefix}{i}"), value(i))).collect()
}
