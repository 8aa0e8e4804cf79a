//! Against librdkafka's own mock cluster.

use std::{collections::BTreeMap, time::Duration};

use millstream_spec::{Format, KafkaSource, Setting, Start};
use rdkafka::{
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer},
};

use super::*;
use crate::hosts::Hosts;

fn source(bootstrap: String) -> KafkaSource {
    KafkaSource {
        bootstrap: vec![bootstrap],
        topic: "flights".into(),
        group: "flights".into(),
        start: Start::Earliest,
        format: Format::Json,
        options: BTreeMap::new(),
    }
}

fn mock() -> MockCluster<'static, DefaultProducerContext> {
    MockCluster::new(3).expect("a mock cluster")
}

#[tokio::test]
async fn log_ends_are_those_of_the_brokers() {
    let mock = mock();
    mock.create_topic("flights", 3, 1).expect("a topic");
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", mock.bootstrap_servers()).create().expect("a producer");
    for _ in 0..7 {
        let record = BaseRecord::<(), str>::to("flights").partition(1).payload("{}");
        producer.send(record).map_err(|(error, _)| error).expect("queued");
    }
    producer.flush(Duration::from_secs(10)).expect("produced");
    let kafka = Kafka::new(&source(mock.bootstrap_servers())).await.expect("a client");
    let ends = kafka.log_ends("flights", &[0, 1, 2]).await.expect("an answer");
    assert_eq!(ends, BTreeMap::from([(0, 0), (1, 7), (2, 0)]));
}

#[tokio::test]
async fn leaders_and_followers() {
    let mock = mock();
    mock.create_topic("flights", 4, 2).expect("a topic");
    mock.partition_leader("flights", 2, Some(3)).expect("a leader");
    let kafka = Kafka::new(&source(mock.bootstrap_servers())).await.expect("a client");
    let cluster = kafka.cluster("flights", &Hosts::default()).await.expect("metadata");
    assert_eq!(cluster.partitions.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
    let leader = cluster.partitions[&2].leader.as_ref().expect("a leader");
    // The mock cluster does not know DescribeCluster, as brokers before 2.8: racks stay unknown, all else is told.
    assert_eq!((leader.hosts.as_slice(), leader.rack.as_deref()), (["127.0.0.1".to_owned()].as_slice(), None));
    for replicas in cluster.partitions.values() {
        assert_eq!(replicas.in_sync_followers.len(), 1, "two replicas, and the leader is no follower");
    }
    assert_eq!(kafka.partitions("flights").await.expect("metadata"), 4);
    assert_eq!(kafka.cluster("flights", &Hosts::default()).await.expect("metadata"), cluster, "no change, equal value");
}

#[tokio::test]
async fn a_refused_topic_says_why() {
    use rdkafka::types::RDKafkaRespErr;
    let mock = mock();
    mock.create_topic("flights", 1, 1).expect("a topic");
    mock.topic_error("flights", RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).expect("an error");
    let kafka = Kafka::new(&source(mock.bootstrap_servers())).await.expect("a client");
    let error = kafka.partitions("flights").await.expect_err("refused");
    assert!(matches!(&error, KafkaError::TopicRefused { reason, .. } if reason.contains("authorization")), "{error}");
}

#[tokio::test]
async fn nobody_there() {
    let mut source = source("127.9.9.9:1".into());
    // Connection errors come at once; what takes long is waiting for a broker that may come up.
    source.options.insert("socket.connection.setup.timeout.ms".into(), Setting::Value("1000".into()));
    let error = Kafka::new(&source).await.expect("a client").partitions("flights").await.expect_err("nobody there");
    let text = error.to_string();
    assert!(text.contains("127.9.9.9:1: Connection refused"), "{text}");
    assert!(error.remedy().contains("source.kafka.bootstrap"));
}

#[tokio::test]
async fn options_and_secrets() {
    let mut with = source("a:1".into());
    with.bootstrap.push("b:2".into());
    with.options.insert("sasl.password".into(), Setting::Env("CARGO_PKG_NAME".into()));
    let config = client_config(&with).expect("all there");
    assert_eq!(config.get("bootstrap.servers"), Some("a:1,b:2"));
    assert_eq!(config.get("sasl.password"), Some("millstream-topology"));

    with.options.insert("sasl.password".into(), Setting::Env("MILLSTREAM_NO_SUCH_VARIABLE".into()));
    assert!(matches!(client_config(&with), Err(SettingError::EnvMissing { .. })));

    let mut wrong = source("a:1".into());
    wrong.options.insert("fetch.min.bytes".into(), Setting::Value("many".into()));
    let error = Kafka::new(&wrong).await.err().expect("refused");
    assert!(matches!(error, KafkaError::Options(_)), "{error}");
    assert!(error.remedy().contains("[source.kafka.options]"));
}

#[test]
fn time_outs_are_bounded() {
    assert!(METADATA_TIMEOUT + 2 * ADMIN_TIMEOUT <= Duration::from_secs(30), "a scheduler waits for a deploy's answer");
}
