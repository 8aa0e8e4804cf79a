//! The facts for `validate --live`.

use millstream_pipeline::TableSchema;
use millstream_spec::{BadRecord, JobSpec};

use crate::{
    CassandraError, KafkaError,
    cassandra::{Near, connect, table_schema},
    kafka::Kafka,
};

/// What a job's topics and table look like in truth.
#[derive(Debug)]
pub struct LiveFacts {
    /// Number of partitions of the source topic.
    pub partitions: Result<usize, KafkaError>,
    /// Number of partitions of the dead-letter topic; none when the job has no such topic, or Kafka does not answer at all.
    pub dead_letter_partitions: Option<Result<usize, KafkaError>>,
    /// The sink's table.
    pub table: Result<TableSchema, CassandraError>,
}

/// Asks Kafka and Cassandra side by side; changes nothing.
pub async fn live_check(spec: &JobSpec) -> LiveFacts {
    let topics = async {
        let kafka = match Kafka::new(&spec.source).await {
            Ok(kafka) => kafka,
            Err(error) => return (Err(error), None),
        };
        let partitions = kafka.partitions(&spec.source.topic).await;
        let reached = !matches!(partitions, Err(KafkaError::Unreachable { .. }));
        let dead_letter = match &spec.errors.bad_record {
            BadRecord::DeadLetter(topic) if reached => Some(kafka.partitions(topic).await),
            BadRecord::DeadLetter(_) | BadRecord::Fail | BadRecord::Skip => None,
        };
        (partitions, dead_letter)
    };
    let table = async {
        let session = connect(&spec.sink, &Near::default()).await?;
        table_schema(&session, &spec.sink.keyspace, &spec.sink.table).await
    };
    let ((partitions, dead_letter_partitions), table) = futures_util::join!(topics, table);
    LiveFacts { partitions, dead_letter_partitions, table }
}
