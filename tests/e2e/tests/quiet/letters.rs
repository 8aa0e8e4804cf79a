//! Dead letters on a real broker: what a topic does not take whole is tried alone, and only then cut; one that waits holds its own
//! partition.

use anyhow::{Context as _, Result, ensure};
use millstream_e2e::accounts::scatter;
use millstream_testbed::{
    consume::{LogRecord, read_topic},
    eventually,
    produce::{Message, produce},
};

use crate::stage::{Job, SOON, numbered, on_stage};

/// A letter's topic takes requests of this size, headers and all.
const LIMIT: usize = 100_000;
/// Letters of which each fits alone, and no two together.
const SMALL: usize = 60_000;
const SMALL_LETTERS: usize = 300;

/// No JSON, of this size.
fn bad(key: String, bytes: usize) -> Message {
    Message { partition: Some(0), ..Message::new(key, noise(bytes)) }
}

/// A text that compression makes little of.
fn noise(bytes: usize) -> String {
    (0..bytes as u64).map(|at| char::from(b'!' + (scatter(at) % 90) as u8)).collect()
}

/// Hundreds that fit one by one, a value that is too large, a key of two megabytes.
#[test]
fn letters_keep_what_their_topic_takes() -> Result<()> {
    on_stage(async |stage| {
        let (name, dead) = ("letters_sizes", "letters_sizes_dead");
        stage.kafka.create_topic_with(name, 1, 1, &[("max.message.bytes", "9000000")]).await?;
        stage.kafka.create_topic_with(dead, 1, 1, &[("max.message.bytes", &LIMIT.to_string())]).await?;
        stage.prepare_table(name).await?;
        let mut client = stage.kafka.client();
        client.set("message.max.bytes", "9000000");
        let mut messages: Vec<Message> = (0..SMALL_LETTERS).map(|i| bad(format!("small{i}"), SMALL)).collect();
        messages.push(bad("value".into(), 3_000_000));
        messages.push(bad(noise(2_000_000), 10));
        let end = messages.len() as i64;
        produce(&client, name, messages)?;
        let job = Job { errors: "{ dead_letter = \"letters_sizes_dead\" }", ..Job::default() };
        let executor = stage.executor(name, job, "0")?;
        executor.durable(0, end).await?;
        executor.leave()?;
        let letters = read_topic(&stage.kafka.client(), dead)?;
        let of = |offset: i64| -> Result<&LogRecord> {
            let is = |letter: &&LogRecord| letter.header("millstream.offset") == Some(&offset.to_string());
            letters.iter().find(is).with_context(|| format!("no letter of offset {offset}"))
        };
        for offset in 0..SMALL_LETTERS as i64 {
            let letter = of(offset)?;
            ensure!(letter.value.as_ref().map(Vec::len) == Some(SMALL), "letter {offset} lost its value");
            ensure!(letter.key.as_deref() == Some(format!("small{offset}").as_bytes()), "letter {offset} lost its key");
        }
        let value = of(end - 2)?;
        ensure!(value.value.is_none() && value.key.as_deref() == Some(b"value"), "{:?}", value.key);
        ensure!(value.header("millstream.value_dropped_bytes") == Some("3000000"), "{:?}", value.headers);
        let key = of(end - 1)?;
        ensure!(
            key.key.is_none() && key.header("millstream.key_dropped_bytes") == Some("2000000"),
            "{:?}",
            key.headers
        );
        Ok(())
    })
}

/// The letters' topic is gone: the partition with the bad record says so, the other goes on; made again, the letter arrives.
#[test]
fn a_letter_that_waits_holds_its_own_partition() -> Result<()> {
    on_stage(async |stage| {
        let (name, dead) = ("letters_wait", "letters_wait_dead");
        stage.prepare(name, 2).await?;
        stage.kafka.create_topic(dead, 1, 1).await?;
        let job = Job { errors: "{ dead_letter = \"letters_wait_dead\" }", ..Job::default() };
        let executor = stage.executor(name, job, "0-1")?;
        stage.produce(name, 0, [("a".into(), 1)])?;
        executor.durable(0, 1).await?;
        stage.kafka.delete_topic(dead).await?;
        produce(&stage.kafka.client(), name, [bad("bad".into(), 10)])?;
        let waits = |partition: &serde_json::Value| {
            let reason = partition["reason"].as_str().unwrap_or_default();
            partition["status"] == "stalled" && reason.contains("dead letter of offset 1") && reason.contains(dead)
        };
        executor.says(0, "it waits for its letter", waits).await?;
        stage.produce(name, 1, numbered("b", 10, |i| i))?;
        executor.durable(1, 10).await?;
        let other = executor.partition(1);
        ensure!(other["status"] == "running", "{other}");
        stage.kafka.create_topic(dead, 1, 1).await?;
        executor.durable(0, 2).await?;
        let arrived = async || Ok((read_topic(&stage.kafka.client(), dead)?.len() == 1).then_some(()));
        eventually("the letter", SOON, arrived).await?;
        executor.leave()
    })
}

/// A record that Cassandra refuses, and that Kafka has lost before its letter could be written: the letter says so.
#[test]
fn a_letter_of_a_record_that_is_gone_says_so() -> Result<()> {
    on_stage(async |stage| {
        let (name, dead) = ("letters_gone", "letters_gone_dead");
        stage.prepare(name, 1).await?;
        stage.kafka.create_topic(dead, 1, 1).await?;
        let sql = "SELECT k, v, CASE WHEN v = 2 THEN repeat(k, 9000000) ELSE k END AS c FROM input";
        let job = Job { sql, errors: "{ dead_letter = \"letters_gone_dead\" }", ..Job::default() };
        let executor = stage.executor(name, job, "0")?;
        stage.produce(name, 0, [("a".into(), 1)])?;
        executor.durable(0, 1).await?;
        stage.kafka.delete_topic(dead).await?;
        // No JSON first: its letter holds up the next one, whose record the broker drops meanwhile.
        produce(&stage.kafka.client(), name, [bad("bad".into(), 10)])?;
        let waits = |partition: &serde_json::Value| {
            partition["reason"].as_str().is_some_and(|reason| reason.contains("dead letter of offset 1"))
        };
        executor.says(0, "it waits for its letter", waits).await?;
        // Of nine million letters: a row that only Cassandra refuses.
        stage.produce(name, 0, [("x".into(), 2), ("c".into(), 3)])?;
        executor.says(0, "all is read", |partition| partition["position"] == 4).await?;
        let written = [("a", 1), ("c", 3)].map(|(k, v)| (k.to_owned(), v)).into();
        stage.becomes(name, &written).await?;
        stage.kafka.delete_records(name, 4).await?;
        stage.kafka.create_topic(dead, 1, 1).await?;
        executor.durable(0, 4).await?;
        executor.leave()?;
        let letters = read_topic(&stage.kafka.client(), dead)?;
        let gone = letters.iter().find(|letter| letter.header("millstream.offset") == Some("2"));
        let gone = gone.with_context(|| format!("{} letters, none of offset 2", letters.len()))?;
        ensure!(gone.value.is_none() && gone.key.is_none(), "{gone:?}");
        ensure!(gone.header("millstream.record_gone").is_some(), "{:?}", gone.headers);
        Ok(())
    })
}
