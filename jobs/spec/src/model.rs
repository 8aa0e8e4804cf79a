//! The typed job: what the user declares. Every value here has passed the checks of the job-file parser.
//!
//! The same types travel as JSON to the scheduler's store and to executors, so a field may be added (with a default)
//! but never renamed or given another meaning.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

/// A whole job: source topic, transform, sink table, resources, placement wishes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Unique within a scheduler; part of task ids, metric labels and the key of timestamp blocks.
    pub name: JobName,
    /// Where records come from.
    pub source: KafkaSource,
    /// The JSON fields the transform reads, with their types, in file order.
    pub columns: Vec<SourceColumn>,
    /// The SQL between source and sink.
    pub transform: Transform,
    /// Where rows go.
    pub sink: CassandraSink,
    /// How many tasks, and what each of them asks of an agent.
    pub tasks: Tasks,
    /// Where tasks should run.
    #[serde(default)]
    pub placement: Placement,
    /// What becomes of a record that cannot be turned into a row.
    #[serde(default)]
    pub errors: Errors,
}

/// 1–63 characters of `[a-z0-9-]`, starting with a letter: safe in Mesos ids, metric labels and file names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobName(pub String);

impl std::fmt::Display for JobName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// `[source.kafka]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KafkaSource {
    /// `host:port` of one or more brokers.
    pub bootstrap: Vec<String>,
    /// The topic, all partitions of it.
    pub topic: String,
    /// Consumer group under which offsets are committed, so that lag tools see the job. Default: the job's name.
    pub group: String,
    /// Where a partition begins that has no committed offset.
    #[serde(default)]
    pub start: Start,
    /// How record values are encoded.
    #[serde(default)]
    pub format: Format,
    /// Further librdkafka properties, passed on as they are.
    #[serde(default)]
    pub options: BTreeMap<String, Setting>,
}

/// Where a partition begins that has no committed offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// The oldest record the broker still holds.
    #[default]
    Earliest,
    /// Only records produced after the job's first start.
    Latest,
    /// The first record whose timestamp is at or after this one, in milliseconds since the Unix epoch.
    TimestampMs(i64),
}

/// Encoding of record values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object per record.
    #[default]
    Json,
}

/// A plain value, or a secret that is only named here and read where it is used (invariant 7).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// Written in the job file as it is.
    Value(String),
    /// Name of an environment variable of the process that needs it: `{ env = "X" }`.
    Env(String),
    /// Path of a file on the host that needs it, its text without the last line break: `{ file = "/path" }`.
    File(PathBuf),
}

impl std::fmt::Debug for Setting {
    // A plain value may still be a password somebody typed into the file: never print it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Setting::Value(_) => f.write_str("Value(…)"),
            Setting::Env(name) => write!(f, "Env({name})"),
            Setting::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

/// One entry of `[source.columns]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceColumn {
    /// Column name in `input`.
    pub name: String,
    /// Its type; a JSON value that does not fit is a bad record.
    #[serde(rename = "type")]
    pub data_type: SourceType,
    /// JSON field it is read from, as a path of object keys. Default: one key, the column's name.
    pub path: Vec<String>,
    /// A record without the field (or with null) is a bad record.
    #[serde(default)]
    pub required: bool,
    /// What becomes of digits finer than the column holds.
    #[serde(default, skip_serializing_if = "Precision::is_exact")]
    pub precision: Precision,
}

/// What becomes of the digits of a time or timestamp that its column cannot hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// A record that has any, other than zeros, is bad.
    #[default]
    Exact,
    /// They are cut off, towards the past.
    Truncate,
}

impl Precision {
    fn is_exact(&self) -> bool {
        *self == Precision::Exact
    }
}

/// What a number counts that stands for a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EpochUnit {
    /// Seconds since 1970
    Seconds,
    /// Microseconds since 1970
    Micros,
}

/// Types of source columns; names as in CQL, so that a column and its table column are spelled alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceType {
    /// `boolean`
    Boolean,
    /// `tinyint`, 8 bits
    Tinyint,
    /// `smallint`, 16 bits
    Smallint,
    /// `int`, 32 bits
    Int,
    /// `bigint`, 64 bits
    Bigint,
    /// `float`, 32 bits
    Float,
    /// `double`, 64 bits
    Double,
    /// `decimal(precision, scale)`, precision at most 38
    Decimal(u8, i8),
    /// `text`
    Text,
    /// `blob`: base64 in JSON
    Blob,
    /// `timestamp`: RFC 3339 text, or a number of milliseconds since the epoch; millisecond precision as in CQL
    Timestamp,
    /// `timestamp(s)`, `timestamp(us)`: the same, but numbers count another unit. A variant of its own, so that stored
    /// jobs of older versions stay readable
    EpochTimestamp(EpochUnit),
    /// `date`: `YYYY-MM-DD`
    Date,
    /// `time`: `HH:MM:SS[.fffffffff]`
    Time,
    /// `list<T>`: a JSON array
    List(Box<SourceType>),
    /// `map<text, V>`: a JSON object
    Map(Box<SourceType>),
    /// `struct<a T, b U>`: a JSON object with known fields
    Struct(Vec<(String, SourceType)>),
}

/// `[transform]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transform {
    /// One SELECT over `input`: projection, filter, expressions.
    pub sql: String,
}

/// `[sink.cassandra]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CassandraSink {
    /// `host:port` of one or more nodes.
    pub contact_points: Vec<String>,
    /// Preferred datacenter; default: that of the executor's host.
    #[serde(default)]
    pub datacenter: Option<String>,
    /// Keyspace of the table; Millstream's own table `millstream_epochs` lives beside it.
    pub keyspace: String,
    /// The table that is kept equal to a fold of the log.
    pub table: String,
    /// Consistency level of writes.
    #[serde(default)]
    pub consistency: Consistency,
    /// Time to live of written cells.
    #[serde(default)]
    pub ttl: Option<Ttl>,
    /// What a SQL NULL does to a cell.
    #[serde(default)]
    pub nulls: Nulls,
    /// Table column → output column of the transform, where the names differ. Others match by name.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    /// User name, when the cluster asks for one.
    #[serde(default)]
    pub username: Option<Setting>,
    /// Password, never a plain value.
    #[serde(default)]
    pub password: Option<Setting>,
    /// How to speak TLS; none for plain connections.
    #[serde(default)]
    pub tls: Option<CassandraTls>,
}

/// TLS to the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CassandraTls {
    /// PEM of the authorities that sign the nodes' certificates; no others are believed.
    pub ca: Setting,
    /// PEM of the certificate that is shown to nodes that ask for one, and of those that lead to its authority.
    #[serde(default)]
    pub cert: Option<Setting>,
    /// PEM of its private key, never a plain value.
    #[serde(default)]
    pub key: Option<Setting>,
    /// The name that stands in each node's certificate; default: the node's own address.
    #[serde(default)]
    pub name: Option<String>,
}

/// Consistency of writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// A majority of the replicas in the local datacenter.
    #[default]
    LocalQuorum,
    /// A majority of all replicas.
    Quorum,
    /// A majority in each datacenter.
    EachQuorum,
    /// One replica of the local datacenter.
    LocalOne,
    /// One replica.
    One,
    /// Two replicas.
    Two,
    /// Three replicas.
    Three,
    /// Every replica.
    All,
}

/// Time to live of written cells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ttl {
    /// The same for all rows, in seconds; 1 to 630,720,000 (Cassandra's 20 years).
    Secs(u32),
    /// An integer output column of the transform holds it, in seconds; NULL or 0 means none. The column is not written.
    Column(String),
}

/// What a SQL NULL does to a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nulls {
    /// Delete the cell, so that the row is exactly what the record says.
    #[default]
    Tombstone,
    /// Leave the cell as it is.
    Unset,
}

/// `[tasks]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tasks {
    /// How the topic's partitions are divided.
    #[serde(default)]
    pub count: TaskCount,
    /// CPUs of each task; at least 0.01 (Mesos' smallest).
    pub cpus: f64,
    /// Memory of each task in bytes; at least 32 MiB (Mesos' smallest).
    pub mem_bytes: u64,
    /// Revocable resources will do: they are used first, and a task that loses them starts again elsewhere.
    #[serde(default)]
    pub revocable: bool,
    /// A persistent volume for each task, in bytes: disk that outlives the task and comes back to its slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_bytes: Option<u64>,
    /// Unix user that its executors run as; none for that of the framework.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// How the topic's partitions are divided into tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskCount {
    /// `"per-partition"`: one task for each partition.
    #[default]
    PerPartition,
    /// This many (never more than partitions), each with about as many partitions.
    Fixed(u32),
}

/// `[placement]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Placement {
    /// The nearest tier worth waiting for.
    pub goal: Tier,
    /// Total time a task may wait for its goal before it takes what there is, in milliseconds.
    pub max_wait_ms: u64,
    /// Most of the job's partitions that one host may hold, as a share in (0, 1].
    pub max_share_per_host: f64,
    /// Most of the job's partitions that one rack may hold, as a share in (0, 1].
    pub max_share_per_rack: f64,
    /// What an agent must fulfil, all of them.
    pub constraints: Vec<Constraint>,
}

impl Default for Placement {
    fn default() -> Self {
        Placement {
            goal: Tier::Host,
            max_wait_ms: 5_000,
            max_share_per_host: 1.0,
            max_share_per_rack: 1.0,
            constraints: vec![],
        }
    }
}

/// How near a task is to its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// On the same host.
    #[default]
    Host,
    /// In the same rack.
    Rack,
    /// In the same zone.
    Zone,
    /// In the same region.
    Region,
    /// Anywhere.
    Any,
}

/// A test on the agent, after Mesos' offer constraints. `hostname` names the agent's host, everything else an attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraint {
    /// `hostname`, `zone`, `region`, or the name of an agent attribute.
    pub attribute: String,
    /// The test.
    pub test: ConstraintTest,
}

/// Tests of a [`Constraint`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConstraintTest {
    /// The attribute is there.
    Exists,
    /// It is not.
    NotExists,
    /// Its text is one of these.
    In(Vec<String>),
    /// Its text is none of these, or it is not there.
    NotIn(Vec<String>),
}

/// `[errors]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Errors {
    /// What becomes of a bad record.
    pub bad_record: BadRecord,
    /// Texts on bad records in status, API and logs quote what is in them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub show_values: bool,
}

/// What becomes of a record that cannot be turned into a row.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadRecord {
    /// The partition stops there, loudly, and nothing after it is committed.
    #[default]
    Fail,
    /// It is counted and passed over.
    Skip,
    /// It is written to this topic, with reason headers, before its offset is committed.
    DeadLetter(String),
}
