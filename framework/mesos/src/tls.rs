use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        CertificateError, ClientConfig, Error, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use crate::TransportError;

/// How to speak TLS: certificates are verified against these CAs and no others, and must name the host that is asked.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
}

/// Why a CA file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("the CA file {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No `BEGIN CERTIFICATE` in it.
    #[error("the CA file {} holds no certificate; it is to be PEM, as in -----BEGIN CERTIFICATE-----", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A certificate in it that is none.
    #[error("the CA file {} holds a certificate that cannot be used; it is to be PEM of X.509", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Trusts the CAs of a PEM file.
    pub fn from_ca_file(path: &Path) -> Result<Self, TlsError> {
        let pem = std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
        let bad =
            |source: Box<dyn std::error::Error + Send + Sync>| TlsError::Certificate { path: path.to_owned(), source };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate.map_err(|error| bad(error.into()))?).map_err(|error| bad(error.into()))?;
        }
        if roots.is_empty() {
            return Err(TlsError::Empty { path: path.to_owned() });
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config) })
    }

    /// Makes a connection to `host:port` a TLS one.
    pub(crate) async fn handshake(
        &self,
        authority: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, TransportError> {
        let host = host(authority);
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| TransportError::Address { authority: authority.to_owned() })?;
        let connected = TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await;
        connected.map_err(|source| match remedy(&source, host) {
            Some(remedy) => TransportError::Untrusted { authority: authority.to_owned(), remedy, source },
            None => TransportError::Connect { authority: authority.to_owned(), source },
        })
    }
}

/// The host of `host:port`; of `[::1]:port` without the brackets.
fn host(authority: &str) -> &str {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// What to do about a failed handshake; none when it may pass by itself.
fn remedy(error: &io::Error, host: &str) -> Option<String> {
    use CertificateError as Bad;
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            "its certificate is not signed by the given CA; give the file of the CA that signed it".into()
        }
        Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            format!("its certificate is not made out to {host}; write the master as its certificate names it")
        }
        Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "its certificate has expired; renew it, and see that the clocks are right".into()
        }
        Error::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            "its certificate is not valid yet; see that the clocks are right".into()
        }
        Error::InvalidCertificate(_) => {
            "its certificate is not accepted; give it one that the CA signed and that is no CA's itself".into()
        }
        Error::InvalidMessage(_) => "it does not speak TLS; is it an http:// master, or another port?".into(),
        Error::AlertReceived(_) => {
            "it refused the handshake; does it want TLS older than 1.2 or a client's certificate?".into()
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_stand_before_the_port() {
        for (authority, expected) in [("a:1", "a"), ("127.0.0.1:5050", "127.0.0.1"), ("[::1]:5050", "::1")] {
            assert_eq!(host(authority), expected);
        }
    }

    #[test]
    fn a_ca_file_that_is_none_is_named() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(matches!(Tls::from_ca_file(&here.join("nowhere.pem")), Err(TlsError::Read { .. })));
        let error = Tls::from_ca_file(&here.join("Cargo.toml")).unwrap_err();
        assert!(error.to_string().contains("Cargo.toml holds no certificate"), "{error}");
    }
}
