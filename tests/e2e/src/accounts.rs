//! A job whose rows are overwritten, deleted and made again all the time: what a wrong order, a lost record or a stale
//! write would show.

use anyhow::{Context, Result};
use millstream_testbed::{
    oracle::{Change, Differences, Expected},
    produce::{Message, Position},
    table,
};
use serde_json::{Map, Value, json};

use crate::Servers;

const COLUMNS: &[&str] =
    &["bucket", "id", "version", "name", "doubled", "tags", "at", "kafka_partition", "kafka_offset"];
const KEY_COLUMNS: usize = 2;
/// Of the topic.
pub const PARTITIONS: i32 = 6;
/// 2026-01-01, in milliseconds.
const NEW_YEAR_MS: u64 = 1_767_225_600_000;

/// What of a job's file tests like to choose.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Tasks wanted.
    pub tasks: usize,
    /// CPUs of each.
    pub cpus: f64,
    /// MiB of each.
    pub mem_mib: u32,
    /// May they use revocable resources?
    pub revocable: bool,
    /// A persistent volume of each, as in `64MiB`.
    pub volume: Option<String>,
    /// Lines of `[placement]`.
    pub placement: String,
    /// Further tables.
    pub more: String,
}

impl Default for Shape {
    fn default() -> Self {
        let placement = "max_share_per_host = 0.5".to_owned();
        Shape { tasks: 3, cpus: 0.2, mem_mib: 128, revocable: false, volume: None, placement, more: String::new() }
    }
}

/// The job, its topic and its table, all of one name; and the log as it was produced.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// Of job and topic; the table's has `_` for `-`.
    pub name: String,
    /// Different keys.
    keys: u64,
    next: u64,
}

impl Accounts {
    /// Makes topic and table; their name must be new.
    pub async fn prepare(servers: &Servers, name: &str, keys: u64) -> Result<Self> {
        servers.kafka.create_topic(name, PARTITIONS, 3).await?;
        Self::prepare_table(servers, name, keys).await
    }

    /// Makes only the table, for a topic of this name that is there.
    pub async fn prepare_table(servers: &Servers, name: &str, keys: u64) -> Result<Self> {
        let accounts = Accounts { name: name.to_owned(), keys, next: 0 };
        let table = accounts.table();
        servers
            .cassandra
            .execute(&format!(
                "CREATE TABLE e2e.{table} (bucket int, id int, version bigint, name text, doubled double, \
                 tags frozen<list<text>>, at timestamp, kafka_partition int, kafka_offset bigint, \
                 PRIMARY KEY ((bucket), id))"
            ))
            .await?;
        Ok(accounts)
    }

    /// The table's name in keyspace `e2e`.
    pub fn table(&self) -> String {
        self.name.replace('-', "_")
    }

    /// The usual job file; `more` is added at its end.
    pub fn job_file(&self, servers: &Servers, more: &str) -> String {
        self.shaped_job_file(servers, &Shape { more: more.to_owned(), ..Shape::default() })
    }

    /// A job file of this shape.
    pub fn shaped_job_file(&self, servers: &Servers, shape: &Shape) -> String {
        let Shape { tasks, cpus, mem_mib, revocable, volume, placement, more } = shape;
        let volume = volume.as_ref().map(|size| format!("volume = {size:?}\n")).unwrap_or_default();
        let bootstrap: Vec<String> = servers.kafka.bootstrap().split(',').map(str::to_owned).collect();
        let contact_points = servers.cassandra.contact_points();
        let (name, table) = (&self.name, self.table());
        format!(
            r#"name = "{name}"
[source.kafka]
bootstrap = {bootstrap:?}
topic = "{name}"
[source.columns]
version = {{ type = "bigint", required = true }}
name = "text"
balance = "double"
tags = "list<text>"
at = "timestamp"
hidden = "boolean"
[transform]
sql = """
SELECT CAST(_key AS int) AS id, CAST(_key AS int) % 4 AS bucket, version, upper(name) AS name,
  balance * 2 AS doubled, tags, at, _partition AS kafka_partition, _offset AS kafka_offset
FROM input WHERE hidden IS NOT TRUE
"""
[sink.cassandra]
contact_points = {contact_points:?}
keyspace = "e2e"
table = "{table}"
[tasks]
count = {tasks}
cpus = {cpus:?}
mem = "{mem_mib}MiB"
revocable = {revocable}
{volume}[placement]
{placement}
{more}"#
        )
    }

    /// The next `count` records: some hide, some delete, most overwrite.
    pub fn messages(&mut self, count: u64) -> Vec<Message> {
        let first = self.next;
        self.next += count;
        (first..self.next).map(|version| self.message(version)).collect()
    }

    fn message(&self, version: u64) -> Message {
        let dice = scatter(version);
        let key = (dice % self.keys).to_string();
        if dice >> 32 & 31 == 0 {
            return Message::tombstone(key);
        }
        let name = (dice >> 40 & 7 != 0).then(|| format!("name {:x}", dice & 0xfff));
        let tags: Vec<String> = (0..1 + (dice >> 48 & 1)).map(|n| format!("t{n}-{}", version % 10)).collect();
        let mut record = json!({
            "version": version,
            "name": name,
            "balance": (dice & 0xffff) as f64 / 100.0,
            "tags": tags,
            "at": NEW_YEAR_MS + version,
        });
        if dice >> 50 & 63 == 0 {
            record["hidden"] = true.into();
        }
        Message::new(key, record.to_string())
    }

    /// Compares the table with the fold of the log, every field of it.
    pub async fn compare(&self, servers: &Servers, log: &[(Position, Message)]) -> Result<Differences> {
        let session = servers.cassandra.session().await?;
        let table = table::read(&session, "e2e", &self.table()).await?;
        Ok(expected(log)?.compare(&table))
    }
}

/// The fold of the log: the job's SQL written again in Rust. What is not JSON of this kind is a bad record.
fn expected(log: &[(Position, Message)]) -> Result<Expected> {
    let mut log: Vec<&(Position, Message)> = log.iter().collect();
    log.sort_by_key(|(position, _)| *position);
    let mut expected = Expected::new(COLUMNS, KEY_COLUMNS);
    for (position, message) in log {
        expected.apply(change(*position, message)?);
    }
    Ok(expected)
}

fn change(position: Position, message: &Message) -> Result<Change> {
    let key = message.key.as_deref().context("a record without a key")?;
    let id: i64 = std::str::from_utf8(key)?.parse()?;
    let mut row = Map::from_iter([("id".to_owned(), id.into()), ("bucket".to_owned(), (id % 4).into())]);
    let Some(value) = &message.value else { return Ok(Change::Delete(row)) };
    let record: Value = match serde_json::from_slice(value) {
        Ok(record @ Value::Object(_)) => record,
        _ => return Ok(Change::Nothing),
    };
    if record["hidden"] == true || !record["version"].is_i64() || !record["balance"].is_number() {
        return Ok(Change::Nothing);
    }
    let name = record["name"].as_str().map(str::to_uppercase);
    row.extend([
        ("version".to_owned(), record["version"].clone()),
        ("name".to_owned(), name.into()),
        ("doubled".to_owned(), record["balance"].as_f64().map(|balance| balance * 2.0).into()),
        ("tags".to_owned(), record["tags"].clone()),
        ("at".to_owned(), record["at"].as_i64().map_or(Value::Null, table::timestamp)),
        ("kafka_partition".to_owned(), position.partition.into()),
        ("kafka_offset".to_owned(), position.offset.into()),
    ]);
    Ok(Change::Upsert(row))
}

/// SplitMix64 of a number: what looks like chance, and is the same in every run.
pub fn scatter(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_of_every_kind_and_the_same_each_time() {
        let mut accounts = Accounts { name: "a".to_owned(), keys: 100, next: 0 };
        let messages = accounts.messages(10_000);
        assert_eq!(messages, Accounts { name: "a".to_owned(), keys: 100, next: 0 }.messages(10_000));
        let log: Vec<_> = (0..).map(|offset| Position { partition: 0, offset }).zip(messages).collect();
        let changes: Vec<Change> = log.iter().map(|(position, m)| change(*position, m).unwrap()).collect();
        let count = |kind: fn(&Change) -> bool| changes.iter().filter(|change| kind(change)).count();
        assert!(count(|c| matches!(c, Change::Delete(_))) > 200);
        assert!(count(|c| matches!(c, Change::Nothing)) > 100);
        assert!(count(|c| matches!(c, Change::Upsert(_))) > 9_000);
        let rows = expected(&log).unwrap().len();
        assert!((90..=100).contains(&rows), "{rows}");
    }
}
