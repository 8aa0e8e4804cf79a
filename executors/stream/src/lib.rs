//! millstream-executor: Kafka source, SQL, Cassandra sink under the Mesos executor API
