//! Kafka and Cassandra metadata as a Topology value
