//! What operators do to topics.

use std::time::Duration;

use anyhow::{Result, bail};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};

use crate::{kafka::Kafka, process::eventually, produce::Message};

/// For one answer of a running broker.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

impl Kafka {
    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(self.client().create()?)
    }

    /// Deletes a topic and waits until no broker knows it.
    pub async fn delete_topic(&self, name: &str) -> Result<()> {
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_WITHIN));
        for result in self.admin()?.delete_topics(&[name], &options).await? {
            result.map_err(|(topic, code)| anyhow::anyhow!("cannot delete topic {topic}: {code}"))?;
        }
        let consumer: BaseConsumer = self.client().create()?;
        eventually(&format!("topic {name} gone"), ANSWER_WITHIN, async || {
            let metadata = consumer.fetch_metadata(None, ANSWER_WITHIN)?;
            Ok((!metadata.topics().iter().any(|topic| topic.name() == name)).then_some(()))
        })
        .await
    }

    /// Gives a topic more partitions, and waits until they have leaders.
    pub async fn grow_topic(&self, name: &str, partitions: usize) -> Result<()> {
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_WITHIN));
        for result in self.admin()?.create_partitions(&[NewPartitions::new(name, partitions)], &options).await? {
            result.map_err(|(topic, code)| anyhow::anyhow!("cannot grow topic {topic}: {code}"))?;
        }
        let consumer: BaseConsumer = self.client().create()?;
        eventually(&format!("{partitions} partitions of {name}"), ANSWER_WITHIN, async || {
            let metadata = consumer.fetch_metadata(Some(name), ANSWER_WITHIN)?;
            let led = metadata.topics().iter().flat_map(|topic| topic.partitions()).filter(|p| p.leader() >= 0).count();
            Ok((led == partitions).then_some(()))
        })
        .await
    }

    /// Deletes the records of partition 0 below an offset, as retention would.
    pub async fn delete_records(&self, topic: &str, below: i64) -> Result<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Offset(below))?;
        let answer = self.admin()?.delete_records(&list, &AdminOptions::new()).await?;
        if let Some(error) = answer.elements().iter().find_map(|element| element.error().err()) {
            bail!("records of {topic} below {below}: {error}");
        }
        Ok(())
    }
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its records count.
    Commit,
    /// Its records are passed over.
    Abort,
    /// It stays open as long as its producer lives.
    Open,
}

/// Produces messages in one transaction, and returns its producer. Blocks.
pub fn transaction(
    client: &ClientConfig,
    topic: &str,
    id: &str,
    messages: &[Message],
    end: End,
) -> Result<BaseProducer> {
    let producer: BaseProducer = client.clone().set("transactional.id", id).create()?;
    producer.init_transactions(ANSWER_WITHIN)?;
    producer.begin_transaction()?;
    for message in messages {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic);
        (record.key, record.payload) = (message.key.as_deref(), message.value.as_deref());
        record.partition = message.partition;
        producer.send(record).map_err(|(error, _)| error)?;
        producer.poll(Duration::ZERO);
    }
    producer.flush(ANSWER_WITHIN)?;
    match end {
        End::Commit => producer.commit_transaction(ANSWER_WITHIN)?,
        End::Abort => producer.abort_transaction(ANSWER_WITHIN)?,
        End::Open => {}
    }
    Ok(producer)
}
