//! A job's topology again and again, telling changes only.

use std::{collections::BTreeMap, sync::Arc};

use millstream_placement::JobTopology;
use millstream_spec::JobSpec;
use scylla::client::session::Session;

use crate::{
    CassandraError, KafkaError, TopologyError,
    cassandra::{Near, connect, ring},
    hosts::Hosts,
    kafka::Kafka,
};

/// Reads one job's topology, keeping its clients between reads.
pub struct Watcher {
    spec: JobSpec,
    hosts: Hosts,
    kafka: Option<Arc<Kafka>>,
    session: Option<Session>,
    last: Option<JobTopology>,
    partitions: Vec<i32>,
}

impl Watcher {
    /// A watcher that has read nothing and is connected to nothing yet.
    pub fn new(spec: JobSpec) -> Watcher {
        Watcher { spec, hosts: Hosts::default(), kafka: None, session: None, last: None, partitions: vec![] }
    }

    /// Reads the topology now. Kafka and Cassandra are asked side by side; what fails is connected anew the next time.
    pub async fn snapshot(&mut self) -> Result<JobTopology, TopologyError> {
        let Watcher { spec, hosts, kafka, session, .. } = self;
        let from_kafka = async {
            let client = match kafka {
                Some(client) => client.clone(),
                None => kafka.insert(Arc::new(Kafka::new(&spec.source).await?)).clone(),
            };
            client.cluster(&spec.source.topic, hosts).await
        };
        let from_cassandra = async {
            let session = match session {
                Some(session) => session,
                None => session.insert(connect(&spec.sink, &Near::default()).await?),
            };
            ring(session, &spec.sink.keyspace, &spec.sink.contact_points, hosts).await
        };
        let (cluster, ring): (Result<_, KafkaError>, Result<_, CassandraError>) =
            futures_util::join!(from_kafka, from_cassandra);
        let cluster = cluster?;
        self.partitions = cluster.partitions.keys().copied().collect();
        Ok(JobTopology { partitions: cluster.partitions, follower_fetching: cluster.follower_fetching, ring: ring? })
    }

    /// Reads the topology now and returns it when it differs from what was returned last, or when the last read failed.
    pub async fn refresh(&mut self) -> Result<Option<JobTopology>, TopologyError> {
        let now = self.snapshot().await.inspect_err(|_| self.last = None)?;
        if self.last.as_ref() == Some(&now) {
            return Ok(None);
        }
        self.last = Some(now.clone());
        Ok(Some(now))
    }

    /// The log ends of the partitions that were found last, as far as brokers tell them now; for people.
    pub async fn log_ends(&self) -> Result<BTreeMap<i32, i64>, TopologyError> {
        match &self.kafka {
            Some(kafka) if !self.partitions.is_empty() => {
                Ok(kafka.log_ends(&self.spec.source.topic, &self.partitions).await?)
            }
            _ => Ok(BTreeMap::new()),
        }
    }
}
