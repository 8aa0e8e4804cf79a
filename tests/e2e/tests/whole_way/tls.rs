//! TLS before a master, as an operator puts it there: Mesos' own needs another build of it.

use anyhow::Result;
use millstream_testbed::Authority;
use millstream_tls::Certificate;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// A proxy with a certificate for its address; dropping it ends it.
pub(crate) struct TlsProxy {
    /// `host:port`
    pub(crate) address: String,
    /// Has signed its certificate.
    pub(crate) authority: Authority,
    accepts: JoinHandle<()>,
}

impl TlsProxy {
    pub(crate) async fn before(target: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let authority = Authority::new()?;
        let own = authority.issue("proxy", &[&address.ip().to_string()])?;
        let certificate = Certificate::read(&own.cert, &own.key)?;
        let accepts = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((outer, _)) = listener.accept().await {
                connections.spawn(forward(certificate.clone(), outer, target.clone()));
            }
        });
        Ok(TlsProxy { address: address.to_string(), authority, accepts })
    }
}

impl Drop for TlsProxy {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}

/// Ends with either side.
async fn forward(certificate: Certificate, outer: TcpStream, target: String) {
    let Ok(mut outer) = certificate.acceptor().accept(outer).await else { return };
    let Ok(mut inner) = TcpStream::connect(target).await else { return };
    let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
}
