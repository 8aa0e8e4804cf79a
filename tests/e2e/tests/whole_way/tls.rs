//! TLS before a master, as an operator puts it there: Mesos' own needs another build of it. The tests of the session have
//! the like before scripted masters; a crate for both would be more than the lines that it saves.

use std::sync::Arc;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

/// A proxy with a certificate for its address; dropping it ends it.
pub(crate) struct TlsProxy {
    /// `host:port`
    pub(crate) address: String,
    /// The authority that has signed its certificate, as PEM.
    pub(crate) ca: String,
    accepts: JoinHandle<()>,
}

impl TlsProxy {
    pub(crate) async fn before(target: String) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([address.ip().to_string()])?.signed_by(&key, &issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let accepts = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((outer, _)) = listener.accept().await {
                connections.spawn(forward(acceptor.clone(), outer, target.clone()));
            }
        });
        Ok(TlsProxy { address: address.to_string(), ca: issuer.pem(), accepts })
    }
}

impl Drop for TlsProxy {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}

/// Ends with either side.
async fn forward(acceptor: TlsAcceptor, outer: TcpStream, target: String) {
    let Ok(mut outer) = acceptor.accept(outer).await else { return };
    let Ok(mut inner) = TcpStream::connect(target).await else { return };
    let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
}
