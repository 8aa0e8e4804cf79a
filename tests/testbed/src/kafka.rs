//! A real Kafka cluster (KRaft): broker I on host I, each of them broker and controller.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, CommitMode, Consumer},
};

use crate::{
    cache,
    cluster_dir::{ClusterDir, MARK},
    hosts::{free_port, host, rack},
    jvm,
    process::{Process, eventually},
    tools,
};

/// A cluster id as `kafka-storage random-uuid` makes them; clusters share nothing, so one is enough.
const CLUSTER_ID: &str = "MkU3OEVBNTcwNTJENDM2Qk";
/// Three cold brokers take 10 s on two idle cores.
const START_WITHIN: Duration = Duration::from_secs(120);
/// For one answer of a running broker.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What cluster to start.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// Brokers: 1, or 3 for topics that survive one of them.
    pub brokers: usize,
    /// Heap of each in MiB.
    pub heap_mib: u32,
    /// Let the JVM optimise fully: slower to start, needed to measure.
    pub optimised: bool,
    /// Further lines of server.properties.
    pub properties: BTreeMap<String, String>,
    /// Further listeners: name and security protocol. What they need stands in `properties`.
    pub listeners: Vec<(&'static str, &'static str)>,
    /// Further arguments of the JVM.
    pub jvm: Vec<String>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        KafkaOptions {
            brokers: 1,
            heap_mib: 256,
            optimised: false,
            properties: BTreeMap::new(),
            listeners: vec![],
            jvm: vec![],
        }
    }
}

/// A running cluster; dropping it ends and removes it.
#[derive(Debug)]
pub struct Kafka {
    brokers: Vec<Process>,
    port: u16,
    /// Of further listeners.
    ports: BTreeMap<&'static str, u16>,
    jars: PathBuf,
    dir: ClusterDir,
}

impl Kafka {
    /// Starts the brokers and waits until all of them have joined. The first start on a machine fetches the jars.
    pub async fn start(options: KafkaOptions) -> Result<Self> {
        let jars = tokio::task::spawn_blocking(jars).await??;
        let dir = ClusterDir::new("kafka")?;
        let hosts: Vec<String> = (1..=options.brokers).map(host).collect();
        let port = free_port(&hosts)?;
        let controller_port = free_port(&hosts)?;
        let ports = options.listeners.iter().map(|(name, _)| Ok((*name, free_port(&hosts)?)));
        let ports = ports.collect::<Result<BTreeMap<_, _>>>()?;
        let mut brokers = vec![];
        for i in 1..=options.brokers {
            let broker = broker(&dir, &jars, &options, i, port, controller_port, &ports)?;
            brokers.push(broker);
        }
        let mut kafka = Kafka { brokers, port, ports, jars, dir };
        for broker in &mut kafka.brokers {
            broker.start()?;
        }
        kafka.ready().await?;
        Ok(kafka)
    }

    /// `127.0.1.1:PORT,…` of all brokers.
    pub fn bootstrap(&self) -> String {
        (1..=self.brokers.len()).map(|i| self.address(i)).collect::<Vec<_>>().join(",")
    }

    /// `host:port` of broker `i`.
    pub fn address(&self, i: usize) -> String {
        format!("{}:{}", host(i), self.port)
    }

    /// `host:port` of a further listener of the first broker.
    pub fn listener(&self, name: &str) -> String {
        format!("{}:{}", host(1), self.ports[name])
    }

    /// The process of broker `i`, for signals, its pid and its log.
    pub fn broker(&mut self, i: usize) -> &mut Process {
        &mut self.brokers[i - 1]
    }

    /// Kills broker `i` with SIGKILL.
    pub fn kill(&mut self, i: usize) {
        self.broker(i).kill();
    }

    /// Stops broker `i` where it stands, until [`Kafka::cont`].
    pub fn stop(&mut self, i: usize) -> Result<()> {
        self.broker(i).signal(Signal::SIGSTOP)
    }

    /// Lets a stopped broker `i` go on.
    pub fn cont(&mut self, i: usize) -> Result<()> {
        self.broker(i).signal(Signal::SIGCONT)
    }

    /// A variable and its value: a process that has it in its environment ends with this cluster.
    pub fn mark(&self) -> (&'static str, &str) {
        (MARK, self.dir.name())
    }

    /// Starts broker `i` again on its old data and waits until all brokers are there.
    pub async fn restart(&mut self, i: usize) -> Result<()> {
        self.kill(i);
        self.broker(i).start()?;
        self.ready().await
    }

    /// A client configuration that knows the brokers.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap());
        config
    }

    /// Makes a topic and waits until its partitions have leaders.
    pub async fn create_topic(&self, name: &str, partitions: i32, replication: i32) -> Result<()> {
        self.create_topic_with(name, partitions, replication, &[]).await
    }

    /// Like [`Kafka::create_topic`], with settings of the topic.
    pub async fn create_topic_with(
        &self,
        name: &str,
        partitions: i32,
        rf: i32,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(rf));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        self.create(topic, name, partitions).await
    }

    /// Makes a topic whose partitions all have their replicas on these brokers, the first of which leads.
    pub async fn create_topic_on(
        &self,
        brokers: &[i32],
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        let replicas = vec![brokers; partitions as usize];
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Variable(&replicas));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        self.create(topic, name, partitions).await
    }

    /// The brokers whose replica of a topic's first partition is in sync.
    pub fn in_sync(&self, topic: &str) -> Result<Vec<i32>> {
        let consumer: BaseConsumer = self.client().create()?;
        let metadata = consumer.fetch_metadata(Some(topic), ANSWER_WITHIN)?;
        let partition = metadata.topics().first().and_then(|topic| topic.partitions().first());
        Ok(partition.context("the topic is not there")?.isr().to_vec())
    }

    async fn create(&self, topic: NewTopic<'_>, name: &str, partitions: i32) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_WITHIN));
        for result in admin.create_topics([&topic], &options).await? {
            result.map_err(|(topic, code)| anyhow::anyhow!("cannot create topic {topic}: {code}"))?;
        }
        let consumer: BaseConsumer = self.client().create()?;
        eventually(&format!("leaders of topic {name}"), START_WITHIN, async || {
            // A query of milliseconds on a loopback server may hold this thread.
            let metadata = consumer.fetch_metadata(Some(name), ANSWER_WITHIN)?;
            let led = metadata.topics().iter().flat_map(|topic| topic.partitions()).filter(|p| p.leader() >= 0).count();
            Ok((led == partitions as usize).then_some(()))
        })
        .await
    }

    /// What a consumer group has committed for each partition of a topic; none where it has not.
    pub fn committed_offsets(&self, group: &str, topic: &str) -> Result<Vec<Option<i64>>> {
        let consumer: BaseConsumer = self.client().set("group.id", group).create()?;
        let metadata = consumer.fetch_metadata(Some(topic), ANSWER_WITHIN)?;
        let partitions = metadata.topics().first().context("the topic is not there")?.partitions().len();
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(topic, 0, partitions as i32 - 1);
        let committed = consumer.committed_offsets(asked, ANSWER_WITHIN)?;
        let offset = |partition| match committed.find_partition(topic, partition)?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        Ok((0..partitions as i32).map(offset).collect())
    }

    /// Commits for a group without members, as a program of a person's may.
    pub fn commit(&self, group: &str, topic: &str, partition: i32, offset: i64) -> Result<()> {
        let consumer: BaseConsumer = self.client().set("group.id", group).create()?;
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        Ok(consumer.commit(&offsets, CommitMode::Sync)?)
    }

    /// Sum of the log ends of all partitions of a topic: its records, when none was deleted.
    pub fn end_offsets(&self, topic: &str) -> Result<Vec<i64>> {
        let consumer: BaseConsumer = self.client().create()?;
        let metadata = consumer.fetch_metadata(Some(topic), ANSWER_WITHIN)?;
        let partitions = metadata.topics().first().context("the topic is not there")?.partitions().len();
        (0..partitions).map(|partition| Ok(watermarks(&consumer, topic, partition as i32)?.1)).collect()
    }

    /// Runs a tool of Kafka by its main class (`org.apache.kafka.tools.consumer.group.ConsumerGroupCommand`), with
    /// `--bootstrap-server` first, and gives its standard output.
    pub async fn tool(&self, class: &str, args: &[&str]) -> Result<String> {
        let mut command = Command::new("java");
        command.args(jvm::flags(256, false)).args(["-cp", &class_path(&self.jars), class]);
        command.args(["--bootstrap-server", &self.bootstrap()]).args(args);
        tokio::task::spawn_blocking(move || tools::run(&mut command)).await?
    }

    async fn ready(&mut self) -> Result<()> {
        for i in 1..=self.brokers.len() {
            let address = self.address(i);
            self.brokers[i - 1].listening(&address, START_WITHIN).await?;
        }
        let brokers = self.brokers.len();
        let config = self.client();
        let joined = move || -> Result<()> {
            let consumer: BaseConsumer = config.create()?;
            let deadline = std::time::Instant::now() + START_WITHIN;
            while std::time::Instant::now() < deadline {
                if consumer.fetch_metadata(None, ANSWER_WITHIN).is_ok_and(|m| m.brokers().len() == brokers) {
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            bail!("the {brokers} brokers have not found each other within {START_WITHIN:?}")
        };
        tokio::task::spawn_blocking(joined).await?
    }
}

/// Log start and end of a partition. A leader that was just elected does not tell them for a moment (OFFSET_NOT_AVAILABLE). Blocks.
pub(crate) fn watermarks<C: rdkafka::consumer::ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> Result<(i64, i64)> {
    let deadline = std::time::Instant::now() + START_WITHIN;
    loop {
        match consumer.fetch_watermarks(topic, partition, ANSWER_WITHIN) {
            Ok(marks) => return Ok(marks),
            Err(error) if std::time::Instant::now() > deadline => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// The jars of Kafka, fetched when they are not in the cache. Blocks.
pub(crate) fn jars() -> Result<PathBuf> {
    tools::require(&[tools::JAVA])?;
    let pom = include_str!("../resources/kafka/pom.xml");
    let log4j = include_str!("../resources/kafka/log4j2.yaml");
    cache::entry("kafka-4.3.1", &[pom, log4j], |dir| {
        fs::write(dir.join("log4j2.yaml"), log4j)?;
        tools::jars(dir, pom)
    })
}

fn class_path(jars: &std::path::Path) -> String {
    format!("{}/lib/*", jars.display())
}

fn broker(
    dir: &ClusterDir,
    jars: &std::path::Path,
    options: &KafkaOptions,
    i: usize,
    port: u16,
    controller_port: u16,
    ports: &BTreeMap<&'static str, u16>,
) -> Result<Process> {
    let data = dir.path().join(format!("broker{i}"));
    let logs = data.join("logs");
    fs::create_dir_all(&logs)?;
    let properties = data.join("server.properties");
    fs::write(&properties, server_properties(options, i, port, controller_port, ports, &logs))?;
    // What `kafka-storage format` writes, without a JVM for it. A broker refuses unformatted folders.
    fs::write(
        logs.join("meta.properties"),
        format!("version=1\ncluster.id={CLUSTER_ID}\nnode.id={i}\ndirectory.id={}\n", directory_id(i)),
    )?;
    let mut args = jvm::flags(options.heap_mib, options.optimised);
    args.extend(options.jvm.iter().cloned());
    args.push(format!("-Dlog4j2.configurationFile={}/log4j2.yaml", jars.display()));
    args.extend(["-cp".to_owned(), class_path(jars), "kafka.Kafka".to_owned(), properties.display().to_string()]);
    Ok(Process::new(dir, format!("broker{i}"), "java", args))
}

/// 16 bytes in base64 without padding, different for each broker.
fn directory_id(i: usize) -> String {
    format!("MkU3OEVBNTcwNTJENDM{}Qg", i % 10)
}

fn server_properties(
    options: &KafkaOptions,
    i: usize,
    port: u16,
    controller_port: u16,
    ports: &BTreeMap<&'static str, u16>,
    logs: &std::path::Path,
) -> String {
    let brokers = options.brokers;
    let (host, rack, logs) = (host(i), rack(i), logs.display());
    let voters: Vec<String> =
        (1..=brokers).map(|n| format!("{n}@{}:{controller_port}", crate::hosts::host(n))).collect();
    let voters = voters.join(",");
    let replication = if brokers < 3 { 1 } else { 3 };
    let further: String = ports.iter().map(|(name, port)| format!(",{name}://{host}:{port}")).collect();
    let protocols: String = options.listeners.iter().map(|(name, protocol)| format!(",{name}:{protocol}")).collect();
    let more: String = options.properties.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    // A session of 30 s: a build beside the tests stalls a broker for seconds, and leaders should not move for that.
    // Small threads and partition counts: a laptop runs three of these beside all else. Followers serve readers of
    // their rack (RackAwareReplicaSelector), as a cluster in several racks does.
    format!(
        "process.roles=broker,controller
node.id={i}
broker.rack={rack}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}{further}
advertised.listeners=PLAINTEXT://{host}:{port}{further}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
controller.listener.names=CONTROLLER
log.dirs={logs}
num.partitions=4
num.network.threads=2
num.io.threads=4
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor={replication}
transaction.state.log.replication.factor={replication}
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={replication}
share.coordinator.state.topic.min.isr=1
default.replication.factor={replication}
min.insync.replicas={min_isr}
broker.session.timeout.ms=30000
group.initial.rebalance.delay.ms=0
replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector
log.cleaner.dedupe.buffer.size=4194304
{more}",
        min_isr = if brokers < 3 { 1 } else { 2 },
    )
}
