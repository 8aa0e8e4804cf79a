use zookeeper_client::{Client, Connector, Error};

use super::ZooKeeperTls;

/// Opens a session with `host:port,…`; by TLS and never without it, if that is given.
pub async fn connect(connector: Connector, servers: &str, tls: Option<&ZooKeeperTls>) -> Result<Client, Error> {
    match tls {
        Some(tls) => tls.connect(connector, servers).await,
        None => connector.connect(servers).await,
    }
}
