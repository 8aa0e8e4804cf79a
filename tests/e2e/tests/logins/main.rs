//! Logins and TLS outwards, on real servers under each scheme: what is right is let in, and whatever is wrong is kept out
//! soon, with a word on what is wrong and none on the secret. At last one job under all of them, whose secrets are then looked
//! for wherever they must not be.

mod canary;
mod cassandra;
mod kafka;
mod live;
mod oauth;
mod zookeeper;

use std::sync::OnceLock;

use anyhow::Result;
use millstream_testbed::{Authority, Cassandra, CassandraOptions, Encryption, Issued, Kafka};
use tokio::{runtime::Runtime, sync::OnceCell};

/// Passwords that are looked for afterwards.
pub(crate) const KAFKA_PASSWORD: &str = "canary-kafka-4f1c";
pub(crate) const CASSANDRA_PASSWORD: &str = "canary-cassandra-93ab";
pub(crate) const KEYSPACE: &str = "logins";

/// The servers and who signs.
pub(crate) struct Stage {
    pub(crate) authority: Authority,
    /// Nobody believes it.
    pub(crate) stranger: Authority,
    /// The job's own certificate.
    pub(crate) client: Issued,
    pub(crate) kafka: Kafka,
    pub(crate) cassandra: Cassandra,
    pub(crate) oauth: oauth::Issuer,
}

/// Runs a test on the shared servers.
pub(crate) fn on_stage(test: impl AsyncFnOnce(&Stage) -> Result<()>) -> Result<()> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    static STAGE: OnceCell<Stage> = OnceCell::const_new();
    let runtime = RUNTIME.get_or_init(|| Runtime::new().expect("threads can be started"));
    runtime.block_on(async { test(STAGE.get_or_try_init(Stage::start).await?).await })
}

impl Stage {
    async fn start() -> Result<Stage> {
        let (authority, stranger) = (Authority::new()?, Authority::new()?);
        let server = authority.issue("server", &["127.0.1.1", "server.example"])?;
        let client = authority.issue("client", &["client"])?;
        let encryption = Encryption {
            keystore: server.keystore.clone(),
            truststore: authority.ca(),
            client: authority.client(Some(&client)),
        };
        let options =
            CassandraOptions { guardrails: Some(""), encryption: Some(encryption), ..CassandraOptions::nodes(1) };
        let oauth = oauth::Issuer::start().await?;
        let kafka = Kafka::start(kafka::options(&authority, &server, &oauth)?);
        let (kafka, cassandra) = tokio::try_join!(kafka, Cassandra::start(options))?;
        let stage = Stage { authority, stranger, client, kafka, cassandra, oauth };
        kafka::users(&stage.kafka).await?;
        stage.kafka.create_topic("orders", 1, 1).await?;
        stage.kafka.create_topic("orders.dead", 1, 1).await?;
        stage.cassandra.create_keyspace(KEYSPACE).await?;
        let cql = format!(
            "CREATE ROLE ada WITH PASSWORD = '{CASSANDRA_PASSWORD}' AND LOGIN = true;
             GRANT ALL ON KEYSPACE {KEYSPACE} TO ada;
             CREATE TABLE {KEYSPACE}.orders (k text PRIMARY KEY, v int)"
        );
        stage.cassandra.execute(&cql).await?;
        Ok(stage)
    }
}
