//! A certificate authority for tests, and a server of TLS before one without.

use std::{path::PathBuf, sync::Arc};

use millstream_tls::ClientFiles;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
        server::WebPkiClientVerifier,
    },
};

use crate::Tls;

pub(crate) struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: PathBuf,
}

impl Drop for Ca {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Ca {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = std::env::temp_dir().join(format!("millstream-mesos-ca-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    /// Those of a client without a certificate.
    pub(crate) fn files(&self) -> ClientFiles {
        ClientFiles { ca: self.dir.join("ca.pem"), own: None }
    }

    /// Those of a client with a certificate of another authority, or of this one.
    pub(crate) fn files_with(&self, signer: &Ca) -> ClientFiles {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["client".to_owned()]).unwrap().signed_by(&key, &signer.issuer).unwrap();
        let (cert_file, key_file) = (self.dir.join("cert.pem"), self.dir.join("key.pem"));
        std::fs::write(&cert_file, certificate.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        ClientFiles { own: Some((cert_file, key_file)), ..self.files() }
    }

    pub(crate) fn tls(&self) -> Tls {
        Tls::read(&self.files()).unwrap()
    }

    /// A server's side of TLS, for a certificate made out to `name`; with `asks`, for clients with a certificate only.
    fn acceptor(&self, name: &str, asks: bool) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let builder = ServerConfig::builder();
        let builder = if asks {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap()))
    }

    /// Puts TLS before a server; its port.
    pub(crate) async fn guard(&self, name: &str, target: &str, asks: bool) -> u16 {
        let (acceptor, target) = (self.acceptor(name, asks), target.to_owned());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (outer, _) = listener.accept().await.unwrap();
                let (acceptor, target) = (acceptor.clone(), target.clone());
                tokio::spawn(async move {
                    let Ok(mut outer) = acceptor.accept(outer).await else { return };
                    let mut inner = TcpStream::connect(target).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
                });
            }
        });
        port
    }
}
