//! A job's topology again and again, telling changes only.

use std::{sync::Arc, time::Duration};

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
}

impl Watcher {
    /// A watcher that has read nothing and is connected to nothing yet.
    pub fn new(spec: JobSpec) -> Watcher {
        Watcher { spec, hosts: Hosts::default(), kafka: None, session: None, last: None }
    }

    /// Reads the topology now. Kafka and Cassandra are asked side by side; what fails is connected anew the next time.
    pub async fn snapshot(&mut self) -> Result<JobTopology, TopologyError> {
        let Watcher { spec, hosts, kafka, session, .. } = self;
        let from_kafka = async {
            let client = match kafka {
                Some(client) => client.clone(),
                None => kafka.insert(Arc::new(Kafka::new(&spec.source)?)).clone(),
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
        Ok(JobTopology { partitions: cluster.partitions, follower_fetching: cluster.follower_fetching, ring: ring? })
    }

    /// Reads the topology now and returns it when it differs from what was returned last.
    pub async fn refresh(&mut self) -> Result<Option<JobTopology>, TopologyError> {
        let now = self.snapshot().await?;
        if self.last.as_ref() == Some(&now) {
            return Ok(None);
        }
        self.last = Some(now.clone());
        Ok(Some(now))
    }

    /// Waits for the next change, or failure, reading every `interval`; the first read is at once when nothing was
    /// returned yet. May be dropped at any time and called again: a change is then found by the next read.
    pub async fn changed(&mut self, interval: Duration) -> Result<JobTopology, TopologyError> {
        loop {
            if self.last.is_some() {
                tokio::time::sleep(interval).await;
            }
            if let Some(change) = self.refresh().await? {
                return Ok(change);
            }
        }
    }
}
