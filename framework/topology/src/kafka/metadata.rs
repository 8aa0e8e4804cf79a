//! What a topic looks like now: leaders, in-sync followers, racks, and whether followers serve readers.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use millstream_placement::{Place, Replicas};
use millstream_spec::KafkaSource;
use rdkafka::{
    client::ClientContext,
    config::{ClientConfig, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError as ClientError,
    metadata::{Metadata, MetadataTopic},
    topic_partition_list::{Offset, TopicPartitionList},
    types::{RDKafkaErrorCode, RDKafkaRespErr},
};
use tokio::task::spawn_blocking;

use super::{ADMIN_TIMEOUT, KafkaError, LOG_ENDS_TIMEOUT, METADATA_TIMEOUT, client_config, native};
use crate::{
    hosts::{Hosts, probe},
    nearest::nearest,
};

/// The one selector of Kafka that serves readers from a follower in their rack. Operators may name a subclass by another
/// name; that they must then say is not foreseen.
const RACK_AWARE_SELECTOR: &str = "RackAwareReplicaSelector";

/// Events (errors, logs) that are taken from the client at most at each question, so that they don't pile up.
const EVENTS_MAX: usize = 1_000;

/// When none comes for so long, there are no more.
const EVENTS_WITHIN: Duration = Duration::from_millis(20);

/// A client for metadata; it consumes nothing and is in no group.
pub(crate) struct Kafka {
    consumer: Arc<Aside>,
    bootstrap: Vec<String>,
}

/// A client that is let go on a thread of its own: that takes as long as what it waits for, a token endpoint among it.
struct Aside(Option<BaseConsumer<Ear>>);

impl Deref for Aside {
    type Target = BaseConsumer<Ear>;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let client = self.0.take();
        // Without a thread it is let go here.
        let _ = std::thread::Builder::new().name("kafka-end".into()).spawn(move || drop(client));
    }
}

/// A cluster as one topic's readers see it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cluster {
    pub(crate) partitions: BTreeMap<i32, Replicas>,
    pub(crate) follower_fetching: bool,
}

impl Kafka {
    pub(crate) async fn new(source: &KafkaSource) -> Result<Kafka, KafkaError> {
        let (source, bootstrap) = (source.clone(), source.bootstrap.clone());
        // Both read files.
        let consumer = spawn_blocking(move || {
            let mut config: ClientConfig = client_config(&source)?;
            config.set_log_level(RDKafkaLogLevel::Error);
            // It reads no records; the log end it asks for is the real one, also behind an open transaction.
            config.set("isolation.level", "read_uncommitted");
            config.create_with_context(Ear::default()).map(|made| Aside(Some(made))).map_err(KafkaError::Options)
        });
        let consumer = consumer.await.map_err(|_| KafkaError::Interrupted)??;
        Ok(Kafka { consumer: Arc::new(consumer), bootstrap })
    }

    /// Number of partitions of a topic.
    pub(crate) async fn partitions(&self, topic: &str) -> Result<usize, KafkaError> {
        let (consumer, topic) = (self.consumer.clone(), topic.to_owned());
        let answer = spawn_blocking(move || Raw::read(&consumer, &topic).map(|raw| raw.partitions.len())).await;
        self.explained(answer.map_err(|_| KafkaError::Interrupted)?).await
    }

    pub(crate) async fn cluster(&self, topic: &str, hosts: &Hosts) -> Result<Cluster, KafkaError> {
        let (consumer, topic) = (self.consumer.clone(), topic.to_owned());
        let answer = spawn_blocking(move || {
            let mut raw = Raw::read(&consumer, &topic)?;
            raw.read_details(&consumer);
            Ok(raw)
        });
        let raw = self.explained(answer.await.map_err(|_| KafkaError::Interrupted)?).await?;
        Ok(raw.placed(hosts).await)
    }

    /// The log end of each of these partitions that has a leader which answers; takes at most [`LOG_ENDS_TIMEOUT`].
    pub(crate) async fn log_ends(&self, topic: &str, partitions: &[i32]) -> Result<BTreeMap<i32, i64>, KafkaError> {
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            // As a timestamp, -1 stands for the end.
            let added = asked.add_partition_offset(topic, *partition, Offset::End);
            added.map_err(|source| KafkaError::Unreachable { causes: vec![], source })?;
        }
        let consumer = self.consumer.clone();
        let answer = spawn_blocking(move || consumer.offsets_for_times(asked, LOG_ENDS_TIMEOUT)).await;
        let ends = answer.map_err(|_| KafkaError::Interrupted)?;
        let ends = ends.map_err(|source| KafkaError::Unreachable { causes: vec![], source })?;
        let known = ends.elements().into_iter().filter(|end| end.error().is_ok());
        Ok(known.filter_map(|end| Some((end.partition(), end.offset().to_raw().filter(|end| *end >= 0)?))).collect())
    }

    /// Adds to "nothing answers" why each bootstrap address does not, and what the client said last.
    async fn explained<T>(&self, answer: Result<T, KafkaError>) -> Result<T, KafkaError> {
        match answer {
            Err(KafkaError::Unreachable { source, .. }) => {
                let mut causes = probe(&self.bootstrap).await;
                causes.extend(self.consumer.context().last_error());
                Err(KafkaError::Unreachable { causes, source })
            }
            other => other,
        }
    }
}

/// Metadata as Kafka tells it, by broker ids.
struct Raw {
    brokers: BTreeMap<i32, Broker>,
    /// Leader and in-sync followers.
    partitions: BTreeMap<i32, (Option<i32>, Vec<i32>)>,
    follower_fetching: bool,
}

struct Broker {
    host: String,
    rack: Option<String>,
}

impl Raw {
    fn read(consumer: &BaseConsumer<Ear>, topic: &str) -> Result<Raw, KafkaError> {
        let metadata = fetch(consumer, topic).map_err(|source| KafkaError::Unreachable { causes: vec![], source })?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        match found.and_then(MetadataTopic::error) {
            None => {}
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => return Err(missing(consumer, topic)),
            Some(error) => {
                let reason = RDKafkaErrorCode::from(error).to_string();
                return Err(KafkaError::TopicRefused { topic: topic.to_owned(), reason });
            }
        }
        let Some(found) = found.filter(|found| !found.partitions().is_empty()) else {
            return Err(missing(consumer, topic));
        };
        let brokers = metadata.brokers().iter();
        let brokers = brokers.map(|b| (b.id(), Broker { host: b.host().to_owned(), rack: None })).collect();
        let partitions = found.partitions().iter().map(|partition| {
            let leader = Some(partition.leader()).filter(|id| *id >= 0);
            let followers = partition.isr().iter().copied().filter(|id| Some(*id) != leader).collect();
            (partition.id(), (leader, followers))
        });
        Ok(Raw { partitions: partitions.collect(), brokers, follower_fetching: false })
    }

    /// Racks and follower fetching make places better, not possible: without an answer (old brokers, no rights) there are
    /// none.
    fn read_details(&mut self, consumer: &BaseConsumer<Ear>) {
        match native::racks(consumer.client(), ADMIN_TIMEOUT) {
            Ok(racks) => {
                for (id, rack) in racks {
                    if let Some(broker) = self.brokers.get_mut(&id) {
                        broker.rack = Some(rack);
                    }
                }
            }
            Err(reason) => tracing::debug!(reason, "the brokers' racks are not known"),
        }
        // All brokers of a cluster are configured alike in this, so one is asked.
        let Some(first) = self.brokers.keys().next() else { return };
        match native::broker_setting(consumer.client(), *first, "replica.selector.class", ADMIN_TIMEOUT) {
            Ok(class) => self.follower_fetching = class.is_some_and(|class| class.ends_with(RACK_AWARE_SELECTOR)),
            Err(reason) => tracing::debug!(reason, "whether followers serve readers is not known"),
        }
    }

    async fn placed(self, hosts: &Hosts) -> Cluster {
        let mut places = BTreeMap::new();
        for (id, broker) in self.brokers {
            let place =
                Place { hosts: hosts.all_names(&broker.host).await, rack: broker.rack, zone: None, region: None };
            places.insert(id, place);
        }
        let place = |id: &i32| places.get(id).cloned();
        let replicas = |(leader, followers): (Option<i32>, Vec<i32>)| {
            let mut followers = followers;
            // Kafka lists them in no particular order; an order of its own would look like a change.
            followers.sort_unstable();
            Replicas {
                leader: leader.as_ref().and_then(place),
                in_sync_followers: followers.iter().filter_map(place).collect(),
            }
        };
        let partitions = self.partitions.into_iter().map(|(partition, raw)| (partition, replicas(raw))).collect();
        Cluster { partitions, follower_fetching: self.follower_fetching }
    }
}

/// Metadata of one topic. The client asks on for as long as it is given, also where nobody will ever let it in: it is given
/// little time first, and then more unless it has learnt that.
fn fetch(consumer: &BaseConsumer<Ear>, topic: &str) -> Result<Metadata, ClientError> {
    consumer.context().forget();
    let begun = Instant::now();
    let mut patience = METADATA_TIMEOUT / 10;
    loop {
        let left = METADATA_TIMEOUT.saturating_sub(begun.elapsed());
        let metadata = consumer.fetch_metadata(Some(topic), patience.min(left).max(EVENTS_WITHIN));
        // Errors and logs arrive as events; the last error helps to explain a failure.
        for _ in 0..EVENTS_MAX {
            if consumer.poll(EVENTS_WITHIN).is_none() {
                break;
            }
        }
        if metadata.is_ok() || left <= patience || consumer.context().is_kept_out() {
            return metadata;
        }
        patience *= 2;
    }
}

fn missing(consumer: &BaseConsumer<Ear>, topic: &str) -> KafkaError {
    let all = consumer.fetch_metadata(None, METADATA_TIMEOUT);
    let names: Vec<String> =
        all.map(|all| all.topics().iter().map(|t| t.name().to_owned()).collect()).unwrap_or_default();
    let names = names.into_iter().filter(|name| name != topic && !name.starts_with("__"));
    KafkaError::TopicMissing { topic: topic.to_owned(), nearest: nearest(topic, names) }
}

/// Keeps the client's last error.
#[derive(Default)]
struct Ear {
    last: Mutex<Option<(ClientError, String)>>,
}

impl Ear {
    fn forget(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn last_error(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(_, reason)| reason.clone())
    }

    /// Whether it will not be let in however long it asks: who it is, whom it believes or how it speaks is wrong.
    fn is_kept_out(&self) -> bool {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().is_some_and(|(error, reason)| {
            let code = error.rdkafka_error_code();
            matches!(code, Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL))
                || reason.contains("incorrect security.protocol")
        })
    }
}

/// What is said of a token that did not come, without what its endpoint has answered: that is for whoever asked, and a job's
/// author only named it. RFC 6749 (5.2) has the words that may be told.
fn without_answer(reason: &str) -> String {
    const WORDS: [&str; 6] = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ];
    let Some((what, answer)) = reason.split_once("OAUTHBEARER token: ") else { return reason.to_owned() };
    let word = WORDS.iter().find(|word| answer.contains(&format!("\"{word}\"")));
    let why = word.copied().unwrap_or("the token endpoint is not reached, or answers with none");
    format!("{what}OAUTHBEARER token: {why}")
}

impl ClientContext for Ear {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        tracing::debug!(?level, fac, message, "librdkafka");
    }

    fn error(&self, error: ClientError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // That all brokers are down says less than why.
        if !matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::AllBrokersDown)) || last.is_none() {
            *last = Some((error, without_answer(reason)));
        }
    }
}

impl ConsumerContext for Ear {}
