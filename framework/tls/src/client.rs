//! A client's side: whose certificates it believes, and its own.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tokio_rustls::rustls::{
    self, ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::{
        ResolvesClientCert, Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::CertifiedKey,
};

use crate::pem::{Pem, PemError, provider};

/// What a client knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientPems {
    /// Those whose signature makes a server's certificate good.
    pub authorities: Pem,
    /// Its own certificate and private key, for servers that ask for one.
    pub own: Option<(Pem, Pem)>,
}

impl ClientPems {
    /// Whether it can be used.
    pub fn check(&self) -> Result<(), PemError> {
        Known::new(self.clone()).map(drop)
    }
}

/// Where a client's PEM comes from.
pub trait ClientSource: fmt::Debug + Send + Sync + 'static {
    /// Reads it; may block as long as files do.
    fn read(&self) -> Result<ClientPems, PemError>;
}

/// Files of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// Authorities.
    pub ca: PathBuf,
    /// Its own certificate and private key.
    pub own: Option<(PathBuf, PathBuf)>,
}

impl ClientSource for ClientFiles {
    fn read(&self) -> Result<ClientPems, PemError> {
        let own = self.own.as_ref();
        let own = own.map(|(cert, key)| Ok((Pem::read(cert)?, Pem::read(key)?))).transpose()?;
        Ok(ClientPems { authorities: Pem::read(&self.ca)?, own })
    }
}

/// Reads what a client knows, and again at each handshake, so that what was renewed is used without a restart; what cannot be
/// read then stays as it was. With a `name`, certificates are to be made out to it and not to what was asked. Blocks.
pub fn client_config(source: impl ClientSource, name: Option<ServerName<'static>>) -> Result<ClientConfig, PemError> {
    let known = Known::new(source.read()?)?;
    let renewed = Arc::new(Renewed { source: Box::new(source), name, known: Mutex::new(Arc::new(known)) });
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider speaks the default versions")
        .dangerous()
        .with_custom_certificate_verifier(renewed.clone())
        .with_client_cert_resolver(renewed);
    // A session that goes on is not verified again.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// What was read last.
#[derive(Debug)]
struct Known {
    pems: ClientPems,
    verifier: Arc<WebPkiServerVerifier>,
    own: Option<Arc<CertifiedKey>>,
}

impl Known {
    fn new(pems: ClientPems) -> Result<Known, PemError> {
        let authorities = pems.authorities.authorities()?;
        let own = pems.own.as_ref().map(|(certificate, key)| certificate.with_key(key)).transpose()?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(authorities), provider()).build();
        let verifier = verifier.expect("there is an authority, and no list of revoked ones that could be wrong");
        Ok(Known { pems, verifier, own: own.map(Arc::new) })
    }
}

#[derive(Debug)]
struct Renewed {
    source: Box<dyn ClientSource>,
    name: Option<ServerName<'static>>,
    known: Mutex<Arc<Known>>,
}

impl Renewed {
    fn now(&self) -> Arc<Known> {
        let known = self.last();
        let renewed = match self.source.read() {
            Ok(pems) if pems == known.pems => return known,
            Ok(pems) => Known::new(pems),
            Err(error) => Err(error),
        };
        match renewed {
            Ok(renewed) => {
                let renewed = Arc::new(renewed);
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) = renewed.clone();
                renewed
            }
            Err(error) => {
                tracing::warn!(%error, "certificates for TLS cannot be read again; the old ones are used");
                known
            }
        }
    }

    fn last(&self) -> Arc<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Renewed {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        asked: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let name = self.name.as_ref().unwrap_or(asked);
        self.now().verifier.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.last().verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.last().verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.last().verifier.supported_verify_schemes()
    }
}

impl ResolvesClientCert for Renewed {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.now().own.clone()
    }

    fn has_certs(&self) -> bool {
        self.last().own.is_some()
    }
}
