//! Certificate and key of a server, out of PEM files that may be renewed while it runs.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        Error, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

/// A server's certificate and key. Clones share it.
#[derive(Clone)]
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no PEM of what it is to be.
    #[error("{} holds no {what} in PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// They do not go together.
    #[error("{} and {} cannot be used together", chain.display(), key.display())]
    Refused {
        /// The certificate and those that lead to its authority.
        chain: PathBuf,
        /// Its private key.
        key: PathBuf,
        /// Why.
        #[source]
        source: Error,
    },
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads both files.
    pub fn read(chain: &Path, key: &Path) -> Result<Certificate, CertificateError> {
        let current = Arc::new(RwLock::new(config(chain, key)?));
        Ok(Certificate { chain: chain.to_owned(), key: key.to_owned(), current })
    }

    /// Reads both files again; what is there stays when they cannot be used.
    pub fn renew(&self) -> Result<(), CertificateError> {
        let renewed = config(&self.chain, &self.key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone().into()
    }
}

fn config(chain: &Path, key: &Path) -> Result<Arc<ServerConfig>, CertificateError> {
    let read = |path: &Path| fs::read(path).map_err(|source| CertificateError::Read { path: path.to_owned(), source });
    let missing = |path: &Path, what| CertificateError::Pem { path: path.to_owned(), what };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(chain)?).collect();
    let certificates = certificates.ok().filter(|all| !all.is_empty()).ok_or_else(|| missing(chain, "certificate"))?;
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| missing(key, "private key"))?;
    let refused = |source| CertificateError::Refused { chain: chain.to_owned(), key: key.to_owned(), source };
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, private));
    config.map(Arc::new).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_or_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let (chain, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let write = || {
            let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate");
            fs::write(&chain, made.cert.pem()).expect("written");
            fs::write(&key, made.signing_key.serialize_pem()).expect("written");
        };
        assert!(matches!(Certificate::read(&chain, &key), Err(CertificateError::Read { .. })));
        write();
        let certificate = Certificate::read(&chain, &key).expect("both are there");
        let other = fs::read(&key).expect("there");
        write();
        certificate.renew().expect("both are there");
        fs::write(&key, other).expect("written");
        assert!(matches!(certificate.renew(), Err(CertificateError::Refused { .. })), "the key is another's");
        fs::write(&chain, "hunter2").expect("written");
        let error = certificate.renew().expect_err("no PEM").to_string();
        assert!(error.contains("holds no certificate") && !error.contains("hunter2"), "{error}");
    }
}
