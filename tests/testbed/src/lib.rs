//! Starts the real Kafka, Cassandra and Mesos for tests, benchmarks and the demo
