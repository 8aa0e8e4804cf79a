//! The JSON schema of job files, for editors and generators. It describes the TOML form; what it cannot express
//! (SQL, names that must differ, secrets that must not be plain) only [`crate::parse`] checks.
//!
//! The types exist to be described, never to be filled: reading is done by hand, so that each value has its place.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::Value;

/// The schema as pretty-printed JSON, as committed in `job.schema.json`.
pub fn job_schema() -> String {
    let settings = SchemaSettings::draft07().with_transform(RecursiveTransform(without_null));
    let schema = settings.into_generator().into_root_schema_for::<Job>();
    let mut text = format!("{:#}", schema.as_value());
    text.push('\n');
    text
}

/// TOML has no null: what may be absent is left out.
fn without_null(schema: &mut Schema) {
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|t| t != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(forms)) = schema.get_mut("anyOf") {
        forms.retain(|f| f["type"] != "null");
        if forms.len() == 1 {
            let forms = schema.remove("anyOf").unwrap_or_default();
            schema.insert("allOf".into(), forms);
        }
    }
}

/// A Millstream job: records of a Kafka topic, through SQL, into a Cassandra table.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, title = "Millstream job")]
pub struct Job {
    /// Unique within a scheduler; part of task ids and metric labels.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9-]{0,62}$"))]
    pub name: String,
    /// Where records come from.
    pub source: Source,
    /// What becomes of them.
    pub transform: Transform,
    /// Where rows go.
    pub sink: Sink,
    /// How many tasks there are, and what each of them asks of an agent.
    #[schemars(default)]
    pub tasks: Option<Tasks>,
    /// Where tasks should run.
    #[schemars(default)]
    pub placement: Option<Placement>,
    /// What becomes of bad records.
    #[schemars(default)]
    pub errors: Option<Errors>,
}

/// Where records come from.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Source {
    /// The topic.
    pub kafka: Kafka,
    /// The JSON fields the SQL uses, with their types: `name = "type"`, or a table when the field has another name, is
    /// nested or must be there. Names do not begin with `_`.
    pub columns: BTreeMap<String, Column>,
}

/// `[source.kafka]`
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Kafka {
    /// `host:port` of one or more brokers.
    #[schemars(length(min = 1, max = 64))]
    pub bootstrap: Vec<String>,
    /// The topic, all partitions of it.
    #[schemars(regex(pattern = r"^[a-zA-Z0-9._-]{1,249}$"))]
    pub topic: String,
    /// Consumer group under which offsets are committed. Default: the job's name.
    #[schemars(default)]
    pub group: Option<String>,
    /// Where a partition begins that has no committed offset: `"earliest"` (default), `"latest"`, or a time with its
    /// offset from UTC, as in `"2013-01-01T00:00:00Z"`.
    #[schemars(default)]
    pub start: Option<String>,
    /// Encoding of record values. Default: `"json"`, one object per record.
    #[schemars(default)]
    pub format: Option<Format>,
    /// librdkafka properties, in quotation marks as in `"fetch.min.bytes" = 1`. Secrets only as `{ env = … }` or
    /// `{ file = … }`; properties that Millstream sets itself are refused.
    #[schemars(default)]
    pub options: Option<BTreeMap<String, Setting>>,
}

/// Encoding of record values.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object per record.
    Json,
}

/// A plain value, or the name of a secret.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum Setting {
    /// As it is.
    Text(String),
    /// As it is.
    Number(f64),
    /// As it is.
    Boolean(bool),
    /// Read where it is used.
    Secret(Secret),
}

/// A secret, only named here and read on the host that needs it.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum Secret {
    /// An environment variable.
    Env(EnvSecret),
    /// A file; its text without the last line break.
    File(FileSecret),
}

/// A secret in a file.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct FileSecret {
    /// Its absolute path.
    pub file: String,
}

/// A secret in an environment variable.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct EnvSecret {
    /// Its name.
    pub env: String,
}

/// A source column.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum Column {
    /// Its type: `boolean`, `tinyint`, `smallint`, `int`, `bigint`, `float`, `double`, `decimal(precision, scale)`,
    /// `text`, `blob` (base64), `timestamp` (RFC 3339 or milliseconds; `timestamp(s)`, `timestamp(us)`), `date`, `time`, `list<T>`, `map<text, T>` or
    /// `struct<a T, b T>`.
    Type(String),
    /// Type and more.
    Detailed(DetailedColumn),
}

/// A source column with more than its type.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DetailedColumn {
    /// As above.
    pub r#type: String,
    /// Where it is in the record: `"a.b"`, or `["a", "b"]`. Default: the column's name.
    #[schemars(default)]
    pub path: Option<Path>,
    /// A record without it, or with null, is a bad record. Default: false.
    #[schemars(default)]
    pub required: Option<bool>,
    /// What becomes of digits of a time or timestamp that are finer than the column holds. Default: the record is bad.
    #[schemars(default)]
    pub precision: Option<Precision>,
}

/// What becomes of digits that are too fine.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Precision {
    /// The record is bad.
    Exact,
    /// They are cut off.
    Truncate,
}

/// Where a column is in the record.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum Path {
    /// Keys with dots between them.
    Dotted(String),
    /// Keys that may have dots themselves.
    Keys(#[schemars(length(min = 1, max = 16))] Vec<String>),
}

/// `[transform]`
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Transform {
    /// One SELECT over `input`: projection, filter, expressions, casts, scalar functions. Besides the source columns
    /// there are `_topic`, `_partition`, `_offset`, `_timestamp`, `_key`, `_key_bytes` and `_headers`.
    pub sql: String,
}

/// Where rows go.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Sink {
    /// The table.
    pub cassandra: Cassandra,
}

/// `[sink.cassandra]`
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Cassandra {
    /// `host:port` of one or more nodes.
    #[schemars(length(min = 1, max = 64))]
    pub contact_points: Vec<String>,
    /// Preferred datacenter. Default: that of the executor's host.
    #[schemars(default)]
    pub datacenter: Option<String>,
    /// Keyspace of the table; Millstream's own table `millstream_epochs` lives beside it.
    #[schemars(regex(pattern = r"^[a-zA-Z0-9_]{1,48}$"))]
    pub keyspace: String,
    /// The table that is kept equal to a fold of the log.
    #[schemars(regex(pattern = r"^[a-zA-Z0-9_]{1,48}$"))]
    pub table: String,
    /// Consistency of writes. Default: `"local_quorum"`.
    #[schemars(default)]
    pub consistency: Option<Consistency>,
    /// Time to live of written cells. Default: they stay.
    #[schemars(default)]
    pub ttl: Option<Ttl>,
    /// What a SQL NULL does to a cell. Default: `"tombstone"`.
    #[schemars(default)]
    pub nulls: Option<Nulls>,
    /// Table column = output column of the SQL, where the names differ.
    #[schemars(default)]
    pub columns: Option<BTreeMap<String, String>>,
    /// User name, when the cluster asks for one.
    #[schemars(default)]
    pub username: Option<Setting>,
    /// Password, never a plain value.
    #[schemars(default)]
    pub password: Option<Secret>,
    /// How to speak TLS; without it connections are plain.
    #[schemars(default)]
    pub tls: Option<CassandraTls>,
}

/// TLS to the nodes.
#[derive(JsonSchema)]
pub struct CassandraTls {
    /// PEM of the authorities that sign the nodes' certificates; no others are believed.
    pub ca: Setting,
    /// PEM of the certificate that is shown to nodes that ask for one, and of those that lead to its authority.
    #[schemars(default)]
    pub cert: Option<Setting>,
    /// PEM of its private key, never a plain value.
    #[schemars(default)]
    pub key: Option<Secret>,
    /// The name that stands in each node's certificate; default: the node's own address.
    #[schemars(default)]
    pub name: Option<String>,
}

/// Consistency of writes.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Consistency {
    /// A majority of the replicas in the local datacenter.
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

/// Time to live.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum Ttl {
    /// A duration with its unit, as in `"30d"` or `"1h 30m"`; whole seconds, at most 20 years.
    Duration(String),
    /// An output column of the SQL that holds seconds; null means none, and 0 none even if the table has one.
    Column(TtlColumn),
}

/// Time to live from a column.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct TtlColumn {
    /// Its name. The column itself is not written.
    pub column: String,
}

/// What a SQL NULL does to a cell.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Nulls {
    /// Delete the cell, so that the row is exactly what the record says.
    Tombstone,
    /// Leave the cell as it is.
    Unset,
}

/// `[tasks]`
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Tasks {
    /// A number of tasks (never more than partitions), or `"per-partition"` (default).
    #[schemars(default)]
    pub count: Option<Count>,
    /// CPUs of each task. Default: 0.5.
    #[schemars(default, range(min = 0.01, max = 1024))]
    pub cpus: Option<f64>,
    /// Memory of each task with its unit, at least 32MiB. Default: `"256MiB"`.
    #[schemars(default)]
    pub mem: Option<String>,
    /// Whether revocable (oversubscribed) resources may be used, and then before others. A task may lose them at any time and
    /// starts again elsewhere. Default: false.
    #[schemars(default)]
    pub revocable: Option<bool>,
    /// Disk of each task that outlives it and comes back to its successor, with its unit, at least 1MiB. Default: none.
    #[schemars(default)]
    pub volume: Option<String>,
    /// Unix user of the agents that the job runs as, one that the scheduler's settings allow it. Default: that of the settings.
    #[schemars(default, regex(pattern = r"^[A-Za-z_][A-Za-z0-9_.-]{0,31}$"))]
    pub user: Option<String>,
}

/// Number of tasks.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum Count {
    /// This many.
    Fixed(#[schemars(range(min = 1, max = 10_000))] u32),
    /// One for each partition.
    Word(CountWord),
}

/// Number of tasks in words.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum CountWord {
    /// One for each partition.
    PerPartition,
}

/// `[placement]`
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Placement {
    /// The nearest tier worth waiting for. Default: `"host"`.
    #[schemars(default)]
    pub goal: Option<Tier>,
    /// Total time a task may wait for its goal before it takes what there is. Default: `"5s"`.
    #[schemars(default)]
    pub max_wait: Option<String>,
    /// Most of the job's partitions that one host may hold. Default: 1.0.
    #[schemars(default, extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub max_share_per_host: Option<f64>,
    /// Most of the job's partitions that one rack may hold. Default: 1.0.
    #[schemars(default, extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub max_share_per_rack: Option<f64>,
    /// What an agent must fulfil, all of them: `A exists`, `A not exists`, `A = x`, `A != x`, `A in [x, y]` or
    /// `A not in [x, y]`, where A is `hostname`, `zone`, `region` or an agent attribute.
    #[schemars(default, length(max = 64))]
    pub constraints: Option<Vec<String>>,
}

/// How near a task is to its data.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Tier {
    /// On the same host.
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

/// `[errors]`
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Errors {
    /// What becomes of a record that cannot be turned into a row. Default: `"fail"`.
    #[schemars(default)]
    pub bad_record: Option<BadRecord>,
    /// Texts on bad records in status, API and logs quote what is in them. Default: false.
    #[schemars(default)]
    pub show_values: Option<bool>,
}

/// What becomes of a bad record.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum BadRecord {
    /// In one word.
    Word(BadRecordWord),
    /// It is written to a topic, with reason headers, before its offset is committed.
    DeadLetter(DeadLetter),
}

/// Where bad records go.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DeadLetter {
    /// The topic.
    pub dead_letter: String,
}

/// What becomes of a bad record, in one word.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum BadRecordWord {
    /// The partition stops there, loudly, and nothing after it is committed.
    Fail,
    /// It is counted and passed over.
    Skip,
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use serde_json::Value;

    use super::job_schema;

    /// Regenerate with `UPDATE=1 cargo test -p millstream-spec`.
    #[test]
    fn the_committed_schema_is_current() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("job.schema.json");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, job_schema()).unwrap();
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == job_schema(),
            "{} is not current: run UPDATE=1 cargo test -p millstream-spec",
            file.display()
        );
    }

    /// The schema and the parser know the same keys.
    #[test]
    fn the_schema_has_the_keys_of_the_parser() {
        let schema: Value = serde_json::from_str(&job_schema()).unwrap();
        for (section, keys) in crate::read::SECTIONS {
            let parts = section.split('.').filter(|p| !p.is_empty());
            let table = parts.fold(&schema, |node, part| resolve(&schema, &node["properties"][part]).expect("a table"));
            let properties: BTreeSet<_> = table["properties"].as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(properties, keys.iter().copied().collect(), "[{section}]");
        }
    }

    /// Follows `$ref`, and choices to the form that is a table.
    fn resolve<'a>(schema: &'a Value, node: &'a Value) -> Option<&'a Value> {
        if let Some(reference) = node["$ref"].as_str() {
            return resolve(schema, schema.pointer(&reference[1..])?);
        }
        let forms = ["anyOf", "allOf", "oneOf"].iter().find_map(|k| node[k].as_array());
        match forms {
            Some(forms) => forms.iter().find_map(|f| resolve(schema, f)),
            None => (node["type"] == "object").then_some(node),
        }
    }
}
