use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use millstream_tls::{ClientFiles, ClientSource as _, PemError, Trouble, try_handshake};
use tokio::net::TcpStream;
use zookeeper_client::{Client, Connector, Error, TlsOptions};

use crate::Tls;

/// How to speak TLS to ZooKeeper. Clones share it.
#[derive(Clone)]
pub struct ZooKeeperTls {
    files: ClientFiles,
    last: Arc<Mutex<TlsOptions>>,
    probe: Tls,
}

impl fmt::Debug for ZooKeeperTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZooKeeperTls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl ZooKeeperTls {
    /// Trusts the authorities of a PEM file and no others, and shows the certificate of another to who asks. Blocks.
    pub fn read(files: &ClientFiles) -> Result<Self, PemError> {
        let last = Arc::new(Mutex::new(options(files)?));
        Ok(Self { files: files.clone(), last, probe: Tls::read(files)? })
    }

    /// Opens a session by TLS with what the files hold now; what cannot be read stays as it was.
    async fn connect(&self, connector: Connector, servers: &str) -> Result<Client, Error> {
        let files = self.files.clone();
        let renewed = tokio::task::spawn_blocking(move || options(&files)).await;
        let options = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            match renewed {
                Ok(Ok(renewed)) => *last = renewed,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "certificates for TLS cannot be read again; the old ones are used")
                }
                Err(_) => {}
            }
            last.clone()
        };
        connector.with_tls(options).secure_connect(servers).await
    }

    /// What keeps us from speaking TLS with a server; none when nothing does.
    pub(super) async fn trouble(&self, server: &str, stream: TcpStream) -> Option<String> {
        let error = try_handshake(self.probe.config(), server, stream).await.err()?;
        Some(match Trouble::of(&error) {
            Some(trouble) => trouble.with_remedy(),
            None => format!("no TLS: {error}"),
        })
    }
}

/// Opens a session with `host:port,…`; by TLS and never without it, if that is given.
pub async fn connect(connector: Connector, servers: &str, tls: Option<&ZooKeeperTls>) -> Result<Client, Error> {
    match tls {
        Some(tls) => tls.connect(connector, servers).await,
        None => connector.connect(servers).await,
    }
}

fn options(files: &ClientFiles) -> Result<TlsOptions, PemError> {
    let pems = files.read()?;
    pems.check()?;
    let checked = |options: Result<TlsOptions, Error>| options.map_err(|error| PemError::Elsewhere(Box::new(error)));
    let options = checked(TlsOptions::new().with_pem_ca(&pems.authorities.text))?;
    match &pems.own {
        Some((certificate, key)) => checked(options.with_pem_identity(&certificate.text, &key.text)),
        None => Ok(options),
    }
}
