//! The records of the benchmark, and the count of what came of them.

use std::time::Duration;

use anyhow::{Context, Result};
use millstream_testbed::{Cassandra, Kafka};
use rdkafka::{
    error::KafkaError,
    producer::{BaseProducer, BaseRecord, Producer},
    types::RDKafkaErrorCode,
};

const FLUSH_WITHIN: Duration = Duration::from_secs(60);

/// Record `i`: 188 bytes of JSON, as a sensor might send it.
fn record(i: u64, devices: u64) -> (String, String) {
    let device = format!("device-{:05}", i % devices);
    // Full-width numbers, so that every record is as long as the others.
    let at = 1_735_689_600_000 + i;
    let (temperature, humidity, voltage) =
        (10.0 + (i % 899) as f64 / 100.0, 1000 + i % 9000, 3.0 + (i % 97) as f64 / 100.0);
    let value = format!(
        r#"{{"device":"{device}","seq":{seq},"at":{at},"temperature":{temperature:.2},"humidity":{humidity},"voltage":{voltage:.2},"status":"running","firmware":"2.14.3","site":"northern-plants","line":"{line:02}"}}"#,
        seq = 1_000_000_000 + i,
        line = i % 40,
    );
    (device, value)
}

/// Writes `records` records to the topic, keyed by device.
pub(crate) async fn produce(kafka: &Kafka, topic: &str, records: u64, devices: u64) -> Result<()> {
    let mut config = kafka.client();
    config.set("linger.ms", "20").set("batch.size", "262144").set("enable.idempotence", "true");
    let topic = topic.to_owned();
    tokio::task::spawn_blocking(move || {
        let producer: BaseProducer = config.create()?;
        for i in 0..records {
            let (key, value) = record(i, devices);
            let mut next = BaseRecord::to(&topic).key(&key).payload(&value);
            while let Err((error, same)) = producer.send(next) {
                let KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) = error else {
                    return Err(error.into());
                };
                producer.poll(Duration::from_millis(10));
                next = same;
            }
        }
        producer.flush(FLUSH_WITHIN).context("cannot write the records")
    })
    .await?
}

/// Rows of the table, partition by partition.
pub(crate) async fn count(cassandra: &Cassandra, table: &str, devices: u64) -> Result<u64> {
    let session = cassandra.session().await?;
    let query = format!("SELECT count(*) FROM {}.{table} WHERE device = ?", crate::run::KEYSPACE);
    let query = session.prepare(query).await?;
    let mut rows = 0;
    for device in 0..devices {
        let answer = session.execute_unpaged(&query, (format!("device-{device:05}"),)).await?;
        rows += answer.into_rows_result()?.first_row::<(i64,)>()?.0 as u64;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    #[test]
    fn records_are_as_long_as_those_of_other_measurements() {
        for i in [0, 1, 4_711, 999_999] {
            let (_, value) = super::record(i, 256);
            assert_eq!(value.len(), 188, "{value}");
        }
    }
}
